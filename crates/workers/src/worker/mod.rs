//! A worker: its listeners, its heartbeat, and its end.

mod commands;
mod drain;
mod guard;
mod handle;
mod heartbeat;
mod link;
mod peers;
mod process;
mod runtime;
mod thread;

use uptick_emitter::{Emitter, Listeners};
use uptick_socket::{Server, ServerOptions};

use crate::bus::Bus;
use crate::error::Error;
use crate::status::Status;

pub(crate) use handle::SetUp;
pub use handle::{Drain, Worker};
pub(crate) use process::{
    VARIABLE, has_channel, is_worker_process, run_process, take_standard_input,
};
use runtime::with_runtime;
pub(crate) use thread::{ThreadContext, ThreadStart, run_thread};

impl Emitter for Worker {
    type Events = Worker;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_runtime(|runtime| f(&mut runtime.listeners.borrow_mut()))
    }
}

impl Worker {
    /// Returns the worker of this thread; `None` if the thread is not a worker.
    pub fn current() -> Option<Worker> {
        with_runtime(|runtime| runtime.worker())
    }

    /// Returns the number of workers.
    pub fn count(self) -> usize {
        with_runtime(|runtime| runtime.memory.places()).unwrap_or(0)
    }

    /// Returns the addresses of the listeners, with the actual ports.
    pub fn addresses(self) -> Vec<String> {
        with_runtime(|runtime| runtime.addresses.clone()).unwrap_or_default()
    }

    /// Returns the server of one of the addresses, counted from 0 in the order in which they were set. All workers share its
    /// socket. A second call returns the same server.
    ///
    /// # Errors
    /// [`Error::NoListener`] if the index is out of range, [`Error::Listen`] if the socket cannot be used.
    pub fn server(self, index: usize) -> Result<Server, Error> {
        self.server_with(index, ServerOptions::new())
    }

    /// Returns the server of one of the addresses, with options for its connections.
    ///
    /// # Errors
    /// See [`server`](Worker::server).
    pub fn server_with(self, index: usize, options: ServerOptions) -> Result<Server, Error> {
        let missing = || Error::invalid("this thread is not a worker");
        with_runtime(|runtime| runtime.server(index, options)).unwrap_or_else(|| Err(missing()))
    }

    /// Returns the bus that connects the workers.
    pub fn bus(self) -> Bus {
        Bus::of_thread()
    }

    /// Returns whether the worker has stopped accepting and is ending.
    pub fn is_draining(self) -> bool {
        with_runtime(|runtime| runtime.draining.get().is_some()).unwrap_or(true)
    }

    /// Requests a successor from the master. When it is ready, this worker drains. The reason is logged.
    pub fn replace(self, reason: &str) {
        if let Some(link) = with_runtime(|runtime| runtime.link.clone()) {
            link.replace(reason);
        }
    }

    /// Returns the status of all workers. The counters of other workers are up to 250 ms old.
    pub fn status(self) -> Option<Status> {
        heartbeat::publish();
        with_runtime(|runtime| Status::of(&runtime.memory))
    }
}
