//! One worker: its listeners, its signs of life, and its end.

mod drain;
mod heart;
mod link;
mod process;
mod runtime;
mod thread;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners, events};
use uptick_socket::{Server, ServerOptions};

use crate::bus::Bus;
use crate::error::Error;
use crate::status::Status;

use link::Link;
pub(crate) use process::{
    VARIABLE, has_channel, is_worker_process, run_process, take_standard_input,
};
use runtime::{Runtime, with_runtime};
pub(crate) use thread::{ThreadContext, ThreadStart, run_thread};

/// A worker, as the function that sets it up sees it.
///
/// A `Copy` handle to the state of this thread. [`Worker::current`] returns it elsewhere.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `ready` | `()` | the worker is set up, and its bus knows all other workers: from now on it is offered connections |
/// | `drain` | [`Drain`] | the worker accepts no more and ends; its HTTP servers are shut down after the listeners have returned |
/// | `reopen` | `()` | log files are to be opened anew (`SIGUSR1`) |
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
    local: PhantomData<*const ()>,
}

/// The function that sets a worker up.
pub(crate) type SetUp =
    Arc<dyn Fn(Worker) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Why and how a worker ends: the payload of `drain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drain {
    /// A successor serves already, so clients may come back at once. `false`: the service ends.
    pub restarting: bool,
    /// The time until everything that is left is cut.
    pub deadline: Duration,
    /// The time over which long connections should be closed, each at a random moment.
    pub window: Duration,
}

events! {
    impl Worker {
        Drain => {
            /// The worker accepts no more and ends.
            DRAIN = "drain";
        }
        () => {
            /// The worker is set up, and its bus knows all other workers.
            READY = "ready";
            /// Log files are to be opened anew.
            REOPEN = "reopen";
        }
    }
}

impl Emitter for Worker {
    type Events = Worker;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_runtime(|runtime| f(&mut runtime.listeners.borrow_mut()))
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

    /// Returns the worker of this thread; `None` if the thread is not one.
    pub fn current() -> Option<Worker> {
        with_runtime(|runtime| runtime.worker())
    }

    /// The number of the worker, counted from 1. A replacement has the number of its predecessor.
    pub fn number(self) -> usize {
        self.number
    }

    /// The generation, which is 1 at first and grows with each reload and upgrade.
    pub fn generation(self) -> u64 {
        self.generation
    }

    /// How many workers there are.
    pub fn count(self) -> usize {
        with_runtime(|runtime| runtime.memory.places()).unwrap_or(0)
    }

    /// Returns the addresses that are listened on, with the real ports.
    pub fn addresses(self) -> Vec<String> {
        with_runtime(|runtime| runtime.addresses.clone()).unwrap_or_default()
    }

    /// Returns the server of one of the addresses, counted from 0 in the order in which they were set. It shares its socket with
    /// all workers. A second call returns the same server.
    ///
    /// # Errors
    /// [`Error::NoListener`] if there are not so many addresses, [`Error::Listen`] if the socket cannot be used.
    pub fn server(self, index: usize) -> Result<Server, Error> {
        self.server_with(index, ServerOptions::new())
    }

    /// Returns the server of one of the addresses, with options for its connections.
    ///
    /// # Errors
    /// As [`server`](Worker::server).
    pub fn server_with(self, index: usize, options: ServerOptions) -> Result<Server, Error> {
        let missing = || Error::invalid("this thread is no worker");
        with_runtime(|runtime| runtime.server(index, options)).unwrap_or_else(|| Err(missing()))
    }

    /// Returns the bus that connects the workers.
    pub fn bus(self) -> Bus {
        Bus::of_thread()
    }

    /// Whether the worker accepts no more and ends.
    pub fn is_draining(self) -> bool {
        with_runtime(|runtime| runtime.draining.get().is_some()).unwrap_or(true)
    }

    /// Asks the master for a successor. When it is ready, this worker drains. The reason is for the log.
    pub fn replace(self, reason: &str) {
        if let Some(link) = with_runtime(|runtime| runtime.link.clone()) {
            link.replace(reason);
        }
    }

    /// Returns the state of all workers. Their counts are up to 250 ms old, those of this worker are not.
    pub fn status(self) -> Option<Status> {
        heart::publish();
        with_runtime(|runtime| Status::of(&runtime.memory))
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
