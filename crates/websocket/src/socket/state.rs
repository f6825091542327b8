//! The state of a WebSocket: the session owned by its channel.
//!
//! The session is found through the channel ([`session`]); the receiving path already has it. No borrow is held while a callback
//! runs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners};
use uptick_event_loop::driver::{LazyDeadline, Timestamp};
use uptick_http::channel::Channel;

use super::frame_queue::FrameQueue;
use super::handle::WebSocket;
use super::handler::WebSocketHandler;
use crate::compression::PerMessageDeflate;
use crate::counts::{ClientSlot, SocketCounts};
use crate::message::Message;
use crate::options::WebSocketOptions;
use crate::protocol::{CloseFrame, Decoder, Role};
use crate::rate::RateState;
use crate::topics::hub::Hub;

/// The options, hub and counts shared by the WebSockets of a route.
#[derive(Debug)]
pub(crate) struct RouteContext {
    pub(crate) options: WebSocketOptions,
    pub(crate) hub: Hub,
    /// The counts of the server; `None` for clients.
    pub(crate) counts: Option<Rc<SocketCounts>>,
    /// Maximum time for the peer's close frame while the server is shutting down.
    pub(crate) close_timeout: Rc<Cell<Option<Duration>>>,
}

/// The state of a WebSocket, owned by its channel as the session until `close` has been emitted.
pub(crate) struct WebSocketSession {
    pub(super) channel: Channel,
    pub(super) route: Rc<RouteContext>,
    /// Time of the last received bytes; after this side's close frame, the time at which it was sent.
    pub(super) last_activity: Cell<Timestamp>,
    /// The number of acknowledged bytes at the last check; a higher number means that the peer is alive.
    pub(super) acknowledged: Cell<u64>,
    pub(super) phase: Cell<SocketPhase>,
    pub(super) reading: Cell<ReadState>,
    flags: Cell<SocketFlags>,
    parts: RefCell<SessionParts>,
}

/// The part of the state that needs a borrow.
#[derive(Default)]
pub(super) struct SessionParts {
    pub(super) deadline: LazyDeadline,
    pub(super) listeners: Listeners<Message>,
    /// The decoder of messages that were not received as a whole in one read.
    pub(super) decoder: Option<Box<Decoder>>,
    pub(super) cold: Option<Box<ColdState>>,
    /// Receives events in place of the listeners.
    pub(super) handler: Option<Rc<dyn WebSocketHandler>>,
}

/// The state that most WebSockets do not need.
#[derive(Default)]
pub(super) struct ColdState {
    pub(super) extension: Option<Rc<dyn Any>>,
    pub(super) topics: Vec<Rc<str>>,
    pub(super) protocol: Option<Box<str>>,
    pub(super) deflation: Option<PerMessageDeflate>,
    pub(super) frame_queue: Option<Box<FrameQueue>>,
    pub(super) dropped: u64,
    /// The close frame of this side, if it closed first.
    pub(super) close_sent: Option<CloseFrame>,
    /// The end of the maximum lifetime.
    pub(super) lifetime_end: Option<Timestamp>,
    /// The reservation in the limit per client.
    pub(super) slot: Option<ClientSlot>,
    /// The usage of the rate limits by the peer.
    pub(super) rate: RateState,
}

/// The life-cycle phase of a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketPhase {
    Open,
    /// A close frame was sent: nothing else is sent, and received messages are discarded.
    Closing,
    /// `close` is being or has been emitted.
    Closed,
}

/// The state of the receiving side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    /// Messages are taken directly from the read buffer.
    Direct,
    /// The decoder has an incomplete message.
    Partial,
    /// The events of the decoder are being delivered, or will be in the next iteration; received bytes are appended to the decoder.
    Delivering,
}

bitflags::bitflags! {
    /// Independent states of a WebSocket.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct SocketFlags: u8 {
        /// A client WebSocket: frames are masked.
        const CLIENT = 1 << 0;
        /// The connection's write queue is full, until its `drain`: further frames go to the frame queue. If it is not set, the frame queue is empty.
        const FULL = 1 << 1;
        /// A fragmented message is being sent.
        const FRAGMENTS = 1 << 2;
        /// Compression was negotiated.
        const DEFLATE = 1 << 3;
        /// The time for a ping was reached without activity: the rest of the idle timeout is running.
        const PINGED = 1 << 4;
        /// Reading is paused by the program.
        const PAUSED = 1 << 5;
        /// A handler is set.
        const HANDLER = 1 << 6;
        /// Reading is paused by the rate limit.
        const THROTTLED = 1 << 7;
        /// Reading is paused for any reason.
        const STOPPED = Self::PAUSED.bits() | Self::THROTTLED.bits();
    }
}

/// Returns the state of a WebSocket until it has closed.
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
    pub(super) fn new(
        channel: Channel,
        route: Rc<RouteContext>,
        role: Role,
        cold: ColdState,
    ) -> Self {
        let mut flags = SocketFlags::default();
        if role == Role::Client {
            flags.insert(SocketFlags::CLIENT);
        }
        if cold.deflation.is_some() {
            flags.insert(SocketFlags::DEFLATE);
        }
        let is_needed = cold.protocol.is_some()
            || cold.deflation.is_some()
            || cold.lifetime_end.is_some()
            || cold.slot.is_some();
        let parts = SessionParts {
            cold: is_needed.then(|| Box::new(cold)),
            ..SessionParts::default()
        };
        WebSocketSession {
            channel,
            route,
            last_activity: Cell::new(Timestamp::now()),
            acknowledged: Cell::new(channel.bytes_written()),
            phase: Cell::new(SocketPhase::Open),
            reading: Cell::new(ReadState::Direct),
            flags: Cell::new(flags),
            parts: RefCell::new(parts),
        }
    }

    #[inline]
    pub(super) fn has(&self, any: SocketFlags) -> bool {
        self.flags.get().intersects(any)
    }

    #[inline]
    pub(super) fn insert(&self, flags: SocketFlags) {
        self.flags.set(self.flags.get().union(flags));
    }

    #[inline]
    pub(super) fn remove(&self, flags: SocketFlags) {
        self.flags.set(self.flags.get().difference(flags));
    }

    #[inline]
    pub(super) fn role(&self) -> Role {
        match self.has(SocketFlags::CLIENT) {
            true => Role::Client,
            false => Role::Server,
        }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.phase.get() == SocketPhase::Open
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase.get() == SocketPhase::Closed
    }

    /// Calls `f` with the borrowed part of the state; `f` must not call listeners.
    #[inline]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut SessionParts) -> R) -> R {
        f(&mut self.parts.borrow_mut())
    }

    /// Calls `f` with the state that most WebSockets do not need, allocating it on first use.
    pub(super) fn with_cold<R>(&self, f: impl FnOnce(&mut ColdState) -> R) -> R {
        self.with(|parts| f(parts.cold.get_or_insert_default()))
    }

    /// Calls `f` with the state that most WebSockets do not need, if it is allocated.
    pub(super) fn if_cold<R>(&self, f: impl FnOnce(&mut ColdState) -> R) -> Option<R> {
        self.with(|parts| parts.cold.as_deref_mut().map(f))
    }

    /// Removes everything that callbacks and the program have stored, so that it is dropped while no `RefCell` is borrowed.
    pub(super) fn take_parts(&self) -> SessionParts {
        self.parts.take()
    }

    /// Returns the number of queued bytes, in the frame queue and in the connection.
    pub(super) fn buffered(&self) -> usize {
        let waiting =
            self.if_cold(|cold| cold.frame_queue.as_ref().map_or(0, |frames| frames.len()));
        self.channel.buffered() + waiting.unwrap_or(0)
    }

    pub(super) fn topics(&self) -> Vec<Rc<str>> {
        self.if_cold(|cold| cold.topics.clone()).unwrap_or_default()
    }

    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        let is_topic = |name: &Rc<str>| **name == *topic;
        self.if_cold(|cold| cold.topics.iter().any(is_topic)) == Some(true)
    }

    /// Adds a topic; returns `false` if the WebSocket is already subscribed, or has reached the maximum number of topics.
    pub(super) fn add_topic(&self, topic: &Rc<str>) -> bool {
        if !self.is_open() || self.is_subscribed(topic) {
            return false;
        }
        self.with_cold(|cold| {
            let has_room = cold.topics.len() < self.route.options.max_topics;
            if has_room {
                cold.topics.push(Rc::clone(topic));
            }
            has_room
        })
    }

    pub(super) fn remove_topic(&self, topic: &str) {
        self.if_cold(|cold| cold.topics.retain(|name| **name != *topic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_an_idle_websocket_is_small() {
        let size = size_of::<WebSocketSession>();
        assert!(size <= 128, "{size} bytes");
    }
}
