//! The table of this thread's sockets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uptick_emitter::Listeners;
use uptick_event_loop::driver::{self, DeadlineId};
use uptick_event_loop::{DriverId, Id, Interest, Readiness, Table, Trigger};

use crate::driver::DatagramDriver;
use crate::io::{ReceivedDatagram, Receiver};
use crate::queue::{QueuedDatagram, SendQueue};
use crate::{Counters, DatagramOptions, DatagramSocket, Error};

/// Maximum number of queued errors; further ones are logged.
const MAX_PENDING_ERRORS: usize = 64;

/// A datagram socket.
#[derive(Debug)]
pub(crate) struct SocketEntry {
    /// `None` once closed.
    pub(crate) socket: Option<UdpSocket>,
    pub(crate) state: SocketState,
    pub(crate) listeners: Listeners,
    pub(crate) number: u64,
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) queue: SendQueue,
    /// Datagrams of a batch that were not emitted because a callback stopped receiving; at most one batch.
    pub(crate) held: VecDeque<ReceivedDatagram>,
    /// Errors of `send`, emitted at the end of the iteration.
    pub(crate) pending_errors: Vec<Error>,
    pub(crate) counters: Counters,
    pub(crate) max_datagram_size: usize,
    pub(crate) linger: Duration,
    pub(crate) deadline: Option<DeadlineId>,
    pub(crate) is_paused: bool,
    /// Set if the poller has reported datagrams that may not have been received yet.
    pub(crate) is_readable: bool,
    /// Set while the system accepts no datagrams. The poller reports when it accepts them again.
    pub(crate) is_blocked: bool,
    pub(crate) flush_is_due: bool,
    pub(crate) ready_is_due: bool,
}

/// The states of a socket, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SocketState {
    Open,
    /// Closes when its queue is empty.
    Ending,
    /// The `close` listeners are running.
    Closing,
    Closed,
}

impl SocketEntry {
    /// Returns `true` if the socket receives: it is not closing, not paused, and has a `message` listener.
    pub(crate) fn is_receiving(&self) -> bool {
        self.state <= SocketState::Ending
            && !self.is_paused
            && self.listeners.has(DatagramSocket::MESSAGE.slot())
    }

    /// Schedules receiving in the next iteration, if there is something to receive and the socket is receiving.
    pub(crate) fn receive_later(&mut self, id: Id, driver: DriverId) {
        let has_something = self.is_readable || !self.held.is_empty();
        if has_something && self.is_receiving() && !self.ready_is_due {
            self.ready_is_due = true;
            driver::ready_later(id.token(driver), Readiness::READABLE);
        }
    }

    /// Schedules sending and the emission of pending errors for the end of the iteration.
    pub(crate) fn flush_later(&mut self, id: Id, driver: DriverId) {
        if !self.flush_is_due {
            self.flush_is_due = true;
            driver::flush_later(id.token(driver));
        }
    }

    /// Queues an error to emit at the end of the iteration.
    pub(crate) fn queue_error(&mut self, error: Error) {
        if self.pending_errors.len() < MAX_PENDING_ERRORS {
            self.pending_errors.push(error);
        } else {
            tracing::warn!("{error}");
        }
    }

    /// Starts or stops waiting for the system to accept datagrams again.
    ///
    /// The poller reports a UDP socket that is watched for writing after each datagram sent, so the socket is watched
    /// for writing only while the system accepts none.
    pub(crate) fn set_blocked(&mut self, id: Id, driver: DriverId, blocked: bool) {
        let Some(socket) = self.socket.as_ref().filter(|_| self.is_blocked != blocked) else {
            return;
        };
        let interest = match blocked {
            true => Interest::Both,
            false => Interest::Read,
        };
        match driver::change(socket.as_fd(), id.token(driver), interest, Trigger::Edge) {
            Ok(()) => self.is_blocked = blocked,
            // The attempt is repeated at the end of the next iteration.
            Err(error) => {
                tracing::warn!(socket = %self.local, "watching a datagram socket failed: {error}");
                if blocked {
                    self.flush_later(id, driver);
                }
            }
        }
    }

    /// Arms the linger deadline of a socket that is ending and cannot send.
    pub(crate) fn linger(&mut self, id: Id, driver: DriverId) {
        if self.state == SocketState::Ending && self.is_blocked && self.deadline.is_none() {
            let at = driver::current_time().saturating_add(self.linger);
            self.deadline = driver::arm_deadline(id.token(driver), at);
        }
    }
}

/// All sockets of this thread.
#[derive(Debug)]
pub(crate) struct SocketTable {
    pub(crate) table: Table<SocketEntry>,
    driver: Option<DriverId>,
    /// Present while there are sockets that have received.
    pub(crate) receiver: Option<Box<Receiver>>,
    /// Datagrams that were just sent. They are dropped when nothing is borrowed, because dropping `Bytes` may run user
    /// code.
    pub(crate) sent: Vec<QueuedDatagram>,
}

impl SocketTable {
    pub(crate) fn driver(&mut self) -> DriverId {
        *self
            .driver
            .get_or_insert_with(|| driver::register(&DatagramDriver))
    }
}

thread_local! {
    static SOCKETS: RefCell<SocketTable> = const {
        RefCell::new(SocketTable {
            table: Table::new(),
            driver: None,
            receiver: None,
            sent: Vec::new(),
        })
    };
}

/// Calls `f` with this thread's sockets; `None` while the thread is being torn down. No callback may run in `f`.
pub(crate) fn with_sockets<R>(f: impl FnOnce(&mut SocketTable) -> R) -> Option<R> {
    SOCKETS
        .try_with(|sockets| f(&mut sockets.borrow_mut()))
        .ok()
}

/// Calls `f` with a socket, unless it is gone.
pub(crate) fn with_socket<R>(id: Id, f: impl FnOnce(&mut SocketEntry) -> R) -> Option<R> {
    with_sockets(|sockets| sockets.table.get_mut(id).map(f)).flatten()
}

/// Calls `f` with a socket, unless it is closing or gone.
pub(crate) fn with_open<R>(id: Id, f: impl FnOnce(&mut SocketEntry, DriverId) -> R) -> Option<R> {
    with_sockets(|sockets| {
        let driver = sockets.driver();
        let socket = sockets.table.get_mut(id)?;
        (socket.state <= SocketState::Ending).then(|| f(socket, driver))
    })
    .flatten()
}

/// Registers a non-blocking socket with the loop.
pub(crate) fn add(socket: UdpSocket, options: &DatagramOptions) -> io::Result<DatagramSocket> {
    let local = socket.local_addr()?;
    let remote = socket.peer_addr().ok();
    add_with(socket, local, remote, options)
}

pub(crate) fn add_with(
    socket: UdpSocket,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    options: &DatagramOptions,
) -> io::Result<DatagramSocket> {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);

    let full = || io::Error::from(io::ErrorKind::OutOfMemory);
    let entry = SocketEntry {
        socket: Some(socket),
        state: SocketState::Open,
        listeners: Listeners::new(),
        number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        local,
        remote,
        queue: SendQueue::new(options.max_queued, options.max_queued_bytes),
        held: VecDeque::new(),
        pending_errors: Vec::new(),
        counters: Counters::default(),
        max_datagram_size: options.max_datagram_size,
        linger: options.linger,
        deadline: None,
        is_paused: false,
        is_readable: false,
        is_blocked: false,
        flush_is_due: false,
        ready_is_due: false,
    };
    with_sockets(|sockets| {
        let driver = sockets.driver();
        let id = sockets.table.insert(entry).ok_or_else(full)?;
        let entry = sockets.table.get(id).ok_or_else(full)?;
        let watched = match &entry.socket {
            Some(socket) => driver::watch(
                socket.as_fd(),
                id.token(driver),
                Interest::Read,
                Trigger::Edge,
            ),
            None => Ok(()),
        };
        if let Err(error) = watched {
            sockets.table.remove(id);
            return Err(error);
        }
        driver::hold();
        Ok(DatagramSocket::new(id))
    })
    .unwrap_or_else(|| Err(driver::loop_gone_error()))
}
