//! Shutdown on signals.

use std::time::Duration;

use uptick_emitter::{Emitter, Event, ListenerId};
use uptick_event_loop::{Error, add_shutdown_signals, remove_signal};

use super::Server;

impl Server {
    /// Shuts the server down ([`shutdown`](Server::shutdown)) when one of the signals is received. A second signal
    /// closes the remaining connections at once.
    ///
    /// The signal listeners are removed when the server is closed. They do not keep the loop running, so the loop ends
    /// with the server if nothing else keeps it running.
    ///
    /// # Errors
    /// [`Error::Signal`] if a signal cannot be handled, such as `SIGKILL`. No listener remains registered in that case.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    /// use uptick_event_loop::{SIGINT, SIGTERM};
    /// use uptick_socket::prelude::*;
    ///
    /// let server = Server::bind(8080)?;
    /// server.on("connection", |conn: Connection| conn.write("Hello!\n"));
    /// server.shutdown_on([SIGINT, SIGTERM], Duration::from_secs(10))?;
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_on(
        self,
        signals: impl IntoIterator<Item = i32>,
        deadline: Duration,
    ) -> Result<Self, Error> {
        shutdown_on(self, Server::CLOSE, signals, deadline, move |deadline| {
            drop(self.shutdown(deadline));
        })
    }
}

/// Calls `shutdown` when one of the signals is received: with `deadline` for the first signal, with zero for later
/// ones. It works with any type of server that emits `close` when it has closed; the signal listeners are then removed.
///
/// # Errors
/// [`Error::Signal`] if a signal cannot be handled. No listener remains registered in that case.
pub fn shutdown_on<E: Emitter>(
    server: E,
    close: Event<E::Events, ()>,
    signals: impl IntoIterator<Item = i32>,
    deadline: Duration,
    shutdown: impl FnMut(Duration) + 'static,
) -> Result<E, Error> {
    let ids = add_shutdown_signals(signals, deadline, shutdown)?;
    let added = ids.clone();
    let listener = server.once(close, move |()| {
        added.iter().copied().for_each(remove_signal)
    });
    // A closed server accepts no listeners.
    if listener == ListenerId::NONE {
        ids.into_iter().for_each(remove_signal);
    }
    Ok(server)
}
