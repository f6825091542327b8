//! The state of a shutdown.

use futures::channel::oneshot;
use uptick_event_loop::Timer;

/// A shutdown under way.
#[derive(Default)]
pub(super) struct Draining {
    timer: Option<Timer>,
    waiting: Vec<oneshot::Sender<usize>>,
    /// Whether the deadline is closing connections.
    cutting: bool,
    /// The number of connections that it has closed.
    cut: usize,
}

impl Draining {
    /// Sets the timer of the deadline, and adds one who waits for the end; returns the timer before.
    pub(super) fn wait(&mut self, timer: Timer, sender: oneshot::Sender<usize>) -> Option<Timer> {
        self.waiting.push(sender);
        self.timer.replace(timer)
    }

    pub(super) fn is_cutting(&self) -> bool {
        self.cutting
    }

    /// Notes whether the deadline closes connections, and how many were closed.
    pub(super) fn set_cutting(&mut self, cutting: bool, count: usize) {
        self.cutting = cutting;
        self.cut += count;
    }

    /// Ends the shutdown for those who wait.
    pub(super) fn done(self) {
        if let Some(timer) = self.timer {
            timer.cancel();
        }
        for waiting in self.waiting {
            // Whoever is not there any more does not wait.
            let _ = waiting.send(self.cut);
        }
    }
}
