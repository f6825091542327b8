//! The WebSocket handle and its session, for servers and clients.
//!
//! ```text
//! serving ─→ receiving ─→ closing ─→ sending ─→ state        the session, called by the engine and the loop
//!    │                       └────→ pausing ─→ timeouts ─┘   paused reading; idle timeout and maximum lifetime
//!    └─→ publishing ─→ sending                               messages for many subscribers, encoded once
//! ```
//!
//! Each module uses only those to its right. Cost of an echoed message: the listener is called without a lookup, and
//! `send` needs one. No allocation, no lock, no system call for the time.

mod closing;
mod frame_queue;
pub(crate) mod handle;
pub(crate) mod handler;
mod pausing;
mod ping_time;
pub(crate) mod publishing;
mod receiving;
mod remote;
mod sending;
pub(crate) mod serving;
pub(crate) mod state;
mod timeouts;

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use uptick_socket::{Address, Connection};

use crate::message::Payload;
use crate::protocol::CloseCode;
use crate::topics::hub::Hub;
use handle::WebSocket;
use sending::FragmentPosition;
use state::{WebSocketSession, session};

pub use sending::Sent;

impl WebSocket {
    /// Sends a message: strings as text, bytes as binary.
    ///
    /// # Limits
    /// [`WebSocketOptions::max_buffered`](crate::WebSocketOptions::max_buffered).
    #[inline]
    pub fn send(self, payload: impl Payload) -> Sent {
        sending::send(self, payload)
    }

    /// Sends the first fragment of a message, so that a long message need not be in memory as a whole; [`send_last`](WebSocket::send_last)
    /// ends the message. Until then, other messages cannot be sent: they are
    /// [`Sent::Dropped`], and published messages are dropped and counted, with a `dropped` event. Pings can be sent.
    pub fn send_first(self, payload: impl Payload) -> Sent {
        self.write_fragment(payload, FragmentPosition::First)
    }

    /// Sends the next fragment of a message. Returns [`Sent::Dropped`] if no message was started, or if the write queue is full; in that case
    /// it can be sent again.
    pub fn send_fragment(self, payload: impl Payload) -> Sent {
        self.write_fragment(payload, FragmentPosition::Middle)
    }

    /// Sends the last fragment of a message. Returns [`Sent::Dropped`] if no message was started.
    pub fn send_last(self, payload: impl Payload) -> Sent {
        self.write_fragment(payload, FragmentPosition::Last)
    }

    fn write_fragment(self, payload: impl Payload, position: FragmentPosition) -> Sent {
        session(self).map_or(Sent::Dropped, |ws| ws.write_fragment(payload, position))
    }

    /// Sends a ping after the messages already sent; the peer responds with a pong with the same payload. The payload is truncated to 125 bytes, the
    /// maximum of a ping.
    pub fn ping(self, payload: impl AsRef<[u8]>) -> Sent {
        session(self).map_or(Sent::Dropped, |ws| ws.ping(payload.as_ref()))
    }

    /// Closes the WebSocket: sends a close frame with the code and the reason, and emits `close` when the peer has responded. Messages
    /// received in the meantime are discarded. A second call does nothing.
    ///
    /// With [`CloseCode::NO_STATUS`] the close frame has neither a code nor a reason. Other codes that cannot be sent, such as 1006,
    /// become 1000. The reason is truncated to 123 bytes.
    pub fn close(self, code: impl Into<CloseCode>, reason: &str) {
        if let Some(ws) = session(self) {
            ws.close(code.into(), reason);
        }
    }

    /// Closes the connection immediately, without a close frame; queued bytes are discarded. In a `close` listener it does nothing, and bytes
    /// written before are still sent.
    pub fn terminate(self) {
        if let Some(ws) = session(self) {
            ws.terminate();
        }
    }

    /// Returns `true` if messages can be sent: neither side has closed the WebSocket.
    pub fn is_open(self) -> bool {
        self.channel().with_session(WebSocketSession::is_open) == Some(true)
    }

    /// Returns the number of bytes in the write queue.
    pub fn buffered(self) -> usize {
        session(self).map_or(0, |ws| ws.buffered())
    }

    /// Returns the number of messages that were dropped because of a slow peer.
    pub fn dropped(self) -> u64 {
        session(self)
            .and_then(|ws| ws.if_cold(|cold| cold.dropped))
            .unwrap_or(0)
    }

    /// Stops reading, and thus `message` events, until [`resume`](WebSocket::resume), so that the peer has to wait. The idle timeout does not
    /// run in the meantime. After the WebSocket was closed, this does nothing.
    pub fn pause(self) {
        if let Some(ws) = session(self) {
            ws.pause();
        }
    }

    /// Resumes reading.
    pub fn resume(self) {
        if let Some(ws) = session(self) {
            ws.resume();
        }
    }

    /// Returns the underlying connection, for its addresses; `None` if the WebSocket is not carried by a connection. Writing to it corrupts the
    /// WebSocket.
    pub fn connection(self) -> Option<Connection> {
        session(self)?.channel.connection()
    }

    /// Returns the address of the peer.
    pub fn peer(self) -> Option<Address> {
        session(self)?.channel.peer()
    }

    /// Returns the ID of the connection, or of the channel that carries the WebSocket. It is unique during the life of the process.
    pub fn id(self) -> Option<u64> {
        session(self)?.channel.id()
    }

    /// Returns the negotiated subprotocol.
    pub fn protocol(self) -> Option<String> {
        session(self)?.if_cold(|cold| cold.protocol.as_deref().map(str::to_owned))?
    }

    /// Returns the hub of the server that accepted the WebSocket, or the hub of the thread for a client.
    pub fn hub(self) -> Option<Hub> {
        session(self).map(|ws| ws.route.hub)
    }

    /// Subscribes to a topic: messages published to it are sent to this WebSocket. Returns `false` if it is already subscribed, is not
    /// open, or has reached the maximum number of topics.
    pub fn subscribe(self, topic: &str) -> bool {
        let added = session(self).and_then(|ws| {
            let hub = ws.route.hub;
            let name = hub.shared_name(topic)?;
            ws.add_topic(&name).then_some((hub, name))
        });
        if let Some((hub, name)) = &added {
            hub.add(name, self);
        }
        added.is_some()
    }

    /// Removes a subscription; returns `false` if there is none.
    pub fn unsubscribe(self, topic: &str) -> bool {
        session(self).is_some_and(|ws| {
            ws.remove_topic(topic);
            ws.route.hub.remove(topic, self)
        })
    }

    /// Returns `true` if the WebSocket is subscribed to a topic.
    pub fn is_subscribed(self, topic: &str) -> bool {
        session(self).is_some_and(|ws| ws.is_subscribed(topic))
    }

    /// Returns the topics of the WebSocket, in the order of subscription.
    pub fn topics(self) -> Vec<String> {
        let topics = session(self).map(|ws| ws.topics());
        let topics = topics.into_iter().flatten();
        topics.map(|name| (*name).to_owned()).collect()
    }

    /// Sends a message to all other subscribers of a topic, including those in other workers, and returns the number of receivers in this worker.
    /// Does nothing unless this WebSocket is subscribed to the topic.
    pub fn publish(self, topic: &str, payload: impl Payload) -> usize {
        if !self.is_subscribed(topic) {
            return 0;
        }
        self.hub()
            .map_or(0, |hub| hub.publish_except(topic, payload, Some(self)))
    }

    /// Attaches a value to the WebSocket, replacing the previous one. `close` listeners can still read it. Default: none.
    pub fn set_extension<E: 'static>(self, extension: E) {
        // The old value, or an unused new one, is dropped after the borrow, because its destructor may use the WebSocket.
        let mut extension: Option<Rc<dyn Any>> = Some(Rc::new(extension));
        if let Some(ws) = session(self) {
            ws.with_cold(|cold| std::mem::swap(&mut cold.extension, &mut extension));
        }
    }

    /// Returns the attached value if there is one of this type.
    pub fn extension<E: 'static>(self) -> Option<Rc<E>> {
        let extension = session(self)?.if_cold(|cold| cold.extension.clone())??;
        extension.downcast().ok()
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("id", &WebSocket::id(*self))
            .finish_non_exhaustive()
    }
}
