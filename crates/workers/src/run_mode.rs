//! Run modes of an HTTP server: one client at a time, or worker processes.

use std::cell::RefCell;
use std::collections::HashMap;

use uptick_http::HttpServer;
use uptick_socket::{IntoUri, ListenUri, Server};

use crate::error::Error;
use crate::worker::Worker;
use crate::workers::Workers;

/// The number of clients that a server serves at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunMode {
    /// One client at a time: other clients wait in the backlog until it disconnects ([`HttpServer::sequential`]).
    Sequential,
    /// All clients at a time, in worker processes that share the address:
    /// [`set_max_processes`](RunHttpServer::set_max_processes) of them.
    Simultaneous,
}

thread_local! {
    static MAX_PROCESSES: RefCell<HashMap<HttpServer, usize>> = RefCell::default();
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for uptick_http::HttpServer {}
}

/// An extension of [`HttpServer`] that runs it in a [`RunMode`].
///
/// [`Workers`] has more settings.
///
/// # Examples
/// ```no_run
/// use uptick_http::{HttpServer, Request};
/// use uptick_workers::{RunHttpServer, RunMode};
///
/// let http = HttpServer::new();
/// http.get("/", |_: Request| "Hello, World!\n");
/// http.set_max_processes(4).run("127.0.0.1:8080", RunMode::Simultaneous)?;
/// # Ok::<(), uptick_workers::Error>(())
/// ```
pub trait RunHttpServer: sealed::Sealed + Copy {
    /// Sets the number of processes that serve in [`RunMode::Simultaneous`]. Default: one for each processor that the program
    /// may use.
    fn set_max_processes(self, count: usize) -> Self;

    /// Listens on an address, and serves until the program ends, or until the server is closed in
    /// [`RunMode::Sequential`].
    ///
    /// Worker processes are new processes of the same program: each creates its own server, with the same routes, and reaches
    /// this call. The first process becomes the master, which does not serve. `SIGTERM` and `SIGINT` stop the service
    /// gracefully; see [`Workers`] for the other signals.
    ///
    /// # Errors
    /// See [`Workers::run`].
    fn run(self, uri: impl IntoUri<ListenUri>, mode: RunMode) -> Result<(), Error>;
}

impl RunHttpServer for HttpServer {
    fn set_max_processes(self, count: usize) -> Self {
        MAX_PROCESSES.with_borrow_mut(|all| all.insert(self, count));
        self
    }

    fn run(self, uri: impl IntoUri<ListenUri>, mode: RunMode) -> Result<(), Error> {
        match mode {
            RunMode::Sequential => {
                self.sequential(true).listen(Server::bind(uri)?);
                Ok(uptick_event_loop::run()?)
            }
            RunMode::Simultaneous => {
                let count = MAX_PROCESSES.with_borrow_mut(|all| all.remove(&self));
                let count = count.unwrap_or_else(Workers::processors);
                let serve = move |worker: Worker| {
                    self.listen(worker.server(0)?);
                    Ok(())
                };
                let workers = Workers::processes(count).listen(uri);
                workers.run_processes(&serve)
            }
        }
    }
}
