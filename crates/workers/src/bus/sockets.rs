//! The transport between processes: a socket pair for each two of them.
//!
//! A message to other processes costs one lookup of the topic, one encoding for all, two lookups per receiver, and a copy of up to 4 KiB into the
//! receiver's write queue; longer payloads are shared. All messages published in one iteration of the loop are sent with one system call per
//! receiver.

mod peer;
mod peers;

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use bytes::Bytes;
use uptick_event_loop::{driver, future_tick};
use uptick_socket::engine::Engine;
use uptick_socket::{Connection, Error};

use self::peer::{Peer, PeerOwner};
use self::peers::PeerTable;
use super::frame::{self, Frame};
use super::local::QUEUE_LIMIT;
use super::transport::{BusSink, BusTransport, TransportStats};

/// Frames up to this number of bytes are copied into the write queue of each connection; the payloads of longer frames are shared.
const MAX_COPIED: usize = 4096;

/// A transport that connects the buses of processes by Unix stream sockets: one end of a pair for each other process.
///
/// Clones share the same transport: attach one to the bus, and use another to add and remove peers. Messages go directly to each peer that has
/// announced their topic, and are never relayed. The connections do not keep the loop running.
///
/// A peer that sends malformed frames is disconnected and logged. A peer whose connection ends or fails is removed.
///
/// # Limits
/// 4 MiB are queued for each peer ([`with_queue_limit`](SocketTransport::with_queue_limit)), in addition to the kernel's buffers. A peer that
/// announces more than 262,144 topics receives the messages of all topics.
///
/// # Examples
/// ```
/// use std::os::unix::net::UnixStream;
/// use uptick_workers::bus::{Bus, SocketTransport};
///
/// // Usually the supervisor creates the pair and passes the ends to two workers.
/// let (ours, theirs) = UnixStream::pair()?;
/// let transport = SocketTransport::new();
/// Bus::of_thread().attach(transport.clone());
/// transport.add_peer(2, ours.into())?;
/// transport.when_ready(|| println!("all topics of the other worker are known"));
/// # drop(theirs);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SocketTransport {
    state: Rc<TransportState>,
}

/// The state that a transport shares with its peers.
struct TransportState {
    limit: usize,
    id: Cell<u64>,
    group: Cell<u64>,
    sink: RefCell<Option<BusSink>>,
    peers: RefCell<PeerTable>,
    /// The topics that the bus has announced.
    topics: RefCell<HashSet<Rc<str>>>,
    ready_callbacks: RefCell<Vec<Box<dyn FnOnce()>>>,
    /// The frame that is written to all peers, reused to avoid an allocation.
    encoded: RefCell<Vec<u8>>,
    dropped: Cell<u64>,
}

impl SocketTransport {
    /// Creates a transport without peers.
    #[expect(
        clippy::new_without_default,
        reason = "a transport is made where a worker is set up"
    )]
    pub fn new() -> SocketTransport {
        SocketTransport::with_queue_limit(QUEUE_LIMIT)
    }

    /// Creates a transport with the maximum number of bytes that are queued for each peer. Beyond that, messages to the peer are dropped.
    /// Default: 4 MiB.
    ///
    /// Announcements of topics are not dropped. Beyond a further 1 MiB they are withheld until the peer reads again, and then replaced by a list
    /// of the topics that have subscribers at that time.
    pub fn with_queue_limit(bytes: usize) -> SocketTransport {
        SocketTransport {
            state: Rc::new(TransportState {
                limit: bytes,
                id: Cell::new(0),
                group: Cell::new(0),
                sink: RefCell::default(),
                peers: RefCell::default(),
                topics: RefCell::default(),
                ready_callbacks: RefCell::default(),
                encoded: RefCell::default(),
                dropped: Cell::new(0),
            }),
        }
    }

    /// Sets the id of this process at its peers, as returned by [`Bus::id`](super::Bus::id). Default: 0.
    pub fn set_id(&self, id: u64) {
        self.state.id.set(id);
    }

    /// Sets the group of this process and its peers ([`BusTransport::group`]). With a group, ids must be unique among all machines. Default: 0, no
    /// group.
    pub fn set_group(&self, group: u64) {
        self.state.group.set(group);
    }

    /// Adds a peer: the process that holds the other end of the socket. An existing peer with the same id is removed first.
    ///
    /// Topics that have subscribers are sent before this returns, if the socket accepts them.
    ///
    /// # Errors
    /// Returns an error if the descriptor is not a connected stream socket.
    pub fn add_peer(&self, id: u64, socket: OwnedFd) -> Result<(), Error> {
        self.remove_peer(id);
        let conn = Connection::adopt(socket)?;
        // A stopped peer is limited by the size of its queue, never by a timeout.
        conn.set_write_limits(64 * 1024, usize::MAX);
        conn.set_write_timeout(None);
        driver::release();
        let owner: Rc<dyn PeerOwner> = Rc::<TransportState>::clone(&self.state);
        let peer = Rc::new(Peer::new(id, conn, Rc::downgrade(&owner)));
        self.state.peers.borrow_mut().add(Rc::clone(&peer));
        conn.set_session(Rc::clone(&peer) as Rc<_>);
        peer.send_hello(&self.state.topics.borrow());
        conn.flush();
        Ok(())
    }

    /// Removes a peer and discards its queue. Returns `false` if there is no peer with this id.
    pub fn remove_peer(&self, id: u64) -> bool {
        let peer = self.state.peers.borrow().get(id);
        if let Some(peer) = &peer {
            peer.conn.close();
        }
        peer.is_some()
    }

    /// Returns the ids of the peers, in arbitrary order.
    pub fn peers(&self) -> Vec<u64> {
        let peers = self.state.peers.borrow();
        peers.all().map(|peer| peer.id).collect()
    }

    /// Returns whether all peers have announced the topics that they were subscribed to when they were connected.
    pub fn is_ready(&self) -> bool {
        self.state.peers.borrow().all().all(|peer| peer.is_ready())
    }

    /// Calls `callback` once the transport [is ready](SocketTransport::is_ready). The loop makes the call, never this method. Peers that are
    /// removed in the meantime no longer count; peers that are added count.
    pub fn when_ready<R>(&self, callback: impl FnOnce() -> R + 'static) {
        let callback = Box::new(move || drop(callback()));
        self.state.ready_callbacks.borrow_mut().push(callback);
        let state = Rc::clone(&self.state);
        future_tick(move || state.check_ready());
    }
}

impl TransportState {
    /// Calls the callbacks of [`when_ready`](SocketTransport::when_ready), if the transport is ready.
    fn check_ready(&self) {
        if self.peers.borrow().all().all(|peer| peer.is_ready()) {
            for callback in self.ready_callbacks.take() {
                callback();
            }
        }
    }

    /// Announces or withdraws a topic at all peers.
    fn announce(&self, frame: &Frame<'_>) {
        let peers: Vec<Rc<Peer>> = self.peers.borrow().all().cloned().collect();
        for peer in &peers {
            peer.announce(frame, self.limit);
        }
        // A peer may turn out to be closed, so nothing is borrowed.
        for peer in peers {
            peer.conn.flush();
        }
    }
}

impl PeerOwner for TransportState {
    /// Subscribers may call any method of the transport, so the sink is cloned and nothing stays borrowed.
    fn sink(&self) -> Option<BusSink> {
        self.sink.borrow().clone()
    }

    fn topics(&self) -> Ref<'_, HashSet<Rc<str>>> {
        self.topics.borrow()
    }

    fn subscribe(&self, peer: &Peer, topic: &str) {
        self.peers.borrow_mut().subscribe(peer.id, topic);
    }

    fn unsubscribe(&self, peer: &Peer, topic: &str) {
        self.peers.borrow_mut().unsubscribe(peer.id, topic);
    }

    fn forget(&self, peer: &Peer) {
        self.peers.borrow_mut().forget(peer.id);
    }

    fn connected(&self, peer: &Peer) {
        if let Some(sink) = self.sink() {
            sink.peer(peer.id);
        }
        self.check_ready();
    }

    fn lost(&self, peer: &Peer) {
        self.peers.borrow_mut().remove(peer.id);
        if peer.is_ready()
            && let Some(sink) = self.sink()
        {
            sink.peer_gone(peer.id);
        }
        self.check_ready();
    }
}

impl Drop for TransportState {
    fn drop(&mut self) {
        for peer in self.peers.take().all() {
            peer.abandon();
        }
    }
}

impl BusTransport for SocketTransport {
    fn attach(&self, sink: BusSink) {
        self.state.sink.replace(Some(sink));
    }

    fn publish(&self, topic: &str, payload: &Bytes) {
        let peers = self.state.peers.borrow();
        let mut receivers = peers.receivers_of(topic).peekable();
        if receivers.peek().is_none() {
            return;
        }
        let mut encoded = self.state.encoded.borrow_mut();
        encoded.clear();
        frame::append_message_head(&mut encoded, topic, payload.len());
        let length = encoded.len() + payload.len();
        let is_short = length <= MAX_COPIED;
        if is_short {
            encoded.extend_from_slice(payload);
        }
        // Writing to a connection calls no listener.
        for peer in receivers {
            if peer.conn.buffered().saturating_add(length) > self.state.limit {
                self.state.dropped.set(self.state.dropped.get() + 1);
                continue;
            }
            peer.conn.write(&encoded[..]);
            if !is_short {
                peer.conn.write(payload.clone());
            }
        }
    }

    fn subscribe(&self, topic: &str) {
        self.state.topics.borrow_mut().insert(topic.into());
        self.state.announce(&Frame::Subscribe(topic));
    }

    fn unsubscribe(&self, topic: &str) {
        self.state.topics.borrow_mut().remove(topic);
        self.state.announce(&Frame::Unsubscribe(topic));
    }

    fn id(&self) -> u64 {
        self.state.id.get()
    }

    fn group(&self) -> u64 {
        self.state.group.get()
    }

    fn stats(&self) -> TransportStats {
        let peers = self.state.peers.borrow();
        TransportStats {
            dropped: self.state.dropped.get(),
            queued_bytes: peers.all().map(|peer| peer.conn.buffered()).sum(),
        }
    }

    fn queues(&self, visit: &mut dyn FnMut(u64, usize)) {
        for peer in self.state.peers.borrow().all() {
            visit(peer.id, peer.conn.buffered());
        }
    }

    fn subscribers(&self, topic: &str, visit: &mut dyn FnMut(u64)) {
        let peers = self.state.peers.borrow();
        for peer in peers.receivers_of(topic).filter(|peer| peer.is_ready()) {
            visit(peer.id);
        }
    }

    fn close(&self) {
        let peers: Vec<Rc<Peer>> = self.state.peers.borrow().all().cloned().collect();
        for peer in peers {
            peer.leave();
        }
    }
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketTransport")
            .field("peers", &self.peers())
            .finish_non_exhaustive()
    }
}
