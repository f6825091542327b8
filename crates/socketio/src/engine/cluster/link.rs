//! A link to another worker: ordered, flow-controlled, and without undetected loss.
//!
//! The bus drops messages for a worker once 4 MiB are queued for it. So at most [`WINDOW`] bytes are in flight to each worker; further messages are queued
//! here. If a message is dropped nevertheless, because others use the bus too, all exchanges with the worker end.

use std::collections::VecDeque;

use bytes::Bytes;
use uptick_workers::bus::Bus;

/// Maximum number of bytes in flight to a worker: 1 MiB.
const WINDOW: usize = 1024 * 1024;

/// Number of received bytes that are reported to their sender at once.
const REPORTED: usize = 64 * 1024;

/// A link to another worker.
#[derive(Debug)]
pub(super) struct Link {
    topic: String,
    /// The bus id of the worker.
    pub(super) worker: u64,
    /// The number of bytes that were sent and are not reported as received yet.
    under_way: usize,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// The number of received bytes that are not reported yet.
    received: usize,
    /// Set once a message was lost, until the other worker has been notified. Nothing else is sent meanwhile.
    pub(super) is_broken: bool,
}

/// Error: a message was lost.
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

    /// Sends a message, or queues it if the window is full.
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

    /// Sends a message ahead of the queue. The other worker does not report its bytes.
    pub(super) fn publish(&mut self, message: Bytes) -> Result<(), Lost> {
        let bus = Bus::of_thread();
        let before = bus.stats().dropped;
        bus.publish_to_others(&self.topic, message);
        match bus.stats().dropped == before {
            true => Ok(()),
            false => Err(Lost),
        }
    }

    /// Handles a report that the other worker has received bytes. Returns `true` if the queue is empty.
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

    /// Counts a received message. Returns the number of bytes that must be reported now, if any.
    pub(super) fn count(&mut self, bytes: usize) -> Option<usize> {
        self.received += bytes;
        (self.received >= REPORTED).then(|| std::mem::take(&mut self.received))
    }

    /// Returns `true` if the queue to the other worker is full.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes >= WINDOW
    }

    /// Resets the link after a loss.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.under_way = 0;
        self.received = 0;
    }
}
