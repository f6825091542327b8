//! What is kept for each WebSocket.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use bytes::BytesMut;
use uptick_emitter::Listeners;
use uptick_event_loop::driver::{DeadlineId, Timestamp};
use uptick_event_loop::{Id, Table};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::receiving::Serving;
use super::waiting::WaitingFrames;
use super::{WebSocket, closing, deadlines};
use crate::compression::Deflation;
use crate::message::Message;
use crate::protocol::{CloseCode, CloseFrame, Decoder, Role};
use crate::{Topics, WebSocketOptions};

/// From so many bytes that wait for the peer on, [`Sent::Buffered`](super::Sent) says so.
pub(super) const SOFT_LIMIT: usize = 64 * 1024;

/// The number of unsent bytes in the kernel from which on frames wait in this process, where pongs overtake them.
const UNSENT_LIMIT: u32 = 128 * 1024;

/// What the WebSockets of a route share.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) options: WebSocketOptions,
    pub(crate) topics: Topics,
}

/// What is kept for each WebSocket. One that is idle has this and its listeners.
pub(crate) struct Entry {
    pub(crate) conn: Connection,
    pub(crate) route: Rc<Route>,
    pub(crate) listeners: Listeners<Message>,
    /// While something that came is not a message yet.
    pub(super) decoder: Option<Box<Decoder>>,
    pub(super) deadline: Option<DeadlineId>,
    /// When the deadline comes.
    pub(super) armed: Timestamp,
    /// When something came last; once a close was sent, when that was.
    pub(super) seen: Timestamp,
    /// The number of acknowledged bytes beyond which the peer is known to take what it is sent.
    pub(super) acknowledged: u64,
    pub(super) flags: Flags,
    pub(super) rare: Option<Box<Rare>>,
}

/// What only some WebSockets have.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) data: Option<Rc<dyn Any>>,
    topics: Vec<Rc<str>>,
    protocol: Option<Box<str>>,
    pub(super) deflation: Option<Deflation>,
    pub(super) waiting: Option<Box<WaitingFrames>>,
    pub(super) dropped: u64,
    /// What it was closed with on this side.
    pub(super) closed: Option<CloseFrame>,
    /// When it has lived for as long as it may.
    pub(super) until: Option<Timestamp>,
}

/// The state of a WebSocket, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    /// It is a client's: frames are masked.
    pub(super) const CLIENT: Flags = Flags(1);
    /// A close was sent: nothing else is, and messages that come are dropped.
    pub(super) const CLOSING: Flags = Flags(1 << 1);
    /// It is over.
    pub(super) const OVER: Flags = Flags(1 << 2);
    /// The connection's write queue is full, until its `drain`: frames wait above it. Unless this is set, none do.
    pub(super) const FULL: Flags = Flags(1 << 3);
    /// A message is being sent in fragments.
    pub(super) const FRAGMENTS: Flags = Flags(1 << 4);
    /// Messages may be compressed.
    pub(super) const DEFLATE: Flags = Flags(1 << 5);
    /// Nothing came for so long that a ping was due: the rest of the idle timeout runs.
    pub(super) const PINGED: Flags = Flags(1 << 6);
    /// Reading is paused.
    pub(super) const PAUSED: Flags = Flags(1 << 7);
    /// What came is being handed on.
    pub(super) const BUSY: Flags = Flags(1 << 8);

    #[inline]
    pub(super) const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(super) const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    #[inline]
    pub(super) const fn insert(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    #[inline]
    pub(super) const fn remove(&mut self, other: Flags) {
        self.0 &= !other.0;
    }
}

thread_local! {
    static SOCKETS: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
}

#[inline]
pub(crate) fn with_sockets<R>(f: impl FnOnce(&mut Table<Entry>) -> R) -> Option<R> {
    SOCKETS.try_with(|all| f(&mut all.borrow_mut())).ok()
}

#[inline]
pub(crate) fn with_entry<R>(id: Id, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
    SOCKETS
        .try_with(|all| all.borrow_mut().get_mut(id).map(f))
        .ok()
        .flatten()
}

/// Takes an entry out; its listeners are dropped with it, when nothing is borrowed.
pub(super) fn remove(id: Id) -> Option<Entry> {
    SOCKETS
        .try_with(|all| all.borrow_mut().remove(id))
        .ok()
        .flatten()
}

/// What a new WebSocket begins with.
pub(crate) struct Opening {
    pub(crate) conn: Connection,
    pub(crate) role: Role,
    pub(crate) route: Rc<Route>,
    pub(crate) protocol: Option<Box<str>>,
    pub(crate) deflation: Option<Deflation>,
}

/// Makes a WebSocket of a connection whose handshake is done.
pub(crate) fn open(opening: Opening) -> Option<WebSocket> {
    let Opening {
        conn,
        role,
        route,
        protocol,
        deflation,
    } = opening;
    let soft = route.options.max_buffered.min(SOFT_LIMIT);
    let mut flags = Flags::default();
    if role == Role::Client {
        flags.insert(Flags::CLIENT);
    }
    if deflation.is_some() {
        flags.insert(Flags::DEFLATE);
    }
    let lifetime = route.options.max_lifetime;
    let until = lifetime.map(|limit| Timestamp::of_call().after(limit));
    let rare = (protocol.is_some() || deflation.is_some() || until.is_some()).then(|| {
        Box::new(Rare {
            protocol,
            deflation,
            until,
            ..Rare::default()
        })
    });
    let entry = Entry {
        conn,
        route,
        listeners: Listeners::new(),
        decoder: None,
        deadline: None,
        armed: Timestamp::default(),
        seen: Timestamp::now(),
        acknowledged: conn.bytes_written(),
        flags,
        rare,
    };
    let Some(id) = with_sockets(|all| all.insert(entry)).flatten() else {
        conn.close();
        return None;
    };
    // The limit of what waits is kept here, where it has a policy.
    conn.set_write_limits(soft, usize::MAX);
    conn.set_unsent_limit(UNSENT_LIMIT);
    conn.set_session(Rc::new(Serving { key: id }));
    deadlines::arm(id);
    Some(WebSocket::from_id(id))
}

/// Whether any WebSocket belongs to topics.
pub(crate) fn has_sockets(topics: Topics) -> bool {
    with_sockets(|all| all.iter().any(|(_, entry)| entry.route.topics == topics)).unwrap_or(false)
}

/// Closes all WebSockets that belong to topics.
pub(crate) fn close_all(topics: Topics, code: CloseCode, reason: &str) {
    let ids: Option<Vec<Id>> = with_sockets(|all| {
        let of = all.iter().filter(|(_, entry)| entry.route.topics == topics);
        of.map(|(id, _)| id).collect()
    });
    for id in ids.into_iter().flatten() {
        closing::close(id, code, reason);
    }
}

impl Entry {
    #[inline]
    pub(super) fn role(&self) -> Role {
        if self.flags.intersects(Flags::CLIENT) {
            Role::Client
        } else {
            Role::Server
        }
    }

    /// Takes what is not a whole message.
    pub(super) fn push(&mut self, chunk: BytesMut) {
        let (role, compressed) = (self.role(), self.flags.intersects(Flags::DEFLATE));
        let decoder = self
            .decoder
            .get_or_insert_with(|| Box::new(Decoder::new(role).compressed(compressed)));
        decoder.push(chunk);
    }

    /// What only some have, made now.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn rare_if_any(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.flags.intersects(Flags::CLOSING.or(Flags::OVER))
    }

    pub(super) fn conn_unless_over(&self) -> Option<Connection> {
        (!self.flags.intersects(Flags::OVER)).then_some(self.conn)
    }

    /// The frames that wait while the connection is full.
    pub(super) fn waiting(&mut self) -> &mut WaitingFrames {
        self.rare().waiting.get_or_insert_default()
    }

    /// The number of bytes that wait to be sent, here and in the connection.
    pub(super) fn buffered(&self) -> usize {
        let waiting = self.rare.as_ref().and_then(|rare| rare.waiting.as_ref());
        self.conn.buffered() + waiting.map_or(0, |waiting| waiting.len())
    }

    pub(super) fn dropped(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.dropped)
    }

    pub(super) fn protocol(&self) -> Option<String> {
        self.rare.as_ref()?.protocol.as_deref().map(str::to_owned)
    }

    fn topic_names(&self) -> &[Rc<str>] {
        self.rare.as_ref().map_or(&[], |rare| &rare.topics)
    }

    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.topic_names().iter().any(|name| &**name == topic)
    }

    pub(super) fn topics(&self) -> Vec<String> {
        self.topic_names()
            .iter()
            .map(|name| (**name).to_owned())
            .collect()
    }

    /// Notes a subscription; `false` if there is no more room for one.
    pub(crate) fn note_topic(&mut self, topic: &Rc<str>) -> bool {
        let room = self.topic_names().len() < self.route.options.max_topics && self.is_open();
        if room {
            self.rare().topics.push(Rc::clone(topic));
        }
        room
    }

    pub(crate) fn forget_topic(&mut self, topic: &str) {
        if let Some(rare) = self.rare_if_any() {
            rare.topics.retain(|name| &**name != topic);
        }
    }

    /// Ends all subscriptions, and gives what they were to.
    pub(super) fn take_topics(&mut self) -> Vec<Rc<str>> {
        self.rare_if_any()
            .map(|rare| std::mem::take(&mut rare.topics))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_an_idle_one_stays_small() {
        assert!(size_of::<Entry>() <= 120, "{} bytes", size_of::<Entry>());
    }
}
