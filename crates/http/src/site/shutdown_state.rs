//! A shutdown in progress, as used by connections and responses.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{Staggered, jitter};

use crate::ShutdownOptions;
use crate::response::EarlyEnd;

/// The range of reconnection delays sent to clients of event streams.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// A shutdown in progress.
pub(crate) struct ShutdownState {
    pub(super) options: ShutdownOptions,
    restarting: Rc<Cell<bool>>,
    /// The event streams that must still be ended.
    pub(super) streams: Staggered<EarlyEnd>,
}

impl ShutdownState {
    pub(super) fn new(options: ShutdownOptions) -> Self {
        let restarting = Rc::new(Cell::new(options.restarting));
        let restarts = Rc::clone(&restarting);
        let end = move |stream: EarlyEnd| {
            let (least, most) = RETRY;
            stream.end(restarts.get().then(|| jitter(least..=most)));
        };
        ShutdownState {
            options,
            restarting,
            streams: Staggered::new([], options.closing_window(), end),
        }
    }

    pub(super) fn change(&mut self, options: ShutdownOptions) {
        self.options = options;
        self.restarting.set(options.restarting);
        self.streams.end_within(options.closing_window());
    }
}
