//! The state of the chat, without sockets: requests of pages produce effects.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::room::{MAX_MEMBERS, Member, Room};
use super::validation::{self, Refusal};
use super::wire::{ChatMessage, Join, PageRequest, RoomLine, ServerMessage};

pub(crate) const MAX_ROOMS: usize = 100;
/// The minimum interval of typing notifications of a member.
pub(crate) const TYPING_INTERVAL: Duration = Duration::from_secs(1);
const MAX_TOKEN: usize = 64;

/// An effect of a request. Effects without a socket apply to the one that sent the request.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<S> {
    Reply(String),
    /// Publish to all members of a room.
    Publish(String, String),
    /// Publish to the other members of a room.
    PublishToOthers(String, String),
    /// Subscribe to a room.
    Subscribe(String),
    Unsubscribe(String),
    /// Disconnect a socket that another one has replaced.
    Disconnect(S),
    /// Publish the list of rooms soon.
    RoomsChanged,
}

/// The time of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestTime {
    /// The time on a monotonic clock.
    pub(crate) elapsed: Duration,
    /// The time in milliseconds since 1970.
    pub(crate) unix: u64,
    /// The minimum number of a new message.
    pub(crate) least_id: u64,
}

/// All rooms. A socket is in at most one of them.
#[derive(Debug)]
pub(crate) struct Chat<S> {
    pub(crate) rooms: BTreeMap<String, Room<S>>,
    pub(crate) memberships: HashMap<S, String>,
    /// The maximum difference by which a message has a lower number than an earlier one: 0 unless several workers number messages.
    overlap: u64,
}

impl<S: Copy + Eq + Hash> Chat<S> {
    pub(crate) fn new(overlap: u64) -> Chat<S> {
        Chat {
            rooms: BTreeMap::new(),
            memberships: HashMap::new(),
            overlap,
        }
    }

    pub(crate) fn handle(
        &mut self,
        socket: S,
        request: PageRequest,
        now: RequestTime,
    ) -> Vec<Effect<S>> {
        match request {
            PageRequest::Join(join) => self
                .join(socket, join, now)
                .unwrap_or_else(|refusal| vec![refuse(&refusal, None)]),
            PageRequest::Say { text, reference } => self
                .say(socket, &text, reference, now)
                .unwrap_or_else(|refusal| vec![refuse(&refusal, Some(reference))]),
            PageRequest::Typing => self.typing(socket, now),
            PageRequest::Leave => self.leave(socket),
            PageRequest::Ping => vec![Effect::Reply(ServerMessage::Pong.to_json())],
        }
    }

    /// Returns the list of rooms as a message for pages.
    pub(crate) fn rooms_as_json(&self) -> String {
        let rooms = self.room_list();
        ServerMessage::Rooms { rooms }.to_json()
    }

    /// Removes a socket from its room, for example when it has closed.
    pub(crate) fn leave(&mut self, socket: S) -> Vec<Effect<S>> {
        let mut effects = Vec::new();
        if let Some(room) = self.memberships.remove(&socket)
            && let Some(state) = self.rooms.get_mut(&room)
            && let Some(member) = state.members.remove(&socket)
        {
            let name = member.name.as_str();
            effects.push(Effect::Unsubscribe(room.clone()));
            // Two members who joined on different workers may briefly have the same name.
            if !state.names().contains(&name) {
                let left = ServerMessage::Left { room: &room, name }.to_json();
                effects.push(Effect::Publish(room.clone(), left));
            }
            effects.push(Effect::RoomsChanged);
            if state.members.is_empty() && state.has_no_messages() {
                self.rooms.remove(&room);
            }
        }
        effects
    }

    fn join(&mut self, socket: S, join: Join, now: RequestTime) -> Result<Vec<Effect<S>>, Refusal> {
        let name = validation::name(&join.name)?;
        let room = validation::room(&join.room)?;
        if join.token.len() > MAX_TOKEN {
            return Err(Refusal::new("bad", "This token is too long."));
        }
        let replaced = self.find_replaced(socket, &name, &room, &join.token)?;
        if !self.rooms.contains_key(&room) {
            self.ensure_capacity()?;
        }

        let mut effects = self.leave(socket);
        let state = self
            .rooms
            .entry(room.clone())
            .or_insert_with(|| Room::new(now.unix));
        effects.push(Effect::Subscribe(room.clone()));
        let (name, typed) = if let Some(other) = replaced {
            self.memberships.remove(&other);
            effects.push(Effect::Disconnect(other));
            // The member keeps the spelling of its name and the time of its last notification.
            let member = state.members.remove(&other);
            member.map_or((name, None), |member| (member.name, member.typed))
        } else {
            let joined = ServerMessage::Joined {
                room: &room,
                name: &name,
            }
            .to_json();
            effects.push(Effect::PublishToOthers(room.clone(), joined));
            effects.push(Effect::RoomsChanged);
            (name, None)
        };
        let member = Member {
            name: name.clone(),
            token: join.token,
            typed,
        };
        state.members.insert(socket, member);
        self.memberships.insert(socket, room.clone());

        if let Some(state) = self.rooms.get(&room) {
            let unseen = state.unseen(join.seen, self.overlap);
            let welcome = ServerMessage::Welcome {
                name: &name,
                room: &room,
                epoch: state.epoch,
                members: state.names(),
                rooms: self.room_list(),
                messages: unseen.messages,
                resumed: unseen.resumed,
                gap: unseen.gap,
            };
            effects.push(Effect::Reply(welcome.to_json()));
        }
        Ok(effects)
    }

    /// Checks whether a name is free in a room; returns the socket that is replaced, if any.
    fn find_replaced(
        &self,
        socket: S,
        name: &str,
        room: &str,
        token: &str,
    ) -> Result<Option<S>, Refusal> {
        let Some(state) = self.rooms.get(room) else {
            return Ok(None);
        };
        match state.find_member(name) {
            Some((other, _)) if other == socket => Ok(None),
            Some((other, member)) if !token.is_empty() && member.token == token => Ok(Some(other)),
            Some((_, member)) => {
                let text = format!("The name {} is taken in this room.", member.name);
                Err(Refusal::new("name-taken", text))
            }
            None if state.members.len() >= MAX_MEMBERS => {
                Err(Refusal::new("full", "This room is full."))
            }
            None => Ok(None),
        }
    }

    /// Makes space for another room. If there are too many, the empty room with the oldest last message is removed.
    pub(crate) fn ensure_capacity(&mut self) -> Result<(), Refusal> {
        if self.rooms.len() < MAX_ROOMS {
            return Ok(());
        }
        let empty = self
            .rooms
            .iter()
            .filter(|(_, room)| room.members.is_empty());
        let oldest = empty.min_by_key(|(_, room)| room.last_time());
        let Some(name) = oldest.map(|(name, _)| name.clone()) else {
            return Err(Refusal::new("full", "There are too many rooms already."));
        };
        self.rooms.remove(&name);
        Ok(())
    }

    fn say(
        &mut self,
        socket: S,
        text: &str,
        reference: u64,
        now: RequestTime,
    ) -> Result<Vec<Effect<S>>, Refusal> {
        let Some((room, state)) = self.room_of(socket) else {
            return Err(Refusal::new("nowhere", "Join a room first."));
        };
        let text = validation::message(text)?;
        let name = match state.members.get(&socket) {
            Some(member) => member.name.clone(),
            None => String::new(),
        };
        // A page that lost its connection does not know whether its last messages arrived, and sends them again.
        if let Some(said) = state.find(&name, reference) {
            return Ok(vec![Effect::Reply(encode_message(&room, said))]);
        }
        let said = ChatMessage {
            id: state.next_id(now.least_id),
            name,
            text,
            time: now.unix,
            reference,
        };
        let encoded = encode_message(&room, &said);
        state.record(said);
        // Pages in other rooms mark this one as unread.
        Ok(vec![Effect::Publish(room, encoded), Effect::RoomsChanged])
    }

    fn typing(&mut self, socket: S, now: RequestTime) -> Vec<Effect<S>> {
        let Some((room, state)) = self.room_of(socket) else {
            return Vec::new();
        };
        let Some(member) = state.members.get_mut(&socket) else {
            return Vec::new();
        };
        let last = member.typed.replace(now.elapsed);
        if last.is_some_and(|last| now.elapsed < last + TYPING_INTERVAL) {
            member.typed = last;
            return Vec::new();
        }
        let name = member.name.as_str();
        let encoded = ServerMessage::Typing { room: &room, name }.to_json();
        vec![Effect::PublishToOthers(room, encoded)]
    }

    fn room_of(&mut self, socket: S) -> Option<(String, &mut Room<S>)> {
        let room = self.memberships.get(&socket)?;
        Some((room.clone(), self.rooms.get_mut(room)?))
    }

    fn room_list(&self) -> Vec<RoomLine<'_>> {
        let lines = self.rooms.iter().map(|(name, room)| RoomLine {
            name,
            members: room.members.len(),
            last: if room.has_no_messages() {
                0
            } else {
                room.last_time()
            },
        });
        lines.collect()
    }
}

/// Returns a message in the format for pages.
pub(crate) fn encode_message(room: &str, said: &ChatMessage) -> String {
    ServerMessage::Message { room, said }.to_json()
}

/// Returns the effect that reports a refused request to the page.
pub(crate) fn refuse<S>(refusal: &Refusal, reference: Option<u64>) -> Effect<S> {
    let refused = ServerMessage::Refused {
        code: refusal.code,
        text: &refusal.text,
        reference,
    };
    Effect::Reply(refused.to_json())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A chat whose sockets are numbers.
    struct Fixture {
        chat: Chat<u32>,
        now: RequestTime,
    }

    impl Fixture {
        fn new() -> Fixture {
            Fixture {
                chat: Chat::new(0),
                now: RequestTime::default(),
            }
        }

        fn request(&mut self, socket: u32, request: Value) -> Vec<Effect<u32>> {
            let request = serde_json::from_value(request).unwrap();
            self.chat.handle(socket, request, self.now)
        }

        fn join(&mut self, socket: u32, name: &str, room: &str) -> Vec<Effect<u32>> {
            let token = format!("token of {socket}");
            let join = json!({"type": "join", "name": name, "room": room, "token": token});
            self.request(socket, join)
        }

        fn say(&mut self, socket: u32, text: &str, reference: u64) -> Vec<Effect<u32>> {
            self.request(
                socket,
                json!({"type": "say", "text": text, "ref": reference}),
            )
        }
    }

    /// Returns the reply to the sender.
    #[track_caller]
    fn reply(effects: &[Effect<u32>]) -> Value {
        let mut replies = effects.iter().filter_map(|effect| match effect {
            Effect::Reply(json) => Some(serde_json::from_str(json).unwrap()),
            _ => None,
        });
        let reply = replies
            .next()
            .unwrap_or_else(|| panic!("no reply in {effects:?}"));
        assert_eq!(replies.next(), None);
        reply
    }

    #[test]
    fn a_joining_member_receives_a_welcome_and_is_announced_to_the_others() {
        let mut fixture = Fixture::new();
        fixture.join(1, "Ann", "lobby");
        let effects = fixture.join(2, "Bob", "Lobby");
        let welcome = reply(&effects);
        assert_eq!(welcome["members"], json!(["Ann", "Bob"]));
        assert_eq!(
            welcome["rooms"],
            json!([{"name": "lobby", "members": 2, "last": 0}])
        );
        let joined = r#"{"type":"joined","room":"lobby","name":"Bob"}"#;
        assert_eq!(
            effects[..3],
            [
                Effect::Subscribe("lobby".into()),
                Effect::PublishToOthers("lobby".into(), joined.into()),
                Effect::RoomsChanged,
            ]
        );
    }

    #[test]
    fn a_message_is_sent_to_the_room_and_to_later_members() {
        let mut fixture = Fixture::new();
        fixture.now.unix = 5;
        fixture.join(1, "Ann", "lobby");
        let said = concat!(
            r#"{"type":"message","room":"lobby","id":1,"name":"Ann","text":"<b>","#,
            r#""time":5,"ref":8}"#
        );
        let effects = fixture.say(1, "<b>", 8);
        assert_eq!(
            effects,
            [
                Effect::Publish("lobby".into(), said.into()),
                Effect::RoomsChanged
            ]
        );
        let welcome = reply(&fixture.join(2, "Bob", "lobby"));
        assert_eq!(welcome["messages"][0]["text"], "<b>");
        let elsewhere = reply(&fixture.join(3, "Cid", "attic"));
        assert_eq!(elsewhere["messages"], json!([]));
    }

    #[test]
    fn a_message_sent_twice_is_delivered_once() {
        let mut fixture = Fixture::new();
        fixture.join(1, "Ann", "lobby");
        fixture.say(1, "once", 8);
        let again = fixture.say(1, "once", 8);
        assert_eq!(again.len(), 1);
        assert_eq!(reply(&again)["id"], 1);
    }

    #[test]
    fn a_message_is_refused_with_its_number() {
        let mut fixture = Fixture::new();
        assert_eq!(reply(&fixture.say(1, "hello?", 8))["code"], "nowhere");
        fixture.join(1, "Ann", "lobby");
        let refused = reply(&fixture.say(1, " ", 9));
        assert_eq!(
            (&refused["code"], &refused["ref"]),
            (&json!("empty"), &json!(9))
        );
    }

    #[test]
    fn a_name_is_unique_within_its_room_only() {
        let mut fixture = Fixture::new();
        fixture.join(1, "Ann", "lobby");
        fixture.join(2, "Bob", "attic");
        assert_eq!(
            reply(&fixture.join(2, "ANN", "lobby"))["code"],
            "name-taken"
        );
        // The socket stays in its room.
        assert_eq!(
            reply(&fixture.join(3, "Cid", "attic"))["members"],
            json!(["Bob", "Cid"])
        );
        assert_eq!(
            reply(&fixture.join(4, "Ann", "cellar"))["members"],
            json!(["Ann"])
        );
    }

    #[test]
    fn a_page_takes_its_name_back_from_its_broken_connection() {
        let mut fixture = Fixture::new();
        let join = json!({"type": "join", "name": "Ann", "room": "lobby", "token": "secret"});
        fixture.request(1, join);
        fixture.say(1, "one", 1);
        let again = json!({"type": "join", "name": "ANN", "room": "lobby", "token": "secret"});
        let effects = fixture.request(2, again);
        assert!(effects.contains(&Effect::Disconnect(1)), "{effects:?}");
        let announced = |effect: &Effect<u32>| matches!(effect, Effect::PublishToOthers(..));
        assert!(!effects.iter().any(announced), "{effects:?}");
        assert_eq!(reply(&effects)["members"], json!(["Ann"]));
        assert_eq!(fixture.chat.leave(1), []);
        assert_eq!(reply(&fixture.say(1, "two", 2))["code"], "nowhere");
    }

    #[test]
    fn a_reconnecting_page_receives_the_missed_messages() {
        let mut fixture = Fixture::new();
        fixture.now.unix = 3;
        fixture.join(1, "Ann", "lobby");
        fixture.say(1, "seen", 1);
        fixture.say(1, "missed", 2);
        let seen = json!({"epoch": 3, "id": 1});
        let join =
            json!({"type": "join", "name": "Bob", "room": "lobby", "token": "", "seen": seen});
        let welcome = reply(&fixture.request(2, join));
        assert_eq!(welcome["resumed"], true);
        assert_eq!(welcome["messages"].as_array().unwrap().len(), 1);
        assert_eq!(welcome["messages"][0]["text"], "missed");
    }

    #[test]
    fn joining_another_room_leaves_the_first() {
        let mut fixture = Fixture::new();
        fixture.now.unix = 9;
        fixture.join(1, "Ann", "lobby");
        fixture.say(1, "hello", 1);
        let effects = fixture.join(1, "Ann", "attic");
        let left = r#"{"type":"left","room":"lobby","name":"Ann"}"#;
        assert_eq!(effects[0], Effect::Unsubscribe("lobby".into()));
        assert_eq!(effects[1], Effect::Publish("lobby".into(), left.into()));
        let rooms = json!([
            {"name": "attic", "members": 1, "last": 0},
            {"name": "lobby", "members": 0, "last": 9},
        ]);
        assert_eq!(reply(&effects)["rooms"], rooms);
    }

    #[test]
    fn a_room_without_messages_is_removed_with_its_last_member() {
        let mut fixture = Fixture::new();
        fixture.join(1, "Ann", "attic");
        fixture.chat.leave(1);
        assert_eq!(
            fixture.chat.rooms_as_json(),
            r#"{"type":"rooms","rooms":[]}"#
        );
    }

    #[test]
    fn typing_notifications_are_limited() {
        let mut fixture = Fixture::new();
        fixture.join(1, "Ann", "lobby");
        let mut counts = Vec::new();
        for _ in 0..5 {
            counts.push(fixture.request(1, json!({"type": "typing"})).len());
            fixture.now.elapsed += TYPING_INTERVAL / 2;
        }
        assert_eq!(counts, [1, 0, 1, 0, 1]);
        assert_eq!(fixture.request(2, json!({"type": "typing"})), []);
    }

    #[test]
    fn an_empty_room_is_removed_for_a_new_one() {
        let mut fixture = Fixture::new();
        let most = u32::try_from(MAX_ROOMS).unwrap();
        for n in 0..most {
            fixture.now.unix += 1;
            fixture.join(n, "Ann", &format!("room {n}"));
            fixture.say(n, "hello", 1);
        }
        assert_eq!(
            reply(&fixture.join(most, "Bob", "one more"))["code"],
            "full"
        );
        fixture.chat.leave(7);
        fixture.chat.leave(5);
        assert_eq!(
            reply(&fixture.join(most, "Bob", "one more"))["type"],
            "welcome"
        );
        assert!(!fixture.chat.rooms.contains_key("room 5"));
        assert!(fixture.chat.rooms.contains_key("room 7"));
    }

    #[test]
    fn a_ping_is_answered() {
        let mut fixture = Fixture::new();
        assert_eq!(
            reply(&fixture.request(1, json!({"type": "ping"})))["type"],
            "pong"
        );
    }

    #[test]
    fn a_full_room_accepts_no_further_members() {
        let mut fixture = Fixture::new();
        let most = u32::try_from(MAX_MEMBERS).unwrap();
        for n in 0..most {
            fixture.join(n, &format!("guest {n}"), "lobby");
        }
        assert_eq!(reply(&fixture.join(most, "Bob", "lobby"))["code"], "full");
        fixture.chat.leave(0);
        assert_eq!(
            reply(&fixture.join(most, "Bob", "lobby"))["type"],
            "welcome"
        );
    }
}
