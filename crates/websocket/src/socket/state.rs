//! The state of a WebSocket: the session that its channel owns.
//!
//! The session is found through the channel ([`session`]); the receiving path has it at hand. What is borrowed here is
//! given back before a callback runs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners};
use uptick_event_loop::driver::{LazyDeadline, Timestamp};
use uptick_http::channel::Channel;

use super::handle::WebSocket;
use super::handler::WebSocketHandler;
use super::waiting::WaitingFrames;
use crate::compression::Deflation;
use crate::counts::{ClientSlot, SocketCounts};
use crate::message::Message;
use crate::options::WebSocketOptions;
use crate::protocol::{CloseFrame, Decoder, Role};
use crate::rate::RateState;
use crate::topics::hub::Hub;

/// The options and the topics that the WebSockets of a route share.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) options: WebSocketOptions,
    pub(crate) hub: Hub,
    /// The counts of the server; `None` for clients.
    pub(crate) counts: Option<Rc<SocketCounts>>,
    /// The most that a peer may take to answer a close, while the server is shut down.
    pub(crate) close_timeout: Rc<Cell<Option<Duration>>>,
}

/// The state of a WebSocket, which its channel owns as its session until `close` was emitted.
pub(crate) struct WebSocketSession {
    pub(super) channel: Channel,
    pub(super) route: Rc<Route>,
    /// The time when bytes last came; once a close was sent, the time of that.
    pub(super) seen: Cell<Timestamp>,
    /// The number of acknowledged bytes beyond which the peer is known to take what it is sent.
    pub(super) acknowledged: Cell<u64>,
    pub(super) phase: Cell<Phase>,
    pub(super) reading: Cell<Reading>,
    flags: Cell<Flags>,
    parts: RefCell<Parts>,
}

/// The part of the state that is borrowed to be used.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) deadline: LazyDeadline,
    pub(super) listeners: Listeners<Message>,
    /// The decoder of what did not come as a whole message in one read.
    pub(super) decoder: Option<Box<Decoder>>,
    pub(super) rare: Option<Box<Rare>>,
    /// Receives the events in place of the listeners.
    pub(super) handler: Option<Rc<dyn WebSocketHandler>>,
}

/// The state that only some WebSockets have.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) extension: Option<Rc<dyn Any>>,
    pub(super) topics: Vec<Rc<str>>,
    pub(super) protocol: Option<Box<str>>,
    pub(super) deflation: Option<Deflation>,
    pub(super) waiting: Option<Box<WaitingFrames>>,
    pub(super) dropped: u64,
    /// The close frame that this side has sent first.
    pub(super) closed: Option<CloseFrame>,
    /// The end of the maximum lifetime.
    pub(super) until: Option<Timestamp>,
    /// Counts the WebSocket among those of its client.
    pub(super) slot: Option<ClientSlot>,
    /// The use that the peer has made of its rates.
    pub(super) rate: RateState,
}

/// The phase of a WebSocket's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// A close was sent: nothing else is, and messages that come are dropped.
    Closing,
    /// `close` is emitted, or was.
    Over,
}

/// The state of the receiving side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Messages are taken out of the read buffer.
    Direct,
    /// The decoder has a part of a message.
    Partial,
    /// The contents of the decoder are being delivered, or will be in the next iteration; bytes that come go behind them.
    Delivering,
}

bitflags::bitflags! {
    /// States of a WebSocket that do not exclude each other.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Flags: u8 {
        /// It is a client's: frames are masked.
        const CLIENT = 1 << 0;
        /// The connection's write queue is full, until its `drain`: frames wait above it. Unless this is set, none do.
        const FULL = 1 << 1;
        /// A message is being sent in fragments.
        const FRAGMENTS = 1 << 2;
        /// Messages may be compressed.
        const DEFLATE = 1 << 3;
        /// Nothing came for so long that a ping was due: the rest of the idle timeout runs.
        const PINGED = 1 << 4;
        /// Reading is paused.
        const PAUSED = 1 << 5;
        /// There is a handler.
        const HANDLER = 1 << 6;
        /// Reading is paused until the peer has kept its rate.
        const THROTTLED = 1 << 7;
        /// Reading is paused, for whatever reason.
        const STOPPED = Self::PAUSED.bits() | Self::THROTTLED.bits();
    }
}

/// Returns the state of a WebSocket, unless it is over.
pub(crate) fn session(ws: WebSocket) -> Option<Rc<WebSocketSession>> {
    ws.channel().session()
}

impl Emitter for WebSocket {
    type Events = WebSocket;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners<Message>) -> R) -> Option<R> {
        let listeners = |session: &WebSocketSession| session.with(|parts| f(&mut parts.listeners));
        self.channel().with_session(listeners)
    }
}

impl Emitter for WebSocketSession {
    type Events = WebSocket;

    #[inline]
    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners<Message>) -> R) -> Option<R> {
        Some(self.with(|parts| f(&mut parts.listeners)))
    }
}

impl WebSocketSession {
    pub(super) fn new(channel: Channel, route: Rc<Route>, role: Role, rare: Rare) -> Self {
        let mut flags = Flags::default();
        if role == Role::Client {
            flags.insert(Flags::CLIENT);
        }
        if rare.deflation.is_some() {
            flags.insert(Flags::DEFLATE);
        }
        let is_needed = rare.protocol.is_some()
            || rare.deflation.is_some()
            || rare.until.is_some()
            || rare.slot.is_some();
        let parts = Parts {
            rare: is_needed.then(|| Box::new(rare)),
            ..Parts::default()
        };
        WebSocketSession {
            channel,
            route,
            seen: Cell::new(Timestamp::now()),
            acknowledged: Cell::new(channel.bytes_written()),
            phase: Cell::new(Phase::Open),
            reading: Cell::new(Reading::Direct),
            flags: Cell::new(flags),
            parts: RefCell::new(parts),
        }
    }

    #[inline]
    pub(super) fn has(&self, any: Flags) -> bool {
        self.flags.get().intersects(any)
    }

    #[inline]
    pub(super) fn insert(&self, flags: Flags) {
        self.flags.set(self.flags.get().union(flags));
    }

    #[inline]
    pub(super) fn remove(&self, flags: Flags) {
        self.flags.set(self.flags.get().difference(flags));
    }

    #[inline]
    pub(super) fn role(&self) -> Role {
        match self.has(Flags::CLIENT) {
            true => Role::Client,
            false => Role::Server,
        }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.phase.get() == Phase::Open
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase.get() == Phase::Over
    }

    /// Calls `f` with what is borrowed; `f` calls no listener.
    #[inline]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Parts) -> R) -> R {
        f(&mut self.parts.borrow_mut())
    }

    /// Calls `f` with the state that only some have, made now.
    pub(super) fn with_rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> R {
        self.with(|parts| f(parts.rare.get_or_insert_default()))
    }

    /// Calls `f` with the state that only some have, if this one has it.
    pub(super) fn if_rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> Option<R> {
        self.with(|parts| parts.rare.as_deref_mut().map(f))
    }

    /// Takes out everything that callbacks and the program have left here, to be dropped while nothing is borrowed.
    pub(super) fn take_parts(&self) -> Parts {
        self.parts.take()
    }

    /// Returns the number of bytes that wait to be sent, here and in the connection.
    pub(super) fn buffered(&self) -> usize {
        let waiting = self.if_rare(|rare| rare.waiting.as_ref().map_or(0, |frames| frames.len()));
        self.channel.buffered() + waiting.unwrap_or(0)
    }

    pub(super) fn topics(&self) -> Vec<Rc<str>> {
        self.if_rare(|rare| rare.topics.clone()).unwrap_or_default()
    }

    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        let is_topic = |name: &Rc<str>| **name == *topic;
        self.if_rare(|rare| rare.topics.iter().any(is_topic)) == Some(true)
    }

    /// Notes a subscription; returns `false` if there is one, or no room for it.
    pub(super) fn note_topic(&self, topic: &Rc<str>) -> bool {
        if !self.is_open() || self.is_subscribed(topic) {
            return false;
        }
        self.with_rare(|rare| {
            let room = rare.topics.len() < self.route.options.max_topics;
            if room {
                rare.topics.push(Rc::clone(topic));
            }
            room
        })
    }

    pub(super) fn forget_topic(&self, topic: &str) {
        self.if_rare(|rare| rare.topics.retain(|name| **name != *topic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_an_idle_websocket_stays_small() {
        let size = size_of::<WebSocketSession>();
        assert!(size <= 128, "{size} bytes");
    }
}
