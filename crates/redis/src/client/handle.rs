//! The handle of a client, and its events.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};

use super::state::{self, with_client};
use super::subscriptions::SubscriptionKind;
use crate::options::RedisOptions;
use crate::protocol::Arguments;
use crate::reply::{Reply, reply};
use crate::url::RedisUrl;
use crate::{Error, FromValue};

/// A client of a Redis server, which reconnects.
///
/// A `Copy` handle: callbacks capture it by `move`, and the thread's event loop owns the client. The loop runs until the client is
/// [closed](Redis::close). The methods of a stale handle return [`Error::Closed`].
///
/// Commands are sent in the order of the calls, all commands of an iteration of the loop with one system call, and without waiting for earlier
/// replies. Before the first connection, and during a reconnection, they are queued.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `ready` | `()` | a connection is established; queued commands and the subscriptions are sent |
/// | `message` | [`Message`] | a message was published to a subscribed channel |
/// | `disconnect` | [`Error`] | the connection was lost; pending commands have failed |
/// | `reconnect` | [`Reconnecting`] | another attempt to connect will follow |
/// | `error` | [`Error`] | connecting failed (once for each cause), a queue is full (once until there is room), or an unused reply is an error |
/// | `close` | `()` | the client was closed: the last event |
///
/// # Limits
/// See [`RedisOptions`].
///
/// # Examples
/// ```no_run
/// use uptick_redis::prelude::*;
///
/// let redis = Redis::connect("redis://127.0.0.1:6379")?;
/// redis.on("message", |message: Message| println!("{message:?}"));
/// redis.subscribe("news").then(move |subscribed| {
///     println!("{subscribed:?}");
///     redis.publish("news", "Hello!");
/// });
/// run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Redis {
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl Redis {
        Message => {
            /// A message was published to a subscribed channel.
            MESSAGE = "message";
        }
        () => {
            /// A connection is established.
            READY = "ready";
            /// The client was closed.
            CLOSE = "close";
        }
        Error => {
            /// Connecting failed, a queue is full, or an unused reply is an error.
            ERROR = "error", warn;
            /// The connection was lost.
            DISCONNECT = "disconnect", warn;
        }
        Reconnecting => {
            /// Another attempt to connect will follow.
            RECONNECT = "reconnect";
        }
    }
}

/// A published message: the payload of `message`.
///
/// Its parts are slices of the buffer into which they were read. One that is kept keeps up to 64 KiB alive: copy what is kept for a long time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel to which the message was published.
    pub channel: Bytes,
    /// The pattern that the channel matches, for a subscription with [`Redis::psubscribe`].
    pub pattern: Option<Bytes>,
    /// The content.
    pub payload: Bytes,
    /// `true` for a sharded channel ([`Redis::ssubscribe`]).
    pub sharded: bool,
}

/// The next attempt to connect: the payload of `reconnect`.
#[derive(Clone, Debug)]
pub struct Reconnecting {
    /// The number of the attempt since the connection was lost, from 1.
    pub attempt: u32,
    /// The delay before the attempt.
    pub delay: Duration,
    /// The reason why the connection was lost or the previous attempt failed.
    pub error: Error,
}

impl Emitter for Redis {
    type Events = Redis;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_client(self.id, |client| f(&mut client.listeners.borrow_mut()))
    }
}

impl Redis {
    pub(super) fn of(id: Id) -> Self {
        Redis {
            id: Some(id),
            local: PhantomData,
        }
    }

    pub(super) fn id(self) -> Option<Id> {
        self.id
    }

    /// Creates a client with the default options, and starts connecting.
    ///
    /// The URL is `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, the same with `rediss://` for TLS (feature `tls`), or
    /// `redis+unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]` for a Unix socket. User and password are percent-decoded.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`]. If connecting fails, the client emits `error` and tries again.
    pub fn connect(url: impl AsRef<str>) -> Result<Redis, Error> {
        Redis::connect_with(url, RedisOptions::new())
    }

    /// Creates a client with options, and starts connecting.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`], also for `rediss://` without the feature `tls` and without [`RedisOptions::connector`].
    pub fn connect_with(url: impl AsRef<str>, options: RedisOptions) -> Result<Redis, Error> {
        let url = RedisUrl::parse(url.as_ref())?;
        let invalid = |reason: &str| Error::InvalidUrl {
            url: url.address.clone(),
            reason: reason.into(),
        };
        if url.is_secure() && options.connector.is_none() && cfg!(not(feature = "tls")) {
            return Err(invalid(
                "rediss:// needs the feature `tls` of uptick-redis, or a connector with TLS",
            ));
        }
        if options.cluster && options.protocol == crate::Protocol::Resp2 {
            return Err(invalid("the option `cluster` needs RESP3"));
        }
        let id = state::open(url, options);
        Ok(Redis {
            id,
            local: PhantomData,
        })
    }

    /// Sends a command.
    ///
    /// Commands that change the state of the connection must not be sent: `SUBSCRIBE` and its relatives, `MONITOR`, `SELECT`, `HELLO`, `RESET`,
    /// `CLIENT REPLY`. Commands that block delay all later ones; see [`blocking_command`](Redis::blocking_command). The commands of a
    /// transaction (`MULTI` to `EXEC`) are sent without an `await` between them.
    ///
    /// # Errors
    /// The reply is [`Error::Reply`] if the server responds with an error, [`Error::Conversion`] if the reply does not have the type `T`,
    /// [`Error::Disconnected`] if the connection is lost before the reply, [`Error::NotConnected`] if there is no connection within the command
    /// timeout, [`Error::QueueFull`] if too much is queued, and [`Error::Closed`] if the client is closed.
    ///
    /// # Examples
    /// ```no_run
    /// # let redis = uptick_redis::Redis::connect("redis://127.0.0.1")?;
    /// redis.command::<()>(["SET", "greeting", "Hello!"]);
    /// redis.command(("LRANGE", "list", 0, 9)).then(|items: Result<Vec<String>, _>| println!("{items:?}"));
    /// # Ok::<(), uptick_redis::Error>(())
    /// ```
    #[inline]
    pub fn command<T: FromValue>(self, arguments: impl Arguments) -> Reply<T> {
        reply(self.send(&arguments))
    }

    #[inline]
    pub(crate) fn send(self, arguments: &impl Arguments) -> Result<Id, Error> {
        match state::client(self.id) {
            Some(client) => client.send(arguments),
            None => Err(Error::Closed),
        }
    }

    /// Sends a command that may block for `limit`, such as `BLPOP` or `XREAD BLOCK`, on a separate connection, so that it does not block
    /// other commands. The connection is used again for later blocking commands.
    ///
    /// # Errors
    /// As for [`command`](Redis::command), but the command fails if connecting fails; [`Error::TooMany`] if too many blocking commands are
    /// running; [`Error::Timeout`] if there is no reply within `limit` and the timeout of the health check.
    ///
    /// # Cancel safety
    /// Dropping the reply closes the connection. The command may have been executed.
    pub fn blocking_command<T: FromValue>(
        self,
        arguments: impl Arguments,
        limit: Duration,
    ) -> Reply<T> {
        self.blocking(&arguments, limit, T::from_value)
    }

    pub(crate) fn blocking<T>(
        self,
        arguments: &impl Arguments,
        limit: Duration,
        convert: fn(crate::protocol::Value) -> Result<T, Error>,
    ) -> Reply<T> {
        let sent = match state::client(self.id) {
            Some(client) => client.send_blocking(arguments, limit),
            None => Err(Error::Closed),
        };
        Reply::new(sent, convert).of_blocking(self)
    }

    pub(crate) fn cancel_blocking(self, id: Id) {
        if let Some(client) = state::client(self.id) {
            client.cancel_blocking(id);
        }
    }

    /// Sends a command to the node that has the slot of a channel, with the option `cluster`; otherwise to the server.
    pub(crate) fn send_sharded(self, channel: &[u8], arguments: &[&[u8]]) -> Result<Id, Error> {
        match state::client(self.id) {
            Some(client) if client.options().cluster => client.send_sharded(channel, arguments),
            Some(client) => client.send(&arguments),
            None => Err(Error::Closed),
        }
    }

    /// Subscribes to a channel. Its messages are emitted as `message`.
    ///
    /// The reply is completed when the server has confirmed the subscription, possibly after a reconnection. The subscription is restored after
    /// each reconnection, until [`unsubscribe`](Redis::unsubscribe); messages that are published meanwhile are lost.
    ///
    /// # Errors
    /// The reply is [`Error::Reply`] if the server refuses the subscription, which then has ended, and [`Error::TooMany`] if there are too many.
    pub fn subscribe(self, channel: impl AsRef<[u8]>) -> Reply<()> {
        self.change(SubscriptionKind::Channel, channel.as_ref(), true)
    }

    /// Subscribes to the channels that match a pattern, such as `news.*`; see [`subscribe`](Redis::subscribe).
    pub fn psubscribe(self, pattern: impl AsRef<[u8]>) -> Reply<()> {
        self.change(SubscriptionKind::Pattern, pattern.as_ref(), true)
    }

    /// Subscribes to a sharded channel (Redis 7); see [`subscribe`](Redis::subscribe). With the option
    /// [`cluster`](RedisOptions::cluster), the node that has the slot of the channel is used.
    pub fn ssubscribe(self, channel: impl AsRef<[u8]>) -> Reply<()> {
        self.change(SubscriptionKind::Sharded, channel.as_ref(), true)
    }

    /// Ends a subscription. The reply is completed when the server has confirmed it.
    pub fn unsubscribe(self, channel: impl AsRef<[u8]>) -> Reply<()> {
        self.change(SubscriptionKind::Channel, channel.as_ref(), false)
    }

    /// Ends a subscription of [`psubscribe`](Redis::psubscribe).
    pub fn punsubscribe(self, pattern: impl AsRef<[u8]>) -> Reply<()> {
        self.change(SubscriptionKind::Pattern, pattern.as_ref(), false)
    }

    /// Ends a subscription of [`ssubscribe`](Redis::ssubscribe).
    pub fn sunsubscribe(self, channel: impl AsRef<[u8]>) -> Reply<()> {
        self.change(SubscriptionKind::Sharded, channel.as_ref(), false)
    }

    fn change(self, kind: SubscriptionKind, channel: &[u8], subscribed: bool) -> Reply<()> {
        let channel = Bytes::copy_from_slice(channel);
        reply(match (state::client(self.id), subscribed) {
            (Some(client), true) => client.subscribe(kind, channel),
            (Some(client), false) => client.unsubscribe(kind, channel),
            (None, _) => Err(Error::Closed),
        })
    }

    /// Returns `true` while there is a connection to the server.
    pub fn is_ready(self) -> bool {
        with_client(self.id, |client| client.main.is_ready()) == Some(true)
    }

    /// Returns `true` until `close` has been emitted.
    pub fn is_open(self) -> bool {
        with_client(self.id, |_| ()).is_some()
    }

    /// Returns the number of commands that wait to be sent or for a reply.
    pub fn pending(self) -> usize {
        with_client(self.id, |client| client.main.pending()).unwrap_or(0)
    }

    /// Returns the number of bytes of commands that are queued: they wait for a connection, or the server does not read them.
    pub fn queued_bytes(self) -> usize {
        with_client(self.id, |client| client.main.queued_bytes()).unwrap_or(0)
    }

    /// Returns the address of the server, without user and password.
    pub fn address(self) -> Option<String> {
        with_client(self.id, |client| client.main.url.address.to_string())
    }

    /// Returns the addresses of the other nodes of a cluster that have sharded channels of this client.
    pub fn nodes(self) -> Vec<String> {
        let nodes = state::client(self.id).map(|client| client.node_addresses());
        nodes
            .into_iter()
            .flatten()
            .map(|address| address.to_string())
            .collect()
    }

    /// Closes the client when all pending commands are complete, or after the close timeout (default: 5 s). New commands fail with
    /// [`Error::Closed`].
    pub fn close(self) {
        if let Some(client) = state::client(self.id) {
            client.close();
        }
    }

    /// Closes the client at once. Pending commands fail.
    pub fn disconnect(self) {
        if let Some(client) = state::client(self.id) {
            client.disconnect();
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
