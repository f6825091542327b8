//! HEADERS and CONTINUATION frames (RFC 9113, sections 6.2 and 6.10).

use bytes::BytesMut;
use http::StatusCode;

use super::client::WRONG_LENGTH;
use super::connection::Connection;
use super::error::{ConnectionError, ErrorCode};
use super::event::Event;
use super::fields::{Ignore, RequestSink, TrailerSink};
use super::frame::{FrameHeader, flag, word, write_reset};
use super::hpack::{Decoded, FieldSink, ListLimits};
use super::reader::HeaderBlock;
use super::settings::Role;
use super::streams::{Stream, StreamFlags, StreamKey, UNKNOWN_LENGTH};
use super::window::INITIAL_WINDOW;
use crate::message::{BodyLength, HeadRules, InvalidMessage, RequestHead, TargetForm};

/// Number of pseudo-headers in addition to the headers of a message.
const PSEUDO_HEADERS: usize = 5;

/// Number of parts of a `cookie` in addition to the headers of a message. Clients send each cookie as a header (RFC 9113, section 8.2.3).
const COOKIE_PARTS: usize = 128;

/// Bytes that a header block may have in addition to twice the limit of its fields.
const BLOCK_OVERHEAD: usize = 16 * 1024;

impl<T> Connection<T> {
    #[inline]
    pub(super) fn headers_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<Event>, ConnectionError> {
        if header.stream == 0 {
            return Err(ConnectionError::protocol(
                "a HEADERS frame is not for a stream",
            ));
        }
        let mut block = HeaderBlock {
            stream: header.stream,
            end: header.has(flag::END_STREAM),
            is_circular: false,
            continuations: 0,
        };
        let fragment = match header.has(flag::PADDED | flag::PRIORITY) {
            true => fragment(header, payload, &mut block)?,
            false => payload,
        };
        if header.has(flag::END_HEADERS) {
            return self.header_block(block, fragment, head);
        }
        self.reader.block.extend_from_slice(fragment);
        self.reader.headers = Some(block);
        Ok(None)
    }

    #[cold]
    pub(super) fn continuation_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<Event>, ConnectionError> {
        let Some(mut block) = self.reader.headers else {
            return Ok(None);
        };
        block.continuations += 1;
        let most = 2 * self.limits.header_bytes as usize + BLOCK_OVERHEAD;
        if block.continuations > self.limits.continuations
            || self.reader.block.len() + payload.len() > most
        {
            return self.block_too_large(block.stream);
        }
        self.reader.headers = Some(block);
        self.reader.block.extend_from_slice(payload);
        if !header.has(flag::END_HEADERS) {
            return Ok(None);
        }
        self.reader.headers = None;
        let bytes = std::mem::take(&mut self.reader.block);
        self.header_block(block, &bytes, head)
    }

    /// Fails the connection because of a header block. A client gets an event for the response first.
    #[cold]
    fn block_too_large(&mut self, id: u32) -> Result<Option<Event>, ConnectionError> {
        if self.role == Role::Client
            && let Some(event) = self.response_too_large(id, BLOCK_TOO_LARGE.reason())?
        {
            self.error.get_or_insert(BLOCK_TOO_LARGE);
            return Ok(Some(event));
        }
        Err(BLOCK_TOO_LARGE)
    }

    /// Handles a complete header block.
    #[inline]
    fn header_block(
        &mut self,
        block: HeaderBlock,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<Event>, ConnectionError> {
        if self.role == Role::Server && block.stream > self.last_peer {
            return self.request(block, bytes, head);
        }
        self.later_block(block, bytes)
    }

    /// Handles the header block of a new request.
    #[inline]
    fn request(
        &mut self,
        block: HeaderBlock,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<Event>, ConnectionError> {
        let id = block.stream;
        if id.is_multiple_of(2) {
            return Err(ConnectionError::protocol(
                "a client has opened a stream with an even identifier",
            ));
        }
        if id > self.last_peer + 2 {
            self.skipped = (self.last_peer + 1, id - 1);
        }
        self.last_peer = id;
        if id > self.last_accepted
            || self.streams.len() >= self.limits.concurrent_streams as usize
            || block.is_circular
        {
            return self.refuse(block, bytes);
        }
        let rules = HeadRules {
            connect_protocol: self.limits.connect_protocol,
            request_line: self.limits.target_bytes as usize,
        };
        let mut sink = RequestSink::new(head, rules);
        let decoded = self.decode_head(bytes, &mut sink)?;
        let most = self.limits.header_fields as usize;
        let has_too_many = sink.count > most;
        let is_too_large = decoded == Decoded::TooLarge;
        let early = self.early_priority;
        let priority = sink.priority;
        let finished = sink.finish(block.end);
        let mut stream = self.new_stream(id);
        if block.end {
            stream.flags.insert(StreamFlags::PEER_ENDED);
        }
        if early.0 == id {
            stream.priority = early.1;
        } else if let Some(priority) = priority {
            stream.priority = priority;
        }
        let stream_key = stream.key();
        let refused = match finished {
            _ if has_too_many => Some(InvalidMessage::TOO_MANY_FIELDS),
            _ if is_too_large => Some(InvalidMessage::HEAD_TOO_LARGE),
            Ok(()) => None,
            Err(invalid) if invalid.status() == StatusCode::BAD_REQUEST => {
                self.reject(block, ErrorCode::PROTOCOL_ERROR)?;
                return Ok(Some(Event::Malformed {
                    stream: stream_key,
                    reason: invalid.reason(),
                }));
            }
            Err(invalid) => Some(invalid),
        };
        if let Some(invalid) = refused {
            stream.flags.insert(StreamFlags::DISCARDS);
            self.streams.insert(stream);
            return Ok(Some(Event::TooLarge {
                stream: stream_key,
                status: invalid.status(),
                reason: invalid.reason(),
            }));
        }
        stream.receive_left = match head.body() {
            BodyLength::Bytes(length) => length,
            _ if block.end => 0,
            // The data of a tunnel has no length.
            BodyLength::None | BodyLength::Chunked => UNKNOWN_LENGTH,
        };
        if head.is_upgrade() || head.form() == TargetForm::Authority {
            stream.flags.insert(StreamFlags::TUNNEL);
        }
        self.streams.insert(stream);
        Ok(Some(Event::Request {
            stream: stream_key,
            end: block.end,
        }))
    }

    /// Creates a stream with the initial windows.
    pub(super) fn new_stream(&self, id: u32) -> Stream<T> {
        // A window below the initial value of the protocol applies after the peer has acknowledged it.
        let receive_window = match self.unacknowledged {
            0 => self.limits.stream_window,
            _ => self.limits.stream_window.max(INITIAL_WINDOW),
        };
        Stream::new(id, self.peer.initial_window, receive_window)
    }

    /// Refuses a request, whose header block is still decoded, as it changes the table.
    #[cold]
    fn refuse(
        &mut self,
        block: HeaderBlock,
        bytes: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        self.ignore_block(bytes)?;
        if block.is_circular {
            return self.reject(block, ErrorCode::PROTOCOL_ERROR);
        }
        if block.stream > self.last_accepted {
            // The peer has not received GOAWAY yet.
            self.charge_overhead()?;
            write_reset(&mut self.control, block.stream, ErrorCode::REFUSED_STREAM);
            if !block.end {
                self.resets.add(block.stream);
            }
            return Ok(None);
        }
        self.reject(block, ErrorCode::REFUSED_STREAM)
    }

    /// Resets a stream that the program does not know.
    #[cold]
    fn reject(
        &mut self,
        block: HeaderBlock,
        code: ErrorCode,
    ) -> Result<Option<Event>, ConnectionError> {
        self.glitch()?;
        write_reset(&mut self.control, block.stream, code);
        if !block.end {
            self.resets.add(block.stream);
        }
        Ok(None)
    }

    /// Decodes a header block only to keep the two tables in step.
    fn ignore_block(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.decode(bytes, &mut Ignore).map(|_| ())
    }

    /// Decodes the header block of a message.
    pub(super) fn decode_head(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FieldSink,
    ) -> Result<Decoded, ConnectionError> {
        let limits = ListLimits {
            fields: self.limits.header_fields as usize + PSEUDO_HEADERS + COOKIE_PARTS,
            bytes: self.limits.header_bytes as usize,
        };
        self.decoder
            .decode(bytes, limits, sink)
            .map_err(compression_error)
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FieldSink,
    ) -> Result<Decoded, ConnectionError> {
        let limits = ListLimits {
            fields: self.limits.header_fields as usize,
            bytes: self.limits.trailer_bytes as usize,
        };
        self.decoder
            .decode(bytes, limits, sink)
            .map_err(compression_error)
    }

    /// Handles a header block of a stream that was opened before.
    #[cold]
    fn later_block(
        &mut self,
        block: HeaderBlock,
        bytes: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        let id = block.stream;
        let Some(stream) = self.streams.get_mut(id) else {
            return self.block_of_closed_stream(block, bytes);
        };
        if stream.has(StreamFlags::PEER_ENDED) {
            let is_closed = stream.has(StreamFlags::ENDED | StreamFlags::RESET);
            self.ignore_block(bytes)?;
            return match is_closed {
                true => Err(CLOSED),
                false => self.stream_error(id, ErrorCode::STREAM_CLOSED),
            };
        }
        let is_unwanted = stream.has(StreamFlags::RESET | StreamFlags::DISCARDS);
        let is_valid = block.end && matches!(stream.receive_left, 0 | UNKNOWN_LENGTH);
        let has_head = stream.has(StreamFlags::HEAD_RECEIVED);
        if is_unwanted {
            if block.end {
                stream.flags.insert(StreamFlags::PEER_ENDED);
            }
            let is_end = block.end && !stream.has(StreamFlags::RESET);
            self.charge_overhead()?;
            self.ignore_block(bytes)?;
            return Ok(is_end.then(|| Event::Data {
                stream: StreamKey { id },
                bytes: BytesMut::new(),
                end: true,
            }));
        }
        if self.role == Role::Client && !has_head {
            return self.response(block, bytes);
        }
        if block.end
            && let Some(stream) = self.streams.get_mut(id)
        {
            stream.flags.insert(StreamFlags::PEER_ENDED);
        }
        let mut sink = TrailerSink::new();
        let decoded = self.decode(bytes, &mut sink)?;
        let reason = match sink.finish() {
            Ok(trailers) if is_valid && decoded == Decoded::Complete => {
                return Ok(Some(Event::Trailers {
                    stream: StreamKey { id },
                    trailers,
                }));
            }
            _ if self.role == Role::Server => {
                return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
            }
            _ if decoded == Decoded::TooLarge => {
                return self.response_too_large(id, "the trailers of the response are too large");
            }
            Err(invalid) => invalid.reason(),
            _ if block.end => WRONG_LENGTH,
            _ => "the trailers of the response do not end the stream",
        };
        self.response_malformed(id, reason)
    }

    fn block_of_closed_stream(
        &mut self,
        block: HeaderBlock,
        bytes: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        let id = block.stream;
        if self.is_idle(id) || (self.skipped.0..=self.skipped.1).contains(&id) {
            return Err(ConnectionError::protocol(
                "the identifier of a new stream is not greater than the earlier ones",
            ));
        }
        if !self.resets.contains(id) {
            return Err(CLOSED);
        }
        self.charge_overhead()?;
        self.ignore_block(bytes)?;
        Ok(None)
    }
}

/// The error for a header block that is larger, or has more CONTINUATION frames, than allowed.
const BLOCK_TOO_LARGE: ConnectionError =
    ConnectionError::excessive("a header block is larger, or in more frames, than allowed");

const CLOSED: ConnectionError = ConnectionError::new(
    ErrorCode::STREAM_CLOSED,
    "a HEADERS frame is for a closed stream",
);

fn compression_error(_: super::hpack::DecodeError) -> ConnectionError {
    ConnectionError::new(
        ErrorCode::COMPRESSION_ERROR,
        "a header block is not valid HPACK",
    )
}

/// Returns the part of a payload without padding and priority.
#[cold]
fn fragment<'a>(
    header: FrameHeader,
    mut payload: &'a [u8],
    block: &mut HeaderBlock,
) -> Result<&'a [u8], ConnectionError> {
    const TOO_SHORT: ConnectionError =
        ConnectionError::frame_size("a HEADERS frame is too short for its flags");
    let mut padding = 0;
    if header.has(flag::PADDED) {
        let (length, rest) = payload.split_first().ok_or(TOO_SHORT)?;
        padding = usize::from(*length);
        payload = rest;
    }
    if header.has(flag::PRIORITY) {
        let dependency = word(payload).ok_or(TOO_SHORT)?;
        block.is_circular = dependency & 0x7fff_ffff == header.stream;
        payload = payload.get(5..).ok_or(TOO_SHORT)?;
    }
    let length = payload.len().checked_sub(padding);
    length
        .and_then(|length| payload.get(..length))
        .ok_or(ConnectionError::protocol(
            "the padding of a HEADERS frame is longer than its payload",
        ))
}
