//! One room: who is in it, and what was said last.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use super::wire::{Said, Seen};
use super::words::look;

/// How many messages a room remembers.
pub(crate) const HISTORY: usize = 100;
/// In bytes of text; long messages are forgotten sooner.
pub(crate) const HISTORY_BYTES: usize = 256 * 1024;
pub(crate) const MOST_MEMBERS: usize = 200;

/// A room whose members are known by `S`, a socket.
#[derive(Debug)]
pub(crate) struct Room<S> {
    /// When it was made, in milliseconds since 1970: a room that was made again numbers its messages anew.
    pub(crate) epoch: u64,
    pub(crate) members: HashMap<S, Member>,
    last_id: u64,
    history: VecDeque<Said>,
    history_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) token: String,
    /// When the others were last told that it types.
    pub(crate) typed: Option<Duration>,
}

/// What a page that joins has not seen.
#[derive(Debug)]
pub(crate) struct Unseen<'a> {
    pub(crate) messages: Vec<&'a Said>,
    pub(crate) resumed: bool,
    pub(crate) gap: bool,
}

impl<S: Copy + Eq + Hash> Room<S> {
    pub(crate) fn new(epoch: u64) -> Room<S> {
        Room {
            epoch,
            members: HashMap::new(),
            last_id: 0,
            history: VecDeque::new(),
            history_bytes: 0,
        }
    }

    /// Who has a name, or one that looks like it.
    pub(crate) fn named(&self, name: &str) -> Option<(S, &Member)> {
        let name = look(name);
        let mut members = self.members.iter();
        members
            .find(|(_, member)| look(&member.name) == name)
            .map(|(socket, member)| (*socket, member))
    }

    /// The names of all who are here, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.members.values().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Whether nothing that was said is remembered.
    pub(crate) fn is_silent(&self) -> bool {
        self.history.is_empty()
    }

    /// When something was said last, in milliseconds since 1970.
    pub(crate) fn last_time(&self) -> u64 {
        self.history.back().map_or(self.epoch, |said| said.time)
    }

    pub(crate) fn add(&mut self, name: String, text: String, time: u64, reference: u64) -> &Said {
        self.last_id += 1;
        self.history_bytes += text.len();
        self.history.push_back(Said {
            id: self.last_id,
            name,
            text,
            time,
            reference,
        });
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            if let Some(oldest) = self.history.pop_front() {
                self.history_bytes -= oldest.text.len();
            }
        }
        // The longest message is shorter than HISTORY_BYTES, so the newest one is never dropped.
        &self.history[self.history.len() - 1]
    }

    /// The message that a member has sent already.
    pub(crate) fn find(&self, name: &str, reference: u64) -> Option<&Said> {
        let mut history = self.history.iter().rev();
        history.find(|said| said.reference == reference && said.name == name)
    }

    pub(crate) fn unseen(&self, seen: Option<Seen>) -> Unseen<'_> {
        let seen = seen.filter(|seen| seen.epoch == self.epoch && seen.id <= self.last_id);
        let last_seen = seen.map_or(0, |seen| seen.id);
        let messages: Vec<_> = self
            .history
            .iter()
            .filter(|said| said.id > last_seen)
            .collect();
        let first = messages.first().map_or(last_seen + 1, |said| said.id);
        Unseen {
            messages,
            resumed: seen.is_some(),
            gap: seen.is_some() && first > last_seen + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_with(messages: usize) -> Room<u32> {
        let mut room = Room::new(7);
        for n in 1..=messages {
            room.add("ann".into(), format!("message {n}"), 0, n as u64);
        }
        room
    }

    fn ids(unseen: &Unseen<'_>) -> Vec<u64> {
        unseen.messages.iter().map(|said| said.id).collect()
    }

    #[test]
    fn a_room_remembers_its_last_hundred_messages() {
        let room = room_with(HISTORY + 5);
        let unseen = room.unseen(None);
        assert_eq!(ids(&unseen), (6..=105).collect::<Vec<_>>());
        assert!(!unseen.resumed && !unseen.gap);
    }

    #[test]
    fn long_messages_are_forgotten_sooner() {
        let mut room = Room::<u32>::new(7);
        for _ in 0..3 {
            room.add("ann".into(), "x".repeat(HISTORY_BYTES / 2), 0, 0);
        }
        assert_eq!(ids(&room.unseen(None)), [2, 3]);
    }

    #[test]
    fn who_comes_back_is_shown_what_was_missed() {
        let unseen_after = |id| Some(Seen { epoch: 7, id });
        let room = room_with(5);
        let unseen = room.unseen(unseen_after(3));
        assert_eq!(ids(&unseen), [4, 5]);
        assert!(unseen.resumed && !unseen.gap);
        let unseen = room.unseen(unseen_after(5));
        assert!(unseen.messages.is_empty() && unseen.resumed && !unseen.gap);
    }

    #[test]
    fn who_missed_more_than_is_kept_is_told_so() {
        let room = room_with(HISTORY + 5);
        let gap_after = |id| room.unseen(Some(Seen { epoch: 7, id })).gap;
        assert!(gap_after(4));
        assert!(!gap_after(5));
    }

    #[test]
    fn numbers_of_another_epoch_mean_nothing() {
        let room = room_with(2);
        for seen in [Seen { epoch: 6, id: 1 }, Seen { epoch: 7, id: 3 }] {
            let unseen = room.unseen(Some(seen));
            assert_eq!(ids(&unseen), [1, 2]);
            assert!(!unseen.resumed);
        }
    }

    #[test]
    fn a_message_is_found_by_its_author_and_number() {
        let room = room_with(2);
        assert_eq!(room.find("ann", 2).map(|said| said.id), Some(2));
        assert!(room.find("bob", 2).is_none());
        assert!(room.find("ann", 3).is_none());
    }
}
