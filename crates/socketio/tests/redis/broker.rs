//! A broker in memory, which delivers messages in later iterations of the event loop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use uptick_event_loop::future_tick;
use uptick_socketio::Promise;
use uptick_socketio::adapter::redis::broker::{Broker, Channel, OnMessage, Topic, TopicId};

/// A server in memory.
#[derive(Clone, Default)]
pub(crate) struct FakeRedis(Rc<FakeState>);

#[derive(Default)]
struct FakeState {
    /// All subscriptions, with the connection that each belongs to.
    topics: RefCell<Vec<(TopicId, u64, Topic, OnMessage)>>,
    last: Cell<u64>,
    /// Set while nothing can be published or counted.
    is_down: Cell<bool>,
    /// All published messages.
    published: RefCell<Vec<(String, Bytes)>>,
}

impl FakeRedis {
    /// Returns a new connection.
    pub(crate) fn connect(&self) -> FakeConnection {
        FakeConnection {
            redis: self.clone(),
            id: self.next(),
        }
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.0.is_down.set(is_down);
    }

    /// Returns and removes the messages that were published, with their channels.
    pub(crate) fn published(&self) -> Vec<(String, Bytes)> {
        self.0.published.take()
    }

    /// Returns the subscriptions, sorted.
    pub(crate) fn topics(&self) -> Vec<String> {
        let topics = self.0.topics.borrow();
        let mut topics: Vec<String> = topics
            .iter()
            .map(|(.., topic, _)| format!("{topic:?}"))
            .collect();
        topics.sort();
        topics
    }

    fn next(&self) -> u64 {
        self.0.last.set(self.0.last.get() + 1);
        self.0.last.get()
    }

    /// Publishes a message as a foreign program.
    pub(crate) fn inject(&self, channel: Channel<'_>, payload: impl Into<Bytes>) {
        let payload = payload.into();
        let (name, matching): (&str, Vec<_>) = {
            let topics = self.0.topics.borrow();
            let (name, is_sharded) = match channel {
                Channel::Plain(name) => (name, false),
                Channel::Sharded(name) => (name, true),
            };
            let matches = |topic: &Topic| match topic {
                Topic::Channel(topic) => !is_sharded && topic == name,
                Topic::Sharded(topic) => is_sharded && topic == name,
                Topic::Pattern(pattern) => {
                    let prefix = pattern.strip_suffix('*').unwrap().replace('\\', "");
                    !is_sharded && name.starts_with(&prefix)
                }
            };
            let matching = topics.iter().filter(|(.., topic, _)| matches(topic));
            (name, matching.map(|(id, ..)| *id).collect())
        };
        self.0
            .published
            .borrow_mut()
            .push((name.to_owned(), payload.clone()));
        for id in matching {
            let (redis, name, payload) = (self.clone(), name.to_owned(), payload.clone());
            future_tick(move || {
                let callback = {
                    let topics = redis.0.topics.borrow();
                    let topic = topics.iter().find(|(other, ..)| *other == id);
                    topic.map(|(.., callback)| Rc::clone(callback))
                };
                if let Some(callback) = callback {
                    callback(&name, payload);
                }
            });
        }
    }
}

/// A connection to a [`FakeRedis`].
#[derive(Clone)]
pub(crate) struct FakeConnection {
    redis: FakeRedis,
    id: u64,
}

impl FakeConnection {
    /// Returns a promise with a result that is set in a later iteration.
    fn later<T: 'static>(&self, value: T) -> Promise<Result<T, String>> {
        let is_down = self.redis.0.is_down.get();
        let (promise, resolver) = Promise::pending();
        future_tick(move || {
            resolver.resolve(match is_down {
                true => Err("not connected".to_owned()),
                false => Ok(value),
            });
        });
        promise
    }
}

impl Broker for FakeConnection {
    fn publish(&self, channel: Channel<'_>, payload: Bytes) -> Promise<Result<(), String>> {
        if !self.redis.0.is_down.get() {
            self.redis.inject(channel, payload);
        }
        self.later(())
    }

    fn subscribe(
        &self,
        topic: Topic,
        on_message: OnMessage,
    ) -> (TopicId, Promise<Result<(), String>>) {
        let id = TopicId(self.redis.next());
        let mut topics = self.redis.0.topics.borrow_mut();
        topics.push((id, self.id, topic, on_message));
        drop(topics);
        (id, self.later(()))
    }

    fn unsubscribe(&self, id: TopicId) {
        let mut topics = self.redis.0.topics.borrow_mut();
        topics.retain(|(other, ..)| *other != id);
    }

    fn subscribers(&self, channel: Channel<'_>) -> Promise<Result<usize, String>> {
        let expected = match channel {
            Channel::Plain(name) => Topic::Channel(name.to_owned()),
            Channel::Sharded(name) => Topic::Sharded(name.to_owned()),
        };
        let topics = self.redis.0.topics.borrow();
        let connections = topics.iter().filter(|(.., topic, _)| *topic == expected);
        let mut connections: Vec<u64> = connections.map(|(_, id, ..)| *id).collect();
        connections.sort_unstable();
        connections.dedup();
        self.later(connections.len())
    }
}
