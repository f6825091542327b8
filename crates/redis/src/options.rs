//! Options of a client.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use uptick_socket::{Connector, ConnectorInterface};

use crate::protocol::Limits;

/// The version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP3 if the server supports it (Redis 6 and later), otherwise RESP2.
    #[default]
    Auto,
    /// RESP2. Subscriptions use a separate connection.
    Resp2,
    /// RESP3; connecting fails if the server does not support it.
    Resp3,
}

/// Options of a [`Redis`](crate::Redis) client.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_redis::{Redis, RedisOptions};
///
/// let options = RedisOptions::new().client_name("chat").command_timeout(Duration::from_secs(1));
/// let redis = Redis::connect_with("redis://127.0.0.1:6379", options)?;
/// redis.disconnect();
/// # Ok::<(), uptick_redis::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<u32>,
    pub(crate) client_name: Option<String>,
    pub(crate) protocol: Protocol,
    pub(crate) cluster: bool,
    pub(crate) connector: Option<Rc<dyn ConnectorInterface>>,
    pub(crate) max_pending: usize,
    pub(crate) max_queued_bytes: usize,
    pub(crate) max_subscriptions: usize,
    pub(crate) max_blocking: usize,
    pub(crate) command_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) first_delay: Duration,
    pub(crate) max_delay: Duration,
    pub(crate) health_interval: Duration,
    pub(crate) health_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) limits: Limits,
}

impl Default for RedisOptions {
    fn default() -> Self {
        RedisOptions {
            user: None,
            password: None,
            database: None,
            client_name: None,
            protocol: Protocol::Auto,
            cluster: false,
            connector: None,
            max_pending: 65_536,
            max_queued_bytes: 64 * 1024 * 1024,
            max_subscriptions: 262_144,
            max_blocking: 64,
            command_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            health_interval: Duration::from_secs(10),
            health_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
            limits: Limits::new(),
        }
    }
}

macro_rules! setters {
    ($($(#[$meta:meta])* $name:ident: $type:ty;)+) => {$(
        $(#[$meta])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    )+};
}

impl RedisOptions {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the ACL user; the URL has precedence. Default: the user `default`.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the password; the URL has precedence. Default: none.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the number of the database; the URL has precedence. Default: 0.
    #[must_use]
    pub fn database(mut self, database: u32) -> Self {
        self.database = Some(database);
        self
    }

    /// Sets the name of the connections (`CLIENT SETNAME`), without spaces. Default: none.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = Some(name.into());
        self
    }

    /// Sets the connector. It connects to `tcp://`, `unix:` and, for `rediss://`, `tls://` addresses. Default: [`Connector::new`], with TLS
    /// if the feature `tls` is enabled.
    #[must_use]
    pub fn connector(mut self, connector: impl ConnectorInterface + 'static) -> Self {
        self.connector = Some(Rc::new(connector));
        self
    }

    setters! {
        /// Sets the version of the protocol. Default: [`Protocol::Auto`].
        protocol: Protocol;
        /// Sets whether sharded channels follow the redirections of a Redis Cluster: `SPUBLISH`, `SSUBSCRIBE` and `PUBSUB SHARDNUMSUB` then go
        /// to the node that has the slot of the channel. It needs RESP3. Default: false.
        cluster: bool;
        /// Sets the maximum number of commands of a connection that wait to be sent or for a reply. A further command fails with
        /// [`Error::QueueFull`](crate::Error::QueueFull). Default: 65,536.
        max_pending: usize;
        /// Sets the number of queued bytes with which a further command fails with [`Error::QueueFull`](crate::Error::QueueFull). Default: 64
        /// MiB.
        max_queued_bytes: usize;
        /// Sets the maximum number of subscriptions. Default: 262,144.
        max_subscriptions: usize;
        /// Sets the maximum number of blocking commands at a time, each on a separate connection. Default: 64.
        max_blocking: usize;
        /// Sets the time for which a command waits while the client is not connected. Default: 5 s.
        command_timeout: Duration;
        /// Sets the timeout of connecting, including the handshake. Default: 5 s.
        connect_timeout: Duration;
        /// Sets the delay before the first attempt to reconnect, at least 1 ms. It doubles with each failed attempt; up to a half of it is
        /// randomly subtracted. Default: 100 ms.
        first_delay: Duration;
        /// Sets the maximum delay between attempts. Default: 5 s.
        max_delay: Duration;
        /// Sets the time without received bytes after which a `PING` is sent. Default: 10 s.
        health_interval: Duration;
        /// Sets the time without received bytes after that `PING` after which the connection is replaced. It must be longer than the slowest
        /// command. Default: 5 s.
        health_timeout: Duration;
        /// Sets the time for which [`Redis::close`](crate::Redis::close) waits for pending commands. Default: 5 s.
        close_timeout: Duration;
        /// Sets the limits of received values. Default: [`Limits::new`].
        limits: Limits;
    }

    /// Returns the connector.
    pub(crate) fn connector_or_default(&self) -> Rc<dyn ConnectorInterface> {
        match &self.connector {
            Some(connector) => Rc::clone(connector),
            #[cfg(feature = "tls")]
            None => Rc::new(uptick_tls::connector().timeout(None)),
            #[cfg(not(feature = "tls"))]
            None => Rc::new(Connector::new().timeout(None)),
        }
    }
}

#[cfg(feature = "tls")]
const _: fn() -> Connector = uptick_tls::connector;

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("user", &self.user)
            .field("database", &self.database)
            .field("client_name", &self.client_name)
            .field("protocol", &self.protocol)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
