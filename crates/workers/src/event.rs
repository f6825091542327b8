//! Events of workers, as reported by their master.

use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;

/// An event of a worker or of the service. Its text is one line, such as `worker 1 (pid 4711) ready`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// All workers of the first generation are serving. Not emitted by a program that takes over from an older one.
    Listening {
        /// The addresses with the actual ports, in the order in which they were set.
        addresses: Vec<String>,
    },
    /// A worker was started.
    Started(WorkerId),
    /// A worker is serving.
    Ready(WorkerId),
    /// A worker has ended.
    Ended {
        /// The worker.
        worker: WorkerId,
        /// The exit code or signal.
        exit: WorkerExit,
    },
    /// The loop of a worker has not responded for too long.
    Unresponsive {
        /// The worker.
        worker: WorkerId,
        /// The state of the process, as reported by the system.
        state: Arc<str>,
    },
    /// A worker asked to be replaced.
    Replaced {
        /// The worker.
        worker: WorkerId,
        /// The reason.
        reason: Arc<str>,
    },
    /// A new generation is starting.
    Reloading,
    /// A new generation is serving.
    Reloaded {
        /// Its number.
        generation: u64,
    },
    /// A new generation did not become ready; the old one keeps serving.
    ReloadFailed {
        /// The number that it would have had.
        generation: u64,
        /// The reason.
        reason: Arc<str>,
    },
    /// The program is being executed again from its file, to take over.
    Upgrading,
    /// The new program is serving; this one ends.
    Upgraded {
        /// The process id of the new master.
        pid: u32,
    },
    /// The new program did not take over; this one keeps serving.
    UpgradeFailed {
        /// The reason.
        reason: Arc<str>,
    },
    /// The service is stopping.
    Stopping,
    /// A non-critical operation of the master failed, such as writing the pid file.
    Failed {
        /// The error.
        error: Arc<str>,
    },
}

/// The identity of a worker process or thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId {
    /// The number of the worker, counted from 1. Its replacements have the same number.
    pub number: usize,
    /// The process id; for a thread, the process id of the program.
    pub pid: u32,
    /// The generation.
    pub generation: u64,
}

/// The way in which a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerExit {
    /// Exit with a code; a thread that failed has 1.
    Code(i32),
    /// Termination by a signal.
    Signal(i32),
}

impl WorkerExit {
    pub(crate) fn of(status: ExitStatus) -> WorkerExit {
        use std::os::unix::process::ExitStatusExt;
        match status.signal() {
            Some(signal) => WorkerExit::Signal(signal),
            None => WorkerExit::Code(status.code().unwrap_or(1)),
        }
    }

    pub(crate) fn is_success(self) -> bool {
        self == WorkerExit::Code(0)
    }
}

impl WorkerEvent {
    pub(crate) fn log(&self) {
        match self {
            WorkerEvent::Ended { exit, .. } if !exit.is_success() => tracing::error!("{self}"),
            WorkerEvent::Unresponsive { .. }
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

impl fmt::Display for WorkerExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkerExit::Code(code) => write!(f, "exit code {code}"),
            WorkerExit::Signal(signal) => write!(f, "signal {signal}"),
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
            WorkerEvent::Ended { worker, exit } => write!(f, "{worker} ended: {exit}"),
            WorkerEvent::Unresponsive { worker, state } => write!(f, "{worker} hangs: {state}"),
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
            WorkerEvent::Failed { error } => f.write_str(error),
        }
    }
}
