//! Shutdown with a deadline.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use uptick_event_loop::Timer;
use uptick_event_loop::driver::add_timeout;

use super::{Server, with_entry};
use crate::connection;

/// A future that resolves when the shutdown of a server is complete, to the number of connections that were closed at the deadline.
///
/// The shutdown continues if the future is dropped.
#[must_use = "drop the future if the end of the shutdown is not awaited"]
pub struct Shutdown {
    closed: oneshot::Receiver<usize>,
}

impl Shutdown {
    /// Creates a completed shutdown, as returned by a server that has closed.
    pub fn completed() -> Self {
        let (_, closed) = oneshot::channel();
        Shutdown { closed }
    }
}

/// The state of a shutdown in progress.
pub(super) struct ShutdownState {
    /// Senders to the futures of all calls.
    senders: Vec<oneshot::Sender<usize>>,
    timer: Timer,
    /// Number of connections that were closed at the deadline.
    closed: usize,
}

impl ShutdownState {
    /// Resolves the futures.
    pub(super) fn complete(self) {
        self.timer.cancel();
        for sender in self.senders {
            // An error means that the future was dropped.
            let _ = sender.send(self.closed);
        }
    }
}

impl Server {
    /// Stops listening, waits until the deadline for the open connections to end, then closes the remaining ones. The
    /// deadline is relative to the call.
    ///
    /// `close` is emitted when the last connection has closed. If the protocol has a message for it, announce the
    /// shutdown to the peers, because idle connections do not end on their own. A second call changes the deadline.
    /// 10 s suits most protocols.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_socket::Server;
    ///
    /// let server = Server::bind(0)?;
    /// let closed = uptick_event_loop::block_on(server.shutdown(Duration::from_secs(10)))?;
    /// assert_eq!(closed, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(self, deadline: Duration) -> Shutdown {
        let (sender, closed) = oneshot::channel();
        self.stop_listening();
        let mut sender = Some(sender);
        let empty = with_entry(self, |entry, _| {
            let timer = add_timeout(deadline, move || close_remaining(self));
            let draining = entry.draining.get_or_insert_with(|| ShutdownState {
                senders: Vec::new(),
                timer,
                closed: 0,
            });
            if draining.timer != timer {
                draining.timer.cancel();
                draining.timer = timer;
            }
            draining.senders.extend(sender.take());
            entry.open == 0
        });
        match empty {
            Some(true) => self.finish(),
            Some(false) => {}
            // The server is gone, so there is nothing to wait for.
            None => drop(sender.map(|sender| sender.send(0))),
        }
        Shutdown { closed }
    }
}

/// Closes the remaining connections at the deadline. The shutdown ends when the last of them has closed.
fn close_remaining(server: Server) {
    let open = connection::of_server(server.id);
    with_entry(server, |entry, _| {
        if let Some(draining) = &mut entry.draining {
            draining.closed = open.len();
        }
    });
    for conn in open {
        conn.close();
    }
}

impl Future for Shutdown {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        Pin::new(&mut self.closed)
            .poll(context)
            .map(|closed| closed.unwrap_or(0))
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}
