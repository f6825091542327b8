//! The transport to the workers of other machines: publish/subscribe of a Redis server.
//!
//! A message costs one `PUBLISH`, regardless of its receivers; Redis copies it to each worker that has subscribed to its channel. All commands of an
//! iteration of the loop are sent with one system call. A worker discards the messages of its own group: they arrive by another transport.

mod message;
mod options;
mod peers;
mod state;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_redis::{Error, Protocol, Redis};

pub use self::options::RedisBusOptions;
use self::state::RedisState;
use super::transport::{BusSink, BusTransport, TransportStats};

/// The time for which a closed transport sends its queue.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A transport that connects the buses of several machines over a Redis server (Redis 6 or later).
///
/// In a worker, use it with [`Bus::attach_remote`](super::Bus::attach_remote): the workers of a machine continue to use their direct connections.
/// Programs without workers use [`Bus::attach`](super::Bus::attach).
///
/// Each worker has one connection to Redis, and subscribes to the channels of the topics that have subscribers in it.
///
/// # Guarantees
/// - Messages of one publisher arrive in the order in which they were published, whatever their topics; in a
///   [cluster](RedisBusOptions::cluster), for each topic.
/// - A message is delivered at most once. It is lost if the publisher or the receiver is not connected to Redis, or if Redis disconnects a receiver
///   that does not read. The publisher counts the messages that it drops ([`TransportStats::dropped`]): those published while it is not
///   connected, and those beyond the limits of its queue. Messages that were sent to a Redis server that then failed are not counted.
/// - A loss is visible: when a worker loses its connection, `peer-gone` is emitted for all workers of other machines, and `peer` again after the
///   reconnection, in this worker and in the others. A program that replicates state requests it again with `peer`.
/// - A worker that dies is gone after [`RedisBusOptions::peer_timeout`]; one that leaves is gone at once.
/// - The announcement of a topic is sent with the same connection as messages: another worker that learns of it by a message of this bus, and then
///   publishes, reaches it. One that learns of it in another way may be too early.
///
/// The program does not fail without Redis: errors of the connection are logged, and workers of one machine still reach each other. The loop runs
/// until the transport is detached.
///
/// # Limits
/// See [`RedisBusOptions`]. Further: 4,096 workers of other machines; one that announces more than 262,144 topics counts as a subscriber of all
/// topics in [`Bus::remote_subscribers`](super::Bus::remote_subscribers). Redis disconnects a subscriber for which more than 32 MiB are queued
/// (`client-output-buffer-limit pubsub`).
///
/// # Security
/// All clients of the Redis server that may publish can publish to the bus. Use passwords, ACLs and TLS (`rediss://`).
///
/// # Examples
/// ```no_run
/// use uptick_workers::Workers;
/// use uptick_workers::bus::{RedisBusOptions, RedisTransport};
///
/// Workers::processes(4).listen("tcp://0.0.0.0:8080").run(|worker| {
///     let options = RedisBusOptions::new().prefix("chat");
///     worker.bus().attach_remote(RedisTransport::connect("redis://10.0.0.5", options)?);
///     // From here on, `http.hub().publish`, `ws.publish` and `worker.bus().publish` reach all machines.
///     Ok(())
/// })?;
/// # Ok::<(), uptick_workers::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisTransport {
    state: Rc<RedisState>,
}

impl RedisTransport {
    /// Creates a transport, and starts connecting. The URL is that of [`Redis::connect`].
    ///
    /// # Errors
    /// [`Error::InvalidUrl`]. If connecting fails, that is logged, and the transport tries again.
    pub fn connect(
        url: impl AsRef<str>,
        options: RedisBusOptions,
    ) -> Result<RedisTransport, Error> {
        // Announcements and subscriptions are never refused: messages reach their own limits first.
        let most_commands = options
            .pending_limit
            .saturating_add(options.topic_limit.saturating_mul(2))
            .saturating_add(65_536);
        let client = options
            .client
            .clone()
            .protocol(Protocol::Resp3)
            .cluster(options.cluster)
            .max_pending(most_commands)
            .max_queued_bytes(options.queue_limit.saturating_add(64 * 1024 * 1024))
            .max_subscriptions(options.topic_limit.saturating_add(2))
            .close_timeout(CLOSE_TIMEOUT);
        let redis = Redis::connect_with(url, client)?;
        Ok(RedisTransport {
            state: RedisState::new(redis, options),
        })
    }

    /// Returns the Redis client, for example for its events. Do not close it.
    pub fn client(&self) -> Redis {
        self.state.redis
    }

    /// Returns whether the transport is connected to Redis.
    pub fn is_connected(&self) -> bool {
        self.state.is_connected()
    }

    /// Returns the number of received messages that were malformed, or of another version. They are ignored. Monotone.
    pub fn malformed(&self) -> u64 {
        self.state.malformed()
    }

    /// Returns the ids of the workers of other machines, in arbitrary order.
    pub fn peers(&self) -> Vec<u64> {
        self.state.peer_ids()
    }
}

impl BusTransport for RedisTransport {
    fn attach(&self, sink: BusSink) {
        self.state.attach(sink);
    }

    fn publish(&self, topic: &str, payload: &Bytes) {
        self.state.publish(topic, payload);
    }

    fn subscribe(&self, topic: &str) {
        self.state.subscribe(topic);
    }

    fn unsubscribe(&self, topic: &str) {
        self.state.unsubscribe(topic);
    }

    fn id(&self) -> u64 {
        self.state.sender().id
    }

    fn group(&self) -> u64 {
        self.state.sender().group
    }

    fn when_ready(&self, callback: Box<dyn FnOnce()>) {
        self.state.when_ready(callback);
    }

    fn stats(&self) -> TransportStats {
        self.state.stats()
    }

    fn queues(&self, visit: &mut dyn FnMut(u64, usize)) {
        self.state.queues(visit);
    }

    fn subscribers(&self, topic: &str, visit: &mut dyn FnMut(u64)) {
        self.state.subscribers(topic, visit);
    }

    fn close(&self) {
        self.state.close();
    }
}

impl fmt::Debug for RedisTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTransport")
            .field("redis", &self.state.redis)
            .field("peers", &self.peers().len())
            .finish_non_exhaustive()
    }
}
