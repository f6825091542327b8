//! The builder of a service with workers.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use uptick_socket::{IntoUri, ListenUri, SocketOptions};

use crate::error::Error;
use crate::event::WorkerEvent;
use crate::memory::MAX_PLACES;
use crate::settings::{Mode, Settings};
use crate::status::Status;
use crate::worker::Worker;
use crate::{master, worker};

/// A service of several workers that share its listening sockets.
///
/// Worker processes run the same program: the code before [`run`](Workers::run) is executed by the master and by each worker, so
/// all processes create the same settings. Only workers call the function that is passed to `run`. Worker threads call it on a
/// loop of their own.
///
/// # Signals
/// The master handles these signals:
///
/// | signal | effect |
/// |---|---|
/// | `SIGTERM`, `SIGINT` | the workers stop accepting, end their connections and exit; a second signal closes all connections at once |
/// | `SIGHUP` | new workers start; when all are ready, the old ones drain |
/// | `SIGUSR2` | the program is executed again from its file; when the new one is ready, this one drains and exits |
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
    /// The first invalid setting.
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

    /// Returns the number of processors that the program may use.
    pub(crate) fn processors() -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    fn new(mode: Mode) -> Self {
        let count = mode.count();
        let error = (count == 0 || count > MAX_PLACES).then(|| {
            Error::invalid(&format!(
                "the number of workers is {count}, and must be 1 to {MAX_PLACES}"
            ))
        });
        Workers {
            settings: Settings::new(mode),
            error,
        }
    }

    /// Adds an address to listen on, as accepted by [`Server::bind`](uptick_socket::Server::bind). The master binds it once.
    /// Sockets that a service manager passes (`LISTEN_FDS`) replace all addresses.
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

    /// Sets whether each worker has its own socket (`SO_REUSEPORT`). The kernel distributes connections among them by a hash
    /// of their addresses, and the workers even out the differences. The master keeps the sockets open across generations.
    /// Default: false, all workers accept from one socket.
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.settings.reuse_port = reuse;
        self
    }

    /// Sets the time in which a worker ends its connections: at a reload, an upgrade, a stop, and after the master's death.
    /// Remaining connections are closed. Default: 10 s.
    pub fn drain_timeout(mut self, deadline: Duration) -> Self {
        self.settings.worker.drain = deadline;
        self
    }

    /// Sets the time over which a draining worker closes its WebSockets and event streams, each at a random moment, so that their
    /// clients do not reconnect all at once. Default: 3 s.
    pub fn drain_window(mut self, window: Duration) -> Self {
        self.settings.worker.window = window;
        self
    }

    /// Sets the time without a heartbeat of its loop after which a worker is logged, killed and replaced. A thread is only
    /// logged. Default: 5 s.
    pub fn hang_timeout(mut self, limit: Duration) -> Self {
        self.settings.worker.hang = limit.max(Duration::from_millis(40));
        self
    }

    /// Sets the time in which a worker, or the new program of an upgrade, must become ready. Default: 60 s.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.settings.start_timeout = limit;
        self
    }

    /// Sets the wait before a worker that died before it was ready, or within 1 s of it, is started again: the first wait,
    /// doubled each time up to the longest. Default: 100 ms, 30 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.backoff_min = first;
        self.settings.backoff_max = longest;
        self
    }

    /// Sets the number of deaths after which the master gives up if no worker of the first generation was ready before. Default:
    /// 10.
    pub fn start_failures(mut self, count: u32) -> Self {
        self.settings.start_failures = count.max(1);
        self
    }

    /// Sets the number of requests after which a worker is replaced gracefully; 0 means never. Default: 0.
    pub fn max_requests(mut self, count: u64) -> Self {
        self.settings.worker.max_requests = count;
        self
    }

    /// Sets the memory in bytes above which a worker process is replaced gracefully; 0 means no limit. It is checked every 4 s.
    /// Default: 0.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.settings.worker.max_memory = bytes;
        self
    }

    /// Sets the age at which a worker is replaced gracefully. Default: never.
    pub fn max_age(mut self, age: Option<Duration>) -> Self {
        self.settings.worker.max_age = age;
        self
    }

    /// Sets the user id and the group id of worker processes. The master, which binds the addresses, keeps its own ids, and needs
    /// the permission to change them. Default: the ids of the master.
    pub fn user(mut self, user: u32, group: u32) -> Self {
        self.settings.user = Some((user, group));
        self
    }

    /// Sets the file to which the master writes its process id when the workers are ready. Default: none.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.pid_file = Some(path.into());
        self
    }

    /// Sets a file that the master locks to prevent a second instance. Default: none.
    pub fn lock_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.lock_file = Some(path.into());
        self
    }

    /// Sets whether systemd stores the listening sockets (`FDSTORE`), and passes them to the next start if the master dies.
    /// Default: false.
    pub fn store_descriptors(mut self, store: bool) -> Self {
        self.settings.store_descriptors = store;
        self
    }

    /// Sets the callback that the master calls with worker events. A panic of the callback is logged, and the master continues.
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

    /// Sets a callback that the master calls with the status of the service, at once and then every `interval`. Default: none.
    pub fn on_status(mut self, interval: Duration, observer: impl Fn(&Status) + 'static) -> Self {
        self.settings.status = Some((interval, Rc::new(observer)));
        self
    }

    /// Sets an address, such as `unix:///run/service.status`, on which the master sends the status of the service as JSON
    /// ([`Status::to_json`]) to each client and closes the connection. Default: none.
    pub fn status_socket(mut self, uri: impl IntoUri<ListenUri>) -> Self {
        match uri.into_uri() {
            Ok(uri) => self.settings.status_socket = Some(uri),
            Err(error) => drop(self.error.get_or_insert(error.into())),
        }
        self
    }

    /// Runs the service until a signal ends it. In a worker process, runs the worker until it has drained.
    ///
    /// `setup` is called in each worker, and sets up its servers. The worker is serving once it has returned `Ok`.
    ///
    /// # Errors
    /// In the master: [`Error::Listen`] if listening on an address fails, [`Error::Locked`], [`Error::StartFailed`] if no worker
    /// can start, [`Error::DrainTimeout`] if connections were open at the deadline of a stop. In a worker: [`Error::Setup`],
    /// [`Error::DrainTimeout`].
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
