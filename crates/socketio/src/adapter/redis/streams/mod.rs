//! The adapter compatible with `@socket.io/redis-streams-adapter`.
//!
//! ```text
//! namespace ─→ writer ─→ XADD ─→ stream ─→ XREAD ─→ reader ─→ namespace (also of this server)
//!           ─→ link ─→ PUBLISH ─→ (requests, responses) ─→ link ─→ namespace of another server
//! ```

mod entry_id;
mod namespace;
mod reader;
mod restore;
mod stream;
mod writer;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::future_tick;
use uptick_redis::{Error, Redis};

use self::namespace::StreamsNamespace;
use self::stream::Stream;
use super::DEFAULT_PREFIX;
use super::broker::Broker;
use super::client::RedisBroker;
use super::stats::{Counters, RedisAdapterStats};
use crate::adapter::AdapterFactory;

/// Connects the namespaces of servers on several machines over a Redis stream, compatible with `createAdapter` of `@socket.io/redis-streams-adapter` 0.3.
///
/// All servers with the same Redis server, [stream](RedisStreamsAdapter::stream_name) and [channels](RedisStreamsAdapter::channel_prefix) form one cluster, including
/// Node.js servers with the official adapter. Redis 6.2 or later is required.
///
/// # Loss and order
///
/// Broadcasts, and changes of sockets of other servers, are entries of the stream. After Redis was not reachable, or was restarted with its data, each server continues
/// after the last entry that it has read. Entries that this server adds meanwhile are [queued](RedisStreamsAdapter::queue_limit). If the connection is lost before Redis
/// has confirmed entries, the stream is searched for them, and missing entries are added again: no entry is lost, and entries keep their order. Entries are lost if Redis
/// loses its data, or removes them from the stream before a server has read them.
///
/// Requests, responses and server-side events are published on channels. They are lost while Redis is not connected; requests end with the responses received so far
/// after [`request_timeout`](crate::SocketIoOptions::request_timeout).
///
/// # Recovery
///
/// With [connection state recovery](crate::SocketIoOptions::recovery), a client can reconnect to any server of the cluster, and receives the events that it missed from
/// the stream. Each recoverable event, including events for a single client, is then added to the stream, and is sent when the server reads it from there: clients of all
/// servers receive events in the same order, and an event may arrive later than a volatile event, a local event or an event with an acknowledgement that was sent after
/// it. The receivers are the members of the rooms at that time.
///
/// The official adapter does not store the namespace of a client with its state. For clients that were disconnected from a Node.js server, the
/// [middleware](crate::Namespace::wrap) of the namespace is therefore not skipped. A client that reconnects while Redis is not reachable is a new client, after
/// [`request_timeout`](crate::SocketIoOptions::request_timeout).
///
/// # Events
///
/// | event | payload | when |
/// |---|---|---|
/// | `error` | [`RedisStreamsError`] | an entry was not added (for a full queue: once, until there is room), or reading failed (once, until it succeeds) |
///
/// # Limits
///
/// Received messages of 64 MiB, nested at most 120 levels deep · 1,000 requests of a namespace that wait until Redis has confirmed its subscriptions · the
/// [queue](RedisStreamsAdapter::queue_limit) of entries · the queue of the Redis client · missed events of a client up to the limits of
/// [`RecoveryOptions`](crate::RecoveryOptions).
///
/// # Examples
/// ```no_run
/// use uptick_emitter::Emitter;
/// use uptick_redis::Redis;
/// use uptick_socketio::adapter::redis::{RedisStreamsAdapter, RedisStreamsError};
/// use uptick_socketio::{RecoveryOptions, SocketIo, SocketIoOptions};
///
/// let adapter = RedisStreamsAdapter::new(Redis::connect("redis://127.0.0.1:6379")?);
/// adapter.on("error", |error: RedisStreamsError| eprintln!("{error}"));
/// let options = SocketIoOptions::new().recovery(RecoveryOptions::new());
/// let io = SocketIo::with_options(options.adapter(adapter.factory()));
/// # Ok::<(), uptick_redis::Error>(())
/// ```
pub struct RedisStreamsAdapter {
    redis: Redis,
    options: StreamsOptions,
    counters: Rc<Counters>,
    listeners: Rc<RefCell<Listeners>>,
}

events! {
    impl RedisStreamsAdapter {
        RedisStreamsError => {
            /// An entry was not added to the stream, or reading it failed.
            ERROR = "error", warn;
        }
    }
}

impl Emitter for RedisStreamsAdapter {
    type Events = RedisStreamsAdapter;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        Some(f(&mut self.listeners.borrow_mut()))
    }
}

/// Error of a [`RedisStreamsAdapter`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisStreamsError {
    /// Too many entries are queued. The entry was not added; clients of other servers do not receive it.
    #[error(
        "queueing an entry for the stream {stream:?} failed: {entries} entries and {bytes} bytes are queued (ENOBUFS)"
    )]
    QueueFull {
        /// The name of the stream.
        stream: Arc<str>,
        /// The number of queued entries.
        entries: usize,
        /// Their size in bytes.
        bytes: usize,
    },
    /// Redis refused an entry, or the client is closed. Clients of other servers do not receive it.
    #[error("adding an entry to the stream {stream:?} failed: {cause}")]
    Add {
        /// The name of the stream.
        stream: Arc<str>,
        /// The cause.
        cause: Error,
    },
    /// Reading the stream failed. It is tried again.
    #[error("reading the stream {stream:?} failed: {cause}")]
    Read {
        /// The name of the stream.
        stream: Arc<str>,
        /// The cause.
        cause: Error,
    },
}

#[derive(Clone)]
struct StreamsOptions {
    stream_name: String,
    stream_count: u32,
    channel_prefix: String,
    sharded_channels: bool,
    max_len: u64,
    read_count: usize,
    block_time: Duration,
    session_key_prefix: String,
    max_queued: usize,
    max_queued_bytes: usize,
}

impl Default for StreamsOptions {
    fn default() -> Self {
        StreamsOptions {
            stream_name: DEFAULT_PREFIX.to_owned(),
            stream_count: 1,
            channel_prefix: DEFAULT_PREFIX.to_owned(),
            sharded_channels: false,
            max_len: 10_000,
            read_count: 100,
            block_time: Duration::from_secs(5),
            session_key_prefix: "sio:session:".to_owned(),
            max_queued: 10_000,
            max_queued_bytes: 64 << 20,
        }
    }
}

impl StreamsOptions {
    /// Returns the name of the stream of a namespace.
    fn stream_of(&self, namespace: &str) -> String {
        let name = &self.stream_name;
        match self.stream_count {
            0 | 1 => name.clone(),
            // As in the official adapter, the remainder has the sign of the hash.
            count => format!("{name}-{}", i64::from(hash(namespace)) % i64::from(count)),
        }
    }
}

/// Returns the hash of a text by which the official adapter selects a stream.
fn hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

impl RedisStreamsAdapter {
    /// Creates an adapter. The client opens an additional connection for each stream.
    pub fn new(redis: Redis) -> RedisStreamsAdapter {
        RedisStreamsAdapter {
            redis,
            options: StreamsOptions::default(),
            counters: Rc::default(),
            listeners: Rc::new(RefCell::new(Listeners::new())),
        }
    }

    /// Sets the name of the stream. All servers of a cluster need the same one. Default: `socket.io`.
    #[must_use]
    pub fn stream_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.options.stream_name);
        self
    }

    /// Sets the number of streams over which the namespaces are distributed. With more than one, the names of the streams end with `-0`, `-1` and so on. All servers of a
    /// cluster need the same number. Default: 1.
    #[must_use]
    pub fn stream_count(mut self, count: u32) -> Self {
        self.options.stream_count = count;
        self
    }

    /// Sets the prefix of the channels of requests and responses. All servers of a cluster need the same one. Default: `socket.io`.
    #[must_use]
    pub fn channel_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.options.channel_prefix);
        self
    }

    /// Sets whether requests and responses use sharded channels (`useShardedPubSub` of the official adapter), which need Redis 7. All servers of a cluster need the same
    /// setting. Default: false.
    #[must_use]
    pub fn sharded_channels(mut self, sharded: bool) -> Self {
        self.options.sharded_channels = sharded;
        self
    }

    /// Sets the number of entries beyond which Redis removes the oldest entries from a stream (approximately). A client can recover only if the last event that it
    /// received is in the stream. Default: 10,000.
    #[must_use]
    pub fn max_len(mut self, count: u64) -> Self {
        self.options.max_len = count;
        self
    }

    /// Sets the maximum number of entries that are read at once. Default: 100.
    #[must_use]
    pub fn read_count(mut self, count: usize) -> Self {
        self.options.read_count = count.max(1);
        self
    }

    /// Sets the time for which a read waits for entries, at least 1 ms. Default: 5 s.
    #[must_use]
    pub fn block_time(mut self, time: Duration) -> Self {
        self.options.block_time = time.max(Duration::from_millis(1));
        self
    }

    /// Sets the prefix of the keys for the state of disconnected clients. All servers of a cluster need the same one. Default: `sio:session:`.
    #[must_use]
    pub fn session_key_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.options.session_key_prefix);
        self
    }

    /// Sets the maximum number and size in bytes of the entries of a stream that wait to be added, for example while Redis is not connected. A further entry is not added:
    /// the adapter emits `error`, and only clients of this server receive the event. Default: 10,000 entries, 64 MiB.
    #[must_use]
    pub fn queue_limit(mut self, entries: usize, bytes: usize) -> Self {
        (self.options.max_queued, self.options.max_queued_bytes) = (entries, bytes);
        self
    }

    /// Returns the factory for [`SocketIoOptions::adapter`](crate::SocketIoOptions::adapter).
    pub fn factory(&self) -> AdapterFactory {
        let redis = self.redis;
        let shared = Rc::new(StreamsShared {
            options: self.options.clone(),
            counters: Rc::clone(&self.counters),
            listeners: Rc::clone(&self.listeners),
        });
        let broker: Rc<dyn Broker> = Rc::new(RedisBroker::new(redis));
        let streams: RefCell<HashMap<String, Weak<Stream>>> = RefCell::default();
        Rc::new(move |sink| {
            let name = shared.options.stream_of(&sink.namespace().name());
            let open = streams.borrow().get(&name).and_then(Weak::upgrade);
            let stream = open.unwrap_or_else(|| {
                let stream = Stream::open(name.clone(), redis, Rc::clone(&shared));
                let mut streams = streams.borrow_mut();
                streams.retain(|_, stream| stream.strong_count() > 0);
                streams.insert(name, Rc::downgrade(&stream));
                stream
            });
            StreamsNamespace::open(Rc::clone(&broker), stream, sink)
        })
    }

    /// Returns the counters of the adapter, summed over its namespaces.
    pub fn stats(&self) -> RedisAdapterStats {
        self.counters.get()
    }
}

impl fmt::Debug for RedisStreamsAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreamsAdapter")
            .field("stream_name", &self.options.stream_name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The parts of an adapter that its streams and namespaces use.
struct StreamsShared {
    options: StreamsOptions,
    counters: Rc<Counters>,
    listeners: Rc<RefCell<Listeners>>,
}

impl StreamsShared {
    /// Emits an error after the current callback has returned, because an adapter must not call the program before it returns.
    fn emit(&self, error: RedisStreamsError) {
        let emitter = StreamsEmitter(Rc::clone(&self.listeners));
        future_tick(move || {
            emit(&emitter, RedisStreamsAdapter::ERROR, error);
        });
    }
}

/// Emits the events of an adapter.
struct StreamsEmitter(Rc<RefCell<Listeners>>);

impl Emitter for StreamsEmitter {
    type Events = RedisStreamsAdapter;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        Some(f(&mut self.0.borrow_mut()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_distributed_as_by_the_official_adapter() {
        let mut options = StreamsOptions::default();
        assert_eq!(options.stream_of("/"), "socket.io");
        options.stream_count = 4;
        // Computed with the function of the official adapter.
        assert_eq!(options.stream_of("/"), "socket.io-3");
        assert_eq!(options.stream_of("/chat"), "socket.io-3");
        assert_eq!(options.stream_of("/administration"), "socket.io--3");
    }
}
