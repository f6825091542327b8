//! Counters.

use std::cell::Cell;

/// Counters of the adapters of a thread. Those that count are monotone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusAdapterStats {
    /// Messages that were sent to other workers, each counted once.
    pub sent: u64,
    /// Messages that were received from other workers, each counted once.
    pub received: u64,
    /// Messages to other workers that were dropped here: too long, or too many held back.
    pub dropped: u64,
    /// Volatile messages that were dropped because others were held back.
    pub volatile_dropped: u64,
    /// Messages that the bus has dropped for one worker each, which does not read. Other users of the bus are counted, too.
    pub missed: u64,
    /// Received messages that were lost because a part of them was dropped.
    pub incomplete: u64,
    /// Received messages that could not be decoded.
    pub malformed: u64,
    /// Bytes of messages that are held back now.
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
