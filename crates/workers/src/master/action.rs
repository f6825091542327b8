//! The decisions of the supervisor, and what they depend on.

use std::time::Duration;

use crate::control::DrainCause;

/// Names a worker process or thread: the index of its slot.
pub(crate) type UnitId = usize;

/// A thing for the master to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a worker, and report that it has started or could not be.
    Start { place: usize, generation: u64 },
    /// Drain a worker: it stops accepting and ends its connections.
    Drain { unit: UnitId, cause: DrainCause },
    /// End a worker at once.
    Kill { unit: UnitId },
    /// A worker has died and is replaced.
    Restarted { place: usize },
    /// A generation is complete and serves.
    Serving { generation: u64, first: bool },
    /// A reload begins.
    Reloading,
    /// A reload was given up; the old generation serves on.
    ReloadFailed { generation: u64, reason: String },
    /// No worker of the first generation could start.
    GiveUp { deaths: u32 },
    /// All workers have ended after a stop or an upgrade.
    Ended { in_time: bool },
}

/// The times and limits that the decisions depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) places: usize,
    pub(crate) drain: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) start_failures: u32,
}
