//! Flow control for messages to the bus.
//!
//! The bus drops messages for a worker once 4 MiB are queued for it. Before that, messages are held back here until the worker has read, and then sent in order, so
//! that a burst of any length arrives completely. If a worker reads nothing for some time, messages are no longer held back for it.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_event_loop::add_timer;
use uptick_workers::bus::Bus;

use super::stats;

/// Messages are held back while more than `HIGH_MARK` bytes are queued for a worker, and sent again below `LOW_MARK` bytes.
const HIGH_MARK: usize = 1024 * 1024;
const LOW_MARK: usize = 256 * 1024;

/// Number of bytes that may be published between two checks of the queues.
const CHECK_BYTES: usize = 256 * 1024;

/// Number of bytes that a message counts for in addition to its own, on the bus and here.
const OVERHEAD: usize = 128;

/// Interval between checks of the queues while messages are held back.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Number of checks, 2 s in total, after which messages are no longer held back for a worker that has read nothing. Checks are counted instead of seconds, so that
/// time for which this worker was busy or stopped does not matter.
const MAX_CHECKS: u32 = 400;

/// Default limit of held back bytes: 64 MiB.
pub(super) const QUEUE_LIMIT: usize = 64 * 1024 * 1024;

/// A message, or a part of one, that is held back.
struct HeldMessage {
    topics: Rc<[String]>,
    payload: Bytes,
}

struct Outbox {
    held: VecDeque<HeldMessage>,
    bytes: usize,
    limit: usize,
    /// The number of bytes published since the last check of the queues.
    unchecked_bytes: usize,
    slow_workers: HashMap<u64, SlowWorker>,
    /// The number of messages that the bus had dropped at the last check.
    dropped: u64,
    /// `true` once a message is dropped, until no message is held back any more.
    overflowed: bool,
}

/// A worker with a backlog of messages.
struct SlowWorker {
    bytes: usize,
    /// The number of checks since its queue last became shorter.
    checks: u32,
}

thread_local! {
    static OUTBOX: RefCell<Outbox> = RefCell::new(Outbox {
        held: VecDeque::new(),
        bytes: 0,
        limit: QUEUE_LIMIT,
        unchecked_bytes: 0,
        slow_workers: HashMap::new(),
        dropped: 0,
        overflowed: false,
    });
}

/// Calls `f` with the outbox of the thread. Returns `None` while the thread is being torn down. `f` must not publish messages.
fn with<R>(f: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
    OUTBOX.try_with(|outbox| f(&mut outbox.borrow_mut())).ok()
}

pub(super) fn set_limit(bytes: usize) {
    with(|outbox| outbox.limit = bytes);
}

/// Returns the number of bytes that are held back.
pub(super) fn held_bytes() -> usize {
    with(|outbox| outbox.bytes).unwrap_or_default()
}

/// Returns `true` if messages are held back.
pub(super) fn is_holding() -> bool {
    with(|outbox| !outbox.held.is_empty()).unwrap_or_default()
}

/// Publishes a message, which may have several parts, under topics: immediately, or once the workers have read their queues.
pub(super) fn send(topics: Vec<String>, parts: Vec<Bytes>) {
    let topics: Rc<[String]> = topics.into();
    let mut parts = parts.into_iter();
    if !is_holding() {
        while has_room(HIGH_MARK) {
            let Some(payload) = parts.next() else { return };
            publish(&topics, &payload);
        }
    }
    if parts.len() > 0 {
        hold(&topics, parts);
    }
}

/// Publishes a part immediately.
fn publish(topics: &[String], payload: &Bytes) {
    for topic in topics {
        Bus::of_thread().publish_to_others(topic, payload.clone());
    }
    let cost = topics.len() * (payload.len() + OVERHEAD);
    with(|outbox| outbox.unchecked_bytes = outbox.unchecked_bytes.saturating_add(cost));
}

/// Holds back parts: all of them, or none if they exceed the limit.
fn hold(topics: &Rc<[String]>, parts: impl ExactSizeIterator<Item = Bytes> + Clone) {
    let cost = parts
        .clone()
        .map(|payload| payload.len() + OVERHEAD)
        .sum::<usize>();
    let held = with(|outbox| {
        if outbox.bytes.saturating_add(cost) > outbox.limit {
            return Err(!std::mem::replace(&mut outbox.overflowed, true));
        }
        let is_first = outbox.held.is_empty();
        outbox.bytes += cost;
        outbox.held.extend(parts.map(|payload| HeldMessage {
            topics: Rc::clone(topics),
            payload,
        }));
        Ok(is_first)
    });
    match held {
        Some(Ok(true)) => drop(add_timer(CHECK_INTERVAL, send_held)),
        Some(Err(is_first)) => {
            stats::update(|stats| stats.dropped += 1);
            if is_first {
                tracing::error!(
                    "sending messages to other workers failed: more than {} bytes are held back for slow workers, which will miss messages",
                    with(|outbox| outbox.limit).unwrap_or_default(),
                );
            }
        }
        _ => {}
    }
}

/// Sends messages that were held back, while the queues of the workers have room.
fn send_held() {
    let mut limit = LOW_MARK;
    while has_room(limit) {
        limit = HIGH_MARK;
        let next = with(|outbox| {
            let next = outbox.held.pop_front()?;
            outbox.bytes = outbox.bytes.saturating_sub(next.payload.len() + OVERHEAD);
            Some(next)
        });
        let Some(Some(next)) = next else { break };
        publish(&next.topics, &next.payload);
    }
    let is_empty = with(|outbox| {
        if outbox.held.is_empty() {
            outbox.held = VecDeque::new();
            outbox.overflowed = false;
        }
        outbox.held.is_empty()
    });
    if is_empty == Some(false) {
        // Forces a check of the queues next time.
        with(|outbox| outbox.unchecked_bytes = CHECK_BYTES);
        add_timer(CHECK_INTERVAL, send_held);
    }
}

/// Returns `true` if at most `limit` bytes are queued for each worker that reads, as of the last check of the queues.
fn has_room(limit: usize) -> bool {
    if with(|outbox| outbox.unchecked_bytes < CHECK_BYTES) != Some(false) {
        return true;
    }
    let bus = Bus::of_thread();
    let (queues, dropped) = (bus.queues(), bus.stats().dropped);
    let checked = with(|outbox| {
        let new = dropped.saturating_sub(outbox.dropped);
        outbox.dropped = dropped;
        (outbox.check_queues(&queues, limit), new)
    });
    let Some(((has_room, stalled), new)) = checked else {
        return true;
    };
    for worker in stalled {
        tracing::warn!(
            "the worker {worker} has read nothing from the bus for {} s and will miss messages",
            (CHECK_INTERVAL * MAX_CHECKS).as_secs()
        );
    }
    if new > 0 {
        stats::update(|stats| stats.missed += new);
        tracing::warn!("the bus has dropped {new} messages to workers that do not read");
    }
    has_room
}

impl Outbox {
    /// Checks the queues. Returns `true` if at most `limit` bytes are queued for each worker that reads, and the workers for which messages are no longer held back.
    fn check_queues(&mut self, queues: &[(u64, usize)], limit: usize) -> (bool, Vec<u64>) {
        let mut has_room = true;
        let mut stalled = Vec::new();
        let mut slow_workers = HashMap::new();
        for &(worker, bytes) in queues.iter().filter(|(_, bytes)| *bytes > limit) {
            let known = self.slow_workers.remove(&worker);
            let checks = known
                .filter(|known| bytes >= known.bytes)
                .map_or(0, |known| known.checks.saturating_add(1));
            if checks == MAX_CHECKS {
                stalled.push(worker);
            }
            has_room &= checks >= MAX_CHECKS;
            slow_workers.insert(worker, SlowWorker { bytes, checks });
        }
        self.slow_workers = slow_workers;
        if has_room {
            self.unchecked_bytes = 0;
        }
        (has_room, stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox {
        OUTBOX.with(|outbox| {
            outbox.replace(Outbox {
                held: VecDeque::new(),
                bytes: 0,
                limit: QUEUE_LIMIT,
                unchecked_bytes: CHECK_BYTES,
                slow_workers: HashMap::new(),
                dropped: 0,
                overflowed: false,
            })
        })
    }

    #[test]
    fn only_a_worker_that_makes_progress_is_waited_for() {
        let mut outbox = outbox();
        let queues = [(1, HIGH_MARK + 1), (2, HIGH_MARK + 2), (3, HIGH_MARK)];
        assert_eq!(outbox.check_queues(&queues, HIGH_MARK), (false, vec![]));
        for behind in outbox.slow_workers.values_mut() {
            behind.checks = MAX_CHECKS - 1;
        }
        let queues = [(1, HIGH_MARK + 1), (2, HIGH_MARK + 1)];
        assert_eq!(outbox.check_queues(&queues, HIGH_MARK), (false, vec![1]));
        let queues = [(1, HIGH_MARK + 9), (2, LOW_MARK)];
        assert_eq!(outbox.check_queues(&queues, HIGH_MARK), (true, vec![]));
        // The worker reads again.
        assert_eq!(
            outbox.check_queues(&[(1, HIGH_MARK + 8)], HIGH_MARK),
            (false, vec![])
        );
        assert_eq!(
            outbox.check_queues(&[(1, LOW_MARK)], LOW_MARK),
            (true, vec![])
        );
        assert!(outbox.slow_workers.is_empty());
    }
}
