//! Shutdown with a deadline, and a window for long-lived connections.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use uptick_event_loop::Timer;
use uptick_event_loop::driver::add_timeout;
use uptick_socket::ServerControl;

use super::shutdown_progress::ShutdownProgress;
use super::{HttpServer, with_entry};
use crate::{ShutdownOptions, connection};

/// A future for the end of a server's shutdown. The shutdown continues if the future is dropped.
///
/// Resolves to the number of connections that were closed at the deadline.
#[must_use = "drop it with `drop` if the end is not awaited"]
pub struct Shutdown {
    /// The shutdowns of the listeners, for connections that they have accepted but not yet passed on.
    listeners: Vec<uptick_socket::Shutdown>,
    own: Option<oneshot::Receiver<usize>>,
    aborted: usize,
}

impl HttpServer {
    /// Shuts the server down like [`shutdown_with`](HttpServer::shutdown_with), with this deadline and the other options at their
    /// defaults.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_http::HttpServer;
    ///
    /// let http = HttpServer::bind(0)?;
    /// let aborted = uptick_event_loop::block_on(http.shutdown(Duration::from_secs(10)))?;
    /// assert_eq!(aborted, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(self, deadline: Duration) -> Shutdown {
        self.shutdown_with(ShutdownOptions::new().deadline(deadline))
    }

    /// Stops listening, and ends all connections.
    ///
    /// | connection | when it ends |
    /// |---|---|
    /// | a request has started, at least its first byte | after the response, which has `Connection: close` |
    /// | idle | immediately, after the bytes received before the call were read |
    /// | new, without a byte | after 250 ms; with [`restarting`](ShutdownOptions::restarting) after 2 s, or a quarter of the deadline |
    /// | a WebSocket, with `uptick-websocket` | at a random moment of the [window](ShutdownOptions::window), with 1001 or 1012 |
    /// | an event stream ([`Response::events`](crate::Response::events)) | at a random moment of the window, even if it starts during the shutdown |
    /// | another protocol, after an upgrade | when the protocol ends it; the event `shutdown` notifies it |
    ///
    /// During the shutdown, upgrade requests are answered with 503 and `Retry-After`. All other responses, however long, continue until
    /// they are complete. Connections that remain at the deadline are closed.
    ///
    /// The event `shutdown` is emitted with the options, and `close` when the last connection has ended. A second call changes the
    /// options: it moves the deadline, which counts from the call, and shortens the window; moments already chosen in a window are not
    /// postponed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_http::{HttpServer, ShutdownOptions};
    ///
    /// let http = HttpServer::bind(0)?;
    /// let options = ShutdownOptions::new()
    ///     .deadline(Duration::from_secs(10))
    ///     .window(Duration::from_secs(3))
    ///     .restarting(true);
    /// let aborted = uptick_event_loop::block_on(http.shutdown_with(options))?;
    /// assert_eq!(aborted, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_with(self, options: ShutdownOptions) -> Shutdown {
        let (sender, own) = oneshot::channel();
        let mut shutdown = Shutdown {
            listeners: Vec::new(),
            own: Some(own),
            aborted: 0,
        };
        let Some(service) = self.service() else {
            return shutdown;
        };
        let is_first = !service.unready.replace(true);
        if is_first && !options.notice.is_zero() {
            let begin = move || drop(self.shutdown_with(options));
            self.set_shutdown_timer(add_timeout(options.notice, begin), sender);
            return shutdown;
        }
        let deadline = options.deadline;
        let servers: Vec<ServerControl> =
            with_entry(self, |entry| entry.servers.clone()).unwrap_or_default();
        service.stopped.set(true);
        let aborting = Rc::clone(&service);
        let timer = add_timeout(deadline, move || {
            self.set_aborting(true, 0);
            let count = connection::abort_all(&aborting);
            self.set_aborting(false, count);
            self.connection_closed();
        });
        self.set_shutdown_timer(timer, sender);
        service.begin_draining(options);
        service.watch_upgraded();
        self.notify(HttpServer::SHUTDOWN, options);
        // The listeners close their connections at the same time, but after the ones that still use HTTP.
        shutdown.listeners = servers
            .iter()
            .map(|server| server.shutdown(deadline))
            .collect();
        connection::drain(&service);
        self.end_draining();
        self.finish_if_over();
        shutdown
    }

    /// Returns `true` if a shutdown or its [notice](ShutdownOptions::notice) is in progress.
    pub(super) fn is_unready(self) -> bool {
        self.service().is_none_or(|service| service.unready.get())
    }

    /// Returns the options of the shutdown in progress.
    pub fn shutdown_options(self) -> Option<ShutdownOptions> {
        self.service()?.draining()
    }
}

impl HttpServer {
    /// Starts the shutdown, or moves its deadline.
    fn set_shutdown_timer(self, timer: Timer, sender: oneshot::Sender<usize>) {
        let before = with_entry(self, |entry| {
            let draining = entry.draining.get_or_insert_default();
            draining.wait(timer, sender)
        });
        if let Some(timer) = before.flatten() {
            timer.cancel();
        }
    }

    /// Sets whether the deadline is closing connections, and adds to the number of closed ones.
    fn set_aborting(self, aborting: bool, count: usize) {
        with_entry(self, |entry| {
            if let Some(draining) = &mut entry.draining {
                draining.set_aborting(aborting, count);
            }
        });
    }

    /// Handles the end of a connection after the listeners have closed.
    pub(super) fn connection_closed(self) {
        let aborting = with_entry(self, |entry| {
            let draining = entry.draining.as_ref();
            draining.is_some_and(ShutdownProgress::is_aborting)
        });
        // The deadline closes several connections, and counts them at the end.
        if aborting != Some(true) {
            self.end_draining();
            self.finish_if_over();
        }
    }

    /// Completes the shutdown, once no connection is left.
    fn end_draining(self) {
        let draining = with_entry(self, |entry| {
            let over = entry.service.stopped.get() && entry.service.open_connections() == 0;
            let draining = entry.draining.take_if(|_| over)?;
            Some((draining, Rc::clone(&entry.service)))
        });
        if let Some((draining, service)) = draining.flatten() {
            service.end_draining();
            draining.done();
        }
    }
}

impl Future for Shutdown {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        let this = &mut *self;
        if let Some(own) = &mut this.own
            && let Poll::Ready(count) = Pin::new(own).poll(context)
        {
            this.aborted += count.unwrap_or(0);
            this.own = None;
        }
        let aborted = &mut this.aborted;
        this.listeners
            .retain_mut(|listener| match Pin::new(listener).poll(context) {
                Poll::Ready(count) => {
                    *aborted += count;
                    false
                }
                Poll::Pending => true,
            });
        if this.own.is_none() && this.listeners.is_empty() {
            Poll::Ready(this.aborted)
        } else {
            Poll::Pending
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}
