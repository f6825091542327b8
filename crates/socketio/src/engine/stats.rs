//! Counters of a server.

use std::cell::Cell;

/// Counters of an [`EngineIo`](super::EngineIo) server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// The number of open sessions.
    pub clients: usize,
    /// The number of sessions that were opened.
    pub opened: u64,
    /// The number of sessions that were closed.
    pub closed: u64,
    /// The number of sessions that were upgraded to WebSocket.
    pub upgrades: u64,
    /// The number of requests that were refused.
    pub refused: u64,
    /// The number of packets that were dropped because the queue of their client was full.
    pub dropped: u64,
    /// The number of sessions that were closed because their queue was full.
    pub slow_closes: u64,
}

/// The live counters.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) opened: Cell<u64>,
    pub(super) closed: Cell<u64>,
    pub(super) upgrades: Cell<u64>,
    pub(super) refused: Cell<u64>,
    pub(super) dropped: Cell<u64>,
    pub(super) slow_closes: Cell<u64>,
}

/// Increments a counter.
pub(super) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Counts {
    pub(super) fn stats(&self, clients: usize) -> EngineStats {
        EngineStats {
            clients,
            opened: self.opened.get(),
            closed: self.closed.get(),
            upgrades: self.upgrades.get(),
            refused: self.refused.get(),
            dropped: self.dropped.get(),
            slow_closes: self.slow_closes.get(),
        }
    }
}
