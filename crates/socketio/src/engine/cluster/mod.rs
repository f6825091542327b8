//! The same server in several workers: requests reach any of them, and are forwarded to the one that has the session.
//!
//! ```text
//! client ─→ edge: the worker with the connection ──bus──→ owner: the worker with the session
//! ```
//!
//! The owner's session cannot tell the difference: a poll is a [`RemoteRequest`], a WebSocket a [`RemoteWebSocket`]. Session ids begin with
//! the tag of their owner, and each worker has subscribed to the topic of its tag, so that the bus knows at once whether there is an
//! owner. When a worker dies, the requests that it would have answered are answered, and the WebSockets that it has relayed are closed.

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

use self::edge::Exchange;
use self::link::{Link, Lost};
use self::message::{ClusterMessage, Kind, LAST, PIECE};
use self::owner::{OwnedRequest, OwnedWebSocket};
use super::server::EngineState;
use super::session_id::Tag;

pub(super) use edge::forward;
pub(super) use owner::{RemoteRequest, RemoteWebSocket};

/// The version of the messages: workers of different versions do not know each other.
const VERSION: u8 = 1;

/// The time after which a worker is told again that messages to it were lost.
const RESET_INTERVAL: Duration = Duration::from_millis(50);

/// An exchange with another worker: the tag of the edge, and its number there.
type Key = (Tag, u64);

/// The same server in other workers.
pub(in crate::engine) struct Cluster {
    engine: Weak<EngineState>,
    this: Weak<Cluster>,
    path: String,
    tag: Tag,
    links: RefCell<HashMap<Tag, Link>>,
    /// The exchanges whose connections are in this worker.
    exchanges: RefCell<HashMap<u64, Exchange>>,
    next: Cell<u64>,
    /// The requests of sessions of this worker that were received by others.
    requests: RefCell<HashMap<Key, OwnedRequest>>,
    /// The WebSockets of sessions of this worker that are in others.
    websockets: RefCell<HashMap<Key, OwnedWebSocket>>,
    subscription: Cell<Option<SubscriptionId>>,
    listener: Cell<Option<ListenerId>>,
}

impl Cluster {
    /// Connects a server to those of the same path in other workers, over the bus of the thread.
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

    /// Returns the topic of a worker.
    fn topic(&self, tag: Tag) -> String {
        let tag = String::from_utf8_lossy(&tag.0);
        format!("engine.io/{VERSION}/{tag}{}", self.path)
    }

    /// Returns whether another worker has this tag.
    pub(super) fn knows(&self, tag: Tag) -> bool {
        tag != self.tag && Bus::of_thread().has_remote_subscribers(&self.topic(tag))
    }

    /// Calls `f` with the link to a worker; `None` if there is no such worker.
    fn with_link<R>(&self, tag: Tag, f: impl FnOnce(&mut Link) -> R) -> Option<R> {
        let mut links = self.links.borrow_mut();
        if let Some(link) = links.get_mut(&tag) {
            return Some(f(link));
        }
        let topic = self.topic(tag);
        let worker = *Bus::of_thread().remote_subscribers(&topic).first()?;
        let link = links.entry(tag).or_insert_with(|| Link::new(topic, worker));
        Some(f(link))
    }

    /// Sends a message to a worker. If it is lost, all exchanges with the worker end.
    fn send(&self, to: Tag, kind: Kind, number: u64, flags: u8, body: &[u8]) {
        let message = ClusterMessage::encode(kind, self.tag, number, flags, body);
        // A worker that is not there any more has left nothing to end.
        if let Some(Err(Lost)) = self.with_link(to, |link| link.send(message)) {
            self.lost(to);
        }
    }

    /// Sends a body of any length.
    fn send_pieces(&self, to: Tag, kind: Kind, number: u64, flags: u8, body: &[u8]) {
        let mut rest = body;
        while rest.len() > PIECE {
            let (piece, behind) = rest.split_at(PIECE);
            self.send(to, kind, number, flags, piece);
            rest = behind;
        }
        self.send(to, kind, number, flags | LAST, rest);
    }

    /// A message to a worker was lost: all exchanges with it end, at the end of what is being done now.
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
            "Engine.IO sessions between two workers end: the bus has dropped a message, because too much waits for a worker"
        );
        let this = Weak::clone(&self.this);
        add_timer(Duration::ZERO, move || {
            if let Some(cluster) = this.upgrade() {
                cluster.end_exchanges(tag);
                cluster.reset(tag);
            }
        });
    }

    /// Notifies a worker that messages to it were lost, until it has received that.
    fn reset(&self, tag: Tag) {
        let message = ClusterMessage::encode(Kind::Reset, self.tag, 0, 0, &[]);
        let sent = self.with_link(tag, |link| {
            let sent = link.publish(message);
            link.is_broken = sent.is_err();
            sent
        });
        if let Some(Err(Lost)) = sent {
            let this = Weak::clone(&self.this);
            add_timer(RESET_INTERVAL, move || {
                if let Some(cluster) = this.upgrade() {
                    cluster.reset(tag);
                }
            });
        }
    }

    /// Handles a message of another worker.
    fn receive(&self, payload: &Bytes) {
        let Some(message) = ClusterMessage::decode(payload) else {
            tracing::error!("a message of another worker is no message of Engine.IO");
            return;
        };
        let from = message.from;
        match message.kind {
            Kind::Received => return self.reported(from, message.value()),
            Kind::Reset => return self.end_exchanges(from),
            _ => {}
        }
        let due = self.with_link(from, |link| link.count(payload.len()));
        if let Some(Some(bytes)) = due {
            let body = (bytes as u64).to_le_bytes();
            let report = ClusterMessage::encode(Kind::Received, self.tag, 0, 0, &body);
            if let Some(Err(Lost)) = self.with_link(from, |link| link.publish(report)) {
                self.lost(from);
            }
        }
        match message.kind as u8 {
            ..20 if message.kind != Kind::Frame => self.receive_as_owner(message),
            20.. => self.receive_as_edge(message),
            // The edge has numbered the exchange; what it has sent comes to the owner.
            _ if self.is_own(&message) => self.receive_as_edge(message),
            _ => self.receive_as_owner(message),
        }
    }

    /// A worker has received bytes: more can be sent to it.
    fn reported(&self, from: Tag, bytes: Option<u64>) {
        let bytes = usize::try_from(bytes.unwrap_or(0)).unwrap_or(usize::MAX);
        match self.with_link(from, |link| link.reported(bytes)) {
            Some(Ok(true)) => self.resume_websockets(from),
            Some(Err(Lost)) => self.lost(from),
            _ => {}
        }
    }

    /// Another worker is gone.
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
