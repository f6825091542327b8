//! The client side: requests are opened, and responses are received.

use http::Method;

use super::connection::{Connection, ConnectionFlags};
use super::error::{ConnectionError, ErrorCode, SendError};
use super::event::Event;
use super::fields::ResponseSink;
use super::frame::flag;
use super::hpack::{Decoded, Indexing, StaticName};
use super::limits::{FRAME_SIZES, Limits};
use super::reader::HeaderBlock;
use super::send::begin_block;
use super::settings::{Role, write_header_limit};
use super::streams::{StreamFlags, StreamKey, UNKNOWN_LENGTH};
use super::window::MAX_WINDOW;
use crate::h1::ResponseBody;
use crate::h1::client::{BodyLength, ResponseHead};
use crate::message::RequestFields;
use crate::message::target::check_authority;
use crate::message::text::is_text;

/// The head of a request that a client sends.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The scheme: `https` or `http`. Not sent for `CONNECT` without a protocol.
    pub scheme: &'a str,
    /// The host, and the port unless it is the default port of the scheme.
    pub authority: &'a str,
    /// The path with an optional query, or `*` for `OPTIONS`. Not sent for `CONNECT` without a protocol.
    pub path: &'a str,
    /// The protocol of an extended CONNECT request (RFC 8441), whose method is `CONNECT`.
    pub protocol: Option<&'a str>,
    /// The other headers. `host`, `content-length` and headers that describe a connection of HTTP/1 are not sent.
    pub fields: RequestFields<'a>,
    /// The length of the body.
    pub body: ResponseBody,
}

impl<T> Connection<T> {
    /// Creates the client side of a connection. The preface and the first control frames are queued.
    pub fn client(limits: &Limits) -> Connection<T> {
        Connection::new(limits, Role::Client)
    }

    /// Opens a stream: appends the head of a request to `out`. `data` is the data of the stream. If the body is empty, the head ends the stream.
    ///
    /// # Errors
    ///
    /// [`SendError::TooManyStreams`], [`SendError::GoingAway`] or [`SendError::InvalidRequest`]. Nothing is written in this case.
    pub fn open(
        &mut self,
        request: &Request<'_>,
        data: T,
        out: &mut Vec<u8>,
    ) -> Result<StreamKey, SendError> {
        if !self.opens_streams() {
            return Err(SendError::GoingAway);
        }
        if self.room() == 0 {
            return Err(SendError::TooManyStreams);
        }
        check_request(request)?;
        let id = self.next_local;
        self.next_local += 2;
        let end = request.body == ResponseBody::Empty;
        let mut stream = self.new_stream(id);
        stream.flags.insert(StreamFlags::HEAD_SENT);
        stream.flags.set(StreamFlags::ENDED, end);
        let is_head = *request.method == Method::HEAD;
        stream.flags.set(StreamFlags::TO_HEAD, is_head);
        let is_tunnel = *request.method == Method::CONNECT;
        stream.flags.set(StreamFlags::TUNNEL, is_tunnel);
        stream.send_left = match request.body {
            ResponseBody::Empty => 0,
            ResponseBody::Bytes(length) => length,
            ResponseBody::Stream => UNKNOWN_LENGTH,
        };
        stream.data = Some(data);
        let key = stream.key();
        self.streams.insert(stream);
        let start = begin_block(out);
        self.write_request(request, out);
        self.end_block(id, if end { flag::END_STREAM } else { 0 }, start, out);
        Ok(key)
    }

    fn write_request(&mut self, request: &Request<'_>, out: &mut Vec<u8>) {
        let encoder = &mut self.encoder;
        encoder.begin(out);
        let method = request.method.as_str().as_bytes();
        encoder.static_field(StaticName::METHOD, method, Indexing::Add, out);
        let is_tunnel = *request.method == Method::CONNECT && request.protocol.is_none();
        if !is_tunnel {
            let scheme = request.scheme.as_bytes();
            encoder.static_field(StaticName::SCHEME, scheme, Indexing::Add, out);
        }
        let authority = request.authority.as_bytes();
        encoder.static_field(StaticName::AUTHORITY, authority, Indexing::Add, out);
        if !is_tunnel {
            let path = request.path.as_bytes();
            encoder.static_field(StaticName::PATH, path, Indexing::Without, out);
        }
        if let Some(protocol) = request.protocol {
            encoder.field(b":protocol", protocol.as_bytes(), Indexing::Add, out);
        }
        // Without a body, only methods that usually have one announce that.
        let announces = matches!(*request.method, Method::POST | Method::PUT | Method::PATCH);
        match request.body {
            ResponseBody::Bytes(length) => encoder.content_length(length, out),
            ResponseBody::Empty if announces => encoder.content_length(0, out),
            _ => {}
        }
        self.write_fields(request.fields.iter(), out);
    }

    /// Handles the header block of a response.
    pub(super) fn response(
        &mut self,
        block: HeaderBlock,
        bytes: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        let id = block.stream;
        let mut sink = ResponseSink::new();
        let decoded = self.decode_head(bytes, &mut sink)?;
        if decoded == Decoded::TooLarge {
            return self.response_too_large(id, "the headers of the response are too large");
        }
        if sink.count > self.limits.header_fields as usize {
            return self.response_too_large(id, "the response has too many headers");
        }
        let response = match sink.finish() {
            Ok(response) => response,
            Err(invalid) => return self.response_malformed(id, invalid.reason()),
        };
        let status = response.status;
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        if status.is_informational() {
            if block.end {
                return self.response_malformed(id, "an interim response ends the stream");
            }
            let head =
                ResponseHead::of_http2(response.bytes, response.fields, status, BodyLength::None);
            return Ok(Some(Event::Interim {
                stream: StreamKey { id },
                head,
            }));
        }
        let is_tunnel = stream.has(StreamFlags::TUNNEL) && status.is_success();
        let no_body = stream.has(StreamFlags::TO_HEAD) || matches!(status.as_u16(), 204 | 304);
        let body = match response.length {
            _ if is_tunnel => BodyLength::UntilClose,
            _ if no_body => BodyLength::None,
            Some(length) if block.end && length > 0 => {
                return self.response_malformed(id, WRONG_LENGTH);
            }
            _ if block.end => BodyLength::None,
            Some(length) => BodyLength::Bytes(length),
            None => BodyLength::UntilClose,
        };
        stream.receive_left = match body {
            BodyLength::None => 0,
            BodyLength::Bytes(length) => length,
            BodyLength::Chunked | BodyLength::UntilClose => UNKNOWN_LENGTH,
        };
        stream.flags.insert(StreamFlags::HEAD_RECEIVED);
        if block.end {
            stream.flags.insert(StreamFlags::PEER_ENDED);
        }
        let head = ResponseHead::of_http2(response.bytes, response.fields, status, body);
        Ok(Some(Event::Response {
            stream: StreamKey { id },
            head,
            end: block.end,
        }))
    }
}

impl<T> Connection<T> {
    /// Returns the number of streams that can be opened now. Before the first SETTINGS frame of the server, it is assumed to allow 100.
    pub fn room(&self) -> usize {
        match self.opens_streams() {
            true => (self.peer.concurrent_streams as usize).saturating_sub(self.streams.len()),
            false => 0,
        }
    }

    /// Returns `false` once no further stream can be opened: the connection is closed, the server has sent GOAWAY, or all identifiers are used.
    pub fn opens_streams(&self) -> bool {
        let closes = ConnectionFlags::CLOSED | ConnectionFlags::PEER_GOING_AWAY;
        self.role == Role::Client && !self.flags.intersects(closes) && self.next_local <= MAX_WINDOW
    }

    /// Returns the number of body bytes that the next stream may send with its head.
    pub fn next_capacity(&self) -> usize {
        (self.peer.initial_window as usize).min(self.send_window.available())
    }

    /// Returns the key of the stream that [`open`](Connection::open) opens next.
    pub fn next_stream(&self) -> StreamKey {
        StreamKey {
            id: self.next_local,
        }
    }

    /// Raises the maximum size of header sections and trailer sections to `bytes`, and announces it to the peer. The number of CONTINUATION frames is
    /// raised with it. Does nothing if the limit is not below that. The size counts 32 bytes for each header ([`Limits::headers`]).
    pub fn raise_header_limit(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes <= self.limits.header_bytes || self.is_closed() {
            return;
        }
        self.limits.header_bytes = bytes;
        self.limits.trailer_bytes = self.limits.trailer_bytes.max(bytes);
        let frames = continuation_frames(bytes);
        self.limits.continuations = self.limits.continuations.max(frames);
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        write_header_limit(&mut self.control, bytes);
    }

    /// Returns the stream whose header block was received in part.
    pub fn partial_head(&self) -> Option<StreamKey> {
        self.reader.partial_head().map(|id| StreamKey { id })
    }

    /// Resets a stream because its response is malformed.
    pub(super) fn response_malformed(
        &mut self,
        id: u32,
        reason: &'static str,
    ) -> Result<Option<Event>, ConnectionError> {
        let event = self.stream_error(id, ErrorCode::PROTOCOL_ERROR)?;
        let stream = StreamKey { id };
        Ok(event.map(|_| Event::Malformed { stream, reason }))
    }

    /// Resets a stream because its response exceeds a limit.
    pub(super) fn response_too_large(
        &mut self,
        id: u32,
        reason: &'static str,
    ) -> Result<Option<Event>, ConnectionError> {
        let event = self.stream_error(id, ErrorCode::ENHANCE_YOUR_CALM)?;
        let stream = StreamKey { id };
        Ok(event.map(|_| Event::ResponseTooLarge { stream, reason }))
    }
}

/// Returns the maximum number of CONTINUATION frames for a header section of this size.
fn continuation_frames(bytes: u32) -> u32 {
    bytes / *FRAME_SIZES.start() + Limits::default().continuations
}

/// The reason for a response whose body has another length than its `content-length`.
pub(super) const WRONG_LENGTH: &str =
    "the length of the response body is not that of its Content-Length";

/// Checks the parts of a request that a server may misinterpret.
fn check_request(request: &Request<'_>) -> Result<(), SendError> {
    let is_connect = *request.method == Method::CONNECT;
    if request.authority.is_empty() || check_authority(request.authority.as_bytes()).is_none() {
        return Err(SendError::InvalidRequest("authority"));
    }
    if request.protocol.is_some() != is_connect && request.protocol.is_some() {
        return Err(SendError::InvalidRequest("method"));
    }
    let path = request.path.as_bytes();
    let is_path = path.first() == Some(&b'/')
        && path
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    let is_asterisk = path == b"*" && *request.method == Method::OPTIONS;
    if !is_path && !is_asterisk && (!is_connect || request.protocol.is_some()) {
        return Err(SendError::InvalidRequest("path"));
    }
    for (name, text) in [
        ("scheme", request.scheme),
        ("protocol", request.protocol.unwrap_or("x")),
    ] {
        if text.is_empty() || !is_text(text.as_bytes()) || text.contains(' ') {
            return Err(SendError::InvalidRequest(name));
        }
    }
    Ok(())
}
