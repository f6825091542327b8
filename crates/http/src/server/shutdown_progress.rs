//! The progress of a shutdown.

use futures::channel::oneshot;
use uptick_event_loop::Timer;

/// A shutdown in progress.
#[derive(Default)]
pub(super) struct ShutdownProgress {
    timer: Option<Timer>,
    waiting: Vec<oneshot::Sender<usize>>,
    /// `true` while the deadline closes connections.
    aborting: bool,
    /// Number of connections closed at the deadline.
    aborted: usize,
}

impl ShutdownProgress {
    /// Sets the timer of the deadline, and adds a receiver of the result. Returns the previous timer.
    pub(super) fn wait(&mut self, timer: Timer, sender: oneshot::Sender<usize>) -> Option<Timer> {
        self.waiting.push(sender);
        self.timer.replace(timer)
    }

    pub(super) fn is_aborting(&self) -> bool {
        self.aborting
    }

    /// Sets whether the deadline is closing connections, and adds to the number of closed ones.
    pub(super) fn set_aborting(&mut self, aborting: bool, count: usize) {
        self.aborting = aborting;
        self.aborted += count;
    }

    /// Completes the shutdown, and sends the result to all receivers.
    pub(super) fn done(self) {
        if let Some(timer) = self.timer {
            timer.cancel();
        }
        for waiting in self.waiting {
            // A dropped receiver is ignored.
            let _ = waiting.send(self.aborted);
        }
    }
}
