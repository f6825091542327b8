//! Options of the transport over Redis.

use std::time::Duration;

use uptick_redis::RedisOptions;

use crate::bus::local::QUEUE_LIMIT;

/// Options of a [`RedisTransport`](super::RedisTransport).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_workers::bus::RedisBusOptions;
///
/// let options = RedisBusOptions::new().prefix("chat").heartbeat(Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
pub struct RedisBusOptions {
    pub(super) prefix: String,
    pub(super) sharded: bool,
    pub(super) cluster: bool,
    pub(super) queue_limit: usize,
    pub(super) pending_limit: usize,
    pub(super) topic_limit: usize,
    pub(super) heartbeat: Duration,
    pub(super) peer_timeout: Duration,
    pub(super) ready_timeout: Duration,
    pub(super) client: RedisOptions,
}

impl Default for RedisBusOptions {
    fn default() -> Self {
        RedisBusOptions {
            prefix: "uptick".into(),
            sharded: false,
            cluster: false,
            queue_limit: QUEUE_LIMIT,
            pending_limit: 65_536,
            topic_limit: 262_144,
            heartbeat: Duration::from_secs(2),
            peer_timeout: Duration::from_secs(7),
            ready_timeout: Duration::from_secs(1),
            client: RedisOptions::new(),
        }
    }
}

impl RedisBusOptions {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the prefix of the channels. Services with different prefixes on one Redis server are separate. Default: `uptick`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets whether messages of topics use sharded channels (`SPUBLISH` and `SSUBSCRIBE`, Redis 7). All workers must use the same value. Default:
    /// false.
    #[must_use]
    pub fn sharded(mut self, sharded: bool) -> Self {
        self.sharded = sharded;
        self
    }

    /// Sets whether sharded channels follow the redirections of a Redis Cluster; it implies [`sharded`](RedisBusOptions::sharded). The messages of
    /// a worker are then in order for each topic only, and
    /// [`queue_limit`](RedisBusOptions::queue_limit) applies to the connection to the main node only. Default: false.
    #[must_use]
    pub fn cluster(mut self, cluster: bool) -> Self {
        self.cluster = cluster;
        self.sharded |= cluster;
        self
    }

    /// Sets the maximum number of bytes that are queued for Redis. Beyond that, messages are dropped and counted. Default: 4 MiB.
    #[must_use]
    pub fn queue_limit(mut self, bytes: usize) -> Self {
        self.queue_limit = bytes;
        self
    }

    /// Sets the maximum number of messages to which Redis has not responded. Beyond that, messages are dropped and counted. Default: 65,536.
    #[must_use]
    pub fn pending_limit(mut self, messages: usize) -> Self {
        self.pending_limit = messages;
        self
    }

    /// Sets the maximum number of subscribed topics. The subscribers of further topics receive no messages over Redis, and that is logged. Default:
    /// 262,144.
    #[must_use]
    pub fn topic_limit(mut self, topics: usize) -> Self {
        self.topic_limit = topics;
        self
    }

    /// Sets the interval of the heartbeats, at least 1 ms. Default: 2 s.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets the time without a message of a worker after which it is gone, while Redis works. It should be several heartbeats. Default: 7 s.
    #[must_use]
    pub fn peer_timeout(mut self, timeout: Duration) -> Self {
        self.peer_timeout = timeout;
        self
    }

    /// Sets the maximum time for which a starting worker waits for the workers of other machines before it emits `ready`. Default: 1 s.
    #[must_use]
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// Sets the options of the Redis client, such as its password. The protocol is always RESP3; the limits of the client, `cluster` and
    /// `close_timeout` are replaced by those of this type. Default: [`RedisOptions::new`].
    #[must_use]
    pub fn client(mut self, options: RedisOptions) -> Self {
        self.client = options;
        self
    }
}
