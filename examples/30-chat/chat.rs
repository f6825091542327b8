//! The chat without its sockets: what is asked goes in, and what is to be done comes out.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::room::{MOST_MEMBERS, Member, Room};
use super::wire::{Ask, Join, RoomLine, Said, Tell};
use super::words::{self, Refusal};

pub(crate) const MOST_ROOMS: usize = 100;
/// How often others are told that someone types.
pub(crate) const TYPING_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_TOKEN: usize = 64;

/// What is to be done. Where no socket is named, it is for the one that asked.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<S> {
    Reply(String),
    /// Tell all in this room.
    Tell(String, String),
    /// Tell the others in this room.
    TellOthers(String, String),
    /// From now on it gets what is told in this room.
    Enter(String),
    Exit(String),
    /// Another socket has taken the place of this one.
    Dismiss(S),
    /// Sometime soon, all are to be told what rooms there are.
    RoomsChanged,
}

/// When something is asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// By a clock that never goes back.
    pub(crate) elapsed: Duration,
    /// In milliseconds since 1970.
    pub(crate) unix: u64,
    /// The lowest possible number of a new message.
    pub(crate) least_id: u64,
}

/// All rooms; a socket is in one of them, or in none.
#[derive(Debug)]
pub(crate) struct Chat<S> {
    pub(crate) rooms: BTreeMap<String, Room<S>>,
    pub(crate) places: HashMap<S, String>,
    /// The maximum by which the number of a message is lower than that of an earlier one: 0 unless several workers number messages.
    overlap: u64,
}

impl<S: Copy + Eq + Hash> Chat<S> {
    pub(crate) fn new(overlap: u64) -> Chat<S> {
        Chat {
            rooms: BTreeMap::new(),
            places: HashMap::new(),
            overlap,
        }
    }

    pub(crate) fn hear(&mut self, socket: S, ask: Ask, now: Moment) -> Vec<Effect<S>> {
        match ask {
            Ask::Join(join) => self
                .join(socket, join, now)
                .unwrap_or_else(|refusal| vec![refuse(&refusal, None)]),
            Ask::Say { text, reference } => self
                .say(socket, &text, reference, now)
                .unwrap_or_else(|refusal| vec![refuse(&refusal, Some(reference))]),
            Ask::Typing => self.typing(socket, now),
            Ask::Leave => self.leave(socket),
            Ask::Ping => vec![Effect::Reply(Tell::Pong.to_json())],
        }
    }

    /// What all are told when the rooms have changed.
    pub(crate) fn rooms_as_json(&self) -> String {
        let rooms = self.room_lines();
        Tell::Rooms { rooms }.to_json()
    }

    /// Takes a socket out of its room, as when it has closed.
    pub(crate) fn leave(&mut self, socket: S) -> Vec<Effect<S>> {
        let mut effects = Vec::new();
        if let Some(room) = self.places.remove(&socket)
            && let Some(place) = self.rooms.get_mut(&room)
            && let Some(member) = place.members.remove(&socket)
        {
            let name = member.name.as_str();
            effects.push(Effect::Exit(room.clone()));
            // For a moment, two members who joined on different workers may have the same name.
            if !place.names().contains(&name) {
                let left = Tell::Left { room: &room, name }.to_json();
                effects.push(Effect::Tell(room.clone(), left));
            }
            effects.push(Effect::RoomsChanged);
            if place.members.is_empty() && place.is_silent() {
                self.rooms.remove(&room);
            }
        }
        effects
    }

    fn join(&mut self, socket: S, join: Join, now: Moment) -> Result<Vec<Effect<S>>, Refusal> {
        let name = words::name(&join.name)?;
        let room = words::room(&join.room)?;
        if join.token.len() > LONGEST_TOKEN {
            return Err(Refusal::new("bad", "This token is too long."));
        }
        let replaced = self.place_for(socket, &name, &room, &join.token)?;
        if !self.rooms.contains_key(&room) {
            self.make_room()?;
        }

        let mut effects = self.leave(socket);
        let place = self
            .rooms
            .entry(room.clone())
            .or_insert_with(|| Room::new(now.unix));
        effects.push(Effect::Enter(room.clone()));
        let (name, typed) = if let Some(other) = replaced {
            self.places.remove(&other);
            effects.push(Effect::Dismiss(other));
            // To the others it is who it was, however it writes its name now.
            let member = place.members.remove(&other);
            member.map_or((name, None), |member| (member.name, member.typed))
        } else {
            let joined = Tell::Joined {
                room: &room,
                name: &name,
            }
            .to_json();
            effects.push(Effect::TellOthers(room.clone(), joined));
            effects.push(Effect::RoomsChanged);
            (name, None)
        };
        let member = Member {
            name: name.clone(),
            token: join.token,
            typed,
        };
        place.members.insert(socket, member);
        self.places.insert(socket, room.clone());

        if let Some(place) = self.rooms.get(&room) {
            let unseen = place.unseen(join.seen, self.overlap);
            let welcome = Tell::Welcome {
                name: &name,
                room: &room,
                epoch: place.epoch,
                members: place.names(),
                rooms: self.room_lines(),
                messages: unseen.messages,
                resumed: unseen.resumed,
                gap: unseen.gap,
            };
            effects.push(Effect::Reply(welcome.to_json()));
        }
        Ok(effects)
    }

    /// Says whether a name is free in a room, or whose place it takes.
    fn place_for(
        &self,
        socket: S,
        name: &str,
        room: &str,
        token: &str,
    ) -> Result<Option<S>, Refusal> {
        let Some(place) = self.rooms.get(room) else {
            return Ok(None);
        };
        match place.named(name) {
            Some((other, _)) if other == socket => Ok(None),
            Some((other, member)) if !token.is_empty() && member.token == token => Ok(Some(other)),
            Some((_, member)) => {
                let text = format!("The name {} is taken in this room.", member.name);
                Err(Refusal::new("name-taken", text))
            }
            None if place.members.len() >= MOST_MEMBERS => {
                Err(Refusal::new("full", "This room is full."))
            }
            None => Ok(None),
        }
    }

    /// Makes room for another room: where nobody is, what was said longest ago is forgotten.
    pub(crate) fn make_room(&mut self) -> Result<(), Refusal> {
        if self.rooms.len() < MOST_ROOMS {
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
        now: Moment,
    ) -> Result<Vec<Effect<S>>, Refusal> {
        let Some((room, place)) = self.place_of(socket) else {
            return Err(Refusal::new("nowhere", "Join a room first."));
        };
        let text = words::message(text)?;
        let name = match place.members.get(&socket) {
            Some(member) => member.name.clone(),
            None => String::new(),
        };
        // A page that lost its connection does not know whether its last words were heard, and says them again.
        if let Some(said) = place.find(&name, reference) {
            return Ok(vec![Effect::Reply(told_message(&room, said))]);
        }
        let said = Said {
            id: place.next_id(now.least_id),
            name,
            text,
            time: now.unix,
            reference,
        };
        let told = told_message(&room, &said);
        place.record(said);
        // Pages in other rooms mark this one as unread.
        Ok(vec![Effect::Tell(room, told), Effect::RoomsChanged])
    }

    fn typing(&mut self, socket: S, now: Moment) -> Vec<Effect<S>> {
        let Some((room, place)) = self.place_of(socket) else {
            return Vec::new();
        };
        let Some(member) = place.members.get_mut(&socket) else {
            return Vec::new();
        };
        let last = member.typed.replace(now.elapsed);
        if last.is_some_and(|last| now.elapsed < last + TYPING_PAUSE) {
            member.typed = last;
            return Vec::new();
        }
        let name = member.name.as_str();
        let told = Tell::Typing { room: &room, name }.to_json();
        vec![Effect::TellOthers(room, told)]
    }

    fn place_of(&mut self, socket: S) -> Option<(String, &mut Room<S>)> {
        let room = self.places.get(&socket)?;
        Some((room.clone(), self.rooms.get_mut(room)?))
    }

    fn room_lines(&self) -> Vec<RoomLine<'_>> {
        let lines = self.rooms.iter().map(|(name, room)| RoomLine {
            name,
            members: room.members.len(),
            last: if room.is_silent() {
                0
            } else {
                room.last_time()
            },
        });
        lines.collect()
    }
}

/// Returns a message as pages receive it.
pub(crate) fn told_message(room: &str, said: &Said) -> String {
    Tell::Message { room, said }.to_json()
}

/// Tells the page what was not done, and why.
pub(crate) fn refuse<S>(refusal: &Refusal, reference: Option<u64>) -> Effect<S> {
    let refused = Tell::Refused {
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
        now: Moment,
    }

    impl Fixture {
        fn new() -> Fixture {
            Fixture {
                chat: Chat::new(0),
                now: Moment::default(),
            }
        }

        fn ask(&mut self, socket: u32, ask: Value) -> Vec<Effect<u32>> {
            let ask = serde_json::from_value(ask).unwrap();
            self.chat.hear(socket, ask, self.now)
        }

        fn join(&mut self, socket: u32, name: &str, room: &str) -> Vec<Effect<u32>> {
            let token = format!("token of {socket}");
            let join = json!({"type": "join", "name": name, "room": room, "token": token});
            self.ask(socket, join)
        }

        fn say(&mut self, socket: u32, text: &str, reference: u64) -> Vec<Effect<u32>> {
            self.ask(
                socket,
                json!({"type": "say", "text": text, "ref": reference}),
            )
        }
    }

    /// The answer to the one who asked.
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
    fn who_joins_is_welcomed_and_announced_to_the_others() {
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
                Effect::Enter("lobby".into()),
                Effect::TellOthers("lobby".into(), joined.into()),
                Effect::RoomsChanged,
            ]
        );
    }

    #[test]
    fn what_is_said_is_told_to_the_room_and_shown_to_those_who_come_later() {
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
                Effect::Tell("lobby".into(), said.into()),
                Effect::RoomsChanged
            ]
        );
        let welcome = reply(&fixture.join(2, "Bob", "lobby"));
        assert_eq!(welcome["messages"][0]["text"], "<b>");
        let elsewhere = reply(&fixture.join(3, "Cid", "attic"));
        assert_eq!(elsewhere["messages"], json!([]));
    }

    #[test]
    fn what_is_said_twice_is_told_once() {
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
    fn a_name_is_taken_in_its_room_only() {
        let mut fixture = Fixture::new();
        fixture.join(1, "Ann", "lobby");
        fixture.join(2, "Bob", "attic");
        assert_eq!(
            reply(&fixture.join(2, "ANN", "lobby"))["code"],
            "name-taken"
        );
        // It stays where it was.
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
        fixture.ask(1, join);
        fixture.say(1, "one", 1);
        let again = json!({"type": "join", "name": "ANN", "room": "lobby", "token": "secret"});
        let effects = fixture.ask(2, again);
        assert!(effects.contains(&Effect::Dismiss(1)), "{effects:?}");
        let announced = |effect: &Effect<u32>| matches!(effect, Effect::TellOthers(..));
        assert!(!effects.iter().any(announced), "{effects:?}");
        assert_eq!(reply(&effects)["members"], json!(["Ann"]));
        assert_eq!(fixture.chat.leave(1), []);
        assert_eq!(reply(&fixture.say(1, "two", 2))["code"], "nowhere");
    }

    #[test]
    fn who_comes_back_is_told_what_was_missed() {
        let mut fixture = Fixture::new();
        fixture.now.unix = 3;
        fixture.join(1, "Ann", "lobby");
        fixture.say(1, "seen", 1);
        fixture.say(1, "missed", 2);
        let seen = json!({"epoch": 3, "id": 1});
        let join =
            json!({"type": "join", "name": "Bob", "room": "lobby", "token": "", "seen": seen});
        let welcome = reply(&fixture.ask(2, join));
        assert_eq!(welcome["resumed"], true);
        assert_eq!(welcome["messages"].as_array().unwrap().len(), 1);
        assert_eq!(welcome["messages"][0]["text"], "missed");
    }

    #[test]
    fn who_goes_to_another_room_leaves_the_first() {
        let mut fixture = Fixture::new();
        fixture.now.unix = 9;
        fixture.join(1, "Ann", "lobby");
        fixture.say(1, "hello", 1);
        let effects = fixture.join(1, "Ann", "attic");
        let left = r#"{"type":"left","room":"lobby","name":"Ann"}"#;
        assert_eq!(effects[0], Effect::Exit("lobby".into()));
        assert_eq!(effects[1], Effect::Tell("lobby".into(), left.into()));
        let rooms = json!([
            {"name": "attic", "members": 1, "last": 0},
            {"name": "lobby", "members": 0, "last": 9},
        ]);
        assert_eq!(reply(&effects)["rooms"], rooms);
    }

    #[test]
    fn a_room_where_nothing_was_said_goes_with_its_last_member() {
        let mut fixture = Fixture::new();
        fixture.join(1, "Ann", "attic");
        fixture.chat.leave(1);
        assert_eq!(
            fixture.chat.rooms_as_json(),
            r#"{"type":"rooms","rooms":[]}"#
        );
    }

    #[test]
    fn the_others_are_told_of_typing_now_and_then() {
        let mut fixture = Fixture::new();
        fixture.join(1, "Ann", "lobby");
        let mut told = Vec::new();
        for _ in 0..5 {
            told.push(fixture.ask(1, json!({"type": "typing"})).len());
            fixture.now.elapsed += TYPING_PAUSE / 2;
        }
        assert_eq!(told, [1, 0, 1, 0, 1]);
        assert_eq!(fixture.ask(2, json!({"type": "typing"})), []);
    }

    #[test]
    fn a_room_is_forgotten_for_a_new_one_when_nobody_is_in_it() {
        let mut fixture = Fixture::new();
        let most = u32::try_from(MOST_ROOMS).unwrap();
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
    fn who_asks_whether_the_server_is_there_is_answered() {
        let mut fixture = Fixture::new();
        assert_eq!(
            reply(&fixture.ask(1, json!({"type": "ping"})))["type"],
            "pong"
        );
    }

    #[test]
    fn a_full_room_takes_nobody_else() {
        let mut fixture = Fixture::new();
        let most = u32::try_from(MOST_MEMBERS).unwrap();
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
