//! What is kept for each stream, and its limits.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Listeners;
use uptick_event_loop::driver::{DeadlineId, Timestamp};

use super::files::QueuedFiles;
use super::flags::Flags;
use super::protocol::Served;
use super::{Transport, jobs};
use crate::error::Error;
use crate::filter::{Filters, Passage};
use crate::write_queue::WriteQueue;

pub(super) struct Entry<T: Transport> {
    pub(super) fd: OwnedFd,
    pub(super) flags: Flags,
    pub(super) soft_limit: u32,
    pub(super) hard_limit: u32,
    pub(super) listeners: Listeners,
    /// Who is told in place of the listeners.
    pub(super) served: Option<Served<T>>,
    pub(super) queue: Option<Box<WriteQueue>>,
    pub(super) rare: Option<Box<Rare>>,
    pub(super) deadline: Option<DeadlineId>,
    /// When the stream was last active, as far as a limit depends on it.
    pub(super) active: Timestamp,
    /// When bytes last went out or were acknowledged while the descriptor was full, or when the stream began to linger.
    pub(super) progress: Timestamp,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) extra: T::Extra,
}

/// What most streams never have.
pub(super) struct Rare {
    pub(super) filters: Filters,
    /// What came through the filters while reading was paused, and whether the end is behind it.
    pub(super) held: VecDeque<Bytes>,
    pub(super) held_end: bool,
    /// What was written, or ended, while the filters were running.
    pub(super) postponed: VecDeque<Passage>,
    /// What was written, before it passes through the filters.
    pub(super) gathered: Option<Box<WriteQueue>>,
    pub(super) jobs: Option<Box<jobs::Jobs>>,
    /// What goes out behind the queue.
    pub(super) files: QueuedFiles,
    /// Why a write has failed inside a callback.
    pub(super) failure: Option<Error>,
    /// Who waits until everything is sent and this side has ended.
    pub(super) shut: Option<Waker>,
    pub(super) idle_limit: Option<Duration>,
    pub(super) stall_limit: Option<Duration>,
    pub(super) linger: Duration,
    /// When the kernel was last asked what the peer has acknowledged, and what that was.
    pub(super) looked: Option<Timestamp>,
    pub(super) acknowledged: u64,
    /// Whether the kernel had bytes then that the peer had no room for.
    pub(super) waited: bool,
    pub(super) data: Option<Rc<dyn Any>>,
}

impl Default for Rare {
    fn default() -> Self {
        Rare {
            filters: Filters::default(),
            held: VecDeque::new(),
            held_end: false,
            postponed: VecDeque::new(),
            gathered: None,
            jobs: None,
            files: QueuedFiles::new(),
            failure: None,
            shut: None,
            idle_limit: None,
            stall_limit: Some(STALL_LIMIT),
            linger: LINGER,
            looked: None,
            acknowledged: 0,
            waited: false,
            data: None,
        }
    }
}

/// How much may wait in a write queue before `write` gives `false`: 64 KiB.
pub const SOFT_LIMIT: usize = 64 * 1024;

/// How much may wait in a write queue before a further write fails the stream: 16 MiB.
pub const HARD_LIMIT: usize = 16 * 1024 * 1024;

/// How long a peer may acknowledge nothing while something waits for it: 30 s.
pub const STALL_LIMIT: Duration = Duration::from_secs(30);

/// How long an ended stream waits for the peer's end: 1 s.
pub const LINGER: Duration = Duration::from_secs(1);

/// The kind of a socket, as far as reading depends on it: whether a read that leaves room has emptied the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFamily {
    /// TCP: it has, except at urgent data, which the poller reports.
    Tcp,
    /// A Unix stream socket: it has, except behind passed descriptors, which the read itself reports.
    Unix,
    /// Any other, such as SCTP, of which a read returns one message: the socket is read until it blocks.
    Other,
}

impl SocketFamily {
    /// Asks the system for the family of a socket.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn of(socket: impl AsFd) -> Self {
        use rustix::net::sockopt::{socket_domain, socket_protocol};
        use rustix::net::{AddressFamily, ipproto};

        match socket_domain(&socket) {
            Ok(AddressFamily::UNIX) => SocketFamily::Unix,
            Ok(AddressFamily::INET | AddressFamily::INET6)
                if socket_protocol(&socket) == Ok(Some(ipproto::TCP)) =>
            {
                SocketFamily::Tcp
            }
            _ => SocketFamily::Other,
        }
    }

    /// The family does not matter here: all sockets are read until they block.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn of(_: impl AsFd) -> Self {
        SocketFamily::Other
    }
}

/// How a new stream is set up.
#[derive(Clone, Copy, Debug)]
pub struct TransportOptions {
    /// Whether the descriptor is a socket: it can end its side and linger.
    pub is_socket: bool,
    /// The kind of socket, where it is one.
    pub family: SocketFamily,
    /// Whether the descriptor has no readiness to wait for, as regular files: the pool of blocking jobs reads and
    /// writes it, 64 KiB ahead of the reader at most.
    pub blocks: bool,
    /// See [`SOFT_LIMIT`].
    pub soft_limit: usize,
    /// See [`HARD_LIMIT`].
    pub hard_limit: usize,
    /// Whether the stream stays open for writing after the peer's end.
    pub allow_half_open: bool,
    /// Whether the stream can be read.
    pub readable: bool,
    /// Whether the stream can be written.
    pub writable: bool,
    /// Whether the descriptor may have duplicates, in this process or another: it is removed from the poller before it is
    /// closed, which costs a system call.
    pub shared: bool,
}

impl Default for TransportOptions {
    fn default() -> Self {
        TransportOptions {
            is_socket: true,
            family: SocketFamily::Tcp,
            blocks: false,
            soft_limit: SOFT_LIMIT,
            hard_limit: HARD_LIMIT,
            allow_half_open: false,
            readable: true,
            writable: true,
            shared: false,
        }
    }
}

impl<T: Transport> Entry<T> {
    #[inline]
    pub(super) fn is_socket(&self) -> bool {
        self.flags.contains(Flags::SOCKET)
    }

    pub(super) fn is_writable(&self) -> bool {
        !self
            .flags
            .intersects(Flags::WRITE_OVER | Flags::ENDING | Flags::FAILED | Flags::CLOSING)
    }

    /// How many bytes wait in memory, those included that wait for the filters.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        let mut queued = self.queue.as_ref().map_or(0, |queue| queue.len());
        if self.flags.contains(Flags::FILES) {
            queued += self.queued_behind_files();
        }
        queued + self.gathered()
    }

    /// How many bytes wait for the filters.
    #[inline]
    pub(super) fn gathered(&self) -> usize {
        if !self.flags.contains(Flags::GATHERED) {
            return 0;
        }
        let gathered = self.rare.as_ref().and_then(|rare| rare.gathered.as_ref());
        gathered.map_or(0, |gathered| gathered.len())
    }

    /// Whether nothing waits to be sent, neither bytes nor files.
    #[inline]
    pub(super) fn is_flushed(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
            && !self.flags.intersects(Flags::FILES | Flags::GATHERED)
    }

    /// Whether so much waits that whoever writes should wait for `drain`.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.flags.contains(Flags::FILES) || self.queued() >= self.soft_limit as usize
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn stall_limit(&self) -> Option<Duration> {
        self.rare
            .as_ref()
            .map_or(Some(STALL_LIMIT), |rare| rare.stall_limit)
    }

    pub(super) fn idle_limit(&self) -> Option<Duration> {
        self.rare.as_ref().and_then(|rare| rare.idle_limit)
    }

    pub(super) fn linger(&self) -> Duration {
        self.rare.as_ref().map_or(LINGER, |rare| rare.linger)
    }

    /// Notes activity, where a limit depends on it.
    #[inline]
    pub(super) fn touch(&mut self) {
        if self.flags.contains(Flags::TIMED) {
            self.active = Timestamp::now();
        }
    }
}

impl<T: Transport> Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}
