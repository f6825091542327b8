//! The adapter compatible with `createShardedAdapter`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use uptick_event_loop::{Timer, add_timer};
use uptick_redis::Redis;

use super::DEFAULT_PREFIX;
use super::broker::{Broker, Channel, OnMessage, Topic, TopicId};
use super::client::RedisBroker;
use super::link::Link;
use super::stats::{Counters, RedisAdapterStats};
use super::wire::cluster_message::{self, Content};
use crate::adapter::{
    Adapter, AdapterFactory, AdapterSink, ClusterMessage, ClusterResponse, Servers,
};
use crate::{Promise, random};

/// Maximum number of empty rooms of a namespace whose channels are kept for clients that may reconnect.
const MAX_RETAINED: usize = 10_000;

/// Length of the names of rooms that look like the id of a socket to the official adapter, in UTF-16 code units.
const SOCKET_ID_LENGTH: usize = 20;

/// Connects the namespaces of servers on several machines over sharded channels of Redis 7, compatible with `createShardedAdapter` of `@socket.io/redis-adapter` 8.
///
/// The channels are spread over the nodes of a Redis Cluster. With the default [mode](ShardedRedisAdapter::subscription_mode), each room has its own channel, and
/// broadcasts to a single room reach only servers that have a socket in it. Loss, requests and recovery are as described for [`RedisAdapter`](super::RedisAdapter).
///
/// # Limits
///
/// The limits of [`RedisAdapter`](super::RedisAdapter). In [`SubscriptionMode::Dynamic`], each room of this server needs a subscription. With
/// [recovery](crate::SocketIoOptions::recovery), the subscription of an empty room is kept for
/// [`max_disconnection`](crate::RecoveryOptions::max_disconnection), for up to 10,000 rooms of a namespace.
pub struct ShardedRedisAdapter {
    broker: Rc<dyn Broker>,
    prefix: String,
    mode: SubscriptionMode,
    counters: Rc<Counters>,
}

/// The channels of a [`ShardedRedisAdapter`]. All servers of a cluster need the same mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionMode {
    /// Two channels for each namespace.
    Static,
    /// An additional channel for each room, except for rooms named after the id of a socket.
    #[default]
    Dynamic,
}

impl ShardedRedisAdapter {
    /// Creates an adapter over a Redis client, which the program closes. Each server needs its own client, because servers are counted by their connections.
    pub fn new(redis: Redis) -> ShardedRedisAdapter {
        ShardedRedisAdapter::with_broker(RedisBroker::new(redis))
    }

    /// Creates an adapter over another Redis client.
    #[doc(hidden)]
    pub fn with_broker(broker: impl Broker + 'static) -> ShardedRedisAdapter {
        ShardedRedisAdapter {
            broker: Rc::new(broker),
            prefix: DEFAULT_PREFIX.to_owned(),
            mode: SubscriptionMode::default(),
            counters: Rc::default(),
        }
    }

    /// Sets the prefix of the channels (`channelPrefix` of the official adapter). All servers of a cluster need the same one. Default: `socket.io`.
    #[must_use]
    pub fn key(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Sets the mode. Default: [`SubscriptionMode::Dynamic`].
    #[must_use]
    pub fn subscription_mode(mut self, mode: SubscriptionMode) -> Self {
        self.mode = mode;
        self
    }

    /// Returns the factory for [`SocketIoOptions::adapter`](crate::SocketIoOptions::adapter).
    pub fn factory(&self) -> AdapterFactory {
        let (broker, counters) = (Rc::clone(&self.broker), Rc::clone(&self.counters));
        let (prefix, mode) = (self.prefix.clone(), self.mode);
        Rc::new(move |sink| {
            let link = Link::new(Rc::clone(&broker), Rc::clone(&counters));
            ShardedNamespace::open(link, &prefix, mode, sink)
        })
    }

    /// Returns the counters of the adapter, summed over its namespaces.
    pub fn stats(&self) -> RedisAdapterStats {
        self.counters.get()
    }
}

impl fmt::Debug for ShardedRedisAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardedRedisAdapter")
            .field("key", &self.prefix)
            .field("mode", &self.mode)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The adapter of a namespace.
struct ShardedNamespace {
    own: Weak<ShardedNamespace>,
    uid: String,
    namespace: Rc<str>,
    /// The last bytes of the own messages, which are received, too: as JSON, and as MessagePack.
    own_endings: [Bytes; 2],
    /// `PREFIX#NSP#`
    channel: String,
    mode: SubscriptionMode,
    rooms: RefCell<HashMap<Box<str>, RoomSubscription>>,
    /// The number of rooms with a timer.
    retained: Cell<usize>,
    link: Rc<Link>,
    sink: AdapterSink,
}

/// The subscription to the channel of a room.
struct RoomSubscription {
    id: TopicId,
    /// The timer that ends the subscription, if the room is empty.
    timer: Option<Timer>,
}

impl ShardedNamespace {
    fn open(
        link: Rc<Link>,
        prefix: &str,
        mode: SubscriptionMode,
        sink: AdapterSink,
    ) -> Rc<ShardedNamespace> {
        let namespace = sink.namespace().name();
        let uid = format!("{:016x}", random::number());
        let adapter = Rc::new_cyclic(|own| ShardedNamespace {
            own: Weak::clone(own),
            own_endings: cluster_message::endings(&uid, &namespace),
            uid,
            channel: format!("{prefix}#{namespace}#"),
            namespace,
            mode,
            rooms: RefCell::default(),
            retained: Cell::new(0),
            link,
            sink,
        });
        for channel in [adapter.channel.clone(), adapter.channel_of(&adapter.uid)] {
            let topic = Topic::Sharded(channel);
            adapter.link.subscribe(topic, adapter.on_message());
        }
        adapter
    }

    /// Returns the channel of a room, or of responses to a server.
    fn channel_of(&self, name: &str) -> String {
        format!("{}{name}#", self.channel)
    }

    fn on_message(&self) -> OnMessage {
        let adapter = Weak::clone(&self.own);
        Rc::new(move |channel, payload| {
            if let Some(adapter) = adapter.upgrade()
                && adapter.link.is_open()
            {
                adapter.receive(channel, payload);
            }
        })
    }

    fn receive(&self, channel: &str, payload: Bytes) {
        let counters = &self.link.counters;
        if self.own_endings.iter().any(|own| payload.ends_with(own)) {
            return counters.update(|stats| stats.ignored += 1);
        }
        let message = match cluster_message::decode(payload) {
            Ok(message) => message,
            Err(error) => return counters.malformed(channel, &error.to_string()),
        };
        if message.uid == self.uid || message.namespace != *self.namespace {
            return counters.update(|stats| stats.ignored += 1);
        }
        match message.content {
            Content::Message(content) => {
                counters.update(|stats| stats.received += 1);
                self.sink.message(&message.uid, content);
            }
            Content::Response(response) => {
                counters.update(|stats| stats.received += 1);
                self.sink.response(&message.uid, response);
            }
            Content::InitialHeartbeat | Content::Heartbeat | Content::AdapterClose => {
                counters.update(|stats| stats.ignored += 1);
            }
        }
    }

    /// Ends the subscription of an empty room after `time`.
    fn retain(&self, room: &str, time: Duration) {
        let mut rooms = self.rooms.borrow_mut();
        let Some(subscription) = rooms.get_mut(room) else {
            return;
        };
        let (adapter, name) = (Weak::clone(&self.own), room.to_owned());
        let timer = add_timer(time, move || {
            if let Some(adapter) = adapter.upgrade() {
                adapter.unsubscribe(&name);
            }
        });
        subscription.timer = Some(timer);
        self.retained.set(self.retained.get() + 1);
    }

    fn unsubscribe(&self, room: &str) {
        let removed = self.rooms.borrow_mut().remove(room);
        let Some(subscription) = removed else { return };
        if subscription.timer.is_some() {
            self.retained.set(self.retained.get() - 1);
        }
        self.link.unsubscribe(subscription.id);
    }

    /// Returns `true` if broadcasts to the room have their own channel.
    fn has_channel(&self, room: &str) -> bool {
        self.mode == SubscriptionMode::Dynamic && room.encode_utf16().count() != SOCKET_ID_LENGTH
    }
}

impl Adapter for ShardedNamespace {
    fn publish(&self, message: &ClusterMessage) {
        let of_room = match message {
            ClusterMessage::Broadcast {
                target,
                request: None,
                ..
            } => match &*target.rooms {
                [room] if self.has_channel(room) => Some(self.channel_of(room)),
                _ => None,
            },
            _ => None,
        };
        let channel = Channel::Sharded(of_room.as_ref().unwrap_or(&self.channel));
        let payload = cluster_message::encode_message(&self.uid, &self.namespace, message);
        self.link.publish(channel, payload);
    }

    fn request(&self, message: &ClusterMessage) -> Promise<Servers> {
        if let ClusterMessage::RestoreSession { .. } = message {
            // The wire format has no such request.
            return Promise::ready(Servers::Count(0));
        }
        let payload = cluster_message::encode_message(&self.uid, &self.namespace, message);
        self.link.request(Channel::Sharded(&self.channel), payload)
    }

    fn respond(&self, to: &str, response: &ClusterResponse) {
        if let ClusterResponse::Session { .. } = response {
            return;
        }
        let payload = cluster_message::encode_response(&self.uid, &self.namespace, response);
        let channel = self.channel_of(to);
        self.link.publish(Channel::Sharded(&channel), payload);
    }

    fn room_created(&self, room: &str) {
        if !self.has_channel(room) {
            return;
        }
        if let Some(subscription) = self.rooms.borrow_mut().get_mut(room) {
            if let Some(timer) = subscription.timer.take() {
                timer.cancel();
                self.retained.set(self.retained.get() - 1);
            }
            return;
        }
        let topic = Topic::Sharded(self.channel_of(room));
        let id = self.link.subscribe_room(topic, self.on_message());
        let subscription = RoomSubscription { id, timer: None };
        self.rooms.borrow_mut().insert(room.into(), subscription);
    }

    fn room_deleted(&self, room: &str) {
        match self.sink.room_retention() {
            Some(time) if self.retained.get() < MAX_RETAINED => self.retain(room, time),
            _ => self.unsubscribe(room),
        }
    }

    fn close(&self) {
        self.link.close();
        for (_, subscription) in self.rooms.take() {
            self.link.unsubscribe(subscription.id);
            if let Some(timer) = subscription.timer {
                timer.cancel();
            }
        }
    }
}

impl Drop for ShardedNamespace {
    fn drop(&mut self) {
        self.close();
    }
}
