//! The state of a client, and its table.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use uptick_emitter::{Listeners, emit};
use uptick_event_loop::{Id, Table, Timer, add_timer, catch, future_tick};

use super::blocking::BlockingCommands;
use super::cluster::ClusterNodes;
use super::connecting::Config;
use super::endpoint::{Endpoint, Role};
use super::handle::{Message, Reconnecting, Redis};
use super::subscriptions::SubscriptionKind;
use crate::Error;
use crate::options::RedisOptions;
use crate::protocol::Arguments;
use crate::reply;
use crate::url::RedisUrl;

pub(super) struct Client {
    handle: Cell<Option<Redis>>,
    me: Weak<Client>,
    pub(super) listeners: RefCell<Listeners>,
    pub(super) config: Rc<Config>,
    pub(super) main: Rc<Endpoint>,
    /// The connection for subscriptions with RESP2.
    subscriber: RefCell<Option<Rc<Endpoint>>>,
    pub(super) nodes: RefCell<ClusterNodes>,
    pub(super) blocking: RefCell<BlockingCommands>,
    /// `true` from the call of `close` or `disconnect` on.
    closing: Cell<bool>,
    closed: Cell<bool>,
    close_timer: Cell<Option<Timer>>,
    /// `true` once `error` was emitted because a queue is full, until there is room.
    full_reported: Cell<bool>,
}

thread_local! {
    static CLIENTS: RefCell<Table<Rc<Client>>> = const { RefCell::new(Table::new()) };
}

/// Calls `f` with the client of an id.
#[inline]
pub(super) fn with_client<R>(id: Option<Id>, f: impl FnOnce(&Rc<Client>) -> R) -> Option<R> {
    CLIENTS
        .try_with(|clients| clients.borrow().get(id?).map(f))
        .ok()
        .flatten()
}

/// Returns the client of an id.
#[inline]
pub(super) fn client(id: Option<Id>) -> Option<Rc<Client>> {
    with_client(id, Rc::clone)
}

/// Creates a client and starts connecting.
pub(super) fn open(url: RedisUrl, mut options: RedisOptions) -> Option<Id> {
    options.connector = Some(options.connector_or_default());
    let config = Rc::new(Config { url, options });
    let client = Rc::new_cyclic(|me: &Weak<Client>| Client {
        handle: Cell::new(None),
        me: me.clone(),
        listeners: RefCell::new(Listeners::new()),
        main: Endpoint::new(me.clone(), &config, config.url.clone(), Role::Main),
        subscriber: RefCell::new(None),
        nodes: RefCell::default(),
        blocking: RefCell::default(),
        closing: Cell::new(false),
        closed: Cell::new(false),
        close_timer: Cell::new(None),
        full_reported: Cell::new(false),
        config,
    });
    let id = CLIENTS
        .try_with(|clients| clients.borrow_mut().insert(Rc::clone(&client)))
        .ok()
        .flatten();
    client.handle.set(id.map(Redis::of));
    client.main.start();
    id
}

impl Client {
    pub(super) fn options(&self) -> &RedisOptions {
        &self.config.options
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Sends a command to the main server.
    #[inline]
    pub(super) fn send(&self, arguments: &impl Arguments) -> Result<Id, Error> {
        self.send_to(&self.main, arguments)
    }

    /// Sends a command to a server.
    #[inline]
    pub(super) fn send_to(
        &self,
        endpoint: &Rc<Endpoint>,
        arguments: &impl Arguments,
    ) -> Result<Id, Error> {
        if self.closing.get() {
            return Err(Error::Closed);
        }
        let id = reply::add().ok_or(Error::Closed)?;
        let sent = endpoint.send(Some(id), arguments);
        if let Err(error) = sent {
            reply::remove(id);
            self.refused(&error);
            return Err(error);
        }
        if self.full_reported.get() {
            self.full_reported
                .set(endpoint.pending() > self.options().max_pending / 2);
        }
        Ok(id)
    }

    /// Reports a full queue once, until there is room again.
    #[cold]
    pub(super) fn refused(&self, error: &Error) {
        if !matches!(error, Error::QueueFull { .. }) || self.full_reported.replace(true) {
            return;
        }
        let (me, error) = (self.me.clone(), error.clone());
        future_tick(move || {
            if let Some(client) = me.upgrade() {
                client.emit_error(error);
            }
        });
    }

    /// Returns the endpoint for subscriptions: the main one, unless its server uses RESP2.
    fn subscriber(&self) -> Rc<Endpoint> {
        let subscriber = self.subscriber.borrow();
        Rc::clone(subscriber.as_ref().unwrap_or(&self.main))
    }

    pub(super) fn subscribe(&self, kind: SubscriptionKind, channel: Bytes) -> Result<Id, Error> {
        if self.closing.get() {
            return Err(Error::Closed);
        }
        let endpoint = self.subscribing_endpoint(kind, &channel);
        let limit = self.options().max_subscriptions;
        if self.subscriptions() >= limit
            && !endpoint
                .subscriptions
                .borrow()
                .all
                .contains_key(&(kind, channel.clone()))
        {
            return Err(Error::TooMany {
                operation: "subscribing",
                limit,
            });
        }
        let id = reply::add().ok_or(Error::Closed)?;
        endpoint.subscribe(kind, channel, vec![id]);
        Ok(id)
    }

    pub(super) fn unsubscribe(&self, kind: SubscriptionKind, channel: Bytes) -> Result<Id, Error> {
        if self.closing.get() {
            return Err(Error::Closed);
        }
        let id = reply::add().ok_or(Error::Closed)?;
        let key = (kind, channel);
        let owner = self
            .endpoints()
            .into_iter()
            .find(|endpoint| endpoint.subscriptions.borrow().all.contains_key(&key));
        let (kind, channel) = key;
        let endpoint = owner.unwrap_or_else(|| self.subscribing_endpoint(kind, &channel));
        endpoint.unsubscribe(kind, channel, Some(id));
        Ok(id)
    }

    fn subscribing_endpoint(&self, kind: SubscriptionKind, channel: &[u8]) -> Rc<Endpoint> {
        match kind {
            SubscriptionKind::Sharded if self.options().cluster => self.node_of(channel),
            _ => self.subscriber(),
        }
    }

    /// Returns the number of subscriptions.
    fn subscriptions(&self) -> usize {
        let count = |endpoint: &Rc<Endpoint>| endpoint.subscriptions.borrow().all.len();
        let nodes: usize = self.nodes.borrow().endpoints().map(count).sum();
        count(&self.main) + self.subscriber.borrow().as_ref().map_or(0, count) + nodes
    }

    /// Moves the subscriptions to a separate connection, because the main one uses RESP2.
    pub(super) fn move_subscriptions(&self) {
        let subscriptions = std::mem::take(&mut *self.main.subscriptions.borrow_mut());
        let subscriber = {
            let mut subscriber = self.subscriber.borrow_mut();
            let subscriber = subscriber.get_or_insert_with(|| {
                Endpoint::new(
                    self.me.clone(),
                    &self.config,
                    self.config.url.clone(),
                    Role::Subscriber,
                )
            });
            Rc::clone(subscriber)
        };
        for ((kind, channel), subscription) in subscriptions.all {
            subscriber.subscribe(kind, channel, subscription.replies);
        }
    }

    pub(super) fn endpoint_of_node(&self, url: RedisUrl) -> Rc<Endpoint> {
        let node = Endpoint::new(self.me.clone(), &self.config, url, Role::Node);
        node.start();
        node
    }

    fn endpoints(&self) -> Vec<Rc<Endpoint>> {
        let mut all = vec![Rc::clone(&self.main)];
        all.extend(self.subscriber.borrow().clone());
        all.extend(self.nodes.borrow().endpoints().cloned());
        all
    }

    /// Closes the client when all pending commands are complete, or after the close timeout.
    pub(super) fn close(&self) {
        if self.closing.replace(true) {
            return;
        }
        for endpoint in self.endpoints() {
            endpoint.drain();
        }
        let me = self.me.clone();
        let timer = add_timer(self.options().close_timeout, move || {
            if let Some(client) = me.upgrade() {
                client.disconnect();
            }
        });
        self.close_timer.set(Some(timer));
        self.check_drained();
    }

    /// Closes the client if it is closing and nothing is pending.
    pub(super) fn check_drained(&self) {
        if !self.closing.get() || self.closed.get() {
            return;
        }
        let pending: usize = self
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.pending())
            .sum();
        if pending == 0 && self.blocking.borrow().is_empty() {
            self.disconnect();
        }
    }

    /// Closes all connections. `close` is emitted in the next iteration.
    pub(super) fn disconnect(&self) {
        self.closing.set(true);
        if self.closed.replace(true) {
            return;
        }
        if let Some(timer) = self.close_timer.take() {
            timer.cancel();
        }
        for endpoint in self.endpoints() {
            endpoint.close();
        }
        self.close_blocking();
        let Some(client) = self.me.upgrade() else {
            return;
        };
        future_tick(move || {
            client.emitting(|redis| emit(&redis, Redis::CLOSE, ()));
            let id = client.handle.get().and_then(Redis::id);
            let removed = CLIENTS.try_with(|clients| clients.borrow_mut().remove(id?));
            drop(removed);
        });
    }

    fn emitting<R>(&self, f: impl FnOnce(Redis) -> R) {
        let Some(redis) = self.handle.get() else {
            return;
        };
        // A panic must not close the connection, which other listeners use as well.
        let called = catch(|| {
            f(redis);
        });
        if let Err(message) = called {
            tracing::error!("a listener of a Redis client panicked: {message}");
        }
    }

    #[inline]
    pub(super) fn emit_message(&self, message: Message) {
        if !self.closed.get() {
            self.emitting(|redis| emit(&redis, Redis::MESSAGE, message));
        }
    }

    pub(super) fn emit_ready(&self) {
        self.emitting(|redis| emit(&redis, Redis::READY, ()));
    }

    pub(super) fn emit_disconnect(&self, error: Error) {
        self.emitting(|redis| emit(&redis, Redis::DISCONNECT, error));
    }

    pub(super) fn emit_reconnect(&self, reconnecting: Reconnecting) {
        self.emitting(|redis| emit(&redis, Redis::RECONNECT, reconnecting));
    }

    pub(super) fn emit_error(&self, error: Error) {
        self.emitting(|redis| emit(&redis, Redis::ERROR, error));
    }

    /// Returns the addresses of the other nodes of the cluster to which connections are kept.
    pub(super) fn node_addresses(&self) -> Vec<Arc<str>> {
        let nodes = self.nodes.borrow();
        nodes
            .endpoints()
            .map(|node| Arc::clone(&node.url.address))
            .collect()
    }
}
