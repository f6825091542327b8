#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod address;
mod chunks;
mod clock;
mod deadlines;
pub mod driver;
pub mod errno;
mod error;
mod event_loop;
mod handle;
mod histogram;
mod job;
mod keep_alive;
mod lags;
mod lazy_deadline;
mod panic;
mod poller;
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

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::Error;
pub use event_loop::{EventLoop, future_tick, handle, lag, now, run, stop};
pub use handle::{LoopHandle, POST_LIMIT};
pub use histogram::Histogram;
pub use job::{BlockingJob, JOB_LIMIT, spawn_blocking};
pub use keep_alive::{KeepAlive, keep_alive};
pub use panic::catch;
pub use poller::{Interest, MioPoller, Poller, Readiness, ScriptedPoller, Step, Trigger, Wake};
pub use random::jitter;
pub use shared_table::{Held, SharedTable};
pub use signal::{SignalId, add_shutdown_signals, add_signal, remove_signal};
pub use staggered::Staggered;
pub use table::{Id, Table};
pub use task::{JoinHandle, block_on, spawn};
pub use timer::{Sleep, Timer, add_periodic_timer, add_timer, cancel_timer, sleep};
pub use token::{DriverId, Token};
pub use watch::{add_read_stream, add_write_stream, remove_read_stream, remove_write_stream};
