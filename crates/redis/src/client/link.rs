//! One connection to a server: sending commands and matching replies.
//!
//! Cost of a command: its bytes are encoded into the write queue of the connection, and an entry of 16 bytes is added to the queue of pending
//! replies, without an allocation. All commands of an iteration leave with one system call. Cost of a reply: decoding, one entry removed, and
//! one indirect call or wake-up.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_event_loop::{Id, Timer, add_timer};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Session, Visit};

use super::endpoint::Endpoint;
use super::subscriptions::{PubSubMessage, SubscriptionChange, interpret};
use crate::options::RedisOptions;
use crate::protocol::{Arguments, Decoder, ServerError, Value, encode_command};
use crate::reply::{self, RawResult, Reply};
use crate::{Error, FromValue};

/// A command that waits for its reply.
pub(super) enum Pending {
    Reply(Id),
    /// The reply is discarded.
    Ignored,
    Subscription(Box<SubscriptionChange>),
}

pub(super) struct Link {
    pub(super) conn: Connection,
    address: Arc<str>,
    max_pending: usize,
    max_queued_bytes: usize,
    decoder: RefCell<Decoder>,
    pending: RefCell<VecDeque<Pending>>,
    /// The owner, once the handshake is complete.
    endpoint: RefCell<Weak<Endpoint>>,
    /// `true` while the write queue is above its soft limit.
    full: Cell<bool>,
    /// `true` once the owner wants to know when nothing is pending.
    draining: Cell<bool>,
    /// `true` if subscriptions are confirmed and delivered by arrays (RESP2).
    subscribes_with_arrays: Cell<bool>,
    closed: Cell<bool>,
    failure: RefCell<Option<Error>>,
    health: Cell<Option<Timer>>,
}

impl Link {
    /// Creates a link on a new connection.
    pub(super) fn open(conn: Connection, address: &Arc<str>, options: &RedisOptions) -> Rc<Link> {
        // The limit of queued bytes is enforced by `send`, which returns an error and keeps the connection.
        conn.set_write_limits(64 * 1024, usize::MAX);
        // The health check replaces a connection that makes no progress.
        conn.set_write_timeout(None);
        let link = Rc::new(Link {
            conn,
            address: Arc::clone(address),
            max_pending: options.max_pending,
            max_queued_bytes: options.max_queued_bytes,
            decoder: RefCell::new(Decoder::with_limits(options.limits)),
            pending: RefCell::default(),
            endpoint: RefCell::default(),
            full: Cell::new(false),
            draining: Cell::new(false),
            subscribes_with_arrays: Cell::new(false),
            closed: Cell::new(!conn.is_open()),
            failure: RefCell::new(None),
            health: Cell::new(None),
        });
        conn.set_session(Rc::clone(&link) as Rc<dyn Session<Connection>>);
        link
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closed.get()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.borrow().len()
    }

    pub(super) fn attach(&self, endpoint: &Rc<Endpoint>, subscribes_with_arrays: bool) {
        *self.endpoint.borrow_mut() = Rc::downgrade(endpoint);
        self.subscribes_with_arrays.set(subscribes_with_arrays);
    }

    /// Makes the link call [`Endpoint::drained`] when nothing is pending.
    pub(super) fn drain(&self) {
        self.draining.set(true);
    }

    /// Sends a command.
    ///
    /// # Errors
    /// [`Error::QueueFull`], and [`Error::Closed`] if the connection accepts no bytes.
    #[inline]
    pub(super) fn send(&self, pending: Pending, arguments: &impl Arguments) -> Result<(), Error> {
        let mut queue = self.pending.borrow_mut();
        if queue.len() >= self.max_pending || self.full.get() && self.is_full() {
            return Err(self.queue_full(queue.len()));
        }
        let written = self.conn.write_with(|out| encode_command(out, arguments));
        self.written(written, &mut queue, pending)
    }

    /// Sends an encoded command.
    pub(super) fn send_encoded(&self, pending: Pending, command: &[u8]) -> Result<(), Error> {
        let mut queue = self.pending.borrow_mut();
        if queue.len() >= self.max_pending || self.full.get() && self.is_full() {
            return Err(self.queue_full(queue.len()));
        }
        let written = self.conn.write_with(|out| out.extend_from_slice(command));
        self.written(written, &mut queue, pending)
    }

    /// Sends encoded commands that have waited for the connection; they were counted when they were queued.
    pub(super) fn send_all(&self, bytes: &[u8], replies: Vec<Option<Id>>) {
        let pending = |reply: Option<Id>| reply.map_or(Pending::Ignored, Pending::Reply);
        self.pending
            .borrow_mut()
            .extend(replies.into_iter().map(pending));
        if self.conn.write_with(|out| out.extend_from_slice(bytes)) == Some(false) {
            self.full.set(true);
        }
    }

    /// Restores a subscription. Their number has its own limit.
    pub(super) fn restore(&self, change: SubscriptionChange, arguments: &impl Arguments) {
        let mut queue = self.pending.borrow_mut();
        let written = self.conn.write_with(|out| encode_command(out, arguments));
        // A closed connection is followed by another restoration.
        drop(self.written(written, &mut queue, Pending::Subscription(Box::new(change))));
    }

    #[inline]
    fn written(
        &self,
        written: Option<bool>,
        queue: &mut VecDeque<Pending>,
        pending: Pending,
    ) -> Result<(), Error> {
        match written {
            Some(true) => {}
            Some(false) => self.full.set(true),
            None => return Err(Error::Closed),
        }
        queue.push_back(pending);
        Ok(())
    }

    /// Sends a command and returns its reply.
    pub(super) fn call<T: FromValue>(&self, arguments: &impl Arguments) -> Reply<T> {
        reply::reply(match reply::add() {
            Some(id) => self.send(Pending::Reply(id), arguments).map(|()| id),
            None => Err(Error::Closed),
        })
    }

    #[cold]
    fn is_full(&self) -> bool {
        self.conn.buffered() >= self.max_queued_bytes
    }

    #[cold]
    fn queue_full(&self, commands: usize) -> Error {
        Error::QueueFull {
            address: Arc::clone(&self.address),
            commands,
            bytes: self.conn.buffered(),
        }
    }

    /// Closes the connection because of an error.
    pub(super) fn fail(&self, error: Error) {
        self.failure.borrow_mut().get_or_insert(error);
        self.conn.close();
    }

    fn received(&self, value: Value) {
        match value {
            Value::Push(elements) => self.pushed(elements),
            Value::Array(elements) if self.subscribes_with_arrays.get() => self.pushed(elements),
            Value::Error(error) => self.replied_with_error(&error),
            value => self.replied(Ok(value)),
        }
    }

    #[inline]
    fn replied(&self, result: RawResult) {
        let (pending, is_last) = {
            let mut queue = self.pending.borrow_mut();
            (queue.pop_front(), queue.is_empty())
        };
        match pending {
            Some(Pending::Reply(id)) => {
                if let Some(error) = reply::complete(id, result)
                    && let Some(endpoint) = self.endpoint()
                {
                    endpoint.unused_error(error);
                }
            }
            Some(Pending::Ignored) => {}
            // Only pushes and errors are responses to subscriptions.
            Some(Pending::Subscription(_)) | None => {
                let reason = "a reply does not belong to a command".into();
                let address = Arc::clone(&self.address);
                self.fail(Error::Protocol { address, reason });
            }
        }
        if is_last && self.draining.get() {
            self.drained();
        }
    }

    #[cold]
    fn replied_with_error(&self, error: &ServerError) {
        let subscription = {
            let mut queue = self.pending.borrow_mut();
            match queue.front() {
                Some(Pending::Subscription(_)) => queue.pop_front(),
                _ => None,
            }
        };
        let error = Error::reply(error);
        match (subscription, self.endpoint()) {
            (Some(Pending::Subscription(change)), Some(endpoint)) => {
                endpoint.subscription_failed(*change, error)
            }
            _ => self.replied(Err(error)),
        }
    }

    fn pushed(&self, mut elements: Vec<Value>) {
        let Some(endpoint) = self.endpoint() else {
            return;
        };
        match interpret(&mut elements) {
            PubSubMessage::Message(message) => endpoint.message(message),
            PubSubMessage::Subscribed(kind, channel) => {
                let change = self.take_change(|change| {
                    change.subscribed && change.kind == kind && change.channel == channel
                });
                if let Some(change) = change {
                    endpoint.subscribed(&change);
                }
            }
            PubSubMessage::Unsubscribed(kind, channel) => {
                let channel = channel.unwrap_or_default();
                let change = self.take_change(|change| {
                    !change.subscribed && change.kind == kind && change.channel == channel
                });
                match change {
                    Some(change) => {
                        drop(change.reply.map(|id| reply::complete(id, Ok(Value::Null))))
                    }
                    // In a cluster, the slot has moved to another node.
                    None => endpoint.resubscribe(kind, channel),
                }
            }
            PubSubMessage::Pong => self.replied(Ok(Value::Null)),
            PubSubMessage::Unknown => {
                tracing::debug!("{} sent a push message of an unknown kind", self.address)
            }
        }
        self.decoder.borrow_mut().recycle(elements);
        if self.draining.get() && self.pending() == 0 {
            self.drained();
        }
    }

    /// Removes the first pending command, if it is a matching change of a subscription.
    fn take_change(
        &self,
        matches: impl FnOnce(&SubscriptionChange) -> bool,
    ) -> Option<Box<SubscriptionChange>> {
        let mut queue = self.pending.borrow_mut();
        let is_match =
            matches!(queue.front(), Some(Pending::Subscription(change)) if matches(change));
        match is_match.then(|| queue.pop_front()) {
            Some(Some(Pending::Subscription(change))) => Some(change),
            _ => None,
        }
    }

    fn endpoint(&self) -> Option<Rc<Endpoint>> {
        self.endpoint.borrow().upgrade()
    }

    #[cold]
    fn drained(&self) {
        if let Some(endpoint) = self.endpoint() {
            endpoint.drained();
        }
    }

    /// Starts the health check: after an interval without received bytes a `PING` is sent, and if nothing is received within the timeout after
    /// that, the link fails.
    pub(super) fn check_health(self: &Rc<Self>, interval: Duration, timeout: Duration) {
        let link = Rc::downgrade(self);
        let seen = self.conn.bytes_read();
        let timer = add_timer(interval, move || {
            let Some(link) = link.upgrade().filter(|link| link.is_open()) else {
                return;
            };
            if link.conn.bytes_read() != seen {
                return link.check_health(interval, timeout);
            }
            // Commands that are pending already need a response as well.
            if link.pending() == 0 {
                drop(link.send(Pending::Ignored, &"PING"));
            }
            let weak = Rc::downgrade(&link);
            let timer = add_timer(timeout, move || {
                let Some(link) = weak.upgrade().filter(|link| link.is_open()) else {
                    return;
                };
                if link.conn.bytes_read() != seen {
                    return link.check_health(interval, timeout);
                }
                link.fail(Error::Timeout {
                    address: Arc::clone(&link.address),
                    operation: "the health check",
                    after: timeout,
                });
            });
            link.health.set(Some(timer));
        });
        self.health.set(Some(timer));
    }

    /// Returns the reason why the connection was lost.
    pub(super) fn failure(&self) -> Error {
        let failure = self.failure.borrow().clone();
        failure.unwrap_or_else(|| Error::Ended {
            address: Arc::clone(&self.address),
        })
    }
}

impl Session<Connection> for Link {
    fn data(&self, _: &Visit<Connection>, bytes: &mut BytesMut) {
        self.decoder.borrow_mut().push(bytes.split());
        while self.is_open() {
            let decoded = self.decoder.borrow_mut().decode();
            match decoded {
                Ok(Some(value)) => self.received(value),
                Ok(None) => return,
                Err(error) => return self.fail(Error::protocol(&self.address, error)),
            }
        }
    }

    fn end(&self, _: &Visit<Connection>) {
        // The connection ends as well, and `close` follows.
    }

    fn drain(&self, _: &Visit<Connection>) {
        self.full.set(false);
    }

    fn error(&self, _: &Visit<Connection>, error: &uptick_socket::Error) {
        self.failure
            .borrow_mut()
            .get_or_insert(Error::Connection(error.clone()));
    }

    fn close(&self, _: &Visit<Connection>) {
        self.closed.set(true);
        if let Some(timer) = self.health.take() {
            timer.cancel();
        }
        let failure = self.failure();
        let lost = Error::Disconnected {
            address: Arc::clone(&self.address),
            cause: failure.to_string().into(),
        };
        let endpoint = self.endpoint();
        let pending = std::mem::take(&mut *self.pending.borrow_mut());
        for command in pending {
            match command {
                Pending::Reply(id) => drop(reply::complete(id, Err(lost.clone()))),
                // The subscription is not restored with the next connection, so it has ended.
                Pending::Subscription(change) => {
                    if let Some(id) = change.reply {
                        reply::complete(id, Ok(Value::Null));
                    }
                }
                Pending::Ignored => {}
            }
        }
        if let Some(endpoint) = endpoint {
            endpoint.lost(self, failure);
        }
    }
}
