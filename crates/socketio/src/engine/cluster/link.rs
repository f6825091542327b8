//! A link to another worker: ordered, flow-controlled, and without undetected loss.
//!
//! The bus drops messages for a worker once 4 MiB are queued for it. So at most [`WINDOW`] bytes are in flight to each worker; further messages are queued
//! here. If a message is dropped nevertheless, because other code also uses the bus, all exchanges with the worker end.

use std::collections::VecDeque;

use bytes::Bytes;
use uptick_workers::bus::Bus;

/// Maximum number of bytes in flight to a worker: 1 MiB.
const WINDOW: usize = 1024 * 1024;

/// Number of received bytes that are reported to their sender at once.
const REPORT_RECEIVED: usize = 64 * 1024;

/// A link to another worker.
#[derive(Debug)]
pub(super) struct WorkerLink {
    topic: String,
    /// The bus id of the worker.
    pub(super) worker: u64,
    /// The number of bytes that were sent and are not reported as received yet.
    in_flight: usize,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// The number of received bytes that are not reported yet.
    received: usize,
    /// `true` once a message was lost, until the other worker has been notified. Nothing else is sent before that.
    pub(super) is_broken: bool,
}

/// Error: a message was lost.
#[derive(Debug)]
pub(super) struct MessageLost;

impl WorkerLink {
    pub(super) fn new(topic: String, worker: u64) -> WorkerLink {
        WorkerLink {
            topic,
            worker,
            in_flight: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            received: 0,
            is_broken: false,
        }
    }

    /// Sends a message, or queues it if the window is full.
    pub(super) fn send(&mut self, message: Bytes) -> Result<(), MessageLost> {
        if self.is_broken {
            return Err(MessageLost);
        }
        if self.in_flight >= WINDOW || !self.queue.is_empty() {
            self.queued_bytes += message.len();
            self.queue.push_back(message);
            return Ok(());
        }
        self.in_flight += message.len();
        self.publish(message)
    }

    /// Sends a message ahead of the queue. The other worker does not report its bytes.
    pub(super) fn publish(&mut self, message: Bytes) -> Result<(), MessageLost> {
        let bus = Bus::of_thread();
        let before = bus.stats().dropped;
        bus.publish_to_others(&self.topic, message);
        match bus.stats().dropped == before {
            true => Ok(()),
            false => Err(MessageLost),
        }
    }

    /// Handles a report that the other worker has received bytes. Returns `true` if the queue is empty.
    pub(super) fn reported(&mut self, bytes: usize) -> Result<bool, MessageLost> {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        while self.in_flight < WINDOW
            && let Some(message) = self.queue.pop_front()
        {
            self.queued_bytes -= message.len();
            self.in_flight += message.len();
            self.publish(message)?;
        }
        Ok(self.queue.is_empty())
    }

    /// Counts a received message. Returns the number of bytes that must be reported now, if any.
    pub(super) fn count(&mut self, bytes: usize) -> Option<usize> {
        self.received += bytes;
        (self.received >= REPORT_RECEIVED).then(|| std::mem::take(&mut self.received))
    }

    /// Returns `true` if the queue to the other worker is full.
    pub(super) fn is_full(&self) -> bool {
        self.queued_bytes >= WINDOW
    }

    /// Resets the link after a loss.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.queued_bytes = 0;
        self.in_flight = 0;
        self.received = 0;
    }
}
