//! A shutdown, as connections and responses see it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{Staggered, jitter};

use crate::ShutdownOptions;
use crate::response::EarlyEnd;

/// The times after which clients of event streams reconnect to the next server.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// A shutdown under way.
pub(crate) struct Drain {
    pub(super) options: ShutdownOptions,
    restarting: Rc<Cell<bool>>,
    /// The event streams that are still to be ended.
    pub(super) streams: Staggered<EarlyEnd>,
}

impl Drain {
    pub(super) fn new(options: ShutdownOptions) -> Self {
        let restarting = Rc::new(Cell::new(options.restarting));
        let restarts = Rc::clone(&restarting);
        let end = move |stream: EarlyEnd| {
            let (least, most) = RETRY;
            stream.end(restarts.get().then(|| jitter(least..=most)));
        };
        Drain {
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
