//! The chat with its WebSockets and the other workers. Each room is a topic for the pages of this worker, and so is the list of
//! rooms.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use uptick::event_loop::elapsed;
use uptick::prelude::*;
use uptick::rate_limit::Client;
use uptick::websocket::Hub;
use uptick::workers::Worker;
use uptick::workers::bus::Bus;

use super::chat::{Effect, RequestTime, refuse};
use super::limits::Limits;
use super::news::{ALL, News, SocketId, topic_of};
use super::replica::{Outcome, Replica};
use super::wire::PageRequest;

/// The topic of the list of rooms; topics of rooms begin with `room/`.
const ROOMS: &str = "rooms";
/// The delay after which a changed list of rooms is sent, so that many changes make one list.
const ROOMS_PAUSE: Duration = Duration::from_secs(1);
/// The maximum time for which pages wait for the state of other workers.
const STATE_TIMEOUT: Duration = Duration::from_secs(1);
/// The close code for a page that is replaced by another connection.
const REPLACED: u16 = 4001;

pub(crate) struct ChatServer {
    replica: RefCell<Replica>,
    limits: RefCell<Limits>,
    hub: Hub,
    bus: Bus,
    /// The pages, by their ids.
    sockets: RefCell<HashMap<SocketId, WebSocket>>,
    /// Set while a new list of rooms is due.
    rooms_changed: Cell<bool>,
    start: RefCell<StartState>,
}

/// The start of a worker: requests of pages are held until it has the state of the other workers.
#[derive(Default)]
struct StartState {
    is_over: bool,
    /// All other workers are known.
    met_all: bool,
    /// The workers that have not sent all of their state yet.
    pending_workers: HashSet<u64>,
    held_requests: Vec<(SocketId, PageRequest)>,
}

impl ChatServer {
    pub(crate) fn new(hub: Hub, bus: Bus) -> ChatServer {
        ChatServer {
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
                .subscribe(&topic, move |payload| self.apply_news(&payload));
        }
        self.bus.on("peer", move |other: u64| {
            self.start.borrow_mut().pending_workers.insert(other);
            self.request(other, None);
        });
        self.bus.on("peer-gone", move |other: u64| {
            let outcome = self
                .replica
                .borrow_mut()
                .remove_worker(other, request_time());
            self.apply_effects(None, outcome);
            self.mark_complete(other);
        });
        worker.on("ready", move |()| {
            self.start.borrow_mut().met_all = true;
            self.start_if_complete();
            uptick::add_timer(STATE_TIMEOUT, || self.start_now());
        });
    }

    /// Adds a page, which is in no room yet.
    pub(crate) fn add_page(&'static self, ws: WebSocket, client: Option<Client>) {
        let Some(socket) = ws.id() else { return };
        let socket_id = SocketId {
            worker: self.bus.id(),
            socket,
        };
        self.sockets.borrow_mut().insert(socket_id, ws);
        ws.subscribe(ROOMS);
        ws.on("message", move |message: Message| {
            self.receive(ws, socket_id, client, message);
        });
        ws.on("error", |e: uptick::websocket::Error| eprintln!("{e}"));
        ws.on("close", move |_: Closed| {
            let outcome = self.replica.borrow_mut().leave(socket_id);
            self.apply_effects(Some(socket_id), outcome);
            self.sockets.borrow_mut().remove(&socket_id);
        });
    }

    fn receive(
        &'static self,
        ws: WebSocket,
        socket_id: SocketId,
        client: Option<Client>,
        message: Message,
    ) {
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
        if let Err(refusal) = allowed {
            let effects = vec![refuse(&refusal, request.reference())];
            let refused = Outcome {
                effects,
                ..Outcome::default()
            };
            return self.apply_effects(Some(socket_id), refused);
        }
        let mut start = self.start.borrow_mut();
        if !start.is_over {
            // Bounded by the rate limits and by STATE_TIMEOUT.
            return start.held_requests.push((socket_id, request));
        }
        drop(start);
        self.handle_request(socket_id, request);
    }

    /// Handles the request of a page.
    fn handle_request(&'static self, socket_id: SocketId, request: PageRequest) {
        let outcome = self
            .replica
            .borrow_mut()
            .handle(socket_id, request, request_time());
        self.apply_effects(Some(socket_id), outcome);
    }

    /// Handles the news of another worker.
    fn apply_news(&'static self, payload: &Bytes) {
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
        let mut outcome = self.replica.borrow_mut().apply_news(news, request_time());
        if let Some(asking) = answers {
            for news in outcome.news.drain(..) {
                self.bus.publish(&topic_of(asking), news.to_json());
            }
        }
        self.apply_effects(None, outcome);
        match next {
            Some((worker, Some(room))) => self.request(worker, Some(room)),
            Some((worker, None)) => self.mark_complete(worker),
            None => {}
        }
    }

    fn request(&self, other: u64, after: Option<String>) {
        let worker = self.bus.id();
        let request = News::Ask { worker, after };
        self.bus.publish(&topic_of(other), request.to_json());
    }

    /// Marks a worker whose whole state has been received, or which is gone.
    fn mark_complete(&'static self, other: u64) {
        self.start.borrow_mut().pending_workers.remove(&other);
        self.start_if_complete();
    }

    fn start_if_complete(&'static self) {
        let start = self.start.borrow();
        let is_complete = start.met_all && start.pending_workers.is_empty();
        drop(start);
        if is_complete {
            self.start_now();
        }
    }

    fn start_now(&'static self) {
        let mut start = self.start.borrow_mut();
        start.is_over = true;
        let held_requests = std::mem::take(&mut start.held_requests);
        drop(start);
        for (socket_id, request) in held_requests {
            if self.sockets.borrow().contains_key(&socket_id) {
                self.handle_request(socket_id, request);
            }
        }
    }

    /// Publishes news to the other workers, and applies effects to the pages of this one. `socket_id` is the page that sent the request.
    fn apply_effects(&'static self, socket_id: Option<SocketId>, outcome: Outcome) {
        for news in &outcome.news {
            self.bus.publish_to_others(ALL, news.to_json());
        }
        let ws = socket_id.and_then(|socket_id| self.socket(socket_id));
        for effect in outcome.effects {
            match (effect, ws) {
                (Effect::Reply(text), Some(ws)) => drop(ws.send(text)),
                (Effect::Subscribe(room), Some(ws)) => drop(ws.subscribe(&room_topic(&room))),
                (Effect::Unsubscribe(room), Some(ws)) => drop(ws.unsubscribe(&room_topic(&room))),
                // `publish` would also reach the pages of other workers, which receive it from their own worker.
                (Effect::Publish(room, text), _) => {
                    self.hub.publish_where(&room_topic(&room), text, |_| true);
                }
                (Effect::PublishToOthers(room, text), ws) => {
                    let others = |other| Some(other) != ws;
                    self.hub.publish_where(&room_topic(&room), text, others);
                }
                (Effect::Disconnect(other), _) => {
                    self.close(other, REPLACED, "another connection took its place");
                }
                (Effect::RoomsChanged, _) => self.schedule_room_list(),
                (Effect::Reply(_) | Effect::Subscribe(_) | Effect::Unsubscribe(_), None) => {}
            }
        }
        for displaced in outcome.displaced {
            self.close(displaced, CloseCode::TRY_AGAIN, "the name is taken");
        }
    }

    fn socket(&self, socket_id: SocketId) -> Option<WebSocket> {
        self.sockets.borrow().get(&socket_id).copied()
    }

    fn close(&self, socket_id: SocketId, code: impl Into<CloseCode>, reason: &str) {
        if let Some(ws) = self.socket(socket_id) {
            ws.close(code, reason);
        }
    }

    fn schedule_room_list(&'static self) {
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

fn request_time() -> RequestTime {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let unix = unix.map_or(0, |time| time.as_millis());
    RequestTime {
        elapsed: elapsed(),
        unix: u64::try_from(unix).unwrap_or(u64::MAX),
        // Set by the clock of the replica.
        least_id: 0,
    }
}
