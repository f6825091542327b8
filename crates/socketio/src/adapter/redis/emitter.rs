//! Emitting events from programs that are not part of the cluster.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use uptick_redis::Redis;

use super::DEFAULT_PREFIX;
use super::broker::{Broker, Channel};
use super::client::RedisBroker;
use super::stats::{Counters, RedisAdapterStats};
use super::wire::WireError;
use super::wire::classic::{Broadcast, BroadcastFlags, EMITTER_UID, Request, RequestBody};
use crate::adapter::Target;
use crate::protocol::packet::Encoded;
use crate::{Parser, ToArguments};

/// Emits events to the clients of a cluster from a program that is not a Socket.IO server, compatible with `@socket.io/redis-emitter` 5.
///
/// The servers use [`RedisAdapter`](super::RedisAdapter) or `createAdapter` of `@socket.io/redis-adapter`, with the same Redis server and [key](RedisEmitter::key).
///
/// It only publishes messages: it receives neither acknowledgements nor lists of sockets. A message that cannot be published is [counted](RedisEmitter::stats) and logged.
/// Clones and emitters of other namespaces share the counters.
///
/// # Examples
///
/// ```no_run
/// use uptick_redis::Redis;
/// use uptick_socketio::adapter::RedisEmitter;
///
/// let redis = Redis::connect("redis://127.0.0.1:6379")?;
/// let emitter = RedisEmitter::new(redis);
/// emitter.of("/admin").to("lobby").emit("news", &("backup", 42));
/// // Waits until Redis has all messages.
/// redis.close();
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RedisEmitter {
    broker: Rc<dyn Broker>,
    prefix: Rc<str>,
    namespace: Rc<str>,
    counters: Rc<Counters>,
}

impl RedisEmitter {
    /// Creates an emitter over a Redis client, which the program closes.
    pub fn new(redis: Redis) -> RedisEmitter {
        RedisEmitter::with_broker(RedisBroker::new(redis))
    }

    /// Creates an emitter over another Redis client.
    #[doc(hidden)]
    pub fn with_broker(broker: impl Broker + 'static) -> RedisEmitter {
        RedisEmitter {
            broker: Rc::new(broker),
            prefix: DEFAULT_PREFIX.into(),
            namespace: "/".into(),
            counters: Rc::default(),
        }
    }

    /// Sets the prefix of the channels. The servers need the same one. Default: `socket.io`.
    #[must_use]
    pub fn key(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Returns an emitter for another namespace. A missing leading slash is added.
    #[must_use]
    pub fn of(&self, namespace: &str) -> RedisEmitter {
        let namespace = match namespace.starts_with('/') {
            true => namespace.into(),
            false => format!("/{namespace}").into(),
        };
        RedisEmitter {
            namespace,
            ..self.clone()
        }
    }

    /// Addresses all sockets of the namespace.
    pub fn broadcast(&self) -> RedisBroadcast {
        RedisBroadcast {
            emitter: self.clone(),
            target: Target::default(),
            flags: BroadcastFlags::default(),
        }
    }

    /// Addresses the sockets in a room. [`RedisBroadcast::to`] adds further rooms; a socket that is in several of them receives an event once.
    pub fn to(&self, room: impl AsRef<str>) -> RedisBroadcast {
        self.broadcast().to(room)
    }

    /// Addresses the sockets that are not in a room.
    pub fn except(&self, room: impl AsRef<str>) -> RedisBroadcast {
        self.broadcast().except(room)
    }

    /// Sends an event to all sockets of the namespace.
    pub fn emit<A: ToArguments + ?Sized>(&self, event: &str, arguments: &A) {
        self.broadcast().emit(event, arguments);
    }

    /// Adds all sockets of the namespace to rooms.
    pub fn sockets_join<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) {
        self.broadcast().sockets_join(rooms);
    }

    /// Removes all sockets of the namespace from rooms.
    pub fn sockets_leave<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) {
        self.broadcast().sockets_leave(rooms);
    }

    /// Disconnects all sockets of the namespace. With `close`, the connections of their clients are closed, too.
    pub fn disconnect_sockets(&self, close: bool) {
        self.broadcast().disconnect_sockets(close);
    }

    /// Emits an event to the listeners of the namespace on all servers.
    pub fn server_side_emit<A: ToArguments + ?Sized>(&self, event: &str, arguments: &A) {
        let Some(packet) = self.encode(event, arguments) else {
            return;
        };
        let uid = Some(EMITTER_UID.to_owned());
        self.request(uid, RequestBody::ServerSideEmit { packet });
    }

    /// Returns the counters of sent and lost messages.
    pub fn stats(&self) -> RedisAdapterStats {
        self.counters.get()
    }

    fn encode<A: ToArguments + ?Sized>(&self, event: &str, arguments: &A) -> Option<Encoded> {
        let encoded = Parser::Json.event(&self.namespace, None, event, arguments);
        encoded
            .inspect_err(|error| self.counters.lost(&error.to_string()))
            .ok()
    }

    fn request(&self, uid: Option<String>, body: RequestBody) {
        let request = Request {
            uid,
            id: None,
            body,
        };
        let channel = format!("{}-request#{}#", self.prefix, self.namespace);
        self.publish(&channel, request.encode(&self.namespace));
    }

    fn publish(&self, channel: &str, payload: Result<Bytes, WireError>) {
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => return self.counters.lost(&error.to_string()),
        };
        let counters = Rc::clone(&self.counters);
        let published = self.broker.publish(Channel::Plain(channel), payload);
        published.then(move |result| counters.published(&result));
    }
}

impl fmt::Debug for RedisEmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEmitter")
            .field("key", &self.prefix)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A selection of sockets of a [`RedisEmitter`], and options for events that are sent to them.
#[derive(Clone, Debug)]
pub struct RedisBroadcast {
    emitter: RedisEmitter,
    target: Target,
    flags: BroadcastFlags,
}

impl RedisBroadcast {
    /// Adds a room.
    #[must_use]
    pub fn to(mut self, room: impl AsRef<str>) -> Self {
        add(&mut self.target.rooms, room.as_ref());
        self
    }

    /// Excludes the sockets in a room.
    #[must_use]
    pub fn except(mut self, room: impl AsRef<str>) -> Self {
        add(&mut self.target.except, room.as_ref());
        self
    }

    /// Allows the servers to drop the event for clients that cannot receive it at once.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    /// Sets whether servers compress the event. Only Node.js servers evaluate it.
    #[must_use]
    pub fn compress(mut self, compress: bool) -> Self {
        self.flags.compress = Some(compress);
        self
    }

    /// Sends an event.
    pub fn emit<A: ToArguments + ?Sized>(&self, event: &str, arguments: &A) {
        let emitter = &self.emitter;
        let Some(packet) = emitter.encode(event, arguments) else {
            return;
        };
        let (namespace, target) = (&*emitter.namespace, &self.target);
        let payload = Broadcast::encode(EMITTER_UID, namespace, &packet, target, self.flags);
        let mut channel = format!("{}#{namespace}#", emitter.prefix);
        if let [room] = &*target.rooms {
            channel.push_str(room);
            channel.push('#');
        }
        emitter.publish(&channel, payload);
    }

    /// Adds the sockets to rooms.
    pub fn sockets_join<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) {
        let (target, rooms) = (self.target.clone(), names(rooms));
        self.emitter
            .request(None, RequestBody::Join { target, rooms });
    }

    /// Removes the sockets from rooms.
    pub fn sockets_leave<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) {
        let (target, rooms) = (self.target.clone(), names(rooms));
        self.emitter
            .request(None, RequestBody::Leave { target, rooms });
    }

    /// Disconnects the sockets. With `close`, the connections of their clients are closed, too.
    pub fn disconnect_sockets(&self, close: bool) {
        let target = self.target.clone();
        self.emitter
            .request(None, RequestBody::Disconnect { target, close });
    }
}

fn names<R: AsRef<str>>(rooms: impl IntoIterator<Item = R>) -> Vec<String> {
    let rooms = rooms.into_iter();
    rooms.map(|room| room.as_ref().to_owned()).collect()
}

fn add(rooms: &mut Vec<String>, room: &str) {
    if !rooms.iter().any(|known| known == room) {
        rooms.push(room.to_owned());
    }
}
