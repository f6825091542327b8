//! The system's poller: mio, edge-triggered.
//!
//! Cost: one system call for each wait, one for each descriptor that is added, none while it is watched.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Poll, Waker};

use super::{Interest, Poller, Readiness, Trigger, Wake};
use crate::token::{DriverId, Token};

/// The maximum number of events of one wait.
const EVENTS: usize = 1024;

/// The token of the waker; its events only end the wait.
const WAKER: Token = Token::new(DriverId::NONE, u32::MAX, u32::MAX);

/// The operating system's poller, through mio.
pub struct MioPoller {
    poll: Poll,
    events: Events,
    waker: Arc<MioWaker>,
}

struct MioWaker(Waker);

impl Wake for MioWaker {
    fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::error!("waking the event loop failed: {error}");
        }
    }
}

impl MioPoller {
    /// Opens a poller.
    ///
    /// # Errors
    /// The error of the system: `EMFILE` or `ENFILE` if no file descriptor is left.
    pub fn new() -> io::Result<Self> {
        const { assert!(usize::BITS >= 64, "tokens are 64 bits wide") };
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), to_mio(WAKER))?;
        Ok(MioPoller {
            poll,
            events: Events::with_capacity(EVENTS),
            waker: Arc::new(MioWaker(waker)),
        })
    }

    /// Adds or changes a level-triggered watch. mio does not support these, so they are added to mio's epoll instance directly; mio
    /// reports their events like all others.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn level(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
        add: bool,
    ) -> io::Result<()> {
        use rustix::event::epoll;

        let mut flags = epoll::EventFlags::empty();
        if interest != Interest::Write {
            flags |= epoll::EventFlags::IN;
        }
        if interest != Interest::Read {
            flags |= epoll::EventFlags::OUT;
        }
        let data = epoll::EventData::new_u64(token.to_u64());
        let poller = borrow(&self.poll);
        match (trigger, add) {
            (Trigger::Exclusive, true) => {
                epoll::add(poller, fd, data, flags | epoll::EventFlags::EXCLUSIVE)?;
            }
            // The kernel does not modify exclusive watches.
            (Trigger::Exclusive, false) => {
                epoll::delete(poller, fd)?;
                epoll::add(poller, fd, data, flags | epoll::EventFlags::EXCLUSIVE)?;
            }
            (_, true) => epoll::add(poller, fd, data, flags)?,
            (_, false) => epoll::modify(poller, fd, data, flags)?,
        }
        Ok(())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn level(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        _trigger: Trigger,
        add: bool,
    ) -> io::Result<()> {
        self.edge(fd, token, interest, add)
    }

    fn edge(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        add: bool,
    ) -> io::Result<()> {
        let raw = fd.as_raw_fd();
        let mut source = SourceFd(&raw);
        let interest = match interest {
            Interest::Read => READABLE,
            Interest::Write => mio::Interest::WRITABLE,
            Interest::Both => READABLE | mio::Interest::WRITABLE,
        };
        let registry = self.poll.registry();
        if add {
            registry.register(&mut source, to_mio(token), interest)
        } else {
            registry.reregister(&mut source, to_mio(token), interest)
        }
    }
}

/// The read interest includes urgent data, which is reported with the event of other data and costs nothing if there is none.
#[cfg(any(target_os = "linux", target_os = "android"))]
const READABLE: mio::Interest = mio::Interest::READABLE.add(mio::Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const READABLE: mio::Interest = mio::Interest::READABLE;

fn to_mio(token: Token) -> mio::Token {
    mio::Token(token.to_u64() as usize)
}

#[allow(unsafe_code)]
fn borrow(poll: &Poll) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open for as long as `poll` lives, and the result borrows `poll`.
    unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) }
}

impl Poller for MioPoller {
    fn watch(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        match trigger {
            Trigger::Edge => self.edge(fd, token, interest, true),
            Trigger::Level | Trigger::Exclusive => self.level(fd, token, interest, trigger, true),
        }
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        match trigger {
            Trigger::Edge => self.edge(fd, token, interest, false),
            Trigger::Level | Trigger::Exclusive => self.level(fd, token, interest, trigger, false),
        }
    }

    fn forget(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poll
            .registry()
            .deregister(&mut SourceFd(&fd.as_raw_fd()))
    }

    fn wait(
        &mut self,
        events: &mut Vec<(Token, Readiness)>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.events {
            let token = Token::from_u64(event.token().0 as u64);
            if token != WAKER {
                events.push((token, readiness(event)));
            }
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(borrow(&self.poll))
    }

    fn capacity(&self) -> usize {
        // The waker's event is not reported.
        EVENTS - 1
    }

    fn level_needs_rearming(&self) -> bool {
        cfg!(not(any(target_os = "linux", target_os = "android")))
    }
}

#[inline]
fn readiness(event: &mio::event::Event) -> Readiness {
    let mut readiness = Readiness::empty();
    if event.is_readable() {
        readiness |= Readiness::READABLE;
    }
    if event.is_writable() {
        readiness |= Readiness::WRITABLE;
    }
    if event.is_read_closed() {
        readiness |= Readiness::READ_CLOSED;
    }
    if event.is_write_closed() {
        readiness |= Readiness::WRITE_CLOSED;
    }
    if event.is_error() {
        readiness |= Readiness::ERROR;
    }
    if event.is_priority() {
        readiness |= Readiness::PRIORITY;
    }
    readiness
}

impl fmt::Debug for MioPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MioPoller").finish_non_exhaustive()
    }
}
