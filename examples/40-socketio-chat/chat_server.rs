//! The chat server. Each room of the chat is a room of the namespace, and the data of a socket identifies its
//! user.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use uptick::event_loop::elapsed;
use uptick::prelude::*;
use uptick::rate_limit::Client;
use uptick::socketio::{DisconnectReason, Incomplete, RemoteSocket};

use super::history::{Histories, MAX_ROOMS};
use super::limits::Limits;
use super::roster::Roster;
use super::validation::{self, Refusal};
use super::wire::{Answer, ChatMessage, Guest, Join, Joined, Say};

const MAX_TOKEN: usize = 64;
/// The delay after which a changed list of people is sent, so that several changes are sent together.
const ROSTER_DELAY: Duration = Duration::from_millis(200);
/// The minimum interval of forwarded `typing` events of a socket.
const TYPING_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct ChatServer {
    chat: Namespace,
    /// The number of the worker.
    worker: usize,
    histories: RefCell<Histories>,
    limits: RefCell<Limits>,
    roster: RefCell<Roster>,
    /// Set while a new roster is due.
    roster_changed: Cell<bool>,
}

/// A page: its socket and the server's state for it.
struct Page {
    socket: Socket,
    client: Option<Client>,
    /// The number of requests to join a room. Only the last one counts.
    joins: Cell<u32>,
    /// Time of the last forwarded `typing` event.
    typed: Cell<Option<Duration>>,
}

impl ChatServer {
    pub(crate) fn new(chat: Namespace, worker: usize) -> ChatServer {
        ChatServer {
            chat,
            worker,
            histories: RefCell::default(),
            limits: RefCell::new(Limits::new()),
            roster: RefCell::default(),
            roster_changed: Cell::new(false),
        }
    }

    /// Accepts pages, and listens to the other workers.
    pub(crate) fn open(&'static self) {
        self.chat
            .on("connection", |socket: Socket| self.add_page(socket));
        self.chat
            .on_server_side("said", |(room, said): (String, ChatMessage), _| {
                self.histories.borrow_mut().record(&room, said);
            });
        self.chat.on_server_side("history", |room: String, ack| {
            ack.send(&self.histories.borrow().all(&room));
        });
        self.chat
            .on_server_side("people", |(), _| self.refresh_soon());
    }

    fn add_page(&'static self, socket: Socket) {
        let handshake = socket.handshake();
        let address = handshake.and_then(|handshake| handshake.address());
        let page = Rc::new(Page {
            socket,
            client: address.map(Client::from),
            joins: Cell::new(0),
            typed: Cell::new(None),
        });
        let counted = Rc::clone(&page);
        socket.wrap(move |_, _| match self.count_event(&counted) {
            true => Ok(()),
            false => Err("Too many messages.".into()),
        });
        socket.on("error", move |refusal: uptick::socketio::Refusal| {
            socket.emit("dismissed", refusal.message());
            socket.disconnect_client();
        });

        let joining = Rc::clone(&page);
        socket.on_ack("join", move |request: Join, ack: Ack| {
            let page = Rc::clone(&joining);
            uptick::spawn(async move {
                let answer = self.join(&page, request).await;
                ack.send(&Answer::from(answer));
            });
        });
        let saying = Rc::clone(&page);
        socket.on_ack("say", move |request: Say, ack: Ack| {
            ack.send(&Answer::from(self.say(&saying, &request)));
        });
        socket.on("typing", move |()| self.typing(&page));
        socket.on("leave", move |()| self.leave(socket));
        socket.on("disconnect", move |_: DisconnectReason| {
            self.schedule_roster_everywhere()
        });
    }

    fn count_event(&self, page: &Page) -> bool {
        let now = elapsed();
        let mut limits = self.limits.borrow_mut();
        page.client
            .is_some_and(|client| limits.count_event(client, now))
    }

    fn count_visible(&self, page: &Page) -> Result<(), Refusal> {
        let now = elapsed();
        let mut limits = self.limits.borrow_mut();
        let client = page.client.ok_or_else(gone)?;
        limits.count_visible(client, now)
    }

    async fn join(&'static self, page: &Page, request: Join) -> Result<Joined, Refusal> {
        page.joins.set(page.joins.get() + 1);
        let attempt = page.joins.get();
        self.count_visible(page)?;
        let name = validation::name(&request.name)?;
        let room = validation::room(&request.room)?;
        if request.token.len() > MAX_TOKEN {
            return Err(Refusal::new("bad", "This token is too long."));
        }
        self.open_history(&room).await?;
        let sockets = self.chat.to(socket_room(&room)).fetch_sockets().await;

        // No other code runs between here and the end of the function.
        let socket = page.socket;
        if !socket.is_connected() || page.joins.get() != attempt {
            return Err(gone());
        }
        let others = guests(sockets).filter(|(id, _)| socket.id() != **id);
        let mut people = Vec::new();
        for (id, other) in others {
            if validation::lookalike_key(&other.name) != validation::lookalike_key(&name) {
                people.push(other.name);
            } else if other.token == request.token {
                self.replace(&id);
            } else {
                let text = format!("The name {} is taken in this room.", other.name);
                return Err(Refusal::new("name-taken", text));
            }
        }
        people.push(name.clone());
        people.sort_unstable();
        self.leave(socket);
        let guest = Guest {
            name: name.clone(),
            room: room.clone(),
            token: request.token,
        };
        if socket.set_data(&guest).is_err() || !socket.join(socket_room(&room)) {
            return Err(gone());
        }
        self.schedule_roster_everywhere();
        let unseen = self.histories.borrow().unseen(&room, request.since);
        Ok(Joined {
            name,
            room,
            people,
            rooms: self.roster.borrow().lines(),
            messages: unseen.messages,
            gap: unseen.gap,
        })
    }

    /// Opens the history of a room, and adds the messages that other workers keep.
    async fn open_history(&self, room: &str) -> Result<(), Refusal> {
        let is_empty = |room: &str| self.chat.members(&socket_room(room)).is_empty();
        if !self.histories.borrow_mut().open(room, is_empty) {
            let text = format!("There are {MAX_ROOMS} rooms already.");
            return Err(Refusal::new("rooms", text));
        }
        if self.histories.borrow().is_complete(room) {
            return Ok(());
        }
        let histories = self.chat.server_side_emit_with_ack("history", room).await;
        let histories: Vec<Vec<ChatMessage>> =
            histories.unwrap_or_else(|incomplete: Incomplete<_>| incomplete.received);
        let messages = histories.into_iter().flatten();
        self.histories.borrow_mut().complete(room, messages);
        Ok(())
    }

    /// Closes a connection whose page has reconnected.
    fn replace(&self, id: &str) {
        let old = self.chat.to(id);
        old.emit("replaced", &());
        old.disconnect_sockets(true);
    }

    fn say(&self, page: &Page, request: &Say) -> Result<u64, Refusal> {
        let nowhere = || Refusal::new("nowhere", "You are not in a room.");
        let Guest { name, room, .. } = page.socket.data().ok_or_else(nowhere)?;
        if let Some(id) = self
            .histories
            .borrow()
            .find(&room, &name, request.reference)
        {
            return Ok(id);
        }
        self.count_visible(page)?;
        let text = validation::message(&request.text)?;
        let said = self.histories.borrow_mut().say(
            &room,
            (self.worker, unix_time()),
            (name, text, request.reference),
        );
        self.chat
            .to(socket_room(&room))
            .emit("said", &(&room, &said));
        self.chat.server_side_emit("said", &(&room, &said));
        Ok(said.id)
    }

    fn typing(&self, page: &Page) {
        let now = elapsed();
        let is_early = |typed: Duration| now.saturating_sub(typed) < TYPING_INTERVAL;
        let Some(Guest { name, room, .. }) = page.socket.data() else {
            return;
        };
        if !page.typed.get().is_some_and(is_early) {
            page.typed.set(Some(now));
            let others = page.socket.to(socket_room(&room)).volatile();
            others.emit("typing", &(&room, &name));
        }
    }

    fn leave(&'static self, socket: Socket) {
        if let Some(Guest { room, .. }) = socket.data() {
            socket.leave(socket_room(&room));
            // Serializing null never fails.
            let _ = socket.set_data(&());
            self.schedule_roster_everywhere();
        }
    }

    /// Sends a new roster on all workers soon.
    fn schedule_roster_everywhere(&'static self) {
        self.chat.server_side_emit("people", &());
        self.refresh_soon();
    }

    /// Sends a new roster to the pages of this worker soon.
    pub(crate) fn refresh_soon(&'static self) {
        if self.roster_changed.replace(true) {
            return;
        }
        uptick::add_timer(ROSTER_DELAY, || {
            self.roster_changed.set(false);
            let sockets = self.chat.fetch_sockets();
            sockets.then(|sockets| self.show(Roster::of(guests(sockets).map(|(_, guest)| guest))));
        });
    }

    fn show(&self, roster: Roster) {
        let before = self.roster.replace(roster);
        let roster = self.roster.borrow();
        for (room, people) in roster.changed_since(&before) {
            let here = self.chat.to(socket_room(room)).local();
            here.emit("people", &(room, people));
        }
        let lines = roster.lines();
        if lines != before.lines() {
            self.chat.broadcast().local().emit("rooms", &lines);
        }
    }
}

/// Returns the room of the namespace for a room of the chat. No socket id has this form.
fn socket_room(room: &str) -> String {
    format!("room/{room}")
}

/// Returns the guests in a room. If a worker does not respond in time, its guests are missing.
fn guests(
    sockets: Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>,
) -> impl Iterator<Item = (String, Guest)> {
    let sockets = sockets.unwrap_or_else(|incomplete| incomplete.received);
    sockets.into_iter().filter_map(|socket| {
        let guest = socket.parse_data()?;
        Some((socket.id, guest))
    })
}

fn gone() -> Refusal {
    Refusal::new("gone", "You left before you had joined.")
}

/// Returns the milliseconds since 1970.
fn unix_time() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX >> 10)
    })
}
