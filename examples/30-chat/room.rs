//! A room: its members and its history.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use super::validation::lookalike_key;
use super::wire::{ChatMessage, Seen};

/// The maximum number of messages in the history.
pub(crate) const HISTORY: usize = 100;
/// The maximum size of the history in bytes of text.
pub(crate) const HISTORY_BYTES: usize = 256 * 1024;
pub(crate) const MAX_MEMBERS: usize = 200;

/// A room whose members are identified by `S`, a socket.
#[derive(Debug)]
pub(crate) struct Room<S> {
    /// The creation time, in milliseconds since 1970. A room that is created again numbers its messages from 1 again.
    pub(crate) epoch: u64,
    pub(crate) members: HashMap<S, Member>,
    /// Ordered by number.
    pub(crate) history: VecDeque<ChatMessage>,
    history_bytes: usize,
    /// The highest number of all messages, and of the messages that were removed from the history.
    last_id: u64,
    pub(crate) forgotten: u64,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) token: String,
    /// Time of the last typing notification.
    pub(crate) typed: Option<Duration>,
}

/// The messages that a joining page has not seen.
#[derive(Debug)]
pub(crate) struct Unseen<'a> {
    pub(crate) messages: Vec<&'a ChatMessage>,
    pub(crate) resumed: bool,
    pub(crate) gap: bool,
}

impl<S: Copy + Eq + Hash> Room<S> {
    pub(crate) fn new(epoch: u64) -> Room<S> {
        Room {
            epoch,
            members: HashMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            last_id: 0,
            forgotten: 0,
        }
    }

    /// Returns the member with a name, or with one that looks like it.
    pub(crate) fn find_member(&self, name: &str) -> Option<(S, &Member)> {
        let name = lookalike_key(name);
        let mut members = self.members.iter();
        members
            .find(|(_, member)| lookalike_key(&member.name) == name)
            .map(|(socket, member)| (*socket, member))
    }

    /// Returns the names of all members, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.members.values().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns `true` if the history is empty.
    pub(crate) fn has_no_messages(&self) -> bool {
        self.history.is_empty()
    }

    /// Returns the time of the last message, in milliseconds since 1970.
    pub(crate) fn last_time(&self) -> u64 {
        self.history.back().map_or(self.epoch, |said| said.time)
    }

    /// Returns the number of the next message: at least `least`.
    pub(crate) fn next_id(&self, least: u64) -> u64 {
        least.max(self.last_id + 1)
    }

    /// Adds a message to the history, ordered by number; returns `false` if it is there already, or older than the history.
    pub(crate) fn record(&mut self, said: ChatMessage) -> bool {
        let place = self.history.partition_point(|other| other.id < said.id);
        let is_known = self.history.get(place).map(|other| other.id) == Some(said.id);
        if is_known || said.id <= self.forgotten {
            return false;
        }
        self.last_id = self.last_id.max(said.id);
        self.history_bytes += said.text.len();
        self.history.insert(place, said);
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            if let Some(oldest) = self.history.pop_front() {
                self.history_bytes -= oldest.text.len();
                self.forgotten = oldest.id;
            }
        }
        true
    }

    /// Returns the message that a member has sent with a reference, if any.
    pub(crate) fn find(&self, name: &str, reference: u64) -> Option<&ChatMessage> {
        let mut history = self.history.iter().rev();
        history.find(|said| said.reference == reference && said.name == name)
    }

    /// Returns the messages that a page has not seen. Messages with numbers up to `overlap` below the last seen one may have
    /// arrived after it, so they are included.
    pub(crate) fn unseen(&self, seen: Option<Seen>, overlap: u64) -> Unseen<'_> {
        let seen = seen.filter(|seen| {
            seen.epoch == self.epoch && seen.id <= self.last_id.saturating_add(overlap)
        });
        let last_seen = seen.map_or(0, |seen| seen.id);
        let messages = self.history.iter();
        Unseen {
            messages: messages
                .filter(|said| said.id > last_seen.saturating_sub(overlap))
                .collect(),
            resumed: seen.is_some(),
            gap: seen.is_some() && self.forgotten > last_seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: u64, text: impl Into<String>) -> ChatMessage {
        ChatMessage {
            id,
            name: "ann".into(),
            text: text.into(),
            time: 0,
            reference: id,
        }
    }

    fn room_with(messages: usize) -> Room<u32> {
        let mut room = Room::new(7);
        for n in 1..=messages {
            let id = room.next_id(0);
            assert_eq!(id, n as u64);
            assert!(room.record(said(id, format!("message {n}"))));
        }
        room
    }

    fn ids(unseen: &Unseen<'_>) -> Vec<u64> {
        unseen.messages.iter().map(|said| said.id).collect()
    }

    #[test]
    fn a_room_keeps_its_last_hundred_messages() {
        let room = room_with(HISTORY + 5);
        let unseen = room.unseen(None, 0);
        assert_eq!(ids(&unseen), (6..=105).collect::<Vec<_>>());
        assert!(!unseen.resumed && !unseen.gap);
    }

    #[test]
    fn long_messages_shorten_the_history() {
        let mut room = Room::<u32>::new(7);
        for id in 1..=3 {
            room.record(said(id, "x".repeat(HISTORY_BYTES / 2)));
        }
        assert_eq!(ids(&room.unseen(None, 0)), [2, 3]);
    }

    #[test]
    fn a_reconnecting_page_receives_the_missed_messages() {
        let unseen_after = |id| Some(Seen { epoch: 7, id });
        let room = room_with(5);
        let unseen = room.unseen(unseen_after(3), 0);
        assert_eq!(ids(&unseen), [4, 5]);
        assert!(unseen.resumed && !unseen.gap);
        let unseen = room.unseen(unseen_after(5), 0);
        assert!(unseen.messages.is_empty() && unseen.resumed && !unseen.gap);
    }

    #[test]
    fn a_gap_is_reported_if_missed_messages_are_no_longer_kept() {
        let room = room_with(HISTORY + 5);
        let gap_after = |id| room.unseen(Some(Seen { epoch: 7, id }), 0).gap;
        assert!(gap_after(4));
        assert!(!gap_after(5));
    }

    #[test]
    fn numbers_of_another_epoch_are_ignored() {
        let room = room_with(2);
        for seen in [Seen { epoch: 6, id: 1 }, Seen { epoch: 7, id: 3 }] {
            let unseen = room.unseen(Some(seen), 0);
            assert_eq!(ids(&unseen), [1, 2]);
            assert!(!unseen.resumed);
        }
    }

    #[test]
    fn a_message_is_found_by_its_author_and_reference() {
        let room = room_with(2);
        assert_eq!(room.find("ann", 2).map(|said| said.id), Some(2));
        assert!(room.find("bob", 2).is_none());
        assert!(room.find("ann", 3).is_none());
    }

    #[test]
    fn the_history_is_ordered_by_number_without_duplicates() {
        let mut room = Room::<u32>::new(7);
        let taken = [10, 30, 20, 30, 10].map(|id| room.record(said(id, "x")));
        assert_eq!(taken, [true, true, true, false, false]);
        assert_eq!(ids(&room.unseen(None, 0)), [10, 20, 30]);
        assert_eq!(room.next_id(0), 31);
        assert_eq!(room.next_id(99), 99);
    }

    #[test]
    fn a_message_older_than_the_history_is_not_added() {
        let mut room = room_with(HISTORY + 5);
        assert!(!room.record(said(5, "late")));
        assert_eq!(room.unseen(None, 0).messages.len(), HISTORY);
    }

    #[test]
    fn a_reconnecting_page_receives_messages_again_that_may_have_arrived_late() {
        let room = room_with(9);
        let unseen = room.unseen(Some(Seen { epoch: 7, id: 7 }), 3);
        assert_eq!(ids(&unseen), [5, 6, 7, 8, 9]);
        assert!(unseen.resumed && !unseen.gap);
        // The page has seen a message that was lost here.
        assert!(room.unseen(Some(Seen { epoch: 7, id: 11 }), 3).resumed);
    }
}
