//! Counters of the adapters.

use std::cell::Cell;

/// Counters of the adapters of a thread. All except `held_bytes` only increase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusAdapterStats {
    /// Messages sent to other workers, each counted once.
    pub sent: u64,
    /// Messages received from other workers, each counted once.
    pub received: u64,
    /// Messages to other workers that were dropped before they reached the bus: too long, or too many bytes held back.
    pub dropped: u64,
    /// Volatile messages that were dropped because others were held back.
    pub volatile_dropped: u64,
    /// Messages that the bus dropped for a worker that does not read, counted once per worker. Messages of other users of the bus are included.
    pub missed: u64,
    /// Received messages that were lost because a part of them was dropped.
    pub incomplete: u64,
    /// Received messages that could not be decoded.
    pub malformed: u64,
    /// Bytes of messages that are currently held back.
    pub held_bytes: usize,
}

thread_local! {
    static STATS: Cell<BusAdapterStats> = const {
        Cell::new(BusAdapterStats {
            sent: 0,
            received: 0,
            dropped: 0,
            volatile_dropped: 0,
            missed: 0,
            incomplete: 0,
            malformed: 0,
            held_bytes: 0,
        })
    };
}

/// Changes the counters of this thread.
pub(super) fn update(change: impl FnOnce(&mut BusAdapterStats)) {
    let mut stats = get();
    change(&mut stats);
    let _ = STATS.try_with(|all| all.set(stats));
}

pub(super) fn get() -> BusAdapterStats {
    STATS.try_with(Cell::get).unwrap_or_default()
}
