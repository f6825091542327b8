//! WebSockets, of either side: the methods of their handle.
//!
//! ```text
//! serving ─→ receiving ─→ closing ─→ sending ─→ state        the session, as the engine and the loop call it
//!    │                       └────→ pausing ─→ timeouts ─┘   when reading is paused; silence, lifetime
//!    └─→ publishing ─→ sending                               a message for many, encoded once
//! ```
//!
//! Each file knows those to its right. Cost of a message that is echoed: nothing is looked up on the way to the listener, and
//! `send` looks once. No allocation, no lock, no system call for the time.

mod closing;
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
mod waiting;

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use uptick_socket::{Address, Connection};

use crate::message::Payload;
use crate::protocol::CloseCode;
use crate::topics::hub::Hub;
use handle::WebSocket;
use sending::Part;
use state::{WebSocketSession, session};

pub use sending::Sent;

impl WebSocket {
    /// Sends a message: text for what is a string, binary for bytes.
    ///
    /// # Limits
    /// [`WebSocketOptions::max_buffered`](crate::WebSocketOptions::max_buffered).
    #[inline]
    pub fn send(self, payload: impl Payload) -> Sent {
        sending::send(self, payload)
    }

    /// Begins a message that is sent in fragments, so that a long one need not be in memory as a whole; it ends with
    /// [`send_last`](WebSocket::send_last). Other messages cannot be sent before that: they are
    /// [`Sent::Dropped`], and what is published meanwhile is dropped, counted, and told of by `dropped`. Pings can.
    pub fn send_first(self, payload: impl Payload) -> Sent {
        self.send_part(payload, Part::First)
    }

    /// Sends the next fragment of a message. [`Sent::Dropped`] if none was begun, or if there is no room for it: then it can be
    /// sent again.
    pub fn send_fragment(self, payload: impl Payload) -> Sent {
        self.send_part(payload, Part::Middle)
    }

    /// Sends the last fragment of a message. [`Sent::Dropped`] if none was begun.
    pub fn send_last(self, payload: impl Payload) -> Sent {
        self.send_part(payload, Part::Last)
    }

    fn send_part(self, payload: impl Payload, part: Part) -> Sent {
        session(self).map_or(Sent::Dropped, |ws| ws.send_part(payload, part))
    }

    /// Sends a ping behind the messages before it; the peer sends a pong with the same bytes. They are cut off behind the 125th, which is as many as a
    /// ping has.
    pub fn ping(self, payload: impl AsRef<[u8]>) -> Sent {
        session(self).map_or(Sent::Dropped, |ws| ws.ping(payload.as_ref()))
    }

    /// Closes: the peer is told the code and the reason, and `close` comes when it has answered. Messages that come
    /// meanwhile are dropped. A second call does nothing.
    ///
    /// With [`CloseCode::NO_STATUS`] the close frame has neither a code nor a reason. Another code that cannot be sent, such as 1006,
    /// becomes 1000. The reason is cut off behind its 123rd byte.
    pub fn close(self, code: impl Into<CloseCode>, reason: &str) {
        if let Some(ws) = session(self) {
            ws.close(code.into(), reason);
        }
    }

    /// Closes the connection at once, without telling the peer; what waits is lost. In `close` it does nothing: what was
    /// said then still goes out.
    pub fn terminate(self) {
        if let Some(ws) = session(self) {
            ws.terminate();
        }
    }

    /// Whether messages can be sent: it was not closed, by either side.
    pub fn is_open(self) -> bool {
        self.channel().with_session(WebSocketSession::is_open) == Some(true)
    }

    /// Returns the number of bytes that wait to be sent.
    pub fn buffered(self) -> usize {
        session(self).map_or(0, |ws| ws.buffered())
    }

    /// How many messages were dropped because the peer does not read.
    pub fn dropped(self) -> u64 {
        session(self)
            .and_then(|ws| ws.if_rare(|rare| rare.dropped))
            .unwrap_or(0)
    }

    /// Stops reading, and with it `message`, until [`resume`](WebSocket::resume): the peer has to wait. It is not taken
    /// for silent meanwhile. Once it was closed, this does nothing.
    pub fn pause(self) {
        if let Some(ws) = session(self) {
            ws.pause();
        }
    }

    /// Reads on.
    pub fn resume(self) {
        if let Some(ws) = session(self) {
            ws.resume();
        }
    }

    /// The connection under it, for its addresses; `None` where something else carries the WebSocket. Whoever writes to it breaks the
    /// WebSocket.
    pub fn connection(self) -> Option<Connection> {
        session(self)?.channel.connection()
    }

    /// The address at the other end of the connection.
    pub fn peer(self) -> Option<Address> {
        session(self)?.channel.peer()
    }

    /// The number of the connection, or of what carries the WebSocket in its place: that of nothing else in the life of the process.
    pub fn id(self) -> Option<u64> {
        session(self)?.channel.id()
    }

    /// The subprotocol that was agreed on.
    pub fn protocol(self) -> Option<String> {
        session(self)?.if_rare(|rare| rare.protocol.as_deref().map(str::to_owned))?
    }

    /// Returns the hub of the server that accepted it, or the one of the thread for a client.
    pub fn hub(self) -> Option<Hub> {
        session(self).map(|ws| ws.route.hub)
    }

    /// Subscribes to a topic: what is published to it is sent here, too. `false` if it was subscribed already, is not
    /// open, or has as many topics as it may.
    pub fn subscribe(self, topic: &str) -> bool {
        let noted = session(self).and_then(|ws| {
            let hub = ws.route.hub;
            let name = hub.shared_name(topic)?;
            ws.note_topic(&name).then_some((hub, name))
        });
        if let Some((hub, name)) = &noted {
            hub.add(name, self);
        }
        noted.is_some()
    }

    /// Ends a subscription; `false` if there is none.
    pub fn unsubscribe(self, topic: &str) -> bool {
        session(self).is_some_and(|ws| {
            ws.forget_topic(topic);
            ws.route.hub.remove(topic, self)
        })
    }

    /// Whether it is subscribed to a topic.
    pub fn is_subscribed(self, topic: &str) -> bool {
        session(self).is_some_and(|ws| ws.is_subscribed(topic))
    }

    /// Returns the topics that it is subscribed to, in the order of subscription.
    pub fn topics(self) -> Vec<String> {
        let topics = session(self).map(|ws| ws.topics());
        let topics = topics.into_iter().flatten();
        topics.map(|name| (*name).to_owned()).collect()
    }

    /// Sends a message to all others that are subscribed to a topic, also in other workers, and returns to how many of this worker. It
    /// reaches nobody unless this WebSocket is subscribed itself.
    pub fn publish(self, topic: &str, payload: impl Payload) -> usize {
        if !self.is_subscribed(topic) {
            return 0;
        }
        self.hub()
            .map_or(0, |hub| hub.publish_except(topic, payload, Some(self)))
    }

    /// Attaches a value to the WebSocket, in place of the one before. It is still there in `close` listeners. Default: none.
    pub fn set_extension<E: 'static>(self, extension: E) {
        // Both the old value and one that is not taken are dropped after the borrow: they may use the WebSocket.
        let mut extension: Option<Rc<dyn Any>> = Some(Rc::new(extension));
        if let Some(ws) = session(self) {
            ws.with_rare(|rare| std::mem::swap(&mut rare.extension, &mut extension));
        }
    }

    /// Returns the value attached to the WebSocket if there is one and it is of this type.
    pub fn extension<E: 'static>(self) -> Option<Rc<E>> {
        let extension = session(self)?.if_rare(|rare| rare.extension.clone())??;
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
