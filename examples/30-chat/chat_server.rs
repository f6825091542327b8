//! The chat with its WebSockets: each room is a topic, and so is the list of rooms.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

use uptick::event_loop::elapsed;
use uptick::prelude::*;
use uptick::rate_limit::Client;
use uptick::websocket::Hub;

use super::chat::{Chat, Effect, RequestTime, refuse};
use super::limits::Limits;
use super::wire::PageRequest;

/// The topic of the list of rooms; topics of rooms begin with `room/`.
const ROOMS: &str = "rooms";
/// The delay after which a changed list of rooms is sent, so that many changes make one list.
const ROOMS_PAUSE: Duration = Duration::from_secs(1);
/// The close code for a page that is replaced by another connection.
const REPLACED: u16 = 4001;

pub(crate) struct ChatServer {
    chat: RefCell<Chat<WebSocket>>,
    limits: RefCell<Limits>,
    hub: Hub,
    /// Set while a new list of rooms is due.
    rooms_changed: Cell<bool>,
}

impl ChatServer {
    pub(crate) fn new(hub: Hub) -> ChatServer {
        ChatServer {
            chat: RefCell::new(Chat::new(0)),
            limits: RefCell::new(Limits::new()),
            hub,
            rooms_changed: Cell::new(false),
        }
    }

    /// Adds a page, which is in no room yet.
    pub(crate) fn add_page(&'static self, ws: WebSocket, client: Option<Client>) {
        ws.subscribe(ROOMS);
        ws.on("message", move |message: Message| {
            self.receive(ws, client, message)
        });
        ws.on("error", |e: uptick::websocket::Error| eprintln!("{e}"));
        ws.on("close", move |_: Closed| {
            let effects = self.chat.borrow_mut().leave(ws);
            self.apply_effects(ws, effects);
        });
    }

    fn receive(&'static self, ws: WebSocket, client: Option<Client>, message: Message) {
        let now = elapsed();
        let Some(client) = client else {
            return;
        };
        if !self.limits.borrow_mut().count_message(client, now) {
            ws.close(CloseCode::POLICY, "too many messages");
            return;
        }
        let request = match &message {
            Message::Text(text) => serde_json::from_str::<PageRequest>(text).ok(),
            Message::Binary(_) => None,
        };
        let Some(request) = request else {
            ws.close(CloseCode::UNSUPPORTED, "this is not what the page sends");
            return;
        };
        let allowed = self.limits.borrow_mut().check(client, &request, now);
        let effects = match allowed {
            Ok(()) => self
                .chat
                .borrow_mut()
                .handle(ws, request, request_time(now)),
            Err(refusal) => vec![refuse(&refusal, request.reference())],
        };
        self.apply_effects(ws, effects);
    }

    fn apply_effects(&'static self, ws: WebSocket, effects: Vec<Effect<WebSocket>>) {
        for effect in effects {
            match effect {
                Effect::Reply(text) => drop(ws.send(text)),
                Effect::Publish(room, text) => drop(self.hub.publish(&topic_of(&room), text)),
                Effect::PublishToOthers(room, text) => drop(ws.publish(&topic_of(&room), text)),
                Effect::Subscribe(room) => drop(ws.subscribe(&topic_of(&room))),
                Effect::Unsubscribe(room) => drop(ws.unsubscribe(&topic_of(&room))),
                Effect::Disconnect(other) => {
                    other.close(REPLACED, "another connection took its place")
                }
                Effect::RoomsChanged => self.schedule_room_list(),
            }
        }
    }

    fn schedule_room_list(&'static self) {
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

fn request_time(elapsed: Duration) -> RequestTime {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let unix = unix.map_or(0, |time| time.as_millis());
    RequestTime {
        elapsed,
        unix: u64::try_from(unix).unwrap_or(u64::MAX),
        least_id: 0,
    }
}
