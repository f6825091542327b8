//! An adapter over the bus of the workers.
//!
//! ```text
//! adapter ─→ codec ─→ outbox ─→ bus ─→ (other worker) ─→ inbox ─→ codec ─→ adapter
//!    └────→ topics: destinations of messages
//! ```
//!
//! The subscriptions on the bus determine which workers have a namespace, and which have a room. No other protocol is needed: from the start, a message is
//! sent to exactly the workers that [`Adapter::request`] returns.

#[doc(hidden)]
pub mod codec;
mod inbox;
mod joins;
mod outbox;
mod stats;
#[cfg(test)]
mod tests;
mod topics;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::future_tick;
use uptick_workers::bus::{Bus, SubscriptionId};

pub use stats::BusAdapterStats;

use self::codec::{BusMessage, Envelope, Part, Sender};
use self::inbox::{EnvelopeResult, Inbox};
use self::joins::PendingJoins;
use self::topics::{RoomSubscriptions, Topics};
use super::{Adapter, AdapterFactory, AdapterSink, ClusterMessage, ClusterResponse, Servers};
use crate::Promise;
use crate::random;
use crate::tag;

/// Maximum size of a message to other workers: 64 MiB.
pub const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// Maximum number of message bytes in one envelope.
const MAX_PART: usize = 1024 * 1024;

/// An adapter that connects the namespaces of the workers of a service, which are processes or threads, over their [bus](uptick_workers::bus).
///
/// Messages are sent only to workers that have the namespace. Unless [recovery](crate::SocketIoOptions::recovery) is enabled, broadcasts to at most eight rooms are
/// sent only to workers that have one of the rooms, and messages to a single socket only to its worker. Packets are encoded once for the sockets of all workers.
///
/// While more than 1 MiB is queued for another worker, messages are held back until it has read, and none is lost. If a worker reads nothing for 2 s, messages are
/// no longer held back for it. It misses the messages that the bus drops, which are [counted](BusAdapter::stats) and logged.
///
/// # Limits
///
/// Messages of 64 MiB · 64 MiB of [held back](BusAdapter::set_queue_limit) messages · 32,768 rooms of a thread with a topic on the bus; with more rooms, the worker
/// receives the messages to all rooms · rooms with names longer than 1,024 bytes have no topic: messages to them are sent to all workers.
///
/// # Examples
///
/// Servers in workers use this adapter automatically. Other servers need one call, before or after the bus is attached:
///
/// ```
/// use uptick_socketio::adapter::BusAdapter;
/// use uptick_socketio::{SocketIo, SocketIoOptions};
/// use uptick_workers::bus::{Bus, ThreadBus};
///
/// let group = ThreadBus::new();
/// // In each thread.
/// let io = SocketIo::with_options(SocketIoOptions::new().adapter(BusAdapter::factory()));
/// Bus::of_thread().attach(group.join());
/// io.emit("news", "to the sockets of all threads");
/// ```
pub struct BusAdapter {
    shared: Rc<AdapterState>,
}

/// The receiver of messages from other workers.
pub(crate) trait ClusterSink {
    fn message(&self, from: &str, message: ClusterMessage);
    fn response(&self, from: &str, response: ClusterResponse);
    fn server_left(&self, server: &str);
    fn needs_all_rooms(&self) -> bool;
}

impl ClusterSink for AdapterSink {
    fn message(&self, from: &str, message: ClusterMessage) {
        (*self).message(from, message);
    }

    fn response(&self, from: &str, response: ClusterResponse) {
        (*self).response(from, response);
    }

    fn server_left(&self, server: &str) {
        (*self).server_left(server);
    }

    fn needs_all_rooms(&self) -> bool {
        (*self).needs_all_rooms()
    }
}

/// The state of an adapter, shared with its subscriptions.
struct AdapterState {
    topics: Topics,
    sink: Box<dyn ClusterSink>,
    inbox: RefCell<Inbox>,
    rooms: RefCell<RoomSubscriptions>,
    joins: RefCell<PendingJoins>,
    /// The subscriptions to topics that do not depend on rooms.
    subscriptions: RefCell<Option<Vec<SubscriptionId>>>,
    peer_gone: Cell<Option<ListenerId>>,
    /// `true` once a message could not be decoded; further ones are not logged.
    was_malformed: Cell<bool>,
}

thread_local! {
    /// The number of the last message. It starts at a random number, so that a worker does not repeat the numbers of an earlier worker with the same id.
    static SEQUENCE: Cell<u64> = const { Cell::new(0) };
    /// The number of adapter factories created without a name.
    static FACTORIES: Cell<u64> = const { Cell::new(0) };
    /// The adapters of the thread, each identified by one of its topics.
    static ADAPTERS: RefCell<HashSet<String>> = RefCell::default();
}

impl BusAdapter {
    /// Creates a factory for the adapters of a server.
    ///
    /// Factories are matched by the order in which each thread creates them: the servers that use the first factory of each thread are connected with each
    /// other, the servers that use the second one are, too, and so on.
    pub fn factory() -> AdapterFactory {
        FACTORIES.set(FACTORIES.get() + 1);
        BusAdapter::named(&FACTORIES.get().to_string())
    }

    /// Creates a factory for the adapters of a server with a name. Servers with the same name in different workers are connected. Servers of one thread
    /// need different names.
    pub fn named(name: &str) -> AdapterFactory {
        let name: Rc<str> = name.into();
        Rc::new(move |sink| {
            let namespace = sink.namespace().name();
            Rc::new(BusAdapter::with_sink(&name, &namespace, Box::new(sink)))
        })
    }

    pub(crate) fn with_sink(name: &str, namespace: &str, sink: Box<dyn ClusterSink>) -> BusAdapter {
        let shared = Rc::new(AdapterState {
            topics: Topics::new(name, namespace),
            sink,
            inbox: RefCell::default(),
            rooms: RefCell::default(),
            joins: RefCell::default(),
            subscriptions: RefCell::new(None),
            peer_gone: Cell::new(None),
            was_malformed: Cell::new(false),
        });
        shared.open();
        BusAdapter { shared }
    }

    /// Returns the counters of the adapters of this thread.
    pub fn stats() -> BusAdapterStats {
        BusAdapterStats {
            held_bytes: outbox::held_bytes(),
            ..stats::get()
        }
    }

    /// Sets the maximum number of bytes of messages of this thread that are held back for slow workers. A message beyond that limit is dropped, counted and
    /// logged. Default: 64 MiB.
    pub fn set_queue_limit(bytes: usize) {
        outbox::set_limit(bytes);
    }
}

impl Adapter for BusAdapter {
    fn publish(&self, message: &ClusterMessage) {
        let is_volatile = matches!(
            message,
            ClusterMessage::Broadcast {
                volatile: true,
                request: None,
                ..
            }
        );
        if is_volatile && outbox::is_holding() {
            stats::update(|stats| stats.volatile_dropped += 1);
            return;
        }
        if !Bus::of_thread().has_remote_subscribers(&self.shared.topics.all) {
            // No other worker has the namespace.
            return;
        }
        let topics = {
            let joins = self.shared.joins.borrow();
            let is_pending = |room: &str| joins.contains(room);
            self.shared.topics.for_message(message, is_pending)
        };
        let workers = match message {
            ClusterMessage::SocketsJoin { .. } => subscribers(&topics),
            _ => Vec::new(),
        };
        let sequence = send(topics, |out| {
            codec::encode_message(out, message);
            Ok(())
        });
        if let ClusterMessage::SocketsJoin { rooms, .. } = message {
            let mut joins = self.shared.joins.borrow_mut();
            joins.add(sequence, rooms, &workers);
        }
    }

    fn request(&self, message: &ClusterMessage) -> Promise<Servers> {
        // Determined before the message is sent: a worker on another thread that subscribes in between receives the message, but the request does not wait for it. A worker that leaves is reported.
        let servers = Bus::of_thread().remote_subscribers(&self.shared.topics.all);
        if !servers.is_empty() {
            self.publish(message);
        }
        Promise::ready(Servers::Known(
            servers.into_iter().map(|id| id.to_string()).collect(),
        ))
    }

    fn respond(&self, to: &str, response: &ClusterResponse) {
        let tag_of = |id| self.shared.inbox.borrow().tag(id);
        let server = to.parse().ok().and_then(|id| Some((id, tag_of(id)?)));
        let Some((to, tag)) = server else {
            tracing::debug!("responding to the worker {to} failed: it has left");
            return;
        };
        self.shared
            .send_to(tag, |out| codec::encode_response(out, to, response));
    }

    fn room_created(&self, room: &str) {
        let shared = &self.shared;
        if shared.sink.needs_all_rooms() {
            return;
        }
        let Some(topic) = shared.rooms.borrow_mut().add(room) else {
            return;
        };
        let id = AdapterState::subscribe(shared, &topic.name(&shared.topics));
        let needless = shared.rooms.borrow_mut().subscribed(topic, id);
        if let Some(id) = needless {
            Bus::of_thread().unsubscribe(id);
        }
    }

    fn room_deleted(&self, room: &str) {
        if self.shared.sink.needs_all_rooms() {
            return;
        }
        let id = self.shared.rooms.borrow_mut().remove(room);
        if let Some(id) = id {
            Bus::of_thread().unsubscribe(id);
        }
    }

    fn close(&self) {
        self.shared.close();
    }
}

impl AdapterState {
    /// Subscribes to the topics that do not depend on rooms.
    fn open(self: &Rc<Self>) {
        let is_new = ADAPTERS.with_borrow_mut(|all| all.insert(self.topics.all.clone()));
        if !is_new {
            tracing::error!(
                "two Socket.IO servers of this thread have the same name on the bus: each receives the messages to both ({})",
                self.topics.all
            );
        }
        let tag = tag::own();
        let own = self.topics.server(&String::from_utf8_lossy(&tag));
        let mut topics = vec![&self.topics.all, &own];
        if self.sink.needs_all_rooms() {
            topics.push(&self.topics.any_room);
        }
        let subscriptions = topics.into_iter();
        let subscriptions = subscriptions.map(|topic| AdapterState::subscribe(self, topic));
        self.subscriptions.replace(Some(subscriptions.collect()));
        let shared = Rc::downgrade(self);
        let listener = Bus::of_thread().on(Bus::PEER_GONE, move |id| {
            if let Some(shared) = shared.upgrade() {
                shared.peer_gone(id);
            }
        });
        self.peer_gone.set(Some(listener));
    }

    fn is_open(&self) -> bool {
        self.subscriptions.borrow().is_some()
    }

    fn subscribe(shared: &Rc<AdapterState>, topic: &str) -> SubscriptionId {
        let shared: Weak<AdapterState> = Rc::downgrade(shared);
        Bus::of_thread().subscribe(topic, move |payload| {
            if let Some(shared) = shared.upgrade() {
                shared.receive(payload);
            }
        })
    }

    /// Unsubscribes, and then announces it. A worker that still counts this one is notified after the subscriptions have ended, and no worker counts it afterwards.
    fn close(&self) {
        let Some(subscriptions) = self.subscriptions.take() else {
            return;
        };
        let bus = Bus::of_thread();
        let rooms = self.rooms.borrow_mut().clear();
        for id in subscriptions.into_iter().chain(rooms) {
            bus.unsubscribe(id);
        }
        if let Some(listener) = self.peer_gone.take() {
            bus.off(listener);
        }
        let _ = ADAPTERS.try_with(|all| all.borrow_mut().remove(&self.topics.all));
        if bus.has_remote_subscribers(&self.topics.all) {
            send(vec![self.topics.all.clone()], |out| {
                codec::encode_gone(out);
                Ok(())
            });
        }
    }

    /// Sends a message to the worker with a tag.
    fn send_to(
        &self,
        tag: [u8; tag::LENGTH],
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), codec::CodecError>,
    ) {
        let topic = self.topics.server(&String::from_utf8_lossy(&tag));
        send(vec![topic], encode);
    }

    fn receive(&self, payload: Bytes) {
        if !self.is_open() {
            return;
        }
        let envelope = match Envelope::decode(payload) {
            Ok(envelope) => envelope,
            Err(error) => return self.malformed(&error.to_string()),
        };
        let (sender, sequence) = (envelope.sender, envelope.sequence);
        let (received, lost) = self.inbox.borrow_mut().push(envelope);
        self.incomplete(sender.id, lost);
        match received {
            EnvelopeResult::Message { from, message } => match codec::decode(message) {
                Ok(message) => {
                    stats::update(|stats| stats.received += 1);
                    self.deliver(&from, sender, sequence, message);
                }
                Err(error) => self.malformed(&error.to_string()),
            },
            EnvelopeResult::Malformed => self.malformed("a part does not fit its message"),
            EnvelopeResult::Part | EnvelopeResult::Ignored => {}
        }
    }

    /// Passes a message to the namespace. Nothing may be borrowed during the call.
    fn deliver(&self, from: &str, sender: Sender, sequence: u64, message: BusMessage) {
        match message {
            BusMessage::Message(message) => {
                let is_join = matches!(message, ClusterMessage::SocketsJoin { .. });
                self.sink.message(from, message);
                if is_join {
                    self.send_to(sender.tag, |out| {
                        codec::encode_applied(out, sender.id, sequence);
                        Ok(())
                    });
                }
            }
            BusMessage::Applied { to, sequence } if to == Bus::of_thread().id() => {
                self.joins.borrow_mut().applied(sender.id, sequence);
            }
            BusMessage::Response { to, response } if to == Bus::of_thread().id() => {
                self.sink.response(from, response);
            }
            // The message is for an earlier worker with the same tag, or this worker has a new id since.
            BusMessage::Response { .. } | BusMessage::Applied { .. } => {}
            BusMessage::Gone => {
                self.joins.borrow_mut().remove_worker(sender.id);
                self.inbox.borrow_mut().forget(sender.id);
                self.sink.server_left(from);
            }
        }
    }

    /// Removes a worker that left. The namespace is notified in a later tick, because the bus may report the worker during a call from the namespace.
    fn peer_gone(self: Rc<Self>, id: u64) {
        let lost = self.inbox.borrow_mut().forget(id);
        self.incomplete(id, lost);
        self.joins.borrow_mut().remove_worker(id);
        future_tick(move || self.sink.server_left(&id.to_string()));
    }

    fn incomplete(&self, worker: u64, lost: u64) {
        if lost > 0 {
            stats::update(|stats| stats.incomplete += lost);
            tracing::error!(
                "receiving a message from the worker {worker} failed: parts of it are missing"
            );
        }
    }

    fn malformed(&self, error: &str) {
        stats::update(|stats| stats.malformed += 1);
        if !self.was_malformed.replace(true) {
            tracing::error!("decoding a message from another worker failed: {error}");
        }
    }
}

impl Drop for AdapterState {
    fn drop(&mut self) {
        self.close();
    }
}

/// Returns the ids of the other workers that are subscribed to one of the topics.
fn subscribers(topics: &[String]) -> Vec<u64> {
    let bus = Bus::of_thread();
    let ids = topics.iter().map(|topic| bus.remote_subscribers(topic));
    ids.flatten().collect()
}

/// Sends a message under topics that have subscribers in other workers. Returns its sequence number.
fn send(
    topics: Vec<String>,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), codec::CodecError>,
) -> u64 {
    let sequence = next_sequence();
    if topics.is_empty() {
        return sequence;
    }
    let sender = Sender {
        id: Bus::of_thread().id(),
        tag: tag::own(),
    };
    let mut whole = Vec::with_capacity(256);
    Envelope::encode_head(&mut whole, sender, sequence, None);
    let head = whole.len();
    let failed = match encode(&mut whole) {
        Err(error) => Some(error.to_string()),
        Ok(()) if whole.len() - head > MESSAGE_LIMIT => Some(format!(
            "it has {} bytes, and the limit is {MESSAGE_LIMIT}",
            whole.len() - head
        )),
        Ok(()) => None,
    };
    if let Some(error) = failed {
        stats::update(|stats| stats.dropped += 1);
        tracing::error!("sending a message to other workers failed: {error}");
        return sequence;
    }
    let length = whole.len() - head;
    let parts = match length <= MAX_PART {
        true => vec![whole.into()],
        false => split(&whole[head..], sender, sequence),
    };
    stats::update(|stats| stats.sent += 1);
    outbox::send(topics, parts);
    sequence
}

/// Splits a message into envelopes.
fn split(message: &[u8], sender: Sender, sequence: u64) -> Vec<Bytes> {
    let parts = message.chunks(MAX_PART).enumerate();
    let parts = parts.map(|(index, payload)| {
        let part = Part {
            position: index * MAX_PART,
            total: message.len(),
        };
        let mut out = Vec::with_capacity(payload.len() + 64);
        Envelope::encode_head(&mut out, sender, sequence, Some(part));
        out.extend_from_slice(payload);
        Bytes::from(out)
    });
    parts.collect()
}

/// Returns the next sequence number of this thread.
fn next_sequence() -> u64 {
    SEQUENCE.with(|sequence| {
        if sequence.get() == 0 {
            sequence.set(random::number());
        }
        sequence.set(sequence.get().wrapping_add(1));
        sequence.get()
    })
}

impl fmt::Debug for BusAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusAdapter")
            .field("topics", &self.shared.topics)
            .finish_non_exhaustive()
    }
}
