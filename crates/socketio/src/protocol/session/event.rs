//! The inputs and the outputs of a session.

use std::fmt;

use bytes::Bytes;
use uptick_websocket::Message;

/// A transport of Engine.IO.
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

/// An event of a transport, or of the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A GET request was received. It is answered now or later, by [`Action::RespondPoll`] or [`Action::RejectPoll`].
    Poll,
    /// The client has closed the connection of the GET request that was not answered yet.
    PollAborted,
    /// The GET request that waits has to be answered now.
    PollReleased,
    /// The head of a POST request was received.
    PostStarted,
    /// The whole body of the POST request was received.
    PostBody(Bytes),
    /// The POST request has failed.
    PostFailed(PostFailure),
    /// The client has opened a WebSocket with the id of this session.
    WebSocketOpened,
    /// A message was received from the WebSocket.
    WebSocketMessage(Message),
    /// The WebSocket was closed by the client, or is lost.
    WebSocketClosed,
    /// The WebSocket has failed: an invalid frame, or a message over the limit.
    WebSocketFailed,
    /// The WebSocket takes no more frames for now.
    WebSocketBlocked,
    /// The WebSocket takes frames again.
    WebSocketDrained,
    /// Everything sent since the last flush is written, in one response or one write.
    Flush,
    /// The [deadline](super::Session::deadline) has come.
    Time,
}

/// The failure of a POST request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostFailure {
    /// The body is larger than `maxPayload`.
    TooLarge,
    /// The content type is not that of text.
    InvalidContent,
    /// The body was not complete in time.
    TimedOut,
    /// The client has closed the connection.
    Aborted,
}

/// A task for the owner of the session. Tasks have to be done in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Deliver a message of the client.
    Message(Message),
    /// The client has responded to a ping.
    Heartbeat,
    /// Answer the GET request that waits with status 200 and this body, `text/plain; charset=UTF-8`.
    RespondPoll(Bytes),
    /// Answer the GET request that has just been received with status 400.
    RejectPoll,
    /// Answer the POST request with status 200 and the body `ok`, `text/html`.
    RespondPost,
    /// Answer the POST request that has just been received with this status.
    RejectPost(u16),
    /// Close the connection of the POST request whose body is still being received.
    AbortPost,
    /// Send one frame to the WebSocket.
    SendFrame(Message),
    /// Send the [frames](super::Session::take_frame) to the WebSocket, until it takes no more. All of them have to be sent if the session is
    /// [closed](super::Session::is_closed).
    SendFrames,
    /// Close the WebSocket; with no code, if there is none. No input of it may follow.
    CloseWebSocket(Option<u16>),
    /// Close the WebSocket that has just been opened.
    RejectWebSocket,
    /// The session has been upgraded to WebSocket.
    Upgraded,
    /// The session is over. This is the last action, apart from rejections.
    Closed(CloseReason),
}

/// The reason for which a session was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client has closed the session or the connection.
    TransportClose,
    /// The client has violated the rules of the transport, or the connection has failed.
    TransportError,
    /// The client has sent an invalid packet.
    ParseError,
    /// The client has not responded to a ping in time.
    PingTimeout,
    /// The server has closed the session.
    ForcedClose,
}

impl CloseReason {
    /// Returns the name that the official server has for the reason.
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
