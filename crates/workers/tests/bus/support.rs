//! Test helpers: a loop that cannot hang, and a record of messages.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uptick_event_loop::EventLoop;
use uptick_workers::bus::{Bus, SubscriptionId};

/// The time after which a test fails.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs iterations until the condition holds.
#[track_caller]
pub(crate) fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < TIMEOUT, "timed out");
        EventLoop::current()
            .run_once(Some(Duration::from_millis(5)))
            .unwrap();
    }
}

/// Runs enough iterations for everything that is ready.
pub(crate) fn settle() {
    for _ in 0..20 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Received messages, in order; clones share the same record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }

    /// Records all messages under a topic.
    pub(crate) fn subscribe(&self, topic: &str) -> SubscriptionId {
        let log = self.clone();
        Bus::of_thread().subscribe(topic, move |payload: Bytes| {
            log.add(String::from_utf8_lossy(&payload));
        })
    }

    /// Returns the entries recorded so far, separated by spaces, and clears the record.
    pub(crate) fn take(&self) -> String {
        self.0.take().join(" ")
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}
