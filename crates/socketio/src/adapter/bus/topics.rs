//! The topics of a namespace on the bus.
//!
//! | topic | subscribers | messages |
//! |---|---|---|
//! | `socketio/NAME/NAMESPACE/all` | all workers that have the namespace | to all sockets, to many rooms, requests |
//! | `…/room/ROOM` | workers that have sockets in the room | to the room |
//! | `…/rooms` | workers with rooms beyond the limit of topics | to any room |
//! | `…/server/TAG` | the worker with the tag | responses to it, messages to one of its sockets |

use std::cell::Cell;
use std::collections::HashMap;

use uptick_workers::bus::{Bus, SubscriptionId};

use crate::SocketId;
use crate::adapter::{ClusterMessage, Target};
use crate::tag;

/// Maximum number of rooms for which a message is published to the topic of each room. Messages to more rooms go to all workers.
const MAX_ROOMS_PER_MESSAGE: usize = 8;

/// Maximum length of the name of a room that has a topic, in bytes. Messages to rooms with longer names go to all workers.
const MAX_ROOM_NAME: usize = 1024;

/// Maximum number of rooms of a thread that have a topic.
pub(super) const MAX_ROOM_TOPICS: usize = 32_768;

/// The names of the topics of a namespace.
#[derive(Debug)]
pub(super) struct Topics {
    prefix: String,
    pub(super) all: String,
    pub(super) any_room: String,
}

impl Topics {
    pub(super) fn new(name: &str, namespace: &str) -> Topics {
        let escape = |text: &str| text.replace('%', "%25").replace('/', "%2F");
        let prefix = format!("socketio/{}/{}/", escape(name), escape(namespace));
        Topics {
            all: format!("{prefix}all"),
            any_room: format!("{prefix}rooms"),
            prefix,
        }
    }

    pub(super) fn server(&self, tag: &str) -> String {
        format!("{}server/{tag}", self.prefix)
    }

    fn room(&self, room: &str) -> String {
        format!("{}room/{room}", self.prefix)
    }

    /// Returns the topics to which a message must be published to reach all workers that may need it. Topics without remote subscribers are left out.
    ///
    /// `is_pending` returns `true` for rooms to which workers may be about to subscribe.
    pub(super) fn for_message(
        &self,
        message: &ClusterMessage,
        is_pending: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let rooms = rooms(message).filter(|rooms| !rooms.iter().any(|room| is_pending(room)));
        let mut topics = match rooms {
            Some(rooms) => self.for_rooms(rooms),
            None => vec![self.all.clone()],
        };
        topics.retain(|topic| Bus::of_thread().has_remote_subscribers(topic));
        topics
    }

    fn for_rooms(&self, rooms: &[String]) -> Vec<String> {
        let mut topics = vec![self.any_room.clone()];
        for room in rooms {
            topics.push(self.room(room));
            let found = SocketId::parse(room)
                .is_some()
                .then(|| room.get(..tag::LENGTH));
            if let Some(tag) = found.flatten() {
                let server = self.server(tag);
                if !topics.contains(&server) {
                    topics.push(server);
                }
            }
        }
        topics
    }
}

/// Returns the rooms of a message if only workers with one of them need it. `None` if all workers need the message.
fn rooms(message: &ClusterMessage) -> Option<&[String]> {
    let Target { rooms, .. } = match message {
        ClusterMessage::Broadcast {
            target,
            request: None,
            ..
        }
        | ClusterMessage::SocketsJoin { target, .. }
        | ClusterMessage::SocketsLeave { target, .. }
        | ClusterMessage::DisconnectSockets { target, .. } => target,
        // Every worker must respond to a request.
        ClusterMessage::Broadcast { .. }
        | ClusterMessage::FetchSockets { .. }
        | ClusterMessage::RestoreSession { .. }
        | ClusterMessage::ServerSideEmit { .. } => return None,
    };
    let is_few = (1..=MAX_ROOMS_PER_MESSAGE).contains(&rooms.len());
    (is_few && rooms.iter().all(|room| has_topic(room))).then_some(rooms)
}

fn has_topic(room: &str) -> bool {
    room.len() <= MAX_ROOM_NAME
}

thread_local! {
    /// The number of rooms of this thread that have a topic.
    static USED_TOPICS: Cell<usize> = const { Cell::new(0) };
}

/// The rooms of a namespace, and the subscriptions to their topics.
///
/// Each room has its own subscription as long as the limit is not reached. The remaining rooms share one subscription, which receives the messages to all rooms.
///
/// The caller subscribes and unsubscribes on the bus. It must not hold a borrow of this value meanwhile, because the bus may detect that a peer disconnected, and then
/// calls callbacks of the program immediately.
#[derive(Debug, Default)]
pub(super) struct RoomSubscriptions {
    /// The subscription of each room; `None` until the caller has subscribed.
    rooms: HashMap<Box<str>, Option<SubscriptionId>>,
    /// The number of rooms without their own subscription.
    others: usize,
    any: Option<SubscriptionId>,
}

/// The topic of one room, or of all rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomTopic<'a> {
    /// The topic of one room.
    Room(&'a str),
    /// The topic of all rooms.
    Any,
}

impl RoomTopic<'_> {
    pub(super) fn name(self, topics: &Topics) -> String {
        match self {
            RoomTopic::Room(room) => topics.room(room),
            RoomTopic::Any => topics.any_room.clone(),
        }
    }
}

impl RoomSubscriptions {
    /// Adds a room. Returns the topic to which the caller must subscribe, if any.
    pub(super) fn add<'a>(&mut self, room: &'a str) -> Option<RoomTopic<'a>> {
        if !has_topic(room) || self.rooms.contains_key(room) {
            return None;
        }
        let used = USED_TOPICS.get();
        if used < MAX_ROOM_TOPICS {
            USED_TOPICS.set(used + 1);
            self.rooms.insert(room.into(), None);
            return Some(RoomTopic::Room(room));
        }
        self.others += 1;
        (self.others == 1).then_some(RoomTopic::Any)
    }

    /// Sets the subscription to a topic. Returns a subscription that is not needed: this one if its room was removed, or the previous one.
    pub(super) fn subscribed(
        &mut self,
        topic: RoomTopic<'_>,
        id: SubscriptionId,
    ) -> Option<SubscriptionId> {
        match topic {
            RoomTopic::Room(room) => match self.rooms.get_mut(room) {
                Some(place) => place.replace(id),
                None => Some(id),
            },
            RoomTopic::Any if self.others > 0 => self.any.replace(id),
            RoomTopic::Any => Some(id),
        }
    }

    /// Removes a room. Returns the subscription that the caller must cancel, if any.
    pub(super) fn remove(&mut self, room: &str) -> Option<SubscriptionId> {
        if !has_topic(room) {
            return None;
        }
        if let Some(id) = self.rooms.remove(room) {
            USED_TOPICS.set(USED_TOPICS.get().saturating_sub(1));
            if self.rooms.capacity() > 64 && self.rooms.len() < self.rooms.capacity() / 4 {
                self.rooms.shrink_to(self.rooms.len() * 2);
            }
            return id;
        }
        self.others = self.others.saturating_sub(1);
        self.any.take_if(|_| self.others == 0)
    }

    /// Removes all rooms. Returns the subscriptions that the caller must cancel.
    pub(super) fn clear(&mut self) -> Vec<SubscriptionId> {
        USED_TOPICS.set(USED_TOPICS.get().saturating_sub(self.rooms.len()));
        self.others = 0;
        let rooms = self.rooms.drain().filter_map(|(_, id)| id);
        rooms.chain(self.any.take()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(rooms: &[&str]) -> ClusterMessage {
        ClusterMessage::SocketsLeave {
            target: Target {
                rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
                except: Vec::new(),
            },
            rooms: Vec::new(),
        }
    }

    #[test]
    fn names_of_topics_do_not_collide() {
        let topics = Topics::new("a/b", "/%c");
        assert_eq!(topics.all, "socketio/a%2Fb/%2F%25c/all");
        assert_eq!(topics.room("x/y"), "socketio/a%2Fb/%2F%25c/room/x/y");
    }

    #[test]
    fn messages_to_few_rooms_are_sent_to_workers_with_these_rooms() {
        let name = "x".repeat(MAX_ROOM_NAME + 1);
        let nine = ["r"; MAX_ROOMS_PER_MESSAGE + 1];
        assert_eq!(rooms(&leave(&["a", "b"])).map(<[String]>::len), Some(2));
        assert_eq!(rooms(&leave(&[])), None);
        assert_eq!(rooms(&leave(&["a", &name])), None);
        assert_eq!(rooms(&leave(&nine)), None);
        assert!(rooms(&leave(&nine[1..])).is_some());
        let fetch = ClusterMessage::FetchSockets {
            target: Target {
                rooms: vec!["a".to_owned()],
                except: Vec::new(),
            },
            request: "1".to_owned(),
        };
        assert_eq!(rooms(&fetch), None);
    }

    #[test]
    fn a_message_to_a_socket_id_is_sent_to_the_server_of_the_socket() {
        let topics = Topics::new("1", "/");
        let rooms = ["tagA5678901234567890", "tagA5678901234567891", "plain"].map(str::to_owned);
        let found = topics.for_rooms(&rooms);
        let found: Vec<&str> = found
            .iter()
            .map(|topic| &topic["socketio/1/%2F/".len()..])
            .collect();
        let expected = [
            "rooms",
            "room/tagA5678901234567890",
            "server/tagA",
            "room/tagA5678901234567891",
            "room/plain",
        ];
        assert_eq!(found, expected);
    }

    fn subscription() -> SubscriptionId {
        Bus::of_thread().subscribe("test", |_| ())
    }

    #[test]
    fn rooms_beyond_the_limit_share_a_subscription() {
        USED_TOPICS.set(MAX_ROOM_TOPICS - 1);
        let mut rooms = RoomSubscriptions::default();
        let (own, any) = (subscription(), subscription());
        assert_eq!(rooms.add("a"), Some(RoomTopic::Room("a")));
        assert_eq!(rooms.subscribed(RoomTopic::Room("a"), own), None);
        assert_eq!(rooms.add("b"), Some(RoomTopic::Any));
        assert_eq!(rooms.subscribed(RoomTopic::Any, any), None);
        assert_eq!((rooms.add("c"), USED_TOPICS.get()), (None, MAX_ROOM_TOPICS));
        assert_eq!(rooms.remove("b"), None);
        assert_eq!(rooms.remove("a"), Some(own));
        assert_eq!(rooms.add("d"), Some(RoomTopic::Room("d")));
        assert_eq!(rooms.remove("c"), Some(any));
        assert_eq!(rooms.clear(), []);
        assert_eq!(USED_TOPICS.get(), MAX_ROOM_TOPICS - 1);
    }

    #[test]
    fn removing_a_room_during_subscription_leaves_no_subscription() {
        let mut rooms = RoomSubscriptions::default();
        let (first, second) = (subscription(), subscription());
        rooms.add("a");
        assert_eq!(rooms.remove("a"), None);
        assert_eq!(rooms.subscribed(RoomTopic::Room("a"), first), Some(first));
        rooms.add("a");
        assert_eq!(rooms.subscribed(RoomTopic::Room("a"), first), None);
        assert_eq!(rooms.subscribed(RoomTopic::Room("a"), second), Some(first));
        assert_eq!(rooms.clear(), [second]);
        assert_eq!(rooms.subscribed(RoomTopic::Any, first), Some(first));
    }
}
