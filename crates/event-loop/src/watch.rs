//! Watches on any file descriptor, with a callback for each direction.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use crate::driver::{self, Driver};
use crate::error::Error;
use crate::panic::catch_and_log;
use crate::poller::{Interest, Readiness, Trigger};
use crate::table::{Id, Table};
use crate::token::{DriverId, Token};

/// Calls `callback` in each iteration in which `source` is readable: it has data, end of stream or an error.
///
/// The loop owns `source` until [`remove_read_stream`]: pass an `Rc` to keep using it. Watches are level-triggered: a
/// callback that reads nothing is called again. They keep [`run`](crate::run) from returning.
///
/// # Errors
/// [`Error::AlreadyWatched`] if the descriptor is already watched for reading, [`Error::Watch`] if it cannot be watched,
/// such as a regular file (`EPERM`), [`Error::LoopGone`] while the thread is torn down.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use std::rc::Rc;
/// use uptick_event_loop::{add_read_stream, remove_read_stream, run};
///
/// let (mut ours, theirs) = UnixStream::pair()?;
/// let theirs = Rc::new(theirs);
/// let reader = Rc::clone(&theirs);
/// add_read_stream(theirs, move || {
///     let mut buffer = [0; 16];
///     println!("{} bytes", (&*reader).read(&mut buffer).unwrap_or(0));
///     remove_read_stream(&reader);
/// })?;
/// ours.write_all(b"hello")?;
/// run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn add_read_stream<R>(
    source: impl AsFd + 'static,
    callback: impl FnMut() -> R + 'static,
) -> Result<(), Error> {
    add(Direction::Read, true, source, callback)
}

/// Watches `source` like [`add_read_stream`], without keeping the loop running.
pub(crate) fn add_background_read_stream(
    source: impl AsFd + 'static,
    callback: impl FnMut() + 'static,
) -> Result<(), Error> {
    add(Direction::Read, false, source, callback)
}

/// Calls `callback` in each iteration in which `source` is writable or has an error, such as a refused connection.
///
/// # Errors
/// The same as [`add_read_stream`], for writing.
pub fn add_write_stream<R>(
    source: impl AsFd + 'static,
    callback: impl FnMut() -> R + 'static,
) -> Result<(), Error> {
    add(Direction::Write, true, source, callback)
}

/// Ends a watch for reading. A watch for writing stays. Does nothing if there is no watch.
pub fn remove_read_stream(source: impl AsFd) {
    remove(Direction::Read, source.as_fd().as_raw_fd());
}

/// Ends a watch for writing. A watch for reading stays. Does nothing if there is no watch.
pub fn remove_write_stream(source: impl AsFd) {
    remove(Direction::Write, source.as_fd().as_raw_fd());
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Read,
    Write,
}

/// The watch of one direction of a descriptor.
struct DirectionWatch {
    source: Box<dyn AsFd>,
    /// The callback; `None` while it runs.
    callback: Option<Box<dyn FnMut()>>,
    serial: u64,
    /// `true` if the watch keeps the loop running.
    holds: bool,
}

/// The watches of a descriptor.
#[derive(Default)]
struct DescriptorWatch {
    read: Option<DirectionWatch>,
    write: Option<DirectionWatch>,
}

impl DescriptorWatch {
    fn side(&mut self, direction: Direction) -> &mut Option<DirectionWatch> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    fn interest(&self) -> Option<Interest> {
        Interest::of(self.read.is_some(), self.write.is_some())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        let side = self.read.as_ref().or(self.write.as_ref());
        side.map(|side| side.source.as_fd())
    }
}

#[derive(Default)]
struct Watches {
    table: Table<DescriptorWatch>,
    by_fd: HashMap<RawFd, Id>,
    driver: Option<DriverId>,
    serial: u64,
}

thread_local! {
    static WATCHES: RefCell<Watches> = RefCell::default();
}

impl Watches {
    fn driver(&mut self) -> DriverId {
        *self
            .driver
            .get_or_insert_with(|| driver::register(&WatchDriver))
    }

    /// Adds the watch of one direction. If it fails, the watch stays in `side`, to be dropped after the borrow.
    fn add(
        &mut self,
        fd: RawFd,
        direction: Direction,
        side: &mut Option<DirectionWatch>,
    ) -> Result<(), Error> {
        let id = match self.by_fd.get(&fd) {
            Some(id) => *id,
            None => match self.table.insert(DescriptorWatch::default()) {
                Some(id) => id,
                None => return Err(full(fd)),
            },
        };
        let token = id.token(self.driver());
        let Some(watch) = self.table.get_mut(id) else {
            return Err(full(fd));
        };
        if watch.side(direction).is_some() {
            return Err(Error::AlreadyWatched { fd });
        }
        let before = watch.interest();
        let holds = side.as_ref().is_some_and(|side| side.holds);
        *watch.side(direction) = side.take();
        let watched = match (watch.fd(), watch.interest()) {
            (Some(fd), Some(interest)) if before.is_none() => {
                driver::watch(fd, token, interest, Trigger::Level)
            }
            (Some(fd), Some(interest)) => driver::change(fd, token, interest, Trigger::Level),
            _ => Ok(()),
        };
        match watched {
            Ok(()) => {
                self.by_fd.insert(fd, id);
                if holds {
                    driver::hold();
                }
                Ok(())
            }
            Err(source) => {
                *side = watch.side(direction).take();
                if before.is_none() {
                    self.table.remove(id);
                }
                Err(Error::Watch {
                    fd,
                    source: Arc::new(source),
                })
            }
        }
    }

    /// Removes the watch of one direction. The caller drops it after the borrow: this may close the descriptor or use the loop.
    fn remove(&mut self, fd: RawFd, direction: Direction) -> Option<DirectionWatch> {
        let id = *self.by_fd.get(&fd)?;
        let token = id.token(self.driver());
        let watch = self.table.get_mut(id)?;
        let side = watch.side(direction).take()?;
        if side.holds {
            driver::release();
        }
        let descriptor = side.source.as_fd();
        let result = match watch.interest() {
            Some(interest) => driver::change(descriptor, token, interest, Trigger::Level),
            None => {
                self.table.remove(id);
                self.by_fd.remove(&fd);
                driver::forget(descriptor)
            }
        };
        if let Err(error) = result {
            tracing::warn!("ending a watch on file descriptor {fd} failed: {error}");
        }
        Some(side)
    }
}

fn full(fd: RawFd) -> Error {
    Error::Watch {
        fd,
        source: Arc::new(rustix::io::Errno::NOMEM.into()),
    }
}

fn add<R>(
    direction: Direction,
    holds: bool,
    source: impl AsFd + 'static,
    mut callback: impl FnMut() -> R + 'static,
) -> Result<(), Error> {
    let fd = source.as_fd().as_raw_fd();
    let mut side = Some(DirectionWatch {
        source: Box::new(source),
        callback: Some(Box::new(move || {
            callback();
        })),
        serial: 0,
        holds,
    });
    let added = WATCHES.try_with(|watches| {
        let mut watches = watches.borrow_mut();
        watches.serial += 1;
        if let Some(side) = &mut side {
            side.serial = watches.serial;
        }
        watches.add(fd, direction, &mut side)
    });
    added.unwrap_or(Err(Error::LoopGone))
}

fn remove(direction: Direction, fd: RawFd) {
    let removed = WATCHES.try_with(|watches| watches.borrow_mut().remove(fd, direction));
    drop(removed);
}

struct WatchDriver;

impl WatchDriver {
    fn run(token: Token, direction: Direction) {
        let taken = WATCHES.with_borrow_mut(|watches| {
            let id = watches.table.find(token)?;
            let side = watches.table.get_mut(id)?.side(direction).as_mut()?;
            Some((id, side.serial, side.callback.take()?))
        });
        let Some((id, serial, callback)) = taken else {
            return;
        };
        let mut guard = CallbackGuard {
            id,
            direction,
            serial,
            callback: Some(callback),
        };
        if let Some(callback) = &mut guard.callback {
            callback();
        }
    }
}

/// Puts a callback back when it has returned or panicked, if its watch still exists.
struct CallbackGuard {
    id: Id,
    direction: Direction,
    serial: u64,
    callback: Option<Box<dyn FnMut()>>,
}

impl Drop for CallbackGuard {
    fn drop(&mut self) {
        WATCHES.with_borrow_mut(|watches| {
            let side = watches
                .table
                .get_mut(self.id)
                .and_then(|watch| watch.side(self.direction).as_mut());
            if let Some(side) = side.filter(|side| side.serial == self.serial) {
                side.callback = self.callback.take();
            }
        });
    }
}

impl Driver for WatchDriver {
    fn ready(&self, token: Token, readiness: Readiness) {
        // A panic is caught here, so that the other callback still runs.
        if readiness.is_readable() {
            catch_and_log("read", || Self::run(token, Direction::Read));
        }
        if readiness.is_writable() {
            catch_and_log("write", || Self::run(token, Direction::Write));
        }
        if driver::level_needs_rearming() {
            WATCHES.with_borrow_mut(|watches| {
                let id = watches.table.find(token)?;
                let watch = watches.table.get_mut(id)?;
                driver::change(watch.fd()?, token, watch.interest()?, Trigger::Level).ok()
            });
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        tracing::error!("a watch callback panicked ({token:?}): {message}");
    }
}
