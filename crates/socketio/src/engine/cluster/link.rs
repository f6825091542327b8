//! The way to another worker: in order, with a window, and without silent losses.
//!
//! The bus drops messages for a worker for which 4 MiB wait. So at most [`WINDOW`] bytes are under way to each worker; the others wait
//! here. If a message is dropped nevertheless, because others use the bus, too, all exchanges with the worker end.

use std::collections::VecDeque;

use bytes::Bytes;
use uptick_workers::bus::Bus;

/// The number of bytes that may be under way to a worker: 1 MiB.
const WINDOW: usize = 1024 * 1024;

/// The number of received bytes from which on their sender is told of them.
const REPORTED: usize = 64 * 1024;

/// A link to another worker.
#[derive(Debug)]
pub(super) struct Link {
    topic: String,
    /// The id of the worker on the bus.
    pub(super) worker: u64,
    /// The number of bytes that were sent, and not reported as received.
    under_way: usize,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// The number of received bytes that were not reported.
    received: usize,
    /// Whether a message was lost: nothing is sent until the other worker was told.
    pub(super) is_broken: bool,
}

/// A message was lost.
#[derive(Debug)]
pub(super) struct Lost;

impl Link {
    pub(super) fn new(topic: String, worker: u64) -> Link {
        Link {
            topic,
            worker,
            under_way: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            received: 0,
            is_broken: false,
        }
    }

    /// Sends a message, or adds it to those that wait.
    pub(super) fn send(&mut self, message: Bytes) -> Result<(), Lost> {
        if self.is_broken {
            return Err(Lost);
        }
        if self.under_way >= WINDOW || !self.waiting.is_empty() {
            self.waiting_bytes += message.len();
            self.waiting.push_back(message);
            return Ok(());
        }
        self.under_way += message.len();
        self.publish(message)
    }

    /// Sends a message ahead of those that wait, which the other worker does not report.
    pub(super) fn publish(&mut self, message: Bytes) -> Result<(), Lost> {
        let bus = Bus::of_thread();
        let before = bus.stats().dropped;
        bus.publish_to_others(&self.topic, message);
        match bus.stats().dropped == before {
            true => Ok(()),
            false => Err(Lost),
        }
    }

    /// The other worker has received so many bytes. Returns whether nothing waits any more.
    pub(super) fn reported(&mut self, bytes: usize) -> Result<bool, Lost> {
        self.under_way = self.under_way.saturating_sub(bytes);
        while self.under_way < WINDOW
            && let Some(message) = self.waiting.pop_front()
        {
            self.waiting_bytes -= message.len();
            self.under_way += message.len();
            self.publish(message)?;
        }
        Ok(self.waiting.is_empty())
    }

    /// Counts a received message; returns the number of bytes that are to be reported now.
    pub(super) fn count(&mut self, bytes: usize) -> Option<usize> {
        self.received += bytes;
        (self.received >= REPORTED).then(|| std::mem::take(&mut self.received))
    }

    /// Returns whether much waits for the other worker.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes >= WINDOW
    }

    /// Begins anew, after a loss.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.under_way = 0;
        self.received = 0;
    }
}
