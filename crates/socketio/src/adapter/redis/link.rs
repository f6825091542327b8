//! The connection of a namespace to Redis: its subscriptions, and publishing with counters.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

use super::broker::{Broker, Channel, OnMessage, Topic, TopicId};
use super::stats::Counters;
use super::wire::WireError;
use crate::Promise;
use crate::adapter::Servers;

/// Maximum number of requests of a namespace that wait until Redis has confirmed its subscriptions.
const MAX_WAITING: usize = 1000;

/// The connection of a namespace to Redis.
pub(super) struct Link {
    broker: Rc<dyn Broker>,
    pub(super) counters: Rc<Counters>,
    /// The subscriptions that do not depend on rooms.
    topics: RefCell<Vec<TopicId>>,
    /// The number of these subscriptions that are not confirmed.
    unconfirmed: Cell<usize>,
    /// Requests that wait for the confirmation.
    waiting: RefCell<Vec<Box<dyn FnOnce()>>>,
    is_open: Cell<bool>,
}

impl Link {
    pub(super) fn new(broker: Rc<dyn Broker>, counters: Rc<Counters>) -> Rc<Link> {
        Rc::new(Link {
            broker,
            counters,
            topics: RefCell::default(),
            unconfirmed: Cell::new(0),
            waiting: RefCell::default(),
            is_open: Cell::new(true),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Publishes a message. An error is counted and logged.
    pub(super) fn publish(&self, channel: Channel<'_>, payload: Result<Bytes, WireError>) {
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => return self.counters.lost(&error.to_string()),
        };
        let counters = Rc::clone(&self.counters);
        let published = self.broker.publish(channel, payload);
        published.then(move |result| counters.published(&result));
    }

    /// Subscribes to a topic for the lifetime of the namespace. Requests wait until it is confirmed.
    pub(super) fn subscribe(self: &Rc<Self>, topic: Topic, on_message: OnMessage) {
        let (id, confirmed) = self.broker.subscribe(topic, on_message);
        self.topics.borrow_mut().push(id);
        self.unconfirmed.set(self.unconfirmed.get() + 1);
        let link = Rc::downgrade(self);
        confirmed.then(move |result| {
            let Some(link) = link.upgrade() else { return };
            if let Err(error) = result {
                link.counters.refused(&error);
            }
            link.unconfirmed.set(link.unconfirmed.get() - 1);
            if link.unconfirmed.get() == 0 {
                let waiting = link.waiting.take();
                waiting.into_iter().for_each(|request| request());
            }
        });
    }

    /// Subscribes to the topic of a room.
    pub(super) fn subscribe_room(&self, topic: Topic, on_message: OnMessage) -> TopicId {
        let (id, confirmed) = self.broker.subscribe(topic, on_message);
        let counters = Rc::clone(&self.counters);
        confirmed.then(move |result| {
            if let Err(error) = result {
                counters.refused(&error);
            }
        });
        id
    }

    pub(super) fn unsubscribe(&self, id: TopicId) {
        self.broker.unsubscribe(id);
    }

    /// Counts the other servers, which are subscribed to `channel`, and then publishes a request to them. Both wait until the own subscriptions are confirmed, because
    /// otherwise this server might not be counted, and would miss the responses.
    pub(super) fn request(
        self: &Rc<Self>,
        channel: Channel<'_>,
        payload: Result<Bytes, WireError>,
    ) -> Promise<Servers> {
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => {
                self.counters.lost(&error.to_string());
                return Promise::ready(Servers::Unknown);
            }
        };
        if self.unconfirmed.get() == 0 {
            return self.count_and_publish(channel, payload);
        }
        if self.waiting.borrow().len() >= MAX_WAITING {
            self.counters
                .lost("too many requests wait for the subscriptions");
            return Promise::ready(Servers::Unknown);
        }
        let (promise, resolver) = Promise::pending();
        let (link, channel) = (Rc::downgrade(self), OwnedChannel::of(channel));
        self.waiting.borrow_mut().push(Box::new(move || {
            match link.upgrade().filter(|link| link.is_open()) {
                Some(link) => link
                    .count_and_publish(channel.as_channel(), payload)
                    .then(move |servers| resolver.resolve(servers)),
                None => resolver.resolve(Servers::Unknown),
            }
        }));
        promise
    }

    fn count_and_publish(&self, channel: Channel<'_>, payload: Bytes) -> Promise<Servers> {
        let subscribers = self.broker.subscribers(channel);
        self.publish(channel, Ok(payload));
        subscribers.map(|count| match count {
            // This server is one of the subscribers.
            Ok(count) => Servers::Count(count.saturating_sub(1)),
            Err(error) => {
                tracing::debug!("counting the Socket.IO servers failed: {error}");
                Servers::Unknown
            }
        })
    }

    /// Ends all subscriptions.
    pub(super) fn close(&self) {
        self.is_open.set(false);
        for id in self.topics.take() {
            self.broker.unsubscribe(id);
        }
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(|request| request());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

/// A channel with its own name.
enum OwnedChannel {
    Plain(String),
    Sharded(String),
}

impl OwnedChannel {
    fn of(channel: Channel<'_>) -> OwnedChannel {
        match channel {
            Channel::Plain(name) => OwnedChannel::Plain(name.to_owned()),
            Channel::Sharded(name) => OwnedChannel::Sharded(name.to_owned()),
        }
    }

    fn as_channel(&self) -> Channel<'_> {
        match self {
            OwnedChannel::Plain(name) => Channel::Plain(name),
            OwnedChannel::Sharded(name) => Channel::Sharded(name),
        }
    }
}
