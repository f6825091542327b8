//! A shutdown, as connections and responses see it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{Staggered, jitter};

use super::Service;
use crate::ShutdownOptions;
use crate::response::EarlyEnd;

/// The times after which clients of event streams reconnect to the next server.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// A shutdown under way.
pub(crate) struct Drain {
    options: ShutdownOptions,
    restarting: Rc<Cell<bool>>,
    /// The event streams that are still to be ended.
    streams: Staggered<EarlyEnd>,
}

impl Drain {
    fn new(options: ShutdownOptions) -> Self {
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

    fn change(&mut self, options: ShutdownOptions) {
        self.options = options;
        self.restarting.set(options.restarting);
        self.streams.end_within(options.closing_window());
    }
}

impl Service {
    /// Returns the options of the shutdown under way.
    pub(crate) fn draining(&self) -> Option<ShutdownOptions> {
        self.drain.borrow().as_ref().map(|drain| drain.options)
    }

    /// Starts a shutdown, or changes the options of the one under way.
    pub(crate) fn begin_draining(&self, options: ShutdownOptions) {
        match &mut *self.drain.borrow_mut() {
            Some(drain) => drain.change(options),
            none => *none = Some(Drain::new(options)),
        }
    }

    /// The shutdown is over.
    pub(crate) fn end_draining(&self) {
        if let Some(drain) = self.drain.take() {
            drain.streams.cancel();
        }
    }

    /// Ends a response without an end at a random moment of the shutdown's window.
    pub(crate) fn end_early(&self, stream: EarlyEnd) {
        let streams = self
            .drain
            .borrow()
            .as_ref()
            .map(|drain| drain.streams.clone());
        if let Some(streams) = streams {
            streams.add(stream);
        }
    }
}
