//! The handle of a WebSocket, its events and their payloads.

use bytes::Bytes;
use uptick_emitter::events;
use uptick_http::channel::Channel;

use crate::error::Error;
use crate::message::{Message, Text};
use crate::protocol::CloseCode;

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
/// | `drain` | `()` | what waited has gone out, after [`send`](WebSocket::send) gave [`Sent::Buffered`](crate::Sent::Buffered) |
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
    channel: Channel,
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

impl WebSocket {
    #[inline]
    pub(super) fn of(channel: Channel) -> Self {
        WebSocket { channel }
    }

    /// The channel, also when it is no longer a WebSocket.
    #[inline]
    pub(super) fn channel(self) -> Channel {
        self.channel
    }
}
