//! The same server in several workers. A request that reaches another worker is forwarded to the one that has the session.
//!
//! ```text
//! client ─→ edge: the worker with the connection ──bus──→ owner: the worker with the session
//! ```
//!
//! For the session, remote connections look like local ones: a poll is a [`RemoteRequest`], a WebSocket a [`RemoteWebSocket`]. Session ids begin with
//! the tag of their owner, and each worker subscribes to the topic of its tag, so the bus can immediately check whether the owner exists.
//! When a worker exits, the requests forwarded to it are answered, and the WebSockets that it relayed are closed.

mod edge;
mod link;
mod message;
mod owner;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::add_timer;
use uptick_workers::bus::{Bus, SubscriptionId};

use self::edge::EdgeExchange;
use self::link::{MessageLost, WorkerLink};
use self::message::{LAST, MAX_BODY, MessageKind, WorkerMessage};
use self::owner::{OwnedRequest, OwnedWebSocket};
use super::server::EngineState;
use super::session_id::Tag;

pub(super) use edge::forward;
pub(super) use owner::{RemoteRequest, RemoteWebSocket};

/// Version of the messages. Workers with different versions ignore each other.
const VERSION: u8 = 1;

/// Interval at which a worker is notified again that messages to it were lost.
const RESET_INTERVAL: Duration = Duration::from_millis(50);

/// The key of an exchange with another worker: the tag of the edge, and the number that the edge assigned.
type ExchangeKey = (Tag, u64);

/// The connection to the same server in other workers.
pub(in crate::engine) struct Cluster {
    engine: Weak<EngineState>,
    this: Weak<Cluster>,
    path: String,
    tag: Tag,
    links: RefCell<HashMap<Tag, WorkerLink>>,
    /// The exchanges whose connections are in this worker.
    exchanges: RefCell<HashMap<u64, EdgeExchange>>,
    next: Cell<u64>,
    /// The requests of sessions of this worker that other workers received.
    requests: RefCell<HashMap<ExchangeKey, OwnedRequest>>,
    /// The WebSockets of sessions of this worker whose connections are in other workers.
    websockets: RefCell<HashMap<ExchangeKey, OwnedWebSocket>>,
    subscription: Cell<Option<SubscriptionId>>,
    listener: Cell<Option<ListenerId>>,
}

impl Cluster {
    /// Connects a server to the servers at the same path in other workers, over the bus of the thread.
    pub(super) fn join(engine: &Rc<EngineState>, path: &str) -> Rc<Cluster> {
        let cluster = Rc::new_cyclic(|this: &Weak<Cluster>| Cluster {
            engine: Rc::downgrade(engine),
            this: Weak::clone(this),
            path: path.to_owned(),
            tag: engine.tag,
            links: RefCell::default(),
            exchanges: RefCell::default(),
            next: Cell::new(0),
            requests: RefCell::default(),
            websockets: RefCell::default(),
            subscription: Cell::new(None),
            listener: Cell::new(None),
        });
        let bus = Bus::of_thread();
        let this = Rc::downgrade(&cluster);
        let subscription = bus.subscribe(&cluster.topic(cluster.tag), move |payload: Bytes| {
            if let Some(cluster) = this.upgrade() {
                cluster.receive(&payload);
            }
        });
        cluster.subscription.set(Some(subscription));
        let this = Rc::downgrade(&cluster);
        let listener = bus.on(Bus::PEER_GONE, move |worker: u64| {
            if let Some(cluster) = this.upgrade() {
                cluster.worker_gone(worker);
            }
        });
        cluster.listener.set(Some(listener));
        cluster
    }

    /// Returns the topic of the worker with a tag.
    fn topic(&self, tag: Tag) -> String {
        let tag = String::from_utf8_lossy(&tag.0);
        format!("engine.io/{VERSION}/{tag}{}", self.path)
    }

    /// Returns `true` if another worker has this tag.
    pub(super) fn has_worker(&self, tag: Tag) -> bool {
        tag != self.tag && Bus::of_thread().has_remote_subscribers(&self.topic(tag))
    }

    /// Calls `f` with the link to a worker; `None` if there is no such worker.
    fn with_link<R>(&self, tag: Tag, f: impl FnOnce(&mut WorkerLink) -> R) -> Option<R> {
        let mut links = self.links.borrow_mut();
        if let Some(link) = links.get_mut(&tag) {
            return Some(f(link));
        }
        let topic = self.topic(tag);
        let worker = *Bus::of_thread().remote_subscribers(&topic).first()?;
        let link = links
            .entry(tag)
            .or_insert_with(|| WorkerLink::new(topic, worker));
        Some(f(link))
    }

    /// Sends a message to a worker. If it is lost, all exchanges with the worker end.
    fn send(&self, to: Tag, kind: MessageKind, number: u64, flags: u8, body: &[u8]) {
        let message = WorkerMessage::encode(kind, self.tag, number, flags, body);
        // If the worker exited, its exchanges have already ended.
        if let Some(Err(MessageLost)) = self.with_link(to, |link| link.send(message)) {
            self.lost(to);
        }
    }

    /// Sends a body of any length, in several messages if necessary.
    fn send_pieces(&self, to: Tag, kind: MessageKind, number: u64, flags: u8, body: &[u8]) {
        let mut rest = body;
        while rest.len() > MAX_BODY {
            let (piece, remaining) = rest.split_at(MAX_BODY);
            self.send(to, kind, number, flags, piece);
            rest = remaining;
        }
        self.send(to, kind, number, flags | LAST, rest);
    }

    /// Handles the loss of a message to a worker: all exchanges with it end, after the current call.
    #[cold]
    fn lost(&self, tag: Tag) {
        let was_broken = self.with_link(tag, |link| {
            link.clear();
            std::mem::replace(&mut link.is_broken, true)
        });
        if was_broken != Some(false) {
            return;
        }
        tracing::error!(
            "closing Engine.IO sessions between two workers: the bus dropped a message, because its queue for a worker is full"
        );
        let this = Weak::clone(&self.this);
        add_timer(Duration::ZERO, move || {
            if let Some(cluster) = this.upgrade() {
                cluster.end_exchanges(tag);
                cluster.reset(tag);
            }
        });
    }

    /// Notifies a worker that messages to it were lost, and retries until the notification is sent.
    fn reset(&self, tag: Tag) {
        let message = WorkerMessage::encode(MessageKind::Reset, self.tag, 0, 0, &[]);
        let sent = self.with_link(tag, |link| {
            let sent = link.publish(message);
            link.is_broken = sent.is_err();
            sent
        });
        if let Some(Err(MessageLost)) = sent {
            let this = Weak::clone(&self.this);
            add_timer(RESET_INTERVAL, move || {
                if let Some(cluster) = this.upgrade() {
                    cluster.reset(tag);
                }
            });
        }
    }

    /// Handles a message from another worker.
    fn receive(&self, payload: &Bytes) {
        let Some(message) = WorkerMessage::decode(payload) else {
            tracing::error!(
                "decoding a message from another worker failed: it is not an Engine.IO message"
            );
            return;
        };
        let from = message.from;
        match message.kind {
            MessageKind::Received => return self.reported(from, message.value()),
            MessageKind::Reset => return self.end_exchanges(from),
            _ => {}
        }
        let due = self.with_link(from, |link| link.count(payload.len()));
        if let Some(Some(bytes)) = due {
            let body = (bytes as u64).to_le_bytes();
            let report = WorkerMessage::encode(MessageKind::Received, self.tag, 0, 0, &body);
            if let Some(Err(MessageLost)) = self.with_link(from, |link| link.publish(report)) {
                self.lost(from);
            }
        }
        match message.kind as u8 {
            ..20 if message.kind != MessageKind::Frame => self.receive_as_owner(message),
            20.. => self.receive_as_edge(message),
            // Both workers send frames; a flag marks the frames of the owner.
            _ if self.is_from_owner(&message) => self.receive_as_edge(message),
            _ => self.receive_as_owner(message),
        }
    }

    /// Handles a report that a worker has received bytes, and sends more.
    fn reported(&self, from: Tag, bytes: Option<u64>) {
        let bytes = usize::try_from(bytes.unwrap_or(0)).unwrap_or(usize::MAX);
        match self.with_link(from, |link| link.reported(bytes)) {
            Some(Ok(true)) => self.resume_websockets(from),
            Some(Err(MessageLost)) => self.lost(from),
            _ => {}
        }
    }

    /// Handles the departure of another worker.
    fn worker_gone(&self, worker: u64) {
        let mut gone = Vec::new();
        self.links.borrow_mut().retain(|tag, link| {
            let is_gone = link.worker == worker;
            if is_gone {
                gone.push(*tag);
            }
            !is_gone
        });
        for tag in gone {
            self.end_exchanges(tag);
        }
    }

    /// Ends all exchanges with a worker.
    fn end_exchanges(&self, tag: Tag) {
        self.end_as_edge(tag);
        self.end_as_owner(tag);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let bus = Bus::of_thread();
        if let Some(subscription) = self.subscription.take() {
            bus.unsubscribe(subscription);
        }
        if let Some(listener) = self.listener.take() {
            bus.off(listener);
        }
    }
}
