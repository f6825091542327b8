//! The actions that the supervisor requests, and the settings that they depend on.

use std::time::Duration;

use crate::control::DrainCause;

/// The identity of a worker process or thread: the index of its slot.
pub(crate) type UnitId = usize;

/// An action for the master to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a worker, and report whether that succeeded.
    Start { place: usize, generation: u64 },
    /// Drain a worker: it stops accepting and ends its connections.
    Drain { unit: UnitId, cause: DrainCause },
    /// End a worker at once.
    Kill { unit: UnitId },
    /// A worker has died and is replaced.
    Restarted { place: usize },
    /// All workers of a generation are ready, and it is serving.
    Serving { generation: u64, first: bool },
    /// A reload begins.
    Reloading,
    /// A reload was aborted; the old generation keeps serving.
    ReloadFailed { generation: u64, reason: String },
    /// No worker of the first generation could start.
    GiveUp { deaths: u32 },
    /// All workers have ended after a stop or an upgrade.
    Ended { in_time: bool },
}

/// The timeouts and limits that the decisions depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SupervisorPolicy {
    pub(crate) places: usize,
    pub(crate) drain: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) start_failures: u32,
}
