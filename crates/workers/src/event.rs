//! Events of workers, as their master sees them.

use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;

/// Something that happened to a worker or to the service. Its text is one line, such as `worker 1 (pid 4711) ready`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// All workers of the first generation serve. It is not emitted by a program that takes over from an older one.
    Listening {
        /// The addresses, with the real ports, in the order in which they were set.
        addresses: Vec<String>,
    },
    /// A worker was started.
    Started(WorkerId),
    /// A worker serves.
    Ready(WorkerId),
    /// A worker has ended.
    Ended {
        /// The worker.
        worker: WorkerId,
        /// How it ended.
        end: End,
    },
    /// The loop of a worker has given no sign of life for too long.
    Hangs {
        /// The worker.
        worker: WorkerId,
        /// The state of the process according to the system.
        state: Arc<str>,
    },
    /// A worker asked for a successor.
    Replaced {
        /// The worker.
        worker: WorkerId,
        /// Why.
        reason: Arc<str>,
    },
    /// A new generation starts.
    Reloading,
    /// A new generation serves.
    Reloaded {
        /// Its number.
        generation: u64,
    },
    /// A new generation did not become ready; the old one serves on.
    ReloadFailed {
        /// The number that it would have had.
        generation: u64,
        /// Why.
        reason: Arc<str>,
    },
    /// The program is executed anew, to take over.
    Upgrading,
    /// The new program serves; this one ends.
    Upgraded {
        /// The process id of the new master.
        pid: u32,
    },
    /// The new program did not take over; this one serves on.
    UpgradeFailed {
        /// Why.
        reason: Arc<str>,
    },
    /// The service ends.
    Stopping,
    /// Something failed that the master can do without, such as writing the pid file.
    Failed {
        /// The error.
        what: Arc<str>,
    },
}

/// Names a worker process or thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId {
    /// The number of the worker, counted from 1, which its replacements keep.
    pub number: usize,
    /// The process id. For a thread it is that of the program.
    pub pid: u32,
    /// The generation.
    pub generation: u64,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// With an exit code; a thread that failed has 1.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl End {
    pub(crate) fn of(status: ExitStatus) -> End {
        use std::os::unix::process::ExitStatusExt;
        match status.signal() {
            Some(signal) => End::Signal(signal),
            None => End::Code(status.code().unwrap_or(1)),
        }
    }

    pub(crate) fn is_success(self) -> bool {
        self == End::Code(0)
    }
}

impl WorkerEvent {
    pub(crate) fn log(&self) {
        match self {
            WorkerEvent::Ended { end, .. } if !end.is_success() => tracing::error!("{self}"),
            WorkerEvent::Hangs { .. }
            | WorkerEvent::ReloadFailed { .. }
            | WorkerEvent::UpgradeFailed { .. }
            | WorkerEvent::Failed { .. } => tracing::error!("{self}"),
            _ => tracing::info!("{self}"),
        }
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} (pid {})", self.number, self.pid)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit code {code}"),
            End::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl fmt::Display for WorkerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkerEvent::Listening { addresses } => {
                write!(f, "listening on {}", addresses.join(", "))
            }
            WorkerEvent::Started(worker) => write!(f, "{worker} started"),
            WorkerEvent::Ready(worker) => write!(f, "{worker} ready"),
            WorkerEvent::Ended { worker, end } => write!(f, "{worker} ended: {end}"),
            WorkerEvent::Hangs { worker, state } => write!(f, "{worker} hangs: {state}"),
            WorkerEvent::Replaced { worker, reason } => {
                write!(f, "{worker} is replaced: {reason}")
            }
            WorkerEvent::Reloading => f.write_str("reload begins"),
            WorkerEvent::Reloaded { generation } => write!(f, "generation {generation} serves"),
            WorkerEvent::ReloadFailed { generation, reason } => {
                write!(f, "reload failed: generation {generation}: {reason}")
            }
            WorkerEvent::Upgrading => f.write_str("upgrade begins"),
            WorkerEvent::Upgraded { pid } => write!(f, "upgrade done: pid {pid} serves"),
            WorkerEvent::UpgradeFailed { reason } => write!(f, "upgrade failed: {reason}"),
            WorkerEvent::Stopping => f.write_str("stopping"),
            WorkerEvent::Failed { what } => f.write_str(what),
        }
    }
}
