#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
pub mod address;
mod backoff;
mod chunks;
mod clock;
mod deadlines;
#[doc(hidden)]
pub mod driver;
#[doc(hidden)]
pub mod errno;
mod error;
mod event_loop;
mod handle;
mod histogram;
mod job;
mod keep_alive;
mod lag_history;
mod lazy_deadline;
mod local;
mod panic;
mod poller;
mod pool;
mod random;
mod shared_table;
mod signal;
mod staggered;
mod table;
mod task;
mod timer;
mod timers;
mod timestamp;
mod token;
mod watch;

pub use signal_hook::consts::signal::{
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// The names that most programs need: `use uptick_event_loop::prelude::*`.
pub mod prelude {
    pub use crate::{
        Error, LoopHandle, SIGHUP, SIGINT, SIGTERM, Timer, add_periodic_timer, add_read_stream,
        add_signal, add_timer, add_write_stream, block_on, future_tick, handle, run, sleep, spawn,
        spawn_blocking, stop,
    };
}

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use driver::elapsed;
pub use error::Error;
pub use event_loop::{EventLoop, future_tick, handle, lag, now, run, stop};
pub use handle::{LoopHandle, POST_LIMIT};
pub use histogram::Histogram;
pub use job::{BlockingJob, JOB_LIMIT, spawn_blocking};
pub use keep_alive::{KeepAlive, keep_alive};
pub use poller::{MioPoller, Poller, ScriptedPoller};
pub use pool::THREAD_LIMIT;
pub use random::jitter;
pub use signal::{SignalId, add_shutdown_signals, add_signal, remove_signal};
pub use staggered::Staggered;
pub use task::{JoinHandle, block_on, spawn};
pub use timer::{Sleep, Timer, add_periodic_timer, add_timer, cancel_timer, sleep};
pub use watch::{add_read_stream, add_write_stream, remove_read_stream, remove_write_stream};

// For the other crates of the project: public, but undocumented and not covered by semantic versioning.
#[doc(hidden)]
pub use local::UseRemoteOrLoopHandle;
#[doc(hidden)]
pub use panic::catch;
#[doc(hidden)]
pub use poller::{Interest, Readiness, ScriptedWait, Trigger, Wake};
#[doc(hidden)]
pub use shared_table::{SharedTable, TableRef};
#[doc(hidden)]
pub use table::{Id, Table};
#[doc(hidden)]
pub use token::{DriverId, Token};
