//! The handle of a WebSocket, of either side.

mod closing;
mod data;
mod deadlines;
mod entry;
mod receiving;
mod sending;
mod waiting;

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::Id;
use uptick_socket::{Address, Connection};

use crate::message::{Message, Payload, Text};
use crate::protocol::CloseCode;
use crate::{Error, Topics};

pub(crate) use entry::{Opening, Route, close_all, has_sockets, open, with_entry};
pub(crate) use receiving::begin;
pub use sending::Sent;
pub(crate) use sending::{Frame, deliver};

/// A WebSocket, on a server or of a client.
///
/// A `Copy` handle: the thread's event loop owns the connection, and a handle whose WebSocket is gone does nothing.
/// What is sent in one iteration of the loop goes out in one write.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `open` | `()` | a client's connection is open; on a server, the route's callback is called instead |
/// | `message` | [`Message`] | a message has come |
/// | `ping` | [`Bytes`] | a ping has come, and is answered: at once, or before what waits goes on |
/// | `pong` | [`Bytes`] | a pong has come |
/// | `drain` | `()` | what waited has gone out, after [`send`](WebSocket::send) gave [`Sent::Buffered`] |
/// | `dropped` | `usize` | a message of so many bytes was dropped: the peer does not read. Send it again at `drain`, not here |
/// | `error` | [`Error`] | something failed |
/// | `close` | [`Closed`] | it is over: the last event, and the only one of its kind |
///
/// # Limits
/// Messages 1 MiB · 1 MiB waits for a peer that does not read · silence 120 s, with a ping at 104 s · 5 s for the answer to a
/// close; see [`WebSocketOptions`](crate::WebSocketOptions).
///
/// # Examples
/// ```no_run
/// use uptick_emitter::Emitter;
/// use uptick_http::HttpServer;
/// use uptick_websocket::{Message, WebSocket, WebSocketRoutes};
///
/// let http = HttpServer::bind(8080)?;
/// http.websocket("/echo", |ws: WebSocket| {
///     ws.on("message", move |message: Message| ws.send(message));
/// });
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WebSocket {
    id: Id,
    local: PhantomData<*const ()>,
}

/// How a WebSocket has ended: the payload of `close`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code of the side that closed first; 1005 if it gave none, 1006 if the connection ended without a close.
    pub code: CloseCode,
    /// What that side gave as a reason.
    pub reason: Text,
    /// Whether both sides have said that they close.
    pub clean: bool,
}

events! {
    impl WebSocket {
        #![frequent(MESSAGE: Message)]
        Message => {
            /// A message has come.
            MESSAGE = "message";
        }
        () => {
            /// A client's connection is open.
            OPEN = "open";
            /// What waited has gone out.
            DRAIN = "drain";
        }
        Bytes => {
            /// A ping has come, and is answered.
            PING = "ping";
            /// A pong has come.
            PONG = "pong";
        }
        usize => {
            /// A message of so many bytes was dropped.
            DROPPED = "dropped";
        }
        Error => {
            /// Something failed.
            ERROR = "error", warn;
        }
        Closed => {
            /// It is over.
            CLOSE = "close";
        }
    }
}

impl Emitter for WebSocket {
    type Events = WebSocket;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners<Message>) -> R) -> Option<R> {
        with_entry(self.id, |entry| f(&mut entry.listeners))
    }
}

impl WebSocket {
    pub(crate) fn from_id(id: Id) -> Self {
        WebSocket {
            id,
            local: PhantomData,
        }
    }

    pub(crate) fn key(self) -> Id {
        self.id
    }

    /// Sends a message: text for what is a string, binary for bytes.
    ///
    /// # Limits
    /// [`WebSocketOptions::max_buffered`](crate::WebSocketOptions::max_buffered).
    #[inline]
    pub fn send(self, payload: impl Payload) -> Sent {
        sending::send(self.id, payload)
    }

    /// Begins a message that is sent in fragments, so that a long one need not be in memory as a whole; it ends with
    /// [`send_last`](WebSocket::send_last). Other messages cannot be sent before that: they are
    /// [`Sent::Dropped`], and what is published meanwhile is dropped, counted, and told of by `dropped`. Pings can.
    pub fn send_first(self, payload: impl Payload) -> Sent {
        sending::send_part(self.id, payload, sending::Part::First)
    }

    /// Sends the next fragment of a message. [`Sent::Dropped`] if none was begun, or if there is no room for it: then it can be
    /// sent again.
    pub fn send_fragment(self, payload: impl Payload) -> Sent {
        sending::send_part(self.id, payload, sending::Part::Middle)
    }

    /// Sends the last fragment of a message. [`Sent::Dropped`] if none was begun.
    pub fn send_last(self, payload: impl Payload) -> Sent {
        sending::send_part(self.id, payload, sending::Part::Last)
    }

    /// Sends a ping behind the messages before it; the peer sends a pong with the same bytes. They are cut off behind the 125th, which is as many as a
    /// ping has.
    pub fn ping(self, payload: impl AsRef<[u8]>) -> Sent {
        sending::ping(self.id, payload.as_ref())
    }

    /// Closes: the peer is told the code and the reason, and `close` comes when it has answered. Messages that come
    /// meanwhile are dropped. A second call does nothing.
    ///
    /// A code that no one may send, such as 1006, becomes 1000, and a reason is cut off behind its 123rd byte.
    pub fn close(self, code: impl Into<CloseCode>, reason: &str) {
        closing::close(self.id, code.into(), reason);
    }

    /// Closes the connection at once, without telling the peer; what waits is lost. In `close` it does nothing: what was
    /// said then still goes out.
    pub fn terminate(self) {
        let conn = with_entry(self.id, |entry| entry.conn_unless_over());
        if let Some(Some(conn)) = conn {
            conn.close();
        }
    }

    /// Whether messages can be sent: it was not closed, by either side.
    pub fn is_open(self) -> bool {
        with_entry(self.id, |entry| entry.is_open()).unwrap_or(false)
    }

    /// Returns the number of bytes that wait to be sent.
    pub fn buffered(self) -> usize {
        with_entry(self.id, |entry| entry.buffered()).unwrap_or(0)
    }

    /// How many messages were dropped because the peer does not read.
    pub fn dropped(self) -> u64 {
        with_entry(self.id, |entry| entry.dropped()).unwrap_or(0)
    }

    /// Stops reading, and with it `message`, until [`resume`](WebSocket::resume): the peer has to wait. It is not taken
    /// for silent meanwhile. Once it was closed, this does nothing.
    pub fn pause(self) {
        receiving::pause(self.id);
    }

    /// Reads on.
    pub fn resume(self) {
        receiving::resume(self.id);
    }

    /// The connection under it: for its addresses. Whoever writes to it breaks the WebSocket.
    pub fn connection(self) -> Option<Connection> {
        with_entry(self.id, |entry| entry.conn)
    }

    /// The address at the other end of the connection.
    pub fn peer(self) -> Option<Address> {
        self.connection()?.peer()
    }

    /// The connection's number ([`Connection::id`]).
    pub fn id(self) -> Option<u64> {
        self.connection()?.id()
    }

    /// The subprotocol that was agreed on.
    pub fn protocol(self) -> Option<String> {
        with_entry(self.id, |entry| entry.protocol()).flatten()
    }

    /// The topics of the server that it came to, or of the thread's clients.
    pub fn hub(self) -> Option<Topics> {
        with_entry(self.id, |entry| entry.route.topics)
    }

    /// Subscribes to a topic: what is published to it is sent here, too. `false` if it was subscribed already, is not
    /// open, or has as many topics as it may.
    pub fn subscribe(self, topic: &str) -> bool {
        self.hub().is_some_and(|topics| topics.add(topic, self))
    }

    /// Ends a subscription; `false` if there is none.
    pub fn unsubscribe(self, topic: &str) -> bool {
        self.hub().is_some_and(|topics| topics.remove(topic, self))
    }

    /// Whether it is subscribed to a topic.
    pub fn is_subscribed(self, topic: &str) -> bool {
        with_entry(self.id, |entry| entry.is_subscribed(topic)).unwrap_or(false)
    }

    /// The topics that it is subscribed to, in the order of subscription.
    pub fn topics(self) -> Vec<String> {
        with_entry(self.id, |entry| entry.topics()).unwrap_or_default()
    }

    /// Sends a message to all others that are subscribed to a topic, and gives to how many; to nobody unless it is
    /// subscribed itself.
    pub fn publish(self, topic: &str, payload: impl Payload) -> usize {
        if !self.is_subscribed(topic) {
            return 0;
        }
        self.hub().map_or(0, |topics| {
            topics.publish_except(topic, payload, Some(self))
        })
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("id", &WebSocket::id(*self))
            .finish_non_exhaustive()
    }
}
