//! Methods for the usual commands.

use std::collections::HashMap;
use std::time::Duration;

use crate::protocol::{Arguments, Value};
use crate::reply::Reply;
use crate::streams::{self, StreamEntry, XAddOptions, XRead};
use crate::{Error, FromValue, Redis};

/// Options of [`Redis::set_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SetOptions {
    expiry: Option<Duration>,
    condition: Option<&'static str>,
    keep_ttl: bool,
}

impl SetOptions {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time after which the key expires, at least 1 ms (`PX`). Default: the key does not expire.
    #[must_use]
    pub fn expire(mut self, time: Duration) -> Self {
        self.expiry = Some(time);
        self
    }

    /// Keeps the expiry of an existing key (`KEEPTTL`). Default: it is removed.
    #[must_use]
    pub fn keep_ttl(mut self) -> Self {
        self.keep_ttl = true;
        self
    }

    /// Sets the key only if it does not exist (`NX`). Default: in any case.
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.condition = Some("NX");
        self
    }

    /// Sets the key only if it exists (`XX`). Default: in any case.
    #[must_use]
    pub fn if_present(mut self) -> Self {
        self.condition = Some("XX");
        self
    }
}

/// Returns a duration in milliseconds, at least 1.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX >> 1)
        .clamp(1, u64::MAX >> 1)
}

/// Returns the count of a response `[channel, count]` to `PUBSUB NUMSUB`.
fn subscribers(value: Value) -> Result<u64, Error> {
    let counts: HashMap<bytes::Bytes, u64> = FromValue::from_value(value)?;
    Ok(counts.into_values().sum())
}

/// The usual commands. All others are sent with [`command`](Redis::command); the errors of the replies are the same.
impl Redis {
    /// Returns the value of a key: `GET`. `T` is usually `Option<String>` or `Option<Bytes>`.
    pub fn get<T: FromValue>(self, key: impl Arguments) -> Reply<T> {
        self.command(("GET", key))
    }

    /// Returns the value of a key and deletes the key: `GETDEL`.
    pub fn getdel<T: FromValue>(self, key: impl Arguments) -> Reply<T> {
        self.command(("GETDEL", key))
    }

    /// Sets the value of a key: `SET`.
    pub fn set(self, key: impl Arguments, value: impl Arguments) -> Reply<()> {
        self.command(("SET", key, value))
    }

    /// Sets the value of a key with options. Returns `false` if the condition was not met.
    pub fn set_with(
        self,
        key: impl Arguments,
        value: impl Arguments,
        options: SetOptions,
    ) -> Reply<bool> {
        let expiry = options.expiry.map(|time| ("PX", milliseconds(time)));
        let keep_ttl = options.keep_ttl.then_some("KEEPTTL");
        self.command(("SET", key, value, expiry, keep_ttl, options.condition))
    }

    /// Deletes keys and returns the number of deleted ones: `DEL`.
    pub fn del(self, keys: impl Arguments) -> Reply<u64> {
        self.command(("DEL", keys))
    }

    /// Returns the number of keys that exist: `EXISTS`.
    pub fn exists(self, keys: impl Arguments) -> Reply<u64> {
        self.command(("EXISTS", keys))
    }

    /// Adds 1 to an integer and returns the result: `INCR`.
    pub fn incr(self, key: impl Arguments) -> Reply<i64> {
        self.command(("INCR", key))
    }

    /// Adds to an integer and returns the result: `INCRBY`.
    pub fn incr_by(self, key: impl Arguments, amount: i64) -> Reply<i64> {
        self.command(("INCRBY", key, amount))
    }

    /// Sets the time after which a key expires, at least 1 ms; returns `false` if there is no such key: `PEXPIRE`.
    pub fn expire(self, key: impl Arguments, time: Duration) -> Reply<bool> {
        self.command(("PEXPIRE", key, milliseconds(time)))
    }

    /// Returns a field of a hash: `HGET`.
    pub fn hget<T: FromValue>(self, key: impl Arguments, field: impl Arguments) -> Reply<T> {
        self.command(("HGET", key, field))
    }

    /// Sets fields of a hash and returns the number of new ones: `HSET`. The fields are pairs, such as `[("name", "Ann")]`.
    pub fn hset(self, key: impl Arguments, fields: impl Arguments) -> Reply<u64> {
        self.command(("HSET", key, fields))
    }

    /// Returns all fields of a hash: `HGETALL`. `T` is usually a `HashMap<String, String>`.
    pub fn hgetall<T: FromValue>(self, key: impl Arguments) -> Reply<T> {
        self.command(("HGETALL", key))
    }

    /// Publishes a message to a channel and returns the number of receivers: `PUBLISH`.
    pub fn publish(self, channel: impl Arguments, payload: impl Arguments) -> Reply<u64> {
        self.command(("PUBLISH", channel, payload))
    }

    /// Publishes a message to a sharded channel and returns the number of receivers: `SPUBLISH` (Redis 7). With the option
    /// [`cluster`](crate::RedisOptions::cluster), the node that has the slot of the channel is used.
    pub fn spublish(self, channel: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Reply<u64> {
        let channel = channel.as_ref();
        let sent = self.send_sharded(channel, &[b"SPUBLISH", channel, payload.as_ref()]);
        Reply::new(sent, u64::from_value)
    }

    /// Returns the number of connections that have subscribed to a channel: `PUBSUB NUMSUB`.
    pub fn pubsub_numsub(self, channel: impl Arguments) -> Reply<u64> {
        Reply::new(self.send(&("PUBSUB", "NUMSUB", channel)), subscribers)
    }

    /// Returns the number of connections that have subscribed to a sharded channel: `PUBSUB SHARDNUMSUB` (Redis 7).
    ///
    /// Servers respond for their own slots only and do not redirect. With the option [`cluster`](crate::RedisOptions::cluster), the node is the
    /// one to which [`ssubscribe`](Redis::ssubscribe) or [`spublish`](Redis::spublish) was redirected for the slot, otherwise the main server.
    pub fn pubsub_shardnumsub(self, channel: impl AsRef<[u8]>) -> Reply<u64> {
        let channel = channel.as_ref();
        let sent = self.send_sharded(channel, &[b"PUBSUB", b"SHARDNUMSUB", channel]);
        Reply::new(sent, subscribers)
    }

    /// Adds an entry to a stream and returns its ID: `XADD`. The fields are pairs, such as `[("name", "Ann")]`.
    pub fn xadd(self, key: impl Arguments, fields: impl Arguments) -> Reply<String> {
        self.command(("XADD", key, "*", fields))
    }

    /// Adds an entry to a stream with options and returns its ID; `None` if there is no such stream and
    /// [`no_make_stream`](XAddOptions::no_make_stream) is set.
    pub fn xadd_with(
        self,
        key: impl Arguments,
        options: XAddOptions,
        fields: impl Arguments,
    ) -> Reply<Option<String>> {
        self.command(("XADD", key, options.arguments(), fields))
    }

    /// Returns the entries of a stream from an ID to another, both included: `XRANGE`. `-` is the first ID, `+` the last, and `(ID` excludes an
    /// ID.
    pub fn xrange(
        self,
        key: impl Arguments,
        start: impl Arguments,
        end: impl Arguments,
    ) -> Reply<Vec<StreamEntry>> {
        self.command(("XRANGE", key, start, end))
    }

    /// Returns at most `count` entries of a stream from an ID to another: `XRANGE … COUNT`.
    pub fn xrange_count(
        self,
        key: impl Arguments,
        start: impl Arguments,
        end: impl Arguments,
        count: usize,
    ) -> Reply<Vec<StreamEntry>> {
        self.command(("XRANGE", key, start, end, "COUNT", count))
    }

    /// Returns the entries of streams after given IDs, by stream: `XREAD`. The result is empty if there are none.
    ///
    /// With [`XRead::block`] the command uses a separate connection, so that it does not block other commands; see
    /// [`blocking_command`](Redis::blocking_command).
    pub fn xread(self, read: XRead) -> Reply<Vec<(String, Vec<StreamEntry>)>> {
        match read.block_time() {
            Some(limit) => self.blocking(&read.arguments(), limit, streams::entries_by_stream),
            None => Reply::new(self.send(&read.arguments()), streams::entries_by_stream),
        }
    }

    /// Runs a Lua script: `EVAL`.
    pub fn eval<T: FromValue>(
        self,
        script: impl Arguments,
        keys: impl Arguments,
        arguments: impl Arguments,
    ) -> Reply<T> {
        self.command(("EVAL", script, keys.count(), keys, arguments))
    }

    /// Checks the connection: `PING`.
    pub fn ping(self) -> Reply<()> {
        self.command("PING")
    }
}
