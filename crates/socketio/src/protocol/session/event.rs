//! The inputs and actions of a session.

use std::fmt;

use bytes::Bytes;
use uptick_websocket::Message;

/// An Engine.IO transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP long-polling.
    Polling,
    /// A WebSocket.
    WebSocket,
}

impl Transport {
    /// Returns the name of the transport, as in the query parameter `transport`.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Polling => "polling",
            Transport::WebSocket => "websocket",
        }
    }
}

/// An event of a transport or the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A GET request was received. It is answered immediately or later, by [`Action::RespondPoll`] or [`Action::RejectPoll`].
    Poll,
    /// The client closed the connection of the pending GET request.
    PollAborted,
    /// The pending GET request must be answered now.
    PollReleased,
    /// The head of a POST request was received.
    PostStarted,
    /// The whole body of the POST request was received.
    PostBody(Bytes),
    /// The POST request failed.
    PostFailed(PostFailure),
    /// The client opened a WebSocket with the id of this session.
    WebSocketOpened,
    /// A message was received from the WebSocket.
    WebSocketMessage(Message),
    /// The WebSocket was closed by the client, or was lost.
    WebSocketClosed,
    /// The WebSocket failed because of an invalid frame, or a message over the limit.
    WebSocketFailed,
    /// The write queue of the WebSocket is full.
    WebSocketBlocked,
    /// The WebSocket is writable again.
    WebSocketDrained,
    /// Everything sent since the last flush must be written, in one response or one write.
    Flush,
    /// The [deadline](super::Session::deadline) was reached.
    Deadline,
}

/// The failure of a POST request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostFailure {
    /// The body is larger than `maxPayload`.
    TooLarge,
    /// The content type is not a text type.
    InvalidContent,
    /// The body was not received in time.
    TimedOut,
    /// The client closed the connection.
    Aborted,
}

/// A task for the owner of the session. Actions must be performed in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Deliver a message from the client.
    Message(Message),
    /// The client answered a ping.
    Heartbeat,
    /// Answer the pending GET request with status 200 and this body, `text/plain; charset=UTF-8`.
    RespondPoll(Bytes),
    /// Answer the GET request that was just received with status 400.
    RejectPoll,
    /// Answer the POST request with status 200 and the body `ok`, `text/html`.
    RespondPost,
    /// Answer the POST request that was just received with this status.
    RejectPost(u16),
    /// Close the connection of the POST request whose body is still being received.
    AbortPost,
    /// Send one frame over the WebSocket.
    SendFrame(Message),
    /// Send [frames](super::Session::take_frame) over the WebSocket until its write queue is full. If the session is
    /// [closed](super::Session::is_closed), all of them must be sent.
    SendFrames,
    /// Close the WebSocket with a code, if there is one. No input from it may follow.
    CloseWebSocket(Option<u16>),
    /// Close the WebSocket that was just opened.
    RejectWebSocket,
    /// The session was upgraded to WebSocket.
    Upgraded,
    /// The session is over. This is the last action, except for rejections.
    Closed(CloseReason),
}

/// The reason why a session was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client closed the session or the connection.
    TransportClose,
    /// The client violated the rules of the transport, or the connection failed.
    TransportError,
    /// The client sent an invalid packet.
    ParseError,
    /// The client did not answer a ping in time.
    PingTimeout,
    /// The server closed the session.
    ForcedClose,
}

impl CloseReason {
    /// Returns the name that the official server uses for the reason.
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::TransportClose => "transport close",
            CloseReason::TransportError => "transport error",
            CloseReason::ParseError => "parse error",
            CloseReason::PingTimeout => "ping timeout",
            CloseReason::ForcedClose => "forced close",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
