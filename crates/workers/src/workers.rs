//! The builder of a service with workers.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use uptick_socket::{IntoUri, ListenUri, SocketOptions};

use crate::error::Error;
use crate::event::WorkerEvent;
use crate::memory::MOST_PLACES;
use crate::settings::{Mode, Settings};
use crate::status::Status;
use crate::worker::Worker;
use crate::{master, worker};

/// A service of several workers, which share its listening sockets.
///
/// Worker processes are the same program, executed anew: what stands before [`run`](Workers::run) runs in the master and in each
/// worker, so all processes make the same settings. Only workers call the function that is passed to `run`. Worker threads run it
/// each on a loop of its own.
///
/// # Signals
/// The master listens to them:
///
/// | signal | effect |
/// |---|---|
/// | `SIGTERM`, `SIGINT` | the workers accept no more, end their connections and exit; a second one cuts all at once |
/// | `SIGHUP` | new workers start; when all are ready, the old ones drain |
/// | `SIGUSR2` | the program is executed anew from its file; when it is ready, this one drains and exits |
/// | `SIGUSR1` | workers emit `reopen` |
///
/// # Limits
/// 1 to 1024 workers. A worker that dies is started again at once, or after 100 ms doubled up to 30 s if it dies within 1 s of its
/// start. See the setters for the rest.
///
/// # Examples
/// ```no_run
/// use uptick_http::{HttpServer, Request};
/// use uptick_workers::{Worker, Workers};
///
/// Workers::processes(4)
///     .listen("tcp://127.0.0.1:8080")
///     .run(|worker: Worker| {
///         let http = HttpServer::new();
///         http.get("/", |_: Request| "Hello, World!\n");
///         http.listen(worker.server(0)?);
///         Ok(())
///     })?;
/// # Ok::<(), uptick_workers::Error>(())
/// ```
#[must_use = "nothing starts before `run`"]
pub struct Workers {
    settings: Settings,
    /// The first setting that makes no sense.
    error: Option<Error>,
}

impl Workers {
    /// Creates a service of worker processes, under a master that does not serve.
    pub fn processes(count: usize) -> Self {
        Workers::new(Mode::Processes(count))
    }

    /// Creates a service of worker threads in one process.
    pub fn threads(count: usize) -> Self {
        Workers::new(Mode::Threads(count))
    }

    /// Creates a service with a worker thread for each processor that the program may use.
    pub fn threads_per_core() -> Self {
        Workers::threads(Workers::processors())
    }

    /// Returns how many processors the program may use.
    pub(crate) fn processors() -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    fn new(mode: Mode) -> Self {
        let count = mode.count();
        let error = (count == 0 || count > MOST_PLACES)
            .then(|| Error::invalid(&format!("{count} workers: 1 to {MOST_PLACES} are possible")));
        Workers {
            settings: Settings::new(mode),
            error,
        }
    }

    /// Adds an address to listen on, as [`Server::bind`](uptick_socket::Server::bind) takes it. The master binds it once. Sockets
    /// that a service manager passes (`LISTEN_FDS`) are used instead of all addresses.
    ///
    /// [`run`](Workers::run) returns the error of an address that is malformed.
    pub fn listen(self, uri: impl IntoUri<ListenUri>) -> Self {
        self.listen_with(uri, SocketOptions::new())
    }

    /// Adds an address to listen on, with options for its socket.
    pub fn listen_with(mut self, uri: impl IntoUri<ListenUri>, options: SocketOptions) -> Self {
        match uri.into_uri() {
            Ok(uri) => self.settings.listeners.push((uri, options)),
            Err(error) => drop(self.error.get_or_insert(error.into())),
        }
        self
    }

    /// Sets whether each worker has a socket of its own (`SO_REUSEPORT`), among which the kernel spreads connections by a hash of
    /// their addresses. Workers pass on what is uneven then. The master keeps them open across generations. Default: false, all accept from one.
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.settings.reuse_port = reuse;
        self
    }

    /// Sets how long a worker may take to end its connections: at a reload, an upgrade, a stop, and after the master's death. What
    /// is left is cut. Default: 10 s.
    pub fn drain_timeout(mut self, deadline: Duration) -> Self {
        self.settings.worker.drain = deadline;
        self
    }

    /// Sets the time over which a draining worker closes its WebSockets and event streams, each at a random moment, so that their
    /// clients do not come back all at once. Default: 3 s.
    pub fn drain_window(mut self, window: Duration) -> Self {
        self.settings.worker.window = window;
        self
    }

    /// Sets for how long the loop of a worker may give no sign of life, before the worker is logged, killed and replaced. A thread
    /// is only logged. Default: 5 s.
    pub fn hang_timeout(mut self, limit: Duration) -> Self {
        self.settings.worker.hang = limit.max(Duration::from_millis(40));
        self
    }

    /// Sets how long a worker, or the new program of an upgrade, may take to become ready. Default: 60 s.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.settings.start_timeout = limit;
        self
    }

    /// Sets the wait before a worker is started again that died before it was ready or within 1 s of it: the first one, doubled
    /// each time up to the longest. Default: 100 ms, 30 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.backoff_min = first;
        self.settings.backoff_max = longest;
        self
    }

    /// Sets after how many deaths the master gives up, if no worker of the first generation was ready before. Default: 10.
    pub fn start_failures(mut self, count: u32) -> Self {
        self.settings.start_failures = count.max(1);
        self
    }

    /// Sets after how many requests a worker is replaced gracefully; 0 is never. Default: 0.
    pub fn max_requests(mut self, count: u64) -> Self {
        self.settings.worker.max_requests = count;
        self
    }

    /// Sets the memory in bytes above which a worker process is replaced gracefully; 0 is no limit. It is looked at every 4 s.
    /// Default: 0.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.settings.worker.max_memory = bytes;
        self
    }

    /// Sets after which time a worker is replaced gracefully. Default: never.
    pub fn max_age(mut self, age: Option<Duration>) -> Self {
        self.settings.worker.max_age = age;
        self
    }

    /// Sets the ids of the user and the group as which worker processes run. The master, which binds the addresses, keeps its own,
    /// and needs the right to change them. Default: those of the master.
    pub fn user(mut self, user: u32, group: u32) -> Self {
        self.settings.user = Some((user, group));
        self
    }

    /// Sets the file to which the master writes its process id when the workers are ready. Default: none.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.pid_file = Some(path.into());
        self
    }

    /// Sets a file that the master locks, so that no second instance starts. Default: none.
    pub fn lock_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.lock_file = Some(path.into());
        self
    }

    /// Sets whether systemd keeps the listening sockets (`FDSTORE`), and passes them to the next start if the master dies.
    /// Default: false.
    pub fn store_descriptors(mut self, store: bool) -> Self {
        self.settings.store_descriptors = store;
        self
    }

    /// Sets the callback that the master calls with what happens to the workers. If it panics, that is logged and the master goes on.
    /// Default: events are logged.
    ///
    /// # Examples
    /// ```no_run
    /// use uptick_workers::{WorkerEvent, Workers};
    ///
    /// let workers = Workers::processes(2).on_event(|event| match event {
    ///     WorkerEvent::Listening { addresses } => println!("listening on {}", addresses.join(", ")),
    ///     event => eprintln!("{event}"),
    /// });
    /// # drop(workers);
    /// ```
    pub fn on_event(mut self, observer: impl Fn(&WorkerEvent) + 'static) -> Self {
        self.settings.observer = Some(Rc::new(observer));
        self
    }

    /// Sets a callback that the master calls with the state of the service, at once and then every `interval`. Default: none.
    pub fn on_status(mut self, interval: Duration, observer: impl Fn(&Status) + 'static) -> Self {
        self.settings.status = Some((interval, Rc::new(observer)));
        self
    }

    /// Sets an address, such as `unix:///run/service.status`, where the master sends each client the state of the service as JSON
    /// ([`Status::to_json`]) and closes the connection. Default: none.
    pub fn status_socket(mut self, uri: impl IntoUri<ListenUri>) -> Self {
        match uri.into_uri() {
            Ok(uri) => self.settings.status_socket = Some(uri),
            Err(error) => drop(self.error.get_or_insert(error.into())),
        }
        self
    }

    /// Runs the service until a signal ends it. In a worker process it runs the worker until that has drained.
    ///
    /// `setup` is called in each worker, and sets up its servers. A worker serves when it has returned `Ok`.
    ///
    /// # Errors
    /// In the master: [`Error::Listen`] for an address that cannot be listened on, [`Error::Locked`],
    /// [`Error::StartFailed`] if no worker can start, [`Error::Cut`] if connections were open at the deadline of a stop. In a worker:
    /// [`Error::Setup`], [`Error::Cut`].
    pub fn run<F>(self, setup: F) -> Result<(), Error>
    where
        F: Fn(Worker) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        if matches!(self.settings.mode, Mode::Processes(_)) {
            return self.run_processes(&setup);
        }
        match self.error {
            None => master::run(self.settings, Some(Arc::new(setup))),
            Some(error) => Err(error),
        }
    }

    /// Runs the master of processes, or one of them. Only workers call `setup`, on this thread.
    pub(crate) fn run_processes(
        self,
        setup: &dyn Fn(Worker) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<(), Error> {
        match self.error {
            Some(error) => Err(error),
            None if worker::is_worker_process() => {
                worker::run_process(&self.settings.worker, setup)
            }
            None => master::run(self.settings, None),
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("mode", &self.settings.mode)
            .finish_non_exhaustive()
    }
}
