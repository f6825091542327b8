//! The handle of a worker, and its events.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use uptick_emitter::events;
use uptick_event_loop::UseRemoteOrLoopHandle;

/// The worker of a thread, passed to the function that sets it up.
///
/// A `Copy` handle to the state of this thread. [`Worker::current`] returns it elsewhere.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `ready` | `()` | the worker is set up, and its bus is connected to all other workers: from now on it is offered connections |
/// | `drain` | [`Drain`] | the worker stops accepting and ends; its HTTP servers are shut down after the listeners have returned |
/// | `reopen` | `()` | log files must be reopened (`SIGUSR1`) |
///
/// # Examples
/// ```no_run
/// use uptick_http::{HttpServer, Request};
/// use uptick_workers::{Worker, Workers};
///
/// Workers::processes(4).listen("127.0.0.1:8080").run(|worker: Worker| {
///     let http = HttpServer::new();
///     http.get("/", move |_: Request| format!("worker {}\n", worker.number()));
///     http.listen(worker.server(0)?);
///     Ok(())
/// })?;
/// # Ok::<(), uptick_workers::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    number: usize,
    generation: u64,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// The function that sets up a worker.
pub(crate) type SetUp =
    Arc<dyn Fn(Worker) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// The reason and the deadline of a worker's end: the payload of `drain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drain {
    /// `true` if a successor is serving already, so clients may reconnect at once; `false` if the service stops.
    pub restarting: bool,
    /// Time until all remaining connections are closed.
    pub deadline: Duration,
    /// Time over which long-lived connections should be closed, each at a random moment.
    pub window: Duration,
}

events! {
    impl Worker {
        Drain => {
            /// The worker stops accepting and ends.
            DRAIN = "drain";
        }
        () => {
            /// The worker is set up, and its bus is connected to all other workers.
            READY = "ready";
            /// Log files must be reopened.
            REOPEN = "reopen";
        }
    }
}

impl Worker {
    pub(crate) fn new(number: usize, generation: u64) -> Self {
        Worker {
            number,
            generation,
            local: PhantomData,
        }
    }

    /// Returns the number of the worker, counted from 1. A replacement has the number of its predecessor.
    pub fn number(self) -> usize {
        self.number
    }

    /// Returns the generation, which starts at 1 and grows with each reload and upgrade.
    pub fn generation(self) -> u64 {
        self.generation
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("number", &self.number)
            .field("generation", &self.generation)
            .finish()
    }
}
