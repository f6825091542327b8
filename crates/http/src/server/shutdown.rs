//! Shutdown with a deadline.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use uptick_emitter::emit;
use uptick_event_loop::driver::add_timeout;
use uptick_event_loop::{Timer, catch};
use uptick_socket::ServerControl;

use super::{HttpServer, with_entry};
use crate::connection;

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

/// A shutdown under way.
pub(super) struct Draining {
    timer: Timer,
    waiting: Vec<oneshot::Sender<usize>>,
    cut: usize,
}

impl Draining {
    pub(super) fn done(self) {
        self.timer.cancel();
        for waiting in self.waiting {
            // Whoever is not there any more does not wait.
            let _ = waiting.send(self.cut);
        }
    }
}

impl HttpServer {
    /// Stops listening, and ends the connections: idle ones at once, fresh ones after 250 ms without an octet, busy ones
    /// with the answer that they are at, which says `Connection: close`. What is left at the deadline, which counts from the
    /// call, is closed.
    ///
    /// `close` is emitted when the last one is gone. A second call moves the deadline. 10 s is a good deadline.
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
        let (sender, own) = oneshot::channel();
        let mut shutdown = Shutdown {
            listeners: Vec::new(),
            own: Some(own),
            cut: 0,
        };
        let Some(service) = self.service() else {
            return shutdown;
        };
        let servers: Vec<ServerControl> =
            with_entry(self, |entry| entry.servers.clone()).unwrap_or_default();
        service.stop();
        let cut = Rc::clone(&service);
        let timer = add_timeout(deadline, move || {
            cut.cutting.set(true);
            let count = connection::cut(&cut);
            cut.cutting.set(false);
            cut.count_cut(count);
        });
        if service.begin_draining(timer, sender)
            && let Err(message) = catch(|| emit(&self, HttpServer::SHUTDOWN, ()))
        {
            tracing::error!("a shutdown callback of an HTTP server panicked: {message}");
        }
        // They end their connections at the same time, but after those that still speak HTTP.
        shutdown.listeners = servers
            .iter()
            .map(|server| server.shutdown(deadline))
            .collect();
        connection::drain(&service);
        service.end_draining();
        self.finish_if_over();
        shutdown
    }
}

impl super::Service {
    /// Gives whether none was under way.
    fn begin_draining(&self, timer: Timer, sender: oneshot::Sender<usize>) -> bool {
        let mut draining = self.draining.borrow_mut();
        match draining.as_mut() {
            Some(draining) => {
                draining.timer.cancel();
                draining.timer = timer;
                draining.waiting.push(sender);
                false
            }
            None => {
                *draining = Some(Draining {
                    timer,
                    waiting: vec![sender],
                    cut: 0,
                });
                true
            }
        }
    }

    /// The deadline is over, and so many connections were closed.
    fn count_cut(&self, count: usize) {
        if let Some(draining) = self.draining.borrow_mut().as_mut() {
            draining.cut += count;
        }
        self.end_draining();
    }

    /// Ends the shutdown, once no connection is left.
    pub(super) fn end_draining(&self) {
        if self.open_connections() > 0 {
            return;
        }
        let draining = self.draining.borrow_mut().take();
        if let Some(draining) = draining {
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
