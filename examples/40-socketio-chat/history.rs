//! The history of each room.

use std::collections::{BTreeMap, VecDeque};

use super::wire::ChatMessage;

pub(crate) const MAX_ROOMS: usize = 100;
/// The maximum number of messages of a room.
const HISTORY: usize = 100;
/// The maximum number of bytes of text of a room.
const HISTORY_BYTES: usize = 64 * 1024;
/// The number of low bits of a message's number that identify the worker.
const WORKER_BITS: u32 = 10;
/// The maximum delay of messages between workers, in milliseconds. Messages that are older than the last one of a page by at most
/// this time may have arrived after the page left.
const OVERLAP: u64 = 5_000;

/// The rooms of a worker.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    rooms: BTreeMap<String, History>,
}

#[derive(Debug, Default)]
struct History {
    messages: VecDeque<ChatMessage>,
    bytes: usize,
    /// The highest number of the messages that are no longer kept.
    forgotten: u64,
    /// `true` once the messages that other workers keep are included.
    is_complete: bool,
}

/// The messages that a page does not have.
#[derive(Debug, PartialEq)]
pub(crate) struct Unseen {
    pub(crate) messages: Vec<ChatMessage>,
    pub(crate) gap: bool,
}

impl Histories {
    /// Keeps the messages of a room from now on. If there are too many rooms, the empty room with the oldest last message is
    /// removed; returns `false` if there is none.
    pub(crate) fn open(&mut self, room: &str, is_empty: impl Fn(&str) -> bool) -> bool {
        if !self.rooms.contains_key(room) {
            if self.rooms.len() >= MAX_ROOMS {
                let empty = self.rooms.iter().filter(|(name, _)| is_empty(name));
                let oldest = empty.min_by_key(|(_, history)| history.last_id());
                let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                    return false;
                };
                self.rooms.remove(&oldest);
            }
            self.rooms.insert(room.into(), History::default());
        }
        true
    }

    pub(crate) fn is_complete(&self, room: &str) -> bool {
        self.rooms
            .get(room)
            .is_some_and(|history| history.is_complete)
    }

    /// Adds the messages that other workers keep.
    pub(crate) fn complete(&mut self, room: &str, messages: impl IntoIterator<Item = ChatMessage>) {
        if let Some(history) = self.rooms.get_mut(room) {
            history.is_complete = true;
            for said in messages {
                history.record(said);
            }
        }
    }

    /// Adds a message that another worker has accepted, if the room is open.
    pub(crate) fn record(&mut self, room: &str, said: ChatMessage) {
        if let Some(history) = self.rooms.get_mut(room) {
            history.record(said);
        }
    }

    /// Numbers a new message and adds it. Its author is in the room, so the room is open.
    pub(crate) fn say(
        &mut self,
        room: &str,
        (worker, now): (usize, u64),
        (name, text, reference): (String, String, u64),
    ) -> ChatMessage {
        let history = self.rooms.entry(room.into()).or_default();
        let time = now.max((history.last_id() >> WORKER_BITS) + 1);
        let said = ChatMessage {
            id: (time << WORKER_BITS) | (worker as u64 % (1 << WORKER_BITS)),
            name,
            text,
            reference,
        };
        history.record(said.clone());
        said
    }

    /// Returns the number of a message that was sent before, if any.
    pub(crate) fn find(&self, room: &str, name: &str, reference: u64) -> Option<u64> {
        let mut messages = self.rooms.get(room)?.messages.iter().rev();
        let found = messages.find(|said| said.reference == reference && said.name == name);
        found.map(|said| said.id)
    }

    /// Returns all messages of a room.
    pub(crate) fn all(&self, room: &str) -> Vec<ChatMessage> {
        self.unseen(room, None).messages
    }

    /// Returns the messages after `since` that a page does not have, and possibly some that it has.
    pub(crate) fn unseen(&self, room: &str, since: Option<u64>) -> Unseen {
        let Some(history) = self.rooms.get(room) else {
            return Unseen {
                messages: Vec::new(),
                gap: false,
            };
        };
        let after = since.unwrap_or(0).saturating_sub(OVERLAP << WORKER_BITS);
        let messages = history.messages.iter().filter(|said| said.id > after);
        Unseen {
            messages: messages.cloned().collect(),
            gap: since.is_some_and(|since| since < history.forgotten),
        }
    }
}

impl History {
    fn last_id(&self) -> u64 {
        self.messages.back().map_or(0, |said| said.id)
    }

    /// Inserts a message by its number, unless it is present or older than the history.
    fn record(&mut self, said: ChatMessage) {
        let place = self.messages.partition_point(|other| other.id < said.id);
        let is_known = self
            .messages
            .get(place)
            .is_some_and(|other| other.id == said.id);
        if is_known || said.id <= self.forgotten {
            return;
        }
        self.bytes += said.text.len();
        self.messages.insert(place, said);
        while self.messages.len() > HISTORY || self.bytes > HISTORY_BYTES {
            let Some(oldest) = self.messages.pop_front() else {
                return;
            };
            self.bytes -= oldest.text.len();
            self.forgotten = oldest.id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(histories: &mut Histories, now: u64, text: &str) -> u64 {
        let content = ("Ann".into(), text.into(), now);
        histories.say("lobby", (3, now), content).id
    }

    fn said(id: u64) -> ChatMessage {
        ChatMessage {
            id,
            name: "Bob".into(),
            text: id.to_string(),
            reference: id,
        }
    }

    fn texts(unseen: &Unseen) -> Vec<&str> {
        unseen
            .messages
            .iter()
            .map(|said| said.text.as_str())
            .collect()
    }

    #[test]
    fn messages_are_numbered_by_time_and_worker_and_never_twice() {
        let mut histories = Histories::default();
        let ids = [100, 100, 90].map(|now| say(&mut histories, now, "x"));
        assert_eq!(ids, [100, 101, 102].map(|time| (time << 10) | 3));
    }

    #[test]
    fn a_room_keeps_its_last_hundred_messages() {
        let mut histories = Histories::default();
        let ids: Vec<_> = (0..105)
            .map(|now| say(&mut histories, now, &now.to_string()))
            .collect();
        let all = histories.unseen("lobby", None);
        assert_eq!((all.messages.len(), all.gap), (HISTORY, false));
        assert_eq!(all.messages[0].text, "5");
        assert!(histories.unseen("lobby", Some(ids[3])).gap);
        assert!(!histories.unseen("lobby", Some(ids[4])).gap);
    }

    #[test]
    fn long_messages_shorten_the_history() {
        let mut histories = Histories::default();
        for now in 0..3 {
            say(&mut histories, now, &"x".repeat(HISTORY_BYTES / 2));
        }
        assert_eq!(histories.all("lobby").len(), 2);
    }

    #[test]
    fn a_reconnecting_page_receives_missed_and_possibly_late_messages() {
        let mut histories = Histories::default();
        let last = [("old", 1_000), ("late", 9_000), ("seen", 10_000)]
            .map(|(text, now)| say(&mut histories, now, text))[2];
        say(&mut histories, 20_000, "missed");
        let unseen = histories.unseen("lobby", Some(last));
        assert_eq!(texts(&unseen), ["late", "seen", "missed"]);
    }

    #[test]
    fn messages_of_other_workers_are_added_in_order_and_once() {
        let mut histories = Histories::default();
        histories.record("lobby", said(1));
        assert!(histories.all("lobby").is_empty(), "the room is not open");
        assert!(histories.open("lobby", |_| true));
        assert!(!histories.is_complete("lobby"));
        histories.record("lobby", said(30));
        histories.complete("lobby", [said(20), said(10), said(30)]);
        assert!(histories.is_complete("lobby"));
        let ids: Vec<_> = histories.all("lobby").iter().map(|said| said.id).collect();
        assert_eq!(ids, [10, 20, 30]);
    }

    #[test]
    fn a_message_sent_twice_is_found() {
        let mut histories = Histories::default();
        let id = say(&mut histories, 7, "x");
        assert_eq!(histories.find("lobby", "Ann", 7), Some(id));
        assert_eq!(histories.find("lobby", "Bob", 7), None);
        assert_eq!(histories.find("attic", "Ann", 7), None);
    }

    #[test]
    fn the_empty_room_with_the_oldest_message_is_removed() {
        let mut histories = Histories::default();
        for number in 0..MAX_ROOMS {
            let room = number.to_string();
            assert!(histories.open(&room, |_| true));
            histories.record(&room, said(1_000 - number as u64));
        }
        assert!(!histories.open("new", |_| false), "no room is empty");
        assert!(histories.open("new", |room| room != "99"));
        assert!(histories.all("98").is_empty());
        assert_eq!(histories.all("99").len(), 1);
    }
}
