//! Counters of the adapters.

use std::cell::Cell;

/// Counters of an adapter, summed over its namespaces. They only increase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisAdapterStats {
    /// Messages that Redis has published, including responses.
    pub sent: u64,
    /// Messages and responses of other servers that were passed to a namespace.
    pub received: u64,
    /// Messages that were not published, because Redis was not connected or refused them, or because they are too long.
    pub lost: u64,
    /// Received broadcasts that were not decoded, because this server has no socket in the room.
    pub skipped: u64,
    /// Received messages that were ignored: own messages, and messages or responses for other servers or namespaces.
    pub ignored: u64,
    /// Received messages that could not be decoded.
    pub malformed: u64,
    /// Subscriptions that Redis refused.
    pub refused: u64,
}

/// The counters, and what was logged.
#[derive(Debug, Default)]
pub(super) struct Counters {
    stats: Cell<RedisAdapterStats>,
    /// Set once a lost message was logged, until a message is published.
    was_lost: Cell<bool>,
    /// Set once a malformed message was logged; further ones are not.
    was_malformed: Cell<bool>,
}

impl Counters {
    pub(super) fn get(&self) -> RedisAdapterStats {
        self.stats.get()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut RedisAdapterStats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }

    /// Records the result of publishing a message.
    pub(super) fn published(&self, result: &Result<(), String>) {
        match result {
            Ok(()) => {
                self.update(|stats| stats.sent += 1);
                self.was_lost.set(false);
            }
            Err(error) => self.lost(error),
        }
    }

    /// Records a message that was not published. The first of several in a row is logged.
    pub(super) fn lost(&self, error: &str) {
        self.update(|stats| stats.lost += 1);
        if !self.was_lost.replace(true) {
            tracing::error!("publishing a Socket.IO message over Redis failed: {error}");
        }
    }

    /// Records a message that could not be decoded. The first one is logged.
    pub(super) fn malformed(&self, channel: &str, error: &str) {
        self.update(|stats| stats.malformed += 1);
        if !self.was_malformed.replace(true) {
            tracing::error!(
                "decoding a message from the Redis channel {channel:?} failed: {error}"
            );
        }
    }

    pub(super) fn refused(&self, error: &str) {
        self.update(|stats| stats.refused += 1);
        tracing::error!("subscribing to a Redis channel of a Socket.IO adapter failed: {error}");
    }
}
