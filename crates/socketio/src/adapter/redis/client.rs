//! The Redis client as a [`Broker`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;
use uptick_emitter::{Emitter, ListenerId};
use uptick_redis::{Error, Message, Redis, Reply};

use super::broker::{Broker, Channel, OnMessage, Topic, TopicId};
use crate::Promise;

/// A Redis client, and the callbacks of its subscriptions.
pub(super) struct RedisBroker {
    redis: Redis,
    callbacks: Rc<RefCell<Callbacks>>,
    listener: ListenerId,
}

/// The callbacks of a topic.
type TopicCallbacks = SmallVec<[(TopicId, OnMessage); 1]>;

/// The callbacks of the subscriptions.
#[derive(Default)]
struct Callbacks {
    last: u64,
    topics: HashMap<TopicId, Topic>,
    channels: HashMap<Bytes, TopicCallbacks>,
    patterns: HashMap<Bytes, TopicCallbacks>,
    sharded: HashMap<Bytes, TopicCallbacks>,
}

impl RedisBroker {
    pub(super) fn new(redis: Redis) -> RedisBroker {
        let callbacks = Rc::new(RefCell::new(Callbacks::default()));
        let shared = Rc::clone(&callbacks);
        let listener = redis.on(Redis::MESSAGE, move |message: Message| {
            let found: SmallVec<[OnMessage; 2]> = shared.borrow().of_message(&message);
            if found.is_empty() {
                return;
            }
            let Ok(channel) = str::from_utf8(&message.channel) else {
                return;
            };
            for callback in found {
                callback(channel, message.payload.clone());
            }
        });
        RedisBroker {
            redis,
            callbacks,
            listener,
        }
    }

    fn unsubscribe_from(&self, topic: &Topic) {
        // An error is an `error` event of the client.
        drop(match topic {
            Topic::Channel(name) => self.redis.unsubscribe(name),
            Topic::Pattern(name) => self.redis.punsubscribe(name),
            Topic::Sharded(name) => self.redis.sunsubscribe(name),
        });
    }
}

impl Callbacks {
    fn of_message(&self, message: &Message) -> SmallVec<[OnMessage; 2]> {
        let callbacks = match &message.pattern {
            Some(pattern) => self.patterns.get(pattern),
            None if message.sharded => self.sharded.get(&message.channel),
            None => self.channels.get(&message.channel),
        };
        let callbacks = callbacks.into_iter().flatten();
        callbacks.map(|(_, callback)| Rc::clone(callback)).collect()
    }

    /// Returns the table with the topic, and the name of the topic.
    fn table<'a>(&mut self, topic: &'a Topic) -> (&mut HashMap<Bytes, TopicCallbacks>, &'a str) {
        match topic {
            Topic::Channel(name) => (&mut self.channels, name),
            Topic::Pattern(name) => (&mut self.patterns, name),
            Topic::Sharded(name) => (&mut self.sharded, name),
        }
    }

    fn add(&mut self, topic: Topic, on_message: OnMessage) -> TopicId {
        self.last += 1;
        let id = TopicId(self.last);
        let (table, name) = self.table(&topic);
        let name = Bytes::copy_from_slice(name.as_bytes());
        table.entry(name).or_default().push((id, on_message));
        self.topics.insert(id, topic);
        id
    }

    /// Removes a callback. Returns the topic if the callback was its last.
    fn remove(&mut self, id: TopicId) -> Option<Topic> {
        let topic = self.topics.remove(&id)?;
        let (table, name) = self.table(&topic);
        let callbacks = table.get_mut(name.as_bytes())?;
        callbacks.retain(|(other, _)| *other != id);
        if !callbacks.is_empty() {
            return None;
        }
        table.remove(name.as_bytes());
        Some(topic)
    }
}

impl Broker for RedisBroker {
    fn publish(&self, channel: Channel<'_>, payload: Bytes) -> Promise<Result<(), String>> {
        promise(match channel {
            Channel::Plain(name) => self.redis.publish(name, payload),
            Channel::Sharded(name) => self.redis.spublish(name, payload),
        })
        .map(|result| result.map(|_| ()))
    }

    fn subscribe(
        &self,
        topic: Topic,
        on_message: OnMessage,
    ) -> (TopicId, Promise<Result<(), String>>) {
        let confirmed = promise(match &topic {
            Topic::Channel(name) => self.redis.subscribe(name),
            Topic::Pattern(name) => self.redis.psubscribe(name),
            Topic::Sharded(name) => self.redis.ssubscribe(name),
        });
        let id = self.callbacks.borrow_mut().add(topic, on_message);
        (id, confirmed)
    }

    fn unsubscribe(&self, id: TopicId) {
        let unused = self.callbacks.borrow_mut().remove(id);
        if let Some(topic) = unused {
            self.unsubscribe_from(&topic);
        }
    }

    fn subscribers(&self, channel: Channel<'_>) -> Promise<Result<usize, String>> {
        promise(match channel {
            Channel::Plain(name) => self.redis.pubsub_numsub(name),
            Channel::Sharded(name) => self.redis.pubsub_shardnumsub(name),
        })
        .map(|count| count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
    }
}

impl Drop for RedisBroker {
    fn drop(&mut self) {
        self.redis.off(self.listener);
    }
}

fn promise<T: 'static>(reply: Reply<T>) -> Promise<Result<T, String>> {
    let (promise, resolver) = Promise::pending();
    reply.then(move |result: Result<T, Error>| {
        resolver.resolve(result.map_err(|error| error.to_string()));
    });
    promise
}
