//! Shutdown on signals.

use uptick_event_loop::Error;
use uptick_socket::shutdown_on;

use super::HttpServer;
use crate::ShutdownOptions;

impl HttpServer {
    /// Shuts the server down ([`shutdown_with`](HttpServer::shutdown_with)) when one of the signals is received. A second signal
    /// immediately closes the remaining connections.
    ///
    /// The signal listeners are removed when the server is closed. They do not keep the loop running: it ends with the server if nothing
    /// else is left.
    ///
    /// `options` are the shutdown options, or only the deadline.
    ///
    /// # Errors
    /// [`Error::Signal`] if a signal cannot be handled, such as `SIGKILL`. No signal listener is added in this case.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    /// use uptick_event_loop::{SIGINT, SIGTERM};
    /// use uptick_http::{HttpServer, Request};
    ///
    /// let http = HttpServer::bind("127.0.0.1:8080")?;
    /// http.get("/", |_: Request| "Hello, World!\n");
    /// http.shutdown_on([SIGINT, SIGTERM], Duration::from_secs(5))?;
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_on(
        self,
        signals: impl IntoIterator<Item = i32>,
        options: impl Into<ShutdownOptions>,
    ) -> Result<Self, Error> {
        let options = options.into();
        shutdown_on(
            self,
            HttpServer::CLOSE,
            signals,
            options.deadline,
            move |deadline| drop(self.shutdown_with(options.deadline(deadline))),
        )
    }
}
