//! Frames of responses.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::connection::Connection;
use super::error::SendError;
use super::frame::{FrameHeader, HEADER_SIZE, flag, kind, write_header};
use super::hpack::{Indexing, StaticName};
use super::streams::{StreamFlags, StreamKey, UNKNOWN_LENGTH};
use crate::message::{ResponseBody, is_connection_specific, response_length};

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status.
    pub status: StatusCode,
    /// The `content-type`, unless `fields` has one.
    pub content_type: Option<&'a str>,
    /// The `date` (RFC 9110, section 5.6.7), unless `fields` has one.
    pub date: Option<&'a [u8]>,
    /// The other headers. `content-length` and headers that describe a connection of HTTP/1 are not sent.
    pub fields: Option<&'a HeaderMap>,
    /// The length of the body.
    pub body: ResponseBody,
    /// `true` if the request method is `HEAD`, so that no body is sent.
    pub to_head: bool,
}

impl<T> Connection<T> {
    /// Appends the head of a response to `out`. Returns `true` if the body follows: the status and the request allow one, and `end` is `false`.
    /// Otherwise the head ends the stream.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`]. Nothing is written in this case.
    #[inline]
    pub fn send_head(
        &mut self,
        stream: StreamKey,
        head: &ResponseHead<'_>,
        end: bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, SendError> {
        let stream = self.streams.get_mut(stream.id).ok_or(SendError::NotOpen)?;
        if stream.has(StreamFlags::ENDED | StreamFlags::RESET | StreamFlags::HEAD_SENT) {
            return Err(SendError::NotOpen);
        }
        let (sends_body, length) =
            response_length(head.status, head.to_head, head.body, head.fields);
        let end = end || !sends_body || length == Some(0);
        stream.flags.insert(StreamFlags::HEAD_SENT);
        stream.flags.set(StreamFlags::ENDED, end);
        stream.send_left = length.unwrap_or(UNKNOWN_LENGTH);
        let id = stream.id;
        let start = begin_block(out);
        let encoder = &mut self.encoder;
        encoder.begin(out);
        encoder.status(head.status.as_u16(), out);
        let explicit = head.fields.map(ExplicitFields::of).unwrap_or_default();
        if let Some(value) = head.content_type
            && !explicit.content_type
        {
            let name = StaticName::CONTENT_TYPE;
            encoder.static_field(name, value.as_bytes(), Indexing::Add, out);
        }
        if let Some(length) = length {
            encoder.content_length(length, out);
        }
        if let Some(value) = head.date
            && !explicit.date
        {
            encoder.static_field(StaticName::DATE, value, Indexing::Add, out);
        }
        if let Some(fields) = head.fields {
            self.write_fields(fields, out);
        }
        let end_flag = if end { flag::END_STREAM } else { 0 };
        self.end_block(id, end_flag, start, out);
        Ok(!end)
    }

    /// Appends an interim response (RFC 9110, section 15.2) with headers to `out`.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] if the final head was sent already. Nothing is written in this case.
    pub fn send_interim(
        &mut self,
        stream: StreamKey,
        status: StatusCode,
        fields: &HeaderMap,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let stream = self.streams.get(stream.id).ok_or(SendError::NotOpen)?;
        if stream.has(StreamFlags::ENDED | StreamFlags::RESET | StreamFlags::HEAD_SENT) {
            return Err(SendError::NotOpen);
        }
        let id = stream.id;
        let start = begin_block(out);
        self.encoder.begin(out);
        self.encoder.status(status.as_u16(), out);
        self.write_fields(fields, out);
        self.end_block(id, 0, start, out);
        Ok(())
    }

    /// Appends trailers to `out`, which end the stream. Headers of the framing and of a connection of HTTP/1 are left out.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] or [`SendError::BodyTooShort`]. Nothing is written in this case.
    pub fn send_trailers(
        &mut self,
        stream: StreamKey,
        trailers: &HeaderMap,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let id = stream.id;
        let stream = self.streams.get_mut(id).ok_or(SendError::NotOpen)?;
        if stream.has(StreamFlags::ENDED | StreamFlags::RESET)
            || !stream.has(StreamFlags::HEAD_SENT)
        {
            return Err(SendError::NotOpen);
        }
        if !matches!(stream.send_left, 0 | UNKNOWN_LENGTH) {
            return Err(SendError::BodyTooShort);
        }
        stream.flags.insert(StreamFlags::ENDED);
        let start = begin_block(out);
        self.encoder.begin(out);
        self.write_fields(trailers, out);
        self.end_block(id, flag::END_STREAM, start, out);
        Ok(())
    }

    /// Returns the number of body bytes that may be sent now: the smaller one of the windows of the stream and of the connection.
    #[inline]
    pub fn capacity(&self, stream: StreamKey) -> usize {
        let stream = self.streams.get(stream.id);
        let stream = stream.filter(|stream| !stream.has(StreamFlags::ENDED | StreamFlags::RESET));
        stream.map_or(0, |stream| {
            let window = stream.send_window.available();
            window.min(self.send_window.available())
        })
    }

    /// Returns the number of bytes that the window of the stream accepts, whatever that of the connection accepts.
    pub fn stream_capacity(&self, stream: StreamKey) -> usize {
        let stream = self.streams.get(stream.id);
        stream.map_or(0, |stream| stream.send_window.available())
    }

    /// Appends a piece of a body to `out`, in frames of at most the maximum size of the peer. `data` has at most
    /// [`capacity`](Connection::capacity) bytes. If `end` is `true`, the stream ends.
    ///
    /// # Errors
    ///
    /// A [`SendError`]. Nothing is written in this case.
    #[inline]
    pub fn send_data(
        &mut self,
        stream: StreamKey,
        data: &[u8],
        end: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let id = stream.id;
        let stream = self.streams.get_mut(id).ok_or(SendError::NotOpen)?;
        if stream.has(StreamFlags::ENDED | StreamFlags::RESET)
            || !stream.has(StreamFlags::HEAD_SENT)
        {
            return Err(SendError::NotOpen);
        }
        if data.len() > stream.send_window.available() || data.len() > self.send_window.available()
        {
            return Err(SendError::NoCapacity);
        }
        if stream.send_left != UNKNOWN_LENGTH {
            let left = stream.send_left.checked_sub(data.len() as u64);
            let left = left.ok_or(SendError::BodyTooLong)?;
            if end && left > 0 {
                return Err(SendError::BodyTooShort);
            }
            stream.send_left = left;
        }
        stream.flags.set(StreamFlags::ENDED, end);
        stream.send_window.take(data.len());
        self.send_window.take(data.len());
        let is_blocked = !stream.send_window.is_open();
        if stream.has(StreamFlags::QUEUED) && is_blocked {
            self.streams.update_queue(id);
        }
        self.overhead.refund(2 + (data.len() / 1024) as u32);
        let frame_size = self.peer.frame_size as usize;
        if data.len() <= frame_size {
            if end || !data.is_empty() {
                write_data(id, data, end, out);
            }
            return Ok(());
        }
        let mut pieces = data.chunks(frame_size).peekable();
        while let Some(piece) = pieces.next() {
            write_data(id, piece, end && pieces.peek().is_none(), out);
        }
        Ok(())
    }

    /// Appends the fields that are sent.
    pub(super) fn write_fields<'a>(
        &mut self,
        fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
        out: &mut Vec<u8>,
    ) {
        for (name, value) in fields {
            let bytes = name.as_str().as_bytes();
            if matches!(bytes, b"content-length" | b"host") || is_connection_specific(bytes) {
                continue;
            }
            // The other options of `te` describe a connection of HTTP/1.
            if bytes == b"te" && value.as_bytes() != b"trailers" {
                continue;
            }
            let indexing = indexing(name, value);
            // A value with spaces around it is malformed (RFC 9113, section 8.2.1).
            let value = value.as_bytes().trim_ascii();
            self.encoder.field(bytes, value, indexing, out);
        }
    }

    /// Completes a header block that starts at `start`.
    #[inline]
    pub(super) fn end_block(&self, id: u32, flags: u8, start: usize, out: &mut Vec<u8>) {
        let length = out.len() - start - HEADER_SIZE;
        let most = self.peer.frame_size as usize;
        let header = FrameHeader {
            length: length.min(most) as u32,
            kind: kind::HEADERS,
            flags: match length <= most {
                true => flags | flag::END_HEADERS,
                false => flags,
            },
            stream: id,
        };
        if let Some(place) = out.get_mut(start..start + HEADER_SIZE) {
            place.copy_from_slice(&header.to_bytes());
        }
        if length > most {
            split_block(id, most, start, out);
        }
    }
}

/// Reserves the space of a frame header, and returns its position.
#[inline]
pub(super) fn begin_block(out: &mut Vec<u8>) -> usize {
    out.reserve(256);
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_SIZE]);
    start
}

/// Moves the rest of a header block into CONTINUATION frames.
#[cold]
fn split_block(id: u32, most: usize, start: usize, out: &mut Vec<u8>) {
    let rest = out.split_off(start + HEADER_SIZE + most);
    let mut pieces = rest.chunks(most).peekable();
    while let Some(piece) = pieces.next() {
        let flags = match pieces.peek() {
            Some(_) => 0,
            None => flag::END_HEADERS,
        };
        write_header(out, piece.len(), kind::CONTINUATION, flags, id);
        out.extend_from_slice(piece);
    }
}

#[inline]
fn write_data(id: u32, data: &[u8], end: bool, out: &mut Vec<u8>) {
    let flags = if end { flag::END_STREAM } else { 0 };
    out.reserve(HEADER_SIZE + data.len());
    write_header(out, data.len(), kind::DATA, flags, id);
    out.extend_from_slice(data);
}

/// The headers of the server that the handler has set itself.
#[derive(Clone, Copy, Default)]
struct ExplicitFields {
    content_type: bool,
    date: bool,
}

impl ExplicitFields {
    fn of(fields: &HeaderMap) -> ExplicitFields {
        ExplicitFields {
            content_type: fields.contains_key(http::header::CONTENT_TYPE),
            date: fields.contains_key(http::header::DATE),
        }
    }
}

/// Returns the indexing of a field: values that are different in each response are not added to the table.
fn indexing(name: &HeaderName, value: &HeaderValue) -> Indexing {
    if value.is_sensitive() {
        return Indexing::Never;
    }
    match name.as_str() {
        "age"
        | "content-disposition"
        | "content-range"
        | "etag"
        | "expires"
        | "last-modified"
        | "location"
        | "request-id"
        | "sec-websocket-accept"
        | "server-timing"
        | "set-cookie"
        | "traceparent"
        | "x-correlation-id"
        | "x-request-id" => Indexing::Without,
        // Credentials in requests of a client (RFC 7541, section 7.1.3).
        "authorization" | "proxy-authorization" => Indexing::Never,
        _ => Indexing::Add,
    }
}
