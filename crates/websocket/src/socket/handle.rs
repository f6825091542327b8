//! The WebSocket handle, its events and their payloads.

use bytes::Bytes;
use uptick_emitter::events;
use uptick_http::channel::Channel;

use crate::error::Error;
use crate::message::{Message, Text};
use crate::protocol::CloseCode;

/// A WebSocket of a server or a client.
///
/// A `Copy` handle: the thread's event loop owns the connection, and the methods of a stale handle do nothing.
/// All messages sent in one iteration of the loop go out in one write.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `open` | `()` | a client WebSocket is open; on a server, the callback of the route is called instead |
/// | `message` | [`Message`] | a message was received |
/// | `ping` | [`Bytes`] | a ping was received; the pong is sent automatically, ahead of messages that are still queued in this process |
/// | `pong` | [`Bytes`] | a pong was received |
/// | `drain` | `()` | the write queue has been sent, after [`send`](WebSocket::send) returned [`Sent::Buffered`](crate::Sent::Buffered) |
/// | `dropped` | `usize` | a message with this length was dropped because of a slow peer. Send it again at `drain`, not in this event |
/// | `error` | [`Error`] | an error occurred |
/// | `close` | [`Closed`] | the WebSocket has closed; the last event |
///
/// # Limits
/// Messages 1 MiB · write queue 1 MiB · idle timeout 120 s, with a ping at 104 s · close timeout 5 s;
/// see [`WebSocketOptions`](crate::WebSocketOptions).
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

/// The result of closing: the payload of `close`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code of the side that closed first; 1005 if it sent none, 1006 if the connection ended without a close frame.
    pub code: CloseCode,
    /// The reason of that side.
    pub reason: Text,
    /// `true` if both sides have sent a close frame.
    pub clean: bool,
}

events! {
    impl WebSocket {
        #![frequent(MESSAGE: Message)]
        Message => {
            /// A message was received.
            MESSAGE = "message";
        }
        () => {
            /// A client WebSocket is open.
            OPEN = "open";
            /// The write queue has been sent.
            DRAIN = "drain";
        }
        Bytes => {
            /// A ping was received; the pong is sent automatically.
            PING = "ping";
            /// A pong was received.
            PONG = "pong";
        }
        usize => {
            /// A message with this length was dropped.
            DROPPED = "dropped";
        }
        Error => {
            /// An error occurred.
            ERROR = "error", warn;
        }
        Closed => {
            /// The WebSocket has closed.
            CLOSE = "close";
        }
    }
}

impl WebSocket {
    #[inline]
    pub(super) fn of(channel: Channel) -> Self {
        WebSocket { channel }
    }

    /// Returns the channel, also after it no longer carries a WebSocket.
    #[inline]
    pub(super) fn channel(self) -> Channel {
        self.channel
    }
}
