//! A server to which the client keeps a connection: reconnection, waiting commands and subscriptions.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uptick_event_loop::driver::current_time;
use uptick_event_loop::{Backoff, Id, JoinHandle, Timer, add_timer, spawn};

use super::connecting::{Config, Established, establish};
use super::handle::{Message, Reconnecting};
use super::link::{Link, Pending};
use super::state::Client;
use super::subscriptions::{SubscriptionChange, SubscriptionKey, SubscriptionKind, Subscriptions};
use super::waiting::WaitingCommands;
use crate::Error;
use crate::protocol::{Arguments, Value};
use crate::reply;
use crate::url::RedisUrl;

/// Number of failed attempts after which another node of the cluster is looked for.
const MAX_NODE_ATTEMPTS: u32 = 3;

/// Minimum delay before a subscription is tried again.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The purpose of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Commands, and with RESP3 subscriptions.
    Main,
    /// Subscriptions with RESP2.
    Subscriber,
    /// Sharded channels on another node of the cluster.
    Node,
}

pub(super) struct Endpoint {
    client: Weak<Client>,
    config: Rc<Config>,
    pub(super) url: RedisUrl,
    role: Role,
    phase: RefCell<Phase>,
    /// The link, from the end of its handshake until it is lost.
    link: RefCell<Option<Rc<Link>>>,
    waiting: RefCell<WaitingCommands>,
    /// The timer for the first deadline of the waiting commands.
    expiry: Cell<Option<Timer>>,
    pub(super) subscriptions: RefCell<Subscriptions>,
    /// The number of consecutive failed attempts.
    failed: Cell<u32>,
    last_error: RefCell<Option<Error>>,
}

enum Phase {
    Idle,
    Connecting(JoinHandle<()>),
    Delayed(Timer),
    Ready,
    Closed,
}

impl Endpoint {
    pub(super) fn new(
        client: Weak<Client>,
        config: &Rc<Config>,
        url: RedisUrl,
        role: Role,
    ) -> Rc<Self> {
        Rc::new(Endpoint {
            client,
            config: Rc::clone(config),
            url,
            role,
            phase: RefCell::new(Phase::Idle),
            link: RefCell::new(None),
            waiting: RefCell::default(),
            expiry: Cell::new(None),
            subscriptions: RefCell::default(),
            failed: Cell::new(0),
            last_error: RefCell::new(None),
        })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.link.borrow().is_some()
    }

    /// Returns the number of commands that wait to be sent or for a reply.
    pub(super) fn pending(&self) -> usize {
        let sent = self.link.borrow().as_ref().map_or(0, |link| link.pending());
        sent + self.waiting.borrow().len()
    }

    /// Returns the number of bytes of commands that are queued.
    pub(super) fn queued_bytes(&self) -> usize {
        let link = self.link.borrow();
        let written = link.as_ref().map_or(0, |link| link.conn.buffered());
        written + self.waiting.borrow().size()
    }

    /// Sends a command, or queues it until there is a connection.
    #[inline]
    pub(super) fn send(
        self: &Rc<Self>,
        reply: Option<Id>,
        arguments: &impl Arguments,
    ) -> Result<(), Error> {
        if let Some(link) = &*self.link.borrow()
            && link.is_open()
        {
            let pending = reply.map_or(Pending::Ignored, Pending::Reply);
            return link.send(pending, arguments);
        }
        self.queue(reply, arguments)
    }

    #[cold]
    fn queue(self: &Rc<Self>, reply: Option<Id>, arguments: &impl Arguments) -> Result<(), Error> {
        let options = &self.config.options;
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= options.max_pending || waiting.size() >= options.max_queued_bytes {
            return Err(Error::QueueFull {
                address: Arc::clone(&self.url.address),
                commands: waiting.len(),
                bytes: waiting.size(),
            });
        }
        let deadline = current_time().saturating_add(options.command_timeout);
        waiting.push(reply, arguments, deadline);
        drop(waiting);
        if self.expiry.get().is_none() {
            self.expire_after(options.command_timeout);
        }
        Ok(())
    }

    fn expire_after(self: &Rc<Self>, delay: Duration) {
        let endpoint = Rc::downgrade(self);
        let timer = add_timer(delay, move || {
            if let Some(endpoint) = endpoint.upgrade() {
                endpoint.expire();
            }
        });
        self.expiry.set(Some(timer));
    }

    /// Fails the commands that have waited for the command timeout.
    fn expire(self: &Rc<Self>) {
        self.expiry.set(None);
        let now = current_time();
        let mut unused = None;
        loop {
            let expired = self.waiting.borrow_mut().expire(now);
            let Some(reply) = expired else { break };
            let last = self.last_error.borrow();
            let cause = last
                .as_ref()
                .map_or_else(String::new, |error| format!("; {error}"));
            drop(last);
            let error = Error::NotConnected {
                address: Arc::clone(&self.url.address),
                after: self.config.options.command_timeout,
                cause: cause.into(),
            };
            unused = unused.or(failed(reply, error));
        }
        self.report(unused);
        let next = self.waiting.borrow().deadline();
        if let Some(deadline) = next
            && self.expiry.get().is_none()
        {
            self.expire_after(deadline.saturating_sub(now));
        }
        self.drained();
    }

    fn fail(&self, reply: Option<Id>, error: Error) {
        self.report(failed(reply, error));
    }

    /// Reports the first of several equal errors of commands whose replies are not used.
    fn report(&self, unused: Option<Error>) {
        if let Some(error) = unused {
            self.unused_error(error);
        }
    }

    /// Starts connecting, unless that is done already.
    pub(super) fn start(self: &Rc<Self>) {
        if matches!(*self.phase.borrow(), Phase::Idle) {
            self.connect();
        }
    }

    fn connect(self: &Rc<Self>) {
        let endpoint = Rc::clone(self);
        let task = spawn(async move {
            let result = establish(&endpoint.config, &endpoint.url).await;
            match result {
                Ok(established) if established.link().is_open() => endpoint.ready(established),
                Ok(established) => endpoint.attempt_failed(established.link().failure()),
                Err(error) => endpoint.attempt_failed(error),
            }
        });
        *self.phase.borrow_mut() = Phase::Connecting(task);
    }

    fn ready(self: &Rc<Self>, established: Established) {
        let resp3 = established.resp3;
        let link = established.into_link();
        link.attach(self, self.role == Role::Subscriber && !resp3);
        *self.phase.borrow_mut() = Phase::Ready;
        *self.link.borrow_mut() = Some(Rc::clone(&link));
        self.failed.set(0);
        *self.last_error.borrow_mut() = None;
        let options = &self.config.options;
        link.check_health(options.health_interval, options.health_timeout);
        let Some(client) = self.client.upgrade() else {
            return link.conn.close();
        };
        if client.is_closing() {
            link.drain();
        }
        if self.role == Role::Main && !resp3 {
            client.move_subscriptions();
        }
        let subscriptions: Vec<SubscriptionKey> =
            self.subscriptions.borrow().all.keys().cloned().collect();
        for (kind, channel) in subscriptions {
            let change = self.subscribing(kind, &channel);
            link.restore(change, &(kind.subscribe(), &channel));
        }
        if let Some(timer) = self.expiry.take() {
            timer.cancel();
        }
        let (bytes, replies) = self.waiting.borrow_mut().take();
        if !replies.is_empty() {
            link.send_all(&bytes, replies);
        }
        if self.role == Role::Main {
            client.emit_ready();
        }
        self.drained();
    }

    fn attempt_failed(self: &Rc<Self>, error: Error) {
        let is_new = {
            let mut last = self.last_error.borrow_mut();
            let is_new = last
                .as_ref()
                .is_none_or(|last| last.to_string() != error.to_string());
            *last = Some(error.clone());
            is_new
        };
        // A refusal is not a matter of time: commands that wait fail at once.
        if matches!(error, Error::Refused { .. } | Error::InvalidUrl { .. }) {
            self.fail_waiting(&error);
        }
        let Some(client) = self.client.upgrade() else {
            return;
        };
        self.reconnect(&client, error.clone(), is_new);
        if self.role == Role::Node && self.failed.get() >= MAX_NODE_ATTEMPTS {
            self.fail_waiting(&error);
            client.node_unreachable(self);
        }
    }

    fn fail_waiting(&self, error: &Error) {
        let (_, replies) = self.waiting.borrow_mut().take();
        if let Some(timer) = self.expiry.take() {
            timer.cancel();
        }
        let mut unused = None;
        for reply in replies {
            unused = unused.or(failed(reply, error.clone()));
        }
        self.report(unused);
    }

    /// Schedules the next attempt.
    fn reconnect(self: &Rc<Self>, client: &Client, error: Error, emit_error: bool) {
        if matches!(*self.phase.borrow(), Phase::Closed) {
            return;
        }
        let failed = self.failed.get().saturating_add(1);
        self.failed.set(failed);
        let options = &self.config.options;
        let delay = Backoff::new(options.first_delay, options.max_delay)
            .with_min(Duration::from_millis(1))
            .with_jitter(50, 0)
            .delay(failed);
        let endpoint = Rc::downgrade(self);
        let timer = add_timer(delay, move || {
            if let Some(endpoint) = endpoint.upgrade() {
                endpoint.connect();
            }
        });
        *self.phase.borrow_mut() = Phase::Delayed(timer);
        if emit_error {
            client.emit_error(error.clone());
        }
        client.emit_reconnect(Reconnecting {
            attempt: failed,
            delay,
            error,
        });
    }

    /// Called when a link is lost.
    pub(super) fn lost(self: &Rc<Self>, link: &Link, error: Error) {
        {
            let mut current = self.link.borrow_mut();
            if !current
                .as_ref()
                .is_some_and(|current| std::ptr::eq(&**current, link))
            {
                return;
            }
            *current = None;
        }
        if matches!(*self.phase.borrow(), Phase::Closed) {
            return;
        }
        *self.phase.borrow_mut() = Phase::Idle;
        *self.last_error.borrow_mut() = Some(error.clone());
        let Some(client) = self.client.upgrade() else {
            return;
        };
        client.emit_disconnect(error.clone());
        // A listener may have closed the client.
        self.reconnect(&client, error, false);
        self.drained();
    }

    /// Subscribes. The reply is completed when the server has confirmed it, possibly after a reconnection.
    pub(super) fn subscribe(
        self: &Rc<Self>,
        kind: SubscriptionKind,
        channel: Bytes,
        replies: Vec<Id>,
    ) {
        let key = (kind, channel.clone());
        self.subscriptions.borrow_mut().add(key, replies);
        self.start();
        self.send_subscription(kind, channel);
    }

    /// Returns the change of a subscription command that is about to be sent.
    fn subscribing(&self, kind: SubscriptionKind, channel: &Bytes) -> SubscriptionChange {
        let key = (kind, channel.clone());
        SubscriptionChange {
            kind,
            channel: channel.clone(),
            subscribed: true,
            serial: self.subscriptions.borrow_mut().next_serial(&key),
            reply: None,
        }
    }

    fn send_subscription(&self, kind: SubscriptionKind, channel: Bytes) {
        let link = self.link.borrow().clone();
        let Some(link) = link else {
            return;
        };
        let change = self.subscribing(kind, &channel);
        let sent = link.send(
            Pending::Subscription(Box::new(change)),
            &(kind.subscribe(), &channel),
        );
        if let Err(error @ Error::QueueFull { .. }) = sent {
            self.end_subscription(kind, channel, error);
        }
    }

    /// Unsubscribes. The reply is completed when the server has confirmed it, or at once without a connection.
    pub(super) fn unsubscribe(&self, kind: SubscriptionKind, channel: Bytes, reply: Option<Id>) {
        let removed = self.remove(kind, channel.clone());
        for id in removed {
            reply::complete(id, Err(Error::Unsubscribed));
        }
        let link = self.link.borrow().clone();
        let change = SubscriptionChange {
            kind,
            channel: channel.clone(),
            subscribed: false,
            serial: 0,
            reply,
        };
        let sent = link.map(|link| {
            link.send(
                Pending::Subscription(Box::new(change)),
                &(kind.unsubscribe(), &channel),
            )
        });
        match sent {
            Some(Err(error @ Error::QueueFull { .. })) => self.fail(reply, error),
            Some(Ok(())) => {}
            _ => drop(reply.and_then(|id| reply::complete(id, Ok(Value::Null)))),
        }
    }

    /// Removes a subscription and returns the replies that wait for its confirmation.
    pub(super) fn remove(&self, kind: SubscriptionKind, channel: Bytes) -> Vec<Id> {
        let mut subscriptions = self.subscriptions.borrow_mut();
        let removed = subscriptions.all.remove(&(kind, channel));
        removed.map_or_else(Vec::new, |subscription| subscription.replies)
    }

    /// Called when the server has confirmed a subscription.
    pub(super) fn subscribed(&self, change: &SubscriptionChange) {
        let replies = {
            let mut subscriptions = self.subscriptions.borrow_mut();
            let current = subscriptions.current(change);
            current.map_or_else(Vec::new, |all| std::mem::take(&mut all.replies))
        };
        for id in replies {
            reply::complete(id, Ok(Value::Null));
        }
    }

    /// Called when the server has refused a change of a subscription.
    pub(super) fn subscription_failed(self: &Rc<Self>, change: SubscriptionChange, error: Error) {
        if !change.subscribed {
            return self.fail(change.reply, error);
        }
        if self.subscriptions.borrow_mut().current(&change).is_none() {
            return;
        }
        let client = self.client.upgrade();
        if client.is_some_and(|client| client.redirect_subscription(self, &change, &error)) {
            return;
        }
        if matches!(error.code(), Some("CLUSTERDOWN" | "LOADING" | "TRYAGAIN")) {
            return self.resubscribe_later(change);
        }
        self.end_subscription(change.kind, change.channel, error);
    }

    /// Subscribes again after a delay, because the server cannot do so at the moment.
    fn resubscribe_later(self: &Rc<Self>, change: SubscriptionChange) {
        let endpoint = Rc::downgrade(self);
        let delay = self.config.options.first_delay.max(MIN_RETRY_DELAY);
        add_timer(delay, move || {
            if let Some(endpoint) = endpoint.upgrade() {
                endpoint.resubscribe(change.kind, change.channel);
            }
        });
    }

    fn end_subscription(&self, kind: SubscriptionKind, channel: Bytes, error: Error) {
        let replies = self.remove(kind, channel);
        let mut is_unused = true;
        for id in replies {
            is_unused &= reply::complete(id, Err(error.clone())).is_some();
        }
        if is_unused {
            self.unused_error(error);
        }
    }

    /// Subscribes again, if the program still wants it.
    pub(super) fn resubscribe(self: &Rc<Self>, kind: SubscriptionKind, channel: Bytes) {
        let is_wanted = self
            .subscriptions
            .borrow()
            .all
            .contains_key(&(kind, channel.clone()));
        if is_wanted {
            self.send_subscription(kind, channel);
        }
    }

    #[inline]
    pub(super) fn message(&self, message: Message) {
        if let Some(client) = self.client.upgrade() {
            client.emit_message(message);
        }
    }

    /// Reports an error that is not used by a reply.
    #[cold]
    pub(super) fn unused_error(&self, error: Error) {
        // The loss of a connection was reported by `disconnect`.
        let is_reported = matches!(error, Error::Disconnected { .. } | Error::Closed);
        if let Some(client) = self.client.upgrade().filter(|_| !is_reported) {
            client.emit_error(error);
        }
    }

    /// Called when commands are complete, on which a closing client waits.
    pub(super) fn drained(&self) {
        if let Some(client) = self.client.upgrade() {
            client.check_drained();
        }
    }

    pub(super) fn drain(&self) {
        if let Some(link) = &*self.link.borrow() {
            link.drain();
        }
    }

    /// Closes the connection. Pending commands and subscriptions fail with [`Error::Closed`].
    pub(super) fn close(&self) {
        let phase = std::mem::replace(&mut *self.phase.borrow_mut(), Phase::Closed);
        match phase {
            Phase::Connecting(task) => task.cancel(),
            Phase::Delayed(timer) => timer.cancel(),
            Phase::Idle | Phase::Ready | Phase::Closed => {}
        }
        let link = self.link.take();
        if let Some(link) = link {
            match link.pending() {
                0 => link.conn.end(),
                _ => link.fail(Error::Closed),
            }
        }
        self.fail_waiting(&Error::Closed);
        let subscriptions = std::mem::take(&mut *self.subscriptions.borrow_mut());
        let replies = subscriptions.all.into_values().flat_map(|all| all.replies);
        for id in replies {
            reply::complete(id, Err(Error::Closed));
        }
    }
}

/// Completes a reply with an error. Returns the error if the reply is not used.
fn failed(reply: Option<Id>, error: Error) -> Option<Error> {
    reply::complete(reply?, Err(error))
}
