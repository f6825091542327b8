//! The chat with its sockets and the other workers. Each room is a topic for the pages of this worker, and so is the list of rooms.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use uptick::event_loop::elapsed;
use uptick::prelude::*;
use uptick::rate_limit::Client;
use uptick::websocket::Hub;
use uptick::workers::Worker;
use uptick::workers::bus::Bus;

use super::chat::{Effect, Moment, refuse};
use super::limits::Limits;
use super::news::{ALL, News, Seat, topic_of};
use super::replica::{Outcome, Replica};
use super::wire::Ask;

/// The topic of the list of rooms; topics of rooms begin with `room/`.
const ROOMS: &str = "rooms";
/// The delay after which a changed list of rooms is sent, so that many changes make one list.
const ROOMS_PAUSE: Duration = Duration::from_secs(1);
/// The maximum time for which pages wait for the state of other workers.
const PATIENCE: Duration = Duration::from_secs(1);
/// The close code for a page that is replaced by another connection.
const REPLACED: u16 = 4001;

pub(crate) struct Hall {
    replica: RefCell<Replica>,
    limits: RefCell<Limits>,
    hub: Hub,
    bus: Bus,
    /// The pages, by their seats.
    sockets: RefCell<HashMap<Seat, WebSocket>>,
    /// A new list of rooms is due.
    rooms_changed: Cell<bool>,
    start: RefCell<Start>,
}

/// The start of a worker: requests of pages are held until it has the state of the other workers.
#[derive(Default)]
struct Start {
    is_over: bool,
    /// All other workers are known.
    met_all: bool,
    /// The workers that have not sent all of their state yet.
    asked: HashSet<u64>,
    held: Vec<(Seat, Ask)>,
}

impl Hall {
    pub(crate) fn new(hub: Hub, bus: Bus) -> Hall {
        Hall {
            replica: RefCell::new(Replica::new(bus.id())),
            limits: RefCell::new(Limits::new()),
            hub,
            bus,
            sockets: RefCell::default(),
            rooms_changed: Cell::new(false),
            start: RefCell::default(),
        }
    }

    /// Subscribes to the news of the other workers, and requests their state.
    pub(crate) fn open(&'static self, worker: Worker) {
        for topic in [ALL.to_owned(), topic_of(self.bus.id())] {
            self.bus
                .subscribe(&topic, move |payload| self.learn(&payload));
        }
        self.bus.on("peer", move |other: u64| {
            self.start.borrow_mut().asked.insert(other);
            self.ask(other, None);
        });
        self.bus.on("peer-gone", move |other: u64| {
            let outcome = self.replica.borrow_mut().lose(other, moment());
            self.take_effect(None, outcome);
            self.told_all(other);
        });
        worker.on("ready", move |()| {
            self.start.borrow_mut().met_all = true;
            self.start_if_complete();
            uptick::add_timer(PATIENCE, || self.start_now());
        });
    }

    /// Adds a page, which is in no room yet.
    pub(crate) fn welcome(&'static self, ws: WebSocket, client: Option<Client>) {
        let Some(socket) = ws.id() else { return };
        let seat = Seat {
            worker: self.bus.id(),
            socket,
        };
        self.sockets.borrow_mut().insert(seat, ws);
        ws.subscribe(ROOMS);
        ws.on("message", move |message: Message| {
            self.hear(ws, seat, client, message);
        });
        ws.on("error", |e: uptick::websocket::Error| eprintln!("{e}"));
        ws.on("close", move |_: Closed| {
            let outcome = self.replica.borrow_mut().leave(seat);
            self.take_effect(Some(seat), outcome);
            self.sockets.borrow_mut().remove(&seat);
        });
    }

    fn hear(&'static self, ws: WebSocket, seat: Seat, client: Option<Client>, message: Message) {
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
        if let Err(refusal) = allowed {
            let effects = vec![refuse(&refusal, ask.reference())];
            let refused = Outcome {
                effects,
                ..Outcome::default()
            };
            return self.take_effect(Some(seat), refused);
        }
        let mut start = self.start.borrow_mut();
        if !start.is_over {
            // Bounded by the rate limits and by PATIENCE.
            return start.held.push((seat, ask));
        }
        drop(start);
        self.obey(seat, ask);
    }

    /// Handles the request of a page.
    fn obey(&'static self, seat: Seat, ask: Ask) {
        let outcome = self.replica.borrow_mut().hear(seat, ask, moment());
        self.take_effect(Some(seat), outcome);
    }

    /// Handles the news of another worker.
    fn learn(&'static self, payload: &Bytes) {
        let news = match serde_json::from_slice(payload) {
            Ok(news) => news,
            Err(e) => return eprintln!("reading the news of another worker failed: {e}"),
        };
        let answers = match &news {
            News::Ask { worker, .. } => Some(*worker),
            _ => None,
        };
        let next = match &news {
            News::Room { worker, room, .. } => Some((*worker, Some(room.clone()))),
            News::End { worker } => Some((*worker, None)),
            _ => None,
        };
        let mut outcome = self.replica.borrow_mut().learn(news, moment());
        if let Some(asking) = answers {
            for news in outcome.news.drain(..) {
                self.bus.publish(&topic_of(asking), news.to_json());
            }
        }
        self.take_effect(None, outcome);
        match next {
            Some((worker, Some(room))) => self.ask(worker, Some(room)),
            Some((worker, None)) => self.told_all(worker),
            None => {}
        }
    }

    fn ask(&self, other: u64, after: Option<String>) {
        let worker = self.bus.id();
        let ask = News::Ask { worker, after };
        self.bus.publish(&topic_of(other), ask.to_json());
    }

    /// Notes that a worker has sent all of its state, or is gone.
    fn told_all(&'static self, other: u64) {
        self.start.borrow_mut().asked.remove(&other);
        self.start_if_complete();
    }

    fn start_if_complete(&'static self) {
        let start = self.start.borrow();
        let is_complete = start.met_all && start.asked.is_empty();
        drop(start);
        if is_complete {
            self.start_now();
        }
    }

    fn start_now(&'static self) {
        let mut start = self.start.borrow_mut();
        start.is_over = true;
        let held = std::mem::take(&mut start.held);
        drop(start);
        for (seat, ask) in held {
            if self.sockets.borrow().contains_key(&seat) {
                self.obey(seat, ask);
            }
        }
    }

    /// Publishes news to the other workers, and applies effects to the pages of this one. `seat` is the page that sent the request.
    fn take_effect(&'static self, seat: Option<Seat>, outcome: Outcome) {
        for news in &outcome.news {
            self.bus.publish_to_others(ALL, news.to_json());
        }
        let ws = seat.and_then(|seat| self.socket(seat));
        for effect in outcome.effects {
            match (effect, ws) {
                (Effect::Reply(text), Some(ws)) => drop(ws.send(text)),
                (Effect::Enter(room), Some(ws)) => drop(ws.subscribe(&room_topic(&room))),
                (Effect::Exit(room), Some(ws)) => drop(ws.unsubscribe(&room_topic(&room))),
                // `publish` would reach the pages of other workers, too, which get it from their own.
                (Effect::Tell(room, text), _) => {
                    self.hub.publish_where(&room_topic(&room), text, |_| true);
                }
                (Effect::TellOthers(room, text), ws) => {
                    let others = |other| Some(other) != ws;
                    self.hub.publish_where(&room_topic(&room), text, others);
                }
                (Effect::Dismiss(other), _) => {
                    self.close(other, REPLACED, "another connection took its place");
                }
                (Effect::RoomsChanged, _) => self.tell_rooms_soon(),
                (Effect::Reply(_) | Effect::Enter(_) | Effect::Exit(_), None) => {}
            }
        }
        for outdone in outcome.outdone {
            self.close(outdone, CloseCode::TRY_AGAIN, "the name is taken");
        }
    }

    fn socket(&self, seat: Seat) -> Option<WebSocket> {
        self.sockets.borrow().get(&seat).copied()
    }

    fn close(&self, seat: Seat, code: impl Into<CloseCode>, reason: &str) {
        if let Some(ws) = self.socket(seat) {
            ws.close(code, reason);
        }
    }

    fn tell_rooms_soon(&'static self) {
        if self.rooms_changed.replace(true) {
            return;
        }
        uptick::add_timer(ROOMS_PAUSE, || {
            self.rooms_changed.set(false);
            let rooms = self.replica.borrow().rooms_as_json();
            self.hub.publish_where(ROOMS, rooms, |_| true);
        });
    }
}

fn room_topic(room: &str) -> String {
    format!("room/{room}")
}

fn moment() -> Moment {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let unix = unix.map_or(0, |time| time.as_millis());
    Moment {
        elapsed: elapsed(),
        unix: u64::try_from(unix).unwrap_or(u64::MAX),
        // Set by the clock of the replica.
        least_id: 0,
    }
}
