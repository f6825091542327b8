//! Messages on their way to the bus.
//!
//! The bus drops what a worker does not read in time beyond 4 MiB. So when much waits for a worker, messages are held back here until it has read, in their order:
//! a burst of any length arrives whole. A worker that reads nothing for some time is not waited for.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_event_loop::add_timer;
use uptick_workers::bus::Bus;

use super::stats;

/// The bytes that wait for a worker from which on messages are held back, and below which they are sent again.
const HIGH: usize = 1024 * 1024;
const LOW: usize = 256 * 1024;

/// The number of bytes that are published between two looks at the queues.
const UNSEEN: usize = 256 * 1024;

/// The number of bytes that a message counts for beside its own, in the bus and here.
const OVERHEAD: usize = 128;

/// How often the queues are looked at while messages are held back.
const LOOK: Duration = Duration::from_millis(5);

/// The number of looks, in 2 s, after which a worker that has read nothing is not waited for. Looks are counted rather than seconds: it does not matter how long
/// this worker was busy or stopped.
const PATIENCE: u32 = 400;

/// The default limit of the bytes that are held back: 64 MiB.
pub(super) const QUEUE_LIMIT: usize = 64 * 1024 * 1024;

/// A message, or a part of one, that is held back.
struct Held {
    topics: Rc<[String]>,
    payload: Bytes,
}

struct Outbox {
    held: VecDeque<Held>,
    bytes: usize,
    limit: usize,
    /// The number of bytes that were published since the last look at the queues.
    unseen: usize,
    behind: HashMap<u64, Behind>,
    /// The number of messages that the bus has dropped, when it was last looked at.
    dropped: u64,
    /// A message was dropped since nothing was held back.
    overflowed: bool,
}

/// A worker that has fallen behind.
struct Behind {
    bytes: usize,
    /// The number of looks since its queue was last seen to become shorter.
    looks: u32,
}

thread_local! {
    static OUTBOX: RefCell<Outbox> = RefCell::new(Outbox {
        held: VecDeque::new(),
        bytes: 0,
        limit: QUEUE_LIMIT,
        unseen: 0,
        behind: HashMap::new(),
        dropped: 0,
        overflowed: false,
    });
}

/// Calls `f` with the outbox of the thread; `None` while the thread is being torn down. `f` publishes nothing.
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

/// Returns whether messages are held back.
pub(super) fn is_holding() -> bool {
    with(|outbox| !outbox.held.is_empty()).unwrap_or_default()
}

/// Publishes a message, which may have several parts, under topics: at once, or when the workers have read what waits for them.
pub(super) fn send(topics: Vec<String>, parts: Vec<Bytes>) {
    let topics: Rc<[String]> = topics.into();
    let mut parts = parts.into_iter();
    if !is_holding() {
        while has_room(HIGH) {
            let Some(payload) = parts.next() else { return };
            publish(&topics, &payload);
        }
    }
    if parts.len() > 0 {
        hold(&topics, parts);
    }
}

/// Publishes at once.
fn publish(topics: &[String], payload: &Bytes) {
    for topic in topics {
        Bus::of_thread().publish_to_others(topic, payload.clone());
    }
    let cost = topics.len() * (payload.len() + OVERHEAD);
    with(|outbox| outbox.unseen = outbox.unseen.saturating_add(cost));
}

/// Holds back parts: all, or none if they are too many.
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
        outbox.held.extend(parts.map(|payload| Held {
            topics: Rc::clone(topics),
            payload,
        }));
        Ok(is_first)
    });
    match held {
        Some(Ok(true)) => drop(add_timer(LOOK, send_held)),
        Some(Err(is_first)) => {
            stats::update(|stats| stats.dropped += 1);
            if is_first {
                tracing::error!(
                    "sending messages to other workers failed: more than {} bytes wait for workers that are too slow; they will miss messages",
                    with(|outbox| outbox.limit).unwrap_or_default(),
                );
            }
        }
        _ => {}
    }
}

/// Sends what is held back, as far as the workers have read.
fn send_held() {
    let mut limit = LOW;
    while has_room(limit) {
        limit = HIGH;
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
        // They are counted as seen, so that the next look is a look.
        with(|outbox| outbox.unseen = UNSEEN);
        add_timer(LOOK, send_held);
    }
}

/// Returns whether at most so many bytes wait for each worker that reads, as far as is known.
fn has_room(limit: usize) -> bool {
    if with(|outbox| outbox.unseen < UNSEEN) != Some(false) {
        return true;
    }
    let bus = Bus::of_thread();
    let (queues, dropped) = (bus.queues(), bus.stats().dropped);
    let looked = with(|outbox| {
        let new = dropped.saturating_sub(outbox.dropped);
        outbox.dropped = dropped;
        (outbox.look(&queues, limit), new)
    });
    let Some(((has_room, given_up), new)) = looked else {
        return true;
    };
    for worker in given_up {
        tracing::warn!(
            "the worker {worker} of the bus has read nothing for {} s: it will miss messages",
            (LOOK * PATIENCE).as_secs()
        );
    }
    if new > 0 {
        stats::update(|stats| stats.missed += new);
        tracing::warn!("the bus has dropped {new} messages to workers that do not read");
    }
    has_room
}

impl Outbox {
    /// Returns whether at most so many bytes wait for each worker that reads, and the workers that were given up.
    fn look(&mut self, queues: &[(u64, usize)], limit: usize) -> (bool, Vec<u64>) {
        let mut has_room = true;
        let mut given_up = Vec::new();
        let mut behind = HashMap::new();
        for &(worker, bytes) in queues.iter().filter(|(_, bytes)| *bytes > limit) {
            let known = self.behind.remove(&worker);
            let looks = known
                .filter(|known| bytes >= known.bytes)
                .map_or(0, |known| known.looks.saturating_add(1));
            if looks == PATIENCE {
                given_up.push(worker);
            }
            has_room &= looks >= PATIENCE;
            behind.insert(worker, Behind { bytes, looks });
        }
        self.behind = behind;
        if has_room {
            self.unseen = 0;
        }
        (has_room, given_up)
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
                unseen: UNSEEN,
                behind: HashMap::new(),
                dropped: 0,
                overflowed: false,
            })
        })
    }

    #[test]
    fn a_worker_that_makes_progress_is_waited_for_and_another_is_given_up() {
        let mut outbox = outbox();
        let queues = [(1, HIGH + 1), (2, HIGH + 2), (3, HIGH)];
        assert_eq!(outbox.look(&queues, HIGH), (false, vec![]));
        for behind in outbox.behind.values_mut() {
            behind.looks = PATIENCE - 1;
        }
        let queues = [(1, HIGH + 1), (2, HIGH + 1)];
        assert_eq!(outbox.look(&queues, HIGH), (false, vec![1]));
        let queues = [(1, HIGH + 9), (2, LOW)];
        assert_eq!(outbox.look(&queues, HIGH), (true, vec![]));
        // It reads again.
        assert_eq!(outbox.look(&[(1, HIGH + 8)], HIGH), (false, vec![]));
        assert_eq!(outbox.look(&[(1, LOW)], LOW), (true, vec![]));
        assert!(outbox.behind.is_empty());
    }
}
