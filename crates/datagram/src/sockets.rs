//! The sockets of a thread: what is behind the handles.

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
use crate::io::{Incoming, Receiver};
use crate::queue::{Outgoing, Queue};
use crate::{Counters, DatagramOptions, DatagramSocket, Error};

/// How many errors wait to be told; further ones are logged.
const COMPLAINTS: usize = 64;

/// A datagram socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// `None` once it is closed.
    pub(crate) socket: Option<UdpSocket>,
    pub(crate) state: State,
    pub(crate) listeners: Listeners,
    pub(crate) number: u64,
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) queue: Queue,
    /// Received while nobody was to get it, by a batch that had begun before; at most a batch.
    pub(crate) held: VecDeque<Incoming>,
    /// Errors of `send`, to be told at the end of the iteration.
    pub(crate) complaints: Vec<Error>,
    pub(crate) counters: Counters,
    pub(crate) max_datagram_size: usize,
    pub(crate) linger: Duration,
    pub(crate) deadline: Option<DeadlineId>,
    pub(crate) is_paused: bool,
    /// The poller's last word was that there is something to receive.
    pub(crate) is_readable: bool,
    /// The system takes no datagrams; the poller will say when it does.
    pub(crate) is_blocked: bool,
    pub(crate) flush_is_due: bool,
    pub(crate) ready_is_due: bool,
}

/// The life of a socket, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Open,
    /// Closes when its queue is empty.
    Ending,
    /// Its `close` listeners run.
    Closing,
    Closed,
}

impl Socket {
    /// Whether datagrams are to be received: somebody listens, and wants to.
    pub(crate) fn is_receiving(&self) -> bool {
        self.state <= State::Ending
            && !self.is_paused
            && self.listeners.has(DatagramSocket::MESSAGE.slot())
    }

    /// Has what is there received in the next iteration, if that is wanted.
    pub(crate) fn receive_later(&mut self, id: Id, driver: DriverId) {
        let has_something = self.is_readable || !self.held.is_empty();
        if has_something && self.is_receiving() && !self.ready_is_due {
            self.ready_is_due = true;
            driver::ready_later(id.token(driver), Readiness::READABLE);
        }
    }

    /// Has the queue sent and the complaints told at the end of the iteration.
    pub(crate) fn flush_later(&mut self, id: Id, driver: DriverId) {
        if !self.flush_is_due {
            self.flush_is_due = true;
            driver::flush_later(id.token(driver));
        }
    }

    /// Queues an error for the listeners.
    pub(crate) fn complain(&mut self, error: Error) {
        if self.complaints.len() < COMPLAINTS {
            self.complaints.push(error);
        } else {
            tracing::warn!("{error}");
        }
    }

    /// Waits, or no longer waits, for the system to take datagrams again.
    ///
    /// A UDP socket that is watched for room to write wakes the loop after each datagram that has left, so it is
    /// watched for that only as long as there is none.
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
            // It is tried again at the end of the next iteration.
            Err(error) => {
                tracing::warn!(socket = %self.local, "watching a datagram socket failed: {error}");
                if blocked {
                    self.flush_later(id, driver);
                }
            }
        }
    }

    /// Bounds the wait of a socket that ends and cannot send.
    pub(crate) fn linger(&mut self, id: Id, driver: DriverId) {
        if self.state == State::Ending && self.is_blocked && self.deadline.is_none() {
            let at = driver::time_of_call().saturating_add(self.linger);
            self.deadline = driver::arm_deadline(id.token(driver), at);
        }
    }
}

/// All sockets of a thread.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) table: Table<Socket>,
    driver: Option<DriverId>,
    /// There while there are sockets that have received.
    pub(crate) receiver: Option<Box<Receiver>>,
    /// What was just sent, to be dropped when nothing is borrowed: its owner may run code.
    pub(crate) sent: Vec<Outgoing>,
}

impl Sockets {
    pub(crate) fn driver(&mut self) -> DriverId {
        *self
            .driver
            .get_or_insert_with(|| driver::register(&DatagramDriver))
    }
}

thread_local! {
    static SOCKETS: RefCell<Sockets> = const {
        RefCell::new(Sockets {
            table: Table::new(),
            driver: None,
            receiver: None,
            sent: Vec::new(),
        })
    };
}

/// Runs `f` on this thread's sockets; `None` while the thread is being torn down. No callback may run in it.
pub(crate) fn with<R>(f: impl FnOnce(&mut Sockets) -> R) -> Option<R> {
    SOCKETS
        .try_with(|sockets| f(&mut sockets.borrow_mut()))
        .ok()
}

/// Runs `f` on a socket, unless it is gone.
pub(crate) fn with_socket<R>(id: Id, f: impl FnOnce(&mut Socket) -> R) -> Option<R> {
    with(|sockets| sockets.table.get_mut(id).map(f)).flatten()
}

/// Runs `f` on a socket that takes part in the loop, unless it is closing or gone.
pub(crate) fn with_open<R>(id: Id, f: impl FnOnce(&mut Socket, DriverId) -> R) -> Option<R> {
    with(|sockets| {
        let driver = sockets.driver();
        let socket = sockets.table.get_mut(id)?;
        (socket.state <= State::Ending).then(|| f(socket, driver))
    })
    .flatten()
}

/// Puts a socket that does not block on the loop.
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
    let entry = Socket {
        socket: Some(socket),
        state: State::Open,
        listeners: Listeners::new(),
        number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        local,
        remote,
        queue: Queue::new(options.max_queued, options.max_queued_bytes),
        held: VecDeque::new(),
        complaints: Vec::new(),
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
    with(|sockets| {
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
    .unwrap_or_else(|| Err(driver::gone()))
}
