//! The poller: readiness notification by the operating system, behind one small trait.

mod broken;
mod mio;
mod scripted;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::token::Token;

pub(crate) use broken::{BrokenPoller, NoWake};
pub use mio::MioPoller;
pub use scripted::{ScriptedPoller, Step};

/// An interface to the system's readiness notification for file descriptors.
///
/// [`MioPoller`] uses the operating system; [`ScriptedPoller`] plays a script on a manual clock, for tests.
pub trait Poller {
    /// Starts to watch a descriptor under a token. The watch ends when the descriptor and all its duplicates are closed, or when it
    /// is [forgotten](Poller::forget).
    ///
    /// # Errors
    /// The error of the system: `EEXIST` if the descriptor is already watched, `EPERM` if it cannot be watched (a regular file).
    fn watch(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()>;

    /// Changes the interest of a watched descriptor. It cannot change to or from [`Trigger::Exclusive`].
    ///
    /// # Errors
    /// The error of the system: `ENOENT` if the descriptor is not watched, `EINVAL` for a change from `Trigger::Exclusive`.
    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()>;

    /// Stops watching a descriptor. This is not needed before closing a descriptor without duplicates.
    ///
    /// # Errors
    /// The error of the system: `ENOENT` if the descriptor is not watched.
    fn forget(&mut self, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// Waits until a descriptor is ready or the timeout has elapsed, and appends the events. `None` waits without a limit.
    ///
    /// # Errors
    /// The error of the system, except `EINTR`: an interrupted wait is a wait without events.
    fn wait(
        &mut self,
        events: &mut Vec<(Token, Readiness)>,
        timeout: Option<Duration>,
    ) -> io::Result<()>;

    /// Returns a waker, which ends a wait from another thread.
    fn waker(&self) -> Arc<dyn Wake>;

    /// Returns a descriptor that becomes readable when a wait would not block, if there is one. Default: `None`.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns the maximum number of events of one wait. Default: no limit.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    /// Returns `true` if a level-triggered watch needs [`change`](Poller::change) after each event to report again. Default: `false`.
    fn level_needs_rearming(&self) -> bool {
        false
    }
}

/// A waker that ends a [`wait`](Poller::wait) from any thread.
pub trait Wake: Send + Sync {
    /// Ends the current wait, or else the next one, at once.
    fn wake(&self);
}

/// The operations for which a descriptor is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Reading, including a hang-up.
    Read,
    /// Writing.
    Write,
    /// Reading and writing.
    Both,
}

impl Interest {
    pub(crate) fn of(read: bool, write: bool) -> Option<Self> {
        match (read, write) {
            (true, true) => Some(Interest::Both),
            (true, false) => Some(Interest::Read),
            (false, true) => Some(Interest::Write),
            (false, false) => None,
        }
    }
}

/// The condition under which readiness is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Once for each change. This is cheapest; the driver has to read until the read would block, or until a short read if
    /// [`Readiness::splits_reads`] is false.
    Edge,
    /// Repeatedly, in each wait for as long as the condition holds.
    Level,
    /// Like [`Level`](Trigger::Level), for a socket watched by the pollers of several threads or processes: an event wakes one of the
    /// waiting pollers rather than all (`EPOLLEXCLUSIVE`). A poller that is not waiting at that moment may also report it.
    ///
    /// The woken poller must handle the event; if it stops watching instead, the event stays unhandled until the next one. Each poller
    /// watches its own duplicate of the descriptor, or forgets it before it is closed. Linux only; elsewhere the same as `Level`.
    Exclusive,
}

bitflags::bitflags! {
    /// The conditions of a ready descriptor.
    #[derive(Clone, Copy, Default, PartialEq, Eq)]
    pub struct Readiness: u8 {
        /// There is data to read.
        const READABLE = 1 << 0;
        /// There is room to write.
        const WRITABLE = 1 << 1;
        /// The peer has closed its write half, or the connection is closed.
        const READ_CLOSED = 1 << 2;
        /// The write half is closed, usually by a reset.
        const WRITE_CLOSED = 1 << 3;
        /// The descriptor has an error to report.
        const ERROR = 1 << 4;
        /// TCP urgent data, or other out-of-band data: a read may stop before it, and not return all available data. Reported
        /// for edge-triggered watches, on Linux.
        const PRIORITY = 1 << 5;
    }
}

impl Readiness {
    /// Returns `true` if a read would return data, the end of the stream or an error.
    #[inline]
    pub const fn is_readable(self) -> bool {
        self.intersects(
            Self::READABLE
                .union(Self::READ_CLOSED)
                .union(Self::ERROR)
                .union(Self::PRIORITY),
        )
    }

    /// Returns `true` if a write would accept data or return an error.
    #[inline]
    pub const fn is_writable(self) -> bool {
        self.intersects(Self::WRITABLE.union(Self::WRITE_CLOSED).union(Self::ERROR))
    }

    /// Returns `true` if the peer has closed its write half, or the connection is closed.
    #[inline]
    pub const fn is_read_closed(self) -> bool {
        self.intersects(Self::READ_CLOSED.union(Self::ERROR))
    }

    /// Returns `true` if the write half is closed.
    #[inline]
    pub const fn is_write_closed(self) -> bool {
        self.intersects(Self::WRITE_CLOSED.union(Self::ERROR))
    }

    /// Returns `true` if a read may return less than the available data although its buffer has room: because of urgent data, or because the
    /// end of the stream or an error follows the data.
    #[inline]
    pub const fn splits_reads(self) -> bool {
        self.intersects(Self::READ_CLOSED.union(Self::ERROR).union(Self::PRIORITY))
    }

    /// Returns `true` if there is urgent data.
    #[inline]
    pub const fn is_priority(self) -> bool {
        self.intersects(Self::PRIORITY)
    }

    /// Returns `true` if the descriptor has an error to report.
    #[inline]
    pub const fn is_error(self) -> bool {
        self.intersects(Self::ERROR)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter_names().map(|(name, _)| name);
        let names = names.map(|name| name.to_ascii_lowercase().replace('_', " "));
        f.debug_set().entries(names).finish()
    }
}
