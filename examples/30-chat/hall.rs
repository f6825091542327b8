//! The chat with its sockets: each room is a topic, and so is the list of all rooms.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

use uptick::event_loop::elapsed;
use uptick::prelude::*;
use uptick::rate_limit::Client;
use uptick::websocket::Hub;

use super::chat::{Chat, Effect, Moment, refuse};
use super::limits::Limits;
use super::wire::Ask;

/// The topic of all who have joined a room; those of the rooms begin with `room/`.
const ROOMS: &str = "rooms";
/// How long the list of rooms may be old: many who come at once make one new list.
const ROOMS_PAUSE: Duration = Duration::from_secs(1);
/// For a page whose place another connection has taken.
const REPLACED: u16 = 4001;

pub(crate) struct Hall {
    chat: RefCell<Chat<WebSocket>>,
    limits: RefCell<Limits>,
    hub: Hub,
    /// Whether a new list of rooms is due.
    rooms_changed: Cell<bool>,
}

impl Hall {
    pub(crate) fn new(hub: Hub) -> Hall {
        Hall {
            chat: RefCell::new(Chat::new(0)),
            limits: RefCell::new(Limits::new()),
            hub,
            rooms_changed: Cell::new(false),
        }
    }

    /// Lets a page in. It is in no room yet.
    pub(crate) fn welcome(&'static self, ws: WebSocket, client: Option<Client>) {
        ws.subscribe(ROOMS);
        ws.on("message", move |message: Message| {
            self.hear(ws, client, message)
        });
        ws.on("error", |e: uptick::websocket::Error| eprintln!("{e}"));
        ws.on("close", move |_: Closed| {
            let effects = self.chat.borrow_mut().leave(ws);
            self.take_effect(ws, effects);
        });
    }

    fn hear(&'static self, ws: WebSocket, client: Option<Client>, message: Message) {
        let now = elapsed();
        let Some(client) = client else {
            return;
        };
        if !self.limits.borrow_mut().bears(client, now) {
            ws.close(CloseCode::POLICY, "too many messages");
            return;
        }
        let ask = match &message {
            Message::Text(text) => serde_json::from_str::<Ask>(text).ok(),
            Message::Binary(_) => None,
        };
        let Some(ask) = ask else {
            ws.close(CloseCode::UNSUPPORTED, "this is not what the page sends");
            return;
        };
        let allowed = self.limits.borrow_mut().check(client, &ask, now);
        let effects = match allowed {
            Ok(()) => self.chat.borrow_mut().hear(ws, ask, moment(now)),
            Err(refusal) => vec![refuse(&refusal, ask.reference())],
        };
        self.take_effect(ws, effects);
    }

    fn take_effect(&'static self, ws: WebSocket, effects: Vec<Effect<WebSocket>>) {
        for effect in effects {
            match effect {
                Effect::Reply(text) => drop(ws.send(text)),
                Effect::Tell(room, text) => drop(self.hub.publish(&topic_of(&room), text)),
                Effect::TellOthers(room, text) => drop(ws.publish(&topic_of(&room), text)),
                Effect::Enter(room) => drop(ws.subscribe(&topic_of(&room))),
                Effect::Exit(room) => drop(ws.unsubscribe(&topic_of(&room))),
                Effect::Dismiss(other) => {
                    other.close(REPLACED, "another connection took its place")
                }
                Effect::RoomsChanged => self.tell_rooms_soon(),
            }
        }
    }

    fn tell_rooms_soon(&'static self) {
        if self.rooms_changed.replace(true) {
            return;
        }
        uptick::add_timer(ROOMS_PAUSE, || {
            self.rooms_changed.set(false);
            let rooms = self.chat.borrow().rooms_as_json();
            self.hub.publish(ROOMS, rooms);
        });
    }
}

fn topic_of(room: &str) -> String {
    format!("room/{room}")
}

fn moment(elapsed: Duration) -> Moment {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let unix = unix.map_or(0, |time| time.as_millis());
    Moment {
        elapsed,
        unix: u64::try_from(unix).unwrap_or(u64::MAX),
        least_id: 0,
    }
}
