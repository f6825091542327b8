//! Shutdown by signals.

use std::time::Duration;

use uptick_emitter::{Emitter, Event, ListenerId};
use uptick_event_loop::{Error, add_shutdown_signals, remove_signal};

use super::Server;

impl Server {
    /// Shuts the server down ([`shutdown`](Server::shutdown)) when one of the signals is received; a second signal closes the connections
    /// that are left at once.
    ///
    /// The listeners of the signals are removed when the server is closed. They do not keep the loop running, so that it ends with the
    /// server if nothing else is left.
    ///
    /// # Errors
    /// [`Error::Signal`] if a signal cannot be listened to, such as `SIGKILL`; no listener is left then.
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

/// Calls `shutdown` when one of the signals is received: with `deadline` the first time, with zero after that. For servers of any kind, which
/// emit `close` when they have closed: the listeners of the signals are removed then.
///
/// # Errors
/// [`Error::Signal`] if a signal cannot be listened to; no listener is left then.
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
    // A server that has closed takes no listener.
    if listener == ListenerId::NONE {
        ids.into_iter().for_each(remove_signal);
    }
    Ok(server)
}
