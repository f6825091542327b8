//! What the loop asks of the operating system, behind one small trait.

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

/// Waits for readiness of file descriptors.
///
/// [`MioPoller`] is the real one; [`ScriptedPoller`] plays a script on a manual clock, for tests.
pub trait Poller {
    /// Starts to watch a descriptor under a token; it ends when the descriptor and all its duplicates are closed, or when it
    /// is [forgotten](Poller::forget).
    ///
    /// # Errors
    /// What the system says: `EEXIST` for a descriptor that is watched, `EPERM` for one that cannot be (a regular file).
    fn watch(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()>;

    /// Changes what a watched descriptor is watched for. A watch with [`Trigger::Exclusive`] stays exclusive, and no other
    /// becomes it.
    ///
    /// # Errors
    /// The error of the system: `ENOENT` for a descriptor that is not watched, `EINVAL` for a change from `Trigger::Exclusive`.
    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()>;

    /// Stops watching a descriptor; not needed before closing one that has no duplicates.
    ///
    /// # Errors
    /// What the system says: `ENOENT` for a descriptor that is not watched.
    fn forget(&mut self, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// Waits until something is ready or the time has passed, and appends what is ready. `None` waits without end.
    ///
    /// # Errors
    /// What the system says, except `EINTR`: an interrupted wait is a wait with no events.
    fn wait(
        &mut self,
        events: &mut Vec<(Token, Readiness)>,
        timeout: Option<Duration>,
    ) -> io::Result<()>;

    /// What ends a wait from another thread.
    fn waker(&self) -> Arc<dyn Wake>;

    /// The descriptor that becomes readable when a wait would not block, where there is one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// How many events one wait reports at most. Default: no limit.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    /// Whether a level-triggered watch needs [`change`](Poller::change) after each event to report again.
    fn level_needs_rearming(&self) -> bool {
        false
    }
}

/// Ends a [`wait`](Poller::wait) from any thread.
pub trait Wake: Send + Sync {
    /// Makes the current wait, or the next one, return at once.
    fn wake(&self);
}

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, a hang-up included.
    Read,
    /// Room to write.
    Write,
    /// Both.
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
    /// Once for each change: cheapest, right for those who read until it blocks, or until a short read where [`Readiness::splits_reads`] is
    /// false.
    Edge,
    /// In each wait for as long as it lasts.
    Level,
    /// As [`Level`](Trigger::Level), for a socket that the pollers of several threads or processes watch: of the pollers
    /// that wait, one is woken rather than all (`EPOLLEXCLUSIVE`). A poller that does not wait then may report it, too.
    ///
    /// The poller that is woken handles what is ready; if it stops watching instead, that waits for the next event. Each poller
    /// watches its own duplicate of the descriptor, or forgets it before it is closed. Linux only; elsewhere the same as `Level`.
    Exclusive,
}

bitflags::bitflags! {
    /// The conditions that a descriptor is ready for.
    #[derive(Clone, Copy, Default, PartialEq, Eq)]
    pub struct Readiness: u8 {
        /// There is something to read.
        const READABLE = 1 << 0;
        /// There is room to write.
        const WRITABLE = 1 << 1;
        /// The peer has ended its side, or both are gone.
        const READ_CLOSED = 1 << 2;
        /// Writing is over, by a reset as a rule.
        const WRITE_CLOSED = 1 << 3;
        /// The descriptor has an error to report.
        const ERROR = 1 << 4;
        /// TCP urgent data, or other out-of-band data: one read may stop in front of it, and not return all there is. Reported
        /// for edge-triggered watches, on Linux.
        const PRIORITY = 1 << 5;
    }
}

impl Readiness {
    /// Whether there is something to read: bytes, the end or an error.
    #[inline]
    pub const fn is_readable(self) -> bool {
        self.intersects(
            Self::READABLE
                .union(Self::READ_CLOSED)
                .union(Self::ERROR)
                .union(Self::PRIORITY),
        )
    }

    /// Whether a write would tell something: room, or an error.
    #[inline]
    pub const fn is_writable(self) -> bool {
        self.intersects(Self::WRITABLE.union(Self::WRITE_CLOSED).union(Self::ERROR))
    }

    /// Whether the peer has ended its side, or both are gone.
    #[inline]
    pub const fn is_read_closed(self) -> bool {
        self.intersects(Self::READ_CLOSED.union(Self::ERROR))
    }

    /// Whether writing is over.
    #[inline]
    pub const fn is_write_closed(self) -> bool {
        self.intersects(Self::WRITE_CLOSED.union(Self::ERROR))
    }

    /// Whether a read may return less than there is, also with room left: because of urgent data, or because the end or an
    /// error is behind the bytes.
    #[inline]
    pub const fn splits_reads(self) -> bool {
        self.intersects(Self::READ_CLOSED.union(Self::ERROR).union(Self::PRIORITY))
    }

    /// Whether there is urgent data.
    #[inline]
    pub const fn is_priority(self) -> bool {
        self.intersects(Self::PRIORITY)
    }

    /// Whether the descriptor has an error to report.
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
