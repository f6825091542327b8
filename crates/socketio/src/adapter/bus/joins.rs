//! Rooms that sockets of other workers are about to join.
//!
//! A worker subscribes to the topic of a room when its first socket joins. If this worker requested that join, its next messages to the room could arrive too early.
//! They are sent to all workers until the requested workers have confirmed that they are subscribed.

use std::collections::HashMap;

/// Maximum number of pending rooms. If there are more, messages to any room are sent to all workers.
const MAX_ROOMS: usize = 1024;

/// Requested joins that are not confirmed yet.
#[derive(Debug, Default)]
pub(super) struct PendingJoins {
    /// The number of the last message that adds sockets to a room, by room.
    rooms: HashMap<String, u64>,
    workers: HashMap<u64, Confirmations>,
    overflowed: bool,
}

/// The last message that was sent to a worker, and the last one that it has confirmed. A confirmation includes all earlier messages.
#[derive(Debug)]
struct Confirmations {
    requested: u64,
    applied: u64,
}

impl PendingJoins {
    /// Returns `true` if another worker may be about to subscribe to a room.
    pub(super) fn contains(&self, room: &str) -> bool {
        self.overflowed || self.rooms.contains_key(room)
    }

    /// Records that the message with number `sequence`, which adds sockets to `rooms`, was sent to `workers`.
    pub(super) fn add(&mut self, sequence: u64, rooms: &[String], workers: &[u64]) {
        if workers.is_empty() {
            return;
        }
        for worker in workers {
            let confirmations = self.workers.entry(*worker).or_insert(Confirmations {
                requested: sequence,
                applied: sequence.wrapping_sub(1),
            });
            confirmations.requested = sequence;
        }
        for room in rooms {
            if self.rooms.len() >= MAX_ROOMS && !self.rooms.contains_key(room) {
                self.overflowed = true;
                break;
            }
            self.rooms.insert(room.clone(), sequence);
        }
    }

    /// Records that a worker has applied a message.
    pub(super) fn applied(&mut self, worker: u64, sequence: u64) {
        let Some(confirmations) = self.workers.get_mut(&worker) else {
            return;
        };
        confirmations.applied = sequence;
        if confirmations.requested == sequence {
            self.workers.remove(&worker);
        }
        self.prune();
    }

    /// Removes a worker that left.
    pub(super) fn remove_worker(&mut self, worker: u64) {
        if self.workers.remove(&worker).is_some() {
            self.prune();
        }
    }

    fn prune(&mut self) {
        if self.workers.is_empty() {
            *self = PendingJoins::default();
            return;
        }
        let workers = &self.workers;
        self.rooms.retain(|_, sequence| {
            workers
                .values()
                .any(|worker| is_before(worker.applied, *sequence))
        });
    }
}

/// Returns `true` if message number `one` is before `other`. The numbers may have wrapped around in between.
fn is_before(one: u64, other: u64) -> bool {
    let distance = other.wrapping_sub(one);
    distance != 0 && distance < 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_room_is_pending_until_all_workers_have_confirmed() {
        let mut joins = PendingJoins::default();
        joins.add(u64::MAX, &rooms(&["a", "b"]), &[1, 2]);
        joins.add(0, &rooms(&["b", "c"]), &[1, 3]);
        let pending = |joins: &PendingJoins| ["a", "b", "c", "d"].map(|room| joins.contains(room));
        assert_eq!(pending(&joins), [true, true, true, false]);
        joins.applied(1, u64::MAX);
        joins.applied(2, u64::MAX);
        // The third worker was not requested to join `a`.
        assert_eq!(pending(&joins), [false, true, true, false]);
        joins.applied(1, 0);
        joins.applied(9, 0);
        assert_eq!(pending(&joins), [false, true, true, false]);
        joins.remove_worker(3);
        assert_eq!(pending(&joins), [false; 4]);
        joins.add(1, &rooms(&["a"]), &[]);
        assert_eq!(pending(&joins), [false; 4]);
    }

    #[test]
    fn all_rooms_are_pending_beyond_the_limit() {
        let mut joins = PendingJoins::default();
        for room in 0..=MAX_ROOMS {
            joins.add(room as u64, &[room.to_string()], &[1]);
        }
        assert!(joins.contains("other") && joins.rooms.len() == MAX_ROOMS);
        joins.applied(1, MAX_ROOMS as u64 - 1);
        assert!(joins.contains("other") && joins.rooms.is_empty());
        joins.applied(1, MAX_ROOMS as u64);
        assert!(!joins.contains("other"));
    }
}
