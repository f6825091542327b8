//! Error codes and the errors of a connection.

use std::fmt;

/// An HTTP/2 error code (RFC 9113, section 7).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(u32);

impl ErrorCode {
    /// `NO_ERROR`: the end is not an error, as in a graceful shutdown.
    pub const NO_ERROR: ErrorCode = ErrorCode(0x0);
    /// `PROTOCOL_ERROR`: an unspecific violation of the protocol.
    pub const PROTOCOL_ERROR: ErrorCode = ErrorCode(0x1);
    /// `INTERNAL_ERROR`: an unexpected error of the sender.
    pub const INTERNAL_ERROR: ErrorCode = ErrorCode(0x2);
    /// `FLOW_CONTROL_ERROR`: a violation of flow control.
    pub const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(0x3);
    /// `SETTINGS_TIMEOUT`: a SETTINGS frame was not acknowledged in time.
    pub const SETTINGS_TIMEOUT: ErrorCode = ErrorCode(0x4);
    /// `STREAM_CLOSED`: a frame for a stream that is closed or half-closed.
    pub const STREAM_CLOSED: ErrorCode = ErrorCode(0x5);
    /// `FRAME_SIZE_ERROR`: a frame with an invalid size.
    pub const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(0x6);
    /// `REFUSED_STREAM`: the stream was refused before any processing, so the request may be retried.
    pub const REFUSED_STREAM: ErrorCode = ErrorCode(0x7);
    /// `CANCEL`: the stream is no longer needed.
    pub const CANCEL: ErrorCode = ErrorCode(0x8);
    /// `COMPRESSION_ERROR`: the state of the header compression cannot be maintained.
    pub const COMPRESSION_ERROR: ErrorCode = ErrorCode(0x9);
    /// `CONNECT_ERROR`: the connection of a CONNECT request was reset or failed.
    pub const CONNECT_ERROR: ErrorCode = ErrorCode(0xa);
    /// `ENHANCE_YOUR_CALM`: the peer causes excessive load.
    pub const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(0xb);
    /// `INADEQUATE_SECURITY`: the properties of the transport do not meet the requirements.
    pub const INADEQUATE_SECURITY: ErrorCode = ErrorCode(0xc);
    /// `HTTP_1_1_REQUIRED`: the request requires HTTP/1.1.
    pub const HTTP_1_1_REQUIRED: ErrorCode = ErrorCode(0xd);

    /// Returns the error code with this number.
    pub const fn new(code: u32) -> ErrorCode {
        ErrorCode(code)
    }

    /// Returns the number of the code.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the name of the code, or `None` if RFC 9113 does not define it.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x0 => "NO_ERROR",
            0x1 => "PROTOCOL_ERROR",
            0x2 => "INTERNAL_ERROR",
            0x3 => "FLOW_CONTROL_ERROR",
            0x4 => "SETTINGS_TIMEOUT",
            0x5 => "STREAM_CLOSED",
            0x6 => "FRAME_SIZE_ERROR",
            0x7 => "REFUSED_STREAM",
            0x8 => "CANCEL",
            0x9 => "COMPRESSION_ERROR",
            0xa => "CONNECT_ERROR",
            0xb => "ENHANCE_YOUR_CALM",
            0xc => "INADEQUATE_SECURITY",
            0xd => "HTTP_1_1_REQUIRED",
            _ => return None,
        })
    }

    /// Returns `true` if a reset with this code is a reaction to an error of the peer.
    pub(super) const fn blames_peer(self) -> bool {
        matches!(
            self,
            ErrorCode::PROTOCOL_ERROR
                | ErrorCode::FLOW_CONTROL_ERROR
                | ErrorCode::STREAM_CLOSED
                | ErrorCode::FRAME_SIZE_ERROR
                | ErrorCode::REFUSED_STREAM
                | ErrorCode::ENHANCE_YOUR_CALM
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {:#x}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An error that ends the whole connection: the error code sent in GOAWAY, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the HTTP/2 connection failed: {reason} ({code})")]
pub struct ConnectionError {
    code: ErrorCode,
    reason: &'static str,
}

impl ConnectionError {
    pub(super) const fn new(code: ErrorCode, reason: &'static str) -> ConnectionError {
        ConnectionError { code, reason }
    }

    pub(super) const fn protocol(reason: &'static str) -> ConnectionError {
        ConnectionError::new(ErrorCode::PROTOCOL_ERROR, reason)
    }

    pub(super) const fn frame_size(reason: &'static str) -> ConnectionError {
        ConnectionError::new(ErrorCode::FRAME_SIZE_ERROR, reason)
    }

    pub(super) const fn excessive(reason: &'static str) -> ConnectionError {
        ConnectionError::new(ErrorCode::ENHANCE_YOUR_CALM, reason)
    }

    /// Returns the error code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns the reason, for a log.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// An error in sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The stream was reset or removed, its end was already sent, or its head was not sent yet.
    #[error("sending failed: the HTTP/2 stream is not open for sending")]
    NotOpen,
    /// The body has more bytes than the head announced.
    #[error("sending failed: the body is longer than its Content-Length")]
    BodyTooLong,
    /// The body has fewer bytes than the head announced.
    #[error("sending failed: the body is shorter than its Content-Length")]
    BodyTooShort,
    /// The server allows no more streams at the same time.
    #[error("opening an HTTP/2 stream failed: the server allows no more streams")]
    TooManyStreams,
    /// The connection is closed, or the server accepts no more requests on it.
    #[error("opening an HTTP/2 stream failed: the connection is closing")]
    GoingAway,
    /// A part of the head of a request is malformed.
    #[error("opening an HTTP/2 stream failed: the {0} of the request is not valid")]
    InvalidRequest(&'static str),
    /// The data has more bytes than the flow-control windows allow.
    #[error("sending failed: the data exceeds the flow-control window")]
    NoCapacity,
}
