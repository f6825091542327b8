//! The handle of a client.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};
use uptick_websocket::{Message, Sent};

use super::clients;
use super::handshake::Handshake;
use super::session_id::SessionId;
use super::state::ClientState;
use crate::protocol::engine::Packet;
use crate::protocol::packet::Encoded;
use crate::protocol::session::{CloseReason, Transport};

/// A client: an Engine.IO session over polling or a WebSocket.
///
/// This is a `Copy` handle: the thread owns the session, and a handle whose session is over does nothing.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `message` | [`Message`] | a message was received; not emitted for Socket.IO clients, whose messages are Socket.IO packets |
/// | `drain` | `()` | the queue is empty again, after [`send`](Client::send) returned [`Sent::Buffered`] |
/// | `upgrade` | [`Transport`] | the session switched to another transport |
/// | `heartbeat` | `()` | the client answered a ping |
/// | `close` | [`CloseReason`] | the session is over; this is its last event |
///
/// # Limits
/// [`EngineOptions`](super::EngineOptions).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    id: Id,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl Client {
        Message => {
            /// A message was received.
            MESSAGE = "message";
        }
        () => {
            /// The queue is empty again.
            DRAIN = "drain";
            /// The client answered a ping.
            HEARTBEAT = "heartbeat";
        }
        Transport => {
            /// The session switched to another transport.
            UPGRADE = "upgrade";
        }
        CloseReason => {
            /// The session is over.
            CLOSE = "close";
        }
    }
}

impl Emitter for Client {
    type Events = Client;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.state().map(|state| state.with_listeners(f))
    }
}

impl Client {
    pub(super) fn of(id: Id) -> Client {
        Client {
            id,
            local: PhantomData,
        }
    }

    /// Returns the state, unless the session is over.
    pub(super) fn state(self) -> Option<Rc<ClientState>> {
        clients::get(self.id)
    }

    /// Returns the session id, which is secret.
    pub fn id(self) -> Option<SessionId> {
        self.state().map(|state| state.sid)
    }

    /// Returns `true` if the session is open: it accepts packets, and delivers packets from the client.
    pub fn is_open(self) -> bool {
        self.state().is_some_and(|state| state.session().is_open())
    }

    /// Returns the current transport of the session.
    pub fn transport(self) -> Option<Transport> {
        self.state().map(|state| state.session().transport())
    }

    /// Returns `true` if a packet that is sent now is written immediately or at the end of the iteration.
    pub fn is_writable(self) -> bool {
        self.state()
            .is_some_and(|state| state.session().is_writable())
    }

    /// Returns the number of frames that are queued for the client, and their size in bytes. Bytes in the write queue of the WebSocket's connection,
    /// usually up to 64 KiB, are not included.
    pub fn queued(self) -> (usize, usize) {
        self.state()
            .map_or((0, 0), |state| state.session().queued())
    }

    /// Returns the handshake request of the session.
    pub fn handshake(self) -> Option<Rc<Handshake>> {
        self.state().map(|state| Rc::clone(&state.handshake))
    }

    /// Sends a message. All messages sent in one iteration of the loop are written together.
    ///
    /// | result | meaning |
    /// |---|---|
    /// | [`Sent::Sent`] | the message was written, or waits for the next poll |
    /// | [`Sent::Buffered`] | more than 64 KiB are queued for the client, or the write queue of its WebSocket is full: `drain` follows |
    /// | [`Sent::Dropped`] | the session is not open, or its queue is full |
    ///
    /// # Limits
    /// [`EngineOptions::queue_packets`](super::EngineOptions::queue_packets), [`EngineOptions::queue_bytes`](super::EngineOptions::queue_bytes),
    /// [`EngineOptions::slow_policy`](super::EngineOptions::slow_policy).
    pub fn send(self, message: impl Into<Message>) -> Sent {
        let Some(state) = self.state() else {
            return Sent::Dropped;
        };
        let frame = Packet::Message(message.into()).encode();
        state.send(&Encoded::of_frame(frame))
    }

    /// Sends a Socket.IO packet.
    #[inline]
    pub(crate) fn send_packet(self, packet: &Encoded) -> Sent {
        self.state()
            .map_or(Sent::Dropped, |state| state.send(packet))
    }

    /// Closes the session at the end of the iteration, or as soon as the client has received all queued packets. Messages from the client are
    /// no longer delivered.
    ///
    /// # Limits
    /// [`EngineOptions::close_timeout`](super::EngineOptions::close_timeout).
    pub fn close(self) {
        if let Some(state) = self.state() {
            state.close();
        }
    }

    /// Closes the session at the end of the iteration, and discards queued packets.
    pub fn abort(self) {
        if let Some(state) = self.state() {
            state.abort(CloseReason::ForcedClose);
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.id).finish()
    }
}
