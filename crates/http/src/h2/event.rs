//! Events of a connection.

use bytes::BytesMut;
use http::StatusCode;

use super::error::{ConnectionError, ErrorCode};
use super::streams::StreamKey;
use crate::h1::client::ResponseHead;
use crate::message::Trailers;

/// An event of a [`Connection`](super::Connection).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The head of a request, which is in the `head` passed to [`receive`](super::Connection::receive).
    Request {
        /// The new stream.
        stream: StreamKey,
        /// `true` if the request has no body.
        end: bool,
    },
    /// A request whose head exceeds a limit or has an expectation that is not supported. The program answers it with `status`. The rest of
    /// the request is [discarded](super::Connection::discard).
    TooLarge {
        /// The new stream.
        stream: StreamKey,
        /// The status of the response: 413, 414, 417 or 431.
        status: StatusCode,
        /// The reason, for the body of the response.
        reason: &'static str,
    },
    /// A request whose head is malformed, or a malformed response. Its stream was reset with `PROTOCOL_ERROR`. The stream of a request is not
    /// open; that of a response is [removed](super::Connection::remove) by the program.
    Malformed {
        /// The stream.
        stream: StreamKey,
        /// The reason, for a log.
        reason: &'static str,
    },
    /// A response whose head or trailers exceed a limit. Its stream was reset with `ENHANCE_YOUR_CALM`. The program
    /// [removes](super::Connection::remove) it.
    ResponseTooLarge {
        /// The stream.
        stream: StreamKey,
        /// The reason.
        reason: &'static str,
    },
    /// The head of an interim response (RFC 9110, section 15.2).
    Interim {
        /// The stream.
        stream: StreamKey,
        /// The head.
        head: ResponseHead,
    },
    /// The head of a response.
    Response {
        /// The stream.
        stream: StreamKey,
        /// The head.
        head: ResponseHead,
        /// `true` if the response has no body.
        end: bool,
    },
    /// A piece of a body.
    Data {
        /// The stream.
        stream: StreamKey,
        /// The bytes, which may be empty if `end` is `true`. The program reports when it has [consumed](super::Connection::consumed) them.
        bytes: BytesMut,
        /// `true` if this is the end of the body.
        end: bool,
    },
    /// The trailers after a body, which are its end.
    Trailers {
        /// The stream.
        stream: StreamKey,
        /// The trailers.
        trailers: Trailers,
    },
    /// A stream was reset: by the peer, or because of an error of the peer. The program [removes](super::Connection::remove) it.
    Reset {
        /// The stream.
        stream: StreamKey,
        /// The error code.
        code: ErrorCode,
    },
    /// The peer starts no more streams, or processes none above `last`.
    GoAway {
        /// The greatest identifier of a stream that the peer processed or may process.
        last: u32,
        /// The error code.
        code: ErrorCode,
    },
    /// A window for sending has grown: there is a [pending stream](super::Connection::next_pending) that can be sent.
    WindowOpened,
    /// The connection failed. GOAWAY is queued as a control frame; the program writes it and closes the connection. No event follows.
    Closed(ConnectionError),
}
