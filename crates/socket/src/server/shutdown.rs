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

/// The end of a server's shutdown, to be awaited; the shutdown goes on when it is dropped.
///
/// Gives how many connections were cut off at the deadline.
#[must_use = "drop it with `drop` if nobody waits for the end"]
pub struct Shutdown {
    cut: oneshot::Receiver<usize>,
}

impl Shutdown {
    /// A shutdown with nothing to wait for: what a server that has closed gives.
    pub fn over() -> Self {
        let (_, cut) = oneshot::channel();
        Shutdown { cut }
    }
}

/// A shutdown under way.
pub(super) struct Draining {
    waiting: Vec<oneshot::Sender<usize>>,
    timer: Timer,
    /// How many connections were open at the deadline.
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

impl Server {
    /// Stops listening, waits until the deadline for the open connections to end by themselves, then closes those left. The
    /// deadline counts from the call.
    ///
    /// `close` is emitted when the last one is gone. Tell the connections, if the protocol has words for it; what is
    /// idle does not end by itself. A second call moves the deadline. 10 s is a good deadline
    /// for most protocols.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_socket::Server;
    ///
    /// let server = Server::bind(0)?;
    /// let cut = uptick_event_loop::block_on(server.shutdown(Duration::from_secs(10)))?;
    /// assert_eq!(cut, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(self, deadline: Duration) -> Shutdown {
        let (sender, cut) = oneshot::channel();
        self.stop_listening();
        let mut sender = Some(sender);
        let empty = with_entry(self, |entry, _| {
            let timer = add_timeout(deadline, move || cut_off(self));
            let draining = entry.draining.get_or_insert_with(|| Draining {
                waiting: Vec::new(),
                timer,
                cut: 0,
            });
            if draining.timer != timer {
                draining.timer.cancel();
                draining.timer = timer;
            }
            draining.waiting.extend(sender.take());
            entry.open == 0
        });
        match empty {
            Some(true) => self.finish(),
            Some(false) => {}
            // The server is gone: there is nothing to wait for.
            None => drop(sender.map(|sender| sender.send(0))),
        }
        Shutdown { cut }
    }
}

/// The deadline is over. The last connection that closes ends the shutdown.
fn cut_off(server: Server) {
    let open = connection::of_server(server.id);
    with_entry(server, |entry, _| {
        if let Some(draining) = &mut entry.draining {
            draining.cut = open.len();
        }
    });
    for conn in open {
        conn.close();
    }
}

impl Future for Shutdown {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        Pin::new(&mut self.cut)
            .poll(context)
            .map(|cut| cut.unwrap_or(0))
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}
