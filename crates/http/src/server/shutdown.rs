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

use super::draining::Draining;
use super::{HttpServer, with_entry};
use crate::{ShutdownOptions, connection};

/// The end of a server's shutdown, to be awaited; the shutdown goes on when it is dropped.
///
/// Gives how many connections were cut off at the deadline.
#[must_use = "drop it with `drop` if nobody waits for the end"]
pub struct Shutdown {
    /// What listeners have given away: connections of other protocols.
    listeners: Vec<uptick_socket::Shutdown>,
    own: Option<oneshot::Receiver<usize>>,
    cut: usize,
}

impl HttpServer {
    /// Shuts the server down as [`shutdown_with`](HttpServer::shutdown_with), with this deadline and the defaults.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_http::HttpServer;
    ///
    /// let http = HttpServer::bind(0)?;
    /// let cut = uptick_event_loop::block_on(http.shutdown(Duration::from_secs(10)))?;
    /// assert_eq!(cut, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(self, deadline: Duration) -> Shutdown {
        self.shutdown_with(ShutdownOptions::new().deadline(deadline))
    }

    /// Stops listening, and ends the connections.
    ///
    /// | connection | end |
    /// |---|---|
    /// | a request has begun, at least its first byte | with the response, which says `Connection: close` |
    /// | idle | at once, when the bytes that were received before the call are read |
    /// | new, without a byte | after 250 ms; with [`restarting`](ShutdownOptions::restarting) after 2 s, or a quarter of the deadline |
    /// | a WebSocket, with `uptick-websocket` | at a random moment of the [window](ShutdownOptions::window), with 1001 or 1012 |
    /// | an event stream ([`Response::events`](crate::Response::events)) | at a random moment of the window; so do those that begin during the shutdown |
    /// | of another protocol, after an upgrade | when the protocol ends it; the event `shutdown` says when |
    ///
    /// Requests for an upgrade are answered with 503 and `Retry-After` during the shutdown. Responses of other kinds, however long, continue
    /// until they are complete. Connections that are left at the deadline are closed.
    ///
    /// The event `shutdown` is emitted with the options. `close` is emitted when the last connection is gone. A second call changes the
    /// options: it moves the deadline, which counts from the call, and shortens the window; the moments within a window are not postponed.
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
    /// let cut = uptick_event_loop::block_on(http.shutdown_with(options))?;
    /// assert_eq!(cut, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_with(self, options: ShutdownOptions) -> Shutdown {
        let (sender, own) = oneshot::channel();
        let mut shutdown = Shutdown {
            listeners: Vec::new(),
            own: Some(own),
            cut: 0,
        };
        let Some(service) = self.service() else {
            return shutdown;
        };
        let is_first = !service.unready.replace(true);
        if is_first && !options.notice.is_zero() {
            let begin = move || drop(self.shutdown_with(options));
            self.keep_draining(add_timeout(options.notice, begin), sender);
            return shutdown;
        }
        let deadline = options.deadline;
        let servers: Vec<ServerControl> =
            with_entry(self, |entry| entry.servers.clone()).unwrap_or_default();
        service.stopped.set(true);
        let cut = Rc::clone(&service);
        let timer = add_timeout(deadline, move || {
            self.set_cutting(true, 0);
            let count = connection::cut(&cut);
            self.set_cutting(false, count);
            self.connection_closed();
        });
        self.keep_draining(timer, sender);
        service.begin_draining(options);
        service.watch_upgraded();
        self.notify(HttpServer::SHUTDOWN, options);
        // They end their connections at the same time, but after those that still speak HTTP.
        shutdown.listeners = servers
            .iter()
            .map(|server| server.shutdown(deadline))
            .collect();
        connection::drain(&service);
        self.end_draining();
        self.finish_if_over();
        shutdown
    }

    /// Returns whether a shutdown is under way, or its [notice](ShutdownOptions::notice).
    pub(super) fn is_unready(self) -> bool {
        self.service().is_none_or(|service| service.unready.get())
    }

    /// Returns the options of the shutdown under way.
    pub fn shutdown_options(self) -> Option<ShutdownOptions> {
        self.service()?.draining()
    }
}

impl HttpServer {
    /// Starts the shutdown, or moves its deadline.
    fn keep_draining(self, timer: Timer, sender: oneshot::Sender<usize>) {
        let before = with_entry(self, |entry| {
            let draining = entry.draining.get_or_insert_default();
            draining.wait(timer, sender)
        });
        if let Some(timer) = before.flatten() {
            timer.cancel();
        }
    }

    /// Notes whether the deadline closes connections, and how many were closed.
    fn set_cutting(self, cutting: bool, count: usize) {
        with_entry(self, |entry| {
            if let Some(draining) = &mut entry.draining {
                draining.set_cutting(cutting, count);
            }
        });
    }

    /// A connection is gone, and none is accepted any more.
    pub(super) fn connection_closed(self) {
        let cutting = with_entry(self, |entry| {
            let draining = entry.draining.as_ref();
            draining.is_some_and(Draining::is_cutting)
        });
        // The deadline closes several, and counts them when it is done.
        if cutting != Some(true) {
            self.end_draining();
            self.finish_if_over();
        }
    }

    /// Ends the shutdown, once no connection is left.
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
            && let Poll::Ready(cut) = Pin::new(own).poll(context)
        {
            this.cut += cut.unwrap_or(0);
            this.own = None;
        }
        let cut = &mut this.cut;
        this.listeners
            .retain_mut(|listener| match Pin::new(listener).poll(context) {
                Poll::Ready(count) => {
                    *cut += count;
                    false
                }
                Poll::Pending => true,
            });
        if this.own.is_none() && this.listeners.is_empty() {
            Poll::Ready(this.cut)
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
