//! Responses: complete ones in one write, streamed ones piece by piece.
//!
//! Output that the windows or the connection do not accept is queued by the stream; see [`pump`](super::pump).

use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Visit};

use super::flags::{ConnectionFlags, StreamFlags};
use super::state::{ConnectionState, Http2Connection};
use super::stream::{Http2Stream, SOFT_LIMIT, StreamState};
use crate::connection::{date, owned_headers};
use crate::exchange::{BodyPiece, Exchange, Head, ResponseProgress};
use crate::h2::{ErrorCode, ResponseHead, SendError, StreamKey};
use crate::message::{ResponseBody, response_length};
use crate::{HeaderMap, Method, StatusCode};

/// The writer of a connection's output.
pub(super) trait OutputWriter {
    /// Writes the bytes that `f` appends: [`Engine::write_with`].
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool>;
}

impl OutputWriter for Connection {
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.write_with(f)
    }
}

/// Writes to the connection that is being visited, without a lookup.
impl OutputWriter for Visit<Connection> {
    #[inline]
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.write_with(f)
    }
}

/// The framing of a response: whether its body is sent, and its `Content-Length`.
#[derive(Clone, Copy)]
struct ResponseFraming {
    to_head: bool,
    sends_body: bool,
    content_length: Option<u64>,
}

impl ResponseFraming {
    #[inline]
    fn of(exchange: &Exchange, head: &Head<'_>, body: ResponseBody) -> Self {
        let to_head = *exchange.head.method() == Method::HEAD;
        let (sends_body, content_length) =
            response_length(head.status, to_head, body, head.headers);
        ResponseFraming {
            to_head,
            sends_body,
            content_length,
        }
    }
}

/// Ignores that a stream is closed, or that its body has another length: this was checked before, and otherwise nothing is written.
#[inline]
pub(super) fn ignore<T>(result: Result<T, SendError>) {
    debug_assert!(result.is_ok() || matches!(result, Err(SendError::NotOpen)));
}

/// Returns the head of a response for the codec.
#[inline]
pub(super) fn response_head<'a>(
    head: &Head<'a>,
    date: &'a date::DateText,
    body: ResponseBody,
    to_head: bool,
) -> ResponseHead<'a> {
    ResponseHead {
        status: head.status,
        content_type: head.content_type,
        date: Some(date),
        fields: head.headers,
        body,
        to_head,
    }
}

impl Http2Connection {
    /// Starts the response: counts it, and logs the headers that are replaced.
    #[inline]
    fn begin_response(
        &self,
        exchange: &Exchange,
        head: &Head<'_>,
        body: ResponseBody,
    ) -> ResponseFraming {
        let framing = ResponseFraming::of(exchange, head, body);
        exchange.response.set(ResponseProgress::Started);
        match head.headers {
            None if head.status == StatusCode::OK => self.service.count_success(),
            None => self.service.count_response(head.status),
            Some(headers) => {
                self.service.count_response(head.status);
                let length = framing
                    .content_length
                    .or(framing.sends_body.then_some(u64::MAX));
                owned_headers::log_replaced(self.conn, headers, length);
                if owned_headers::closes(headers) {
                    // The meaning of `Connection: close` (RFC 9113, section 8.2.2) for the client is that of a GOAWAY frame.
                    self.state().flags.insert(ConnectionFlags::DRAINING);
                    self.advance_later();
                }
            }
        }
        framing
    }

    /// Sends a complete response. Returns `false` if the stream is closed.
    ///
    /// Cost if the windows and the connection have room: one borrow of the state, and one append to the send buffer.
    #[inline]
    pub(super) fn send_whole(
        &self,
        writer: &impl OutputWriter,
        stream: &Http2Stream,
        exchange: &Exchange,
        head: &Head<'_>,
        body: BodyPiece<'_>,
    ) -> bool {
        if self.is_closed(stream) {
            return false;
        }
        let length = match body.len() {
            0 => ResponseBody::Empty,
            count => ResponseBody::Bytes(count as u64),
        };
        let framing = self.begin_response(exchange, head, length);
        let date = date::now();
        let response = response_head(head, &date, length, framing.to_head);
        let mut borrowed = self.state();
        let state = &mut *borrowed;
        let mut of_stream = stream.state();
        of_stream.flags.insert(StreamFlags::ENDING);
        exchange.response.set(ResponseProgress::Done);
        let key = stream.key();
        if !framing.sends_body || body.len() == 0 {
            of_stream.flags.insert(StreamFlags::ENDED);
            let codec = &mut state.codec;
            let open = writer.append(|out| ignore(codec.send_head(key, &response, true, out)));
            state.written(open);
            return true;
        }
        let at_once = match body {
            BodyPiece::Short(bytes) if state.accepts(key, bytes.len()) => Some(bytes),
            _ => None,
        };
        let codec = &mut state.codec;
        let open = writer.append(|out| {
            ignore(codec.send_head(key, &response, false, out));
            if let Some(bytes) = at_once {
                ignore(codec.send_data(key, bytes, true, out));
            }
        });
        state.written(open);
        match at_once {
            Some(_) => of_stream.flags.insert(StreamFlags::ENDED),
            None => {
                of_stream.flags.insert(StreamFlags::SENDS_BODY);
                state.queue(stream, &mut of_stream, body);
                drop(of_stream);
                drop(borrowed);
                self.pump();
            }
        }
        true
    }

    /// Sends the head of a response whose body follows in pieces.
    pub(super) fn send_head(
        &self,
        stream: &Http2Stream,
        exchange: &Exchange,
        head: &Head<'_>,
        length: ResponseBody,
    ) -> bool {
        if self.is_closed(stream) {
            return false;
        }
        let framing = self.begin_response(exchange, head, length);
        let date = date::now();
        let response = response_head(head, &date, length, framing.to_head);
        let mut borrowed = self.state();
        let state = &mut *borrowed;
        let ends = !framing.sends_body;
        let codec = &mut state.codec;
        let open = self
            .conn
            .write_with(|out| ignore(codec.send_head(stream.key(), &response, ends, out)));
        state.written(open);
        let drains = state.flags.contains(ConnectionFlags::GOING_AWAY);
        let mut of_stream = stream.state();
        of_stream.progress = Timestamp::now();
        of_stream.left = match length {
            ResponseBody::Empty => Some(0),
            ResponseBody::Bytes(length) => Some(length),
            ResponseBody::Stream => None,
        };
        of_stream.flags.insert(match ends {
            true => StreamFlags::ENDED,
            false => StreamFlags::SENDS_BODY,
        });
        drop(of_stream);
        drop(borrowed);
        if drains && let Some(early_end) = exchange.early_end() {
            self.service.end_early(early_end);
        }
        open.is_some()
    }

    /// Sends a piece of the body of a started response. Returns `false` if the writer should wait, or if the piece is not accepted.
    pub(super) fn send_piece(
        &self,
        stream: &Http2Stream,
        exchange: &Exchange,
        piece: BodyPiece<'_>,
    ) -> bool {
        if self.is_closed(stream) || !exchange.is_started() || exchange.is_done() {
            return false;
        }
        let fits = {
            let mut state = self.state();
            let state = &mut *state;
            let mut of_stream = stream.state();
            if !of_stream.flags.contains(StreamFlags::SENDS_BODY) {
                return true;
            }
            let fits = of_stream.take_from_length(piece.len());
            if fits && piece.len() > 0 {
                state.write_piece(&self.conn, stream, &mut of_stream, piece);
            }
            fits
        };
        self.pump();
        if !fits {
            tracing::error!(
                "sending a response failed: the body is longer than its Content-Length"
            );
            self.reset(stream, ErrorCode::INTERNAL_ERROR);
            return false;
        }
        !self.is_full(stream)
    }

    /// Ends a started response; returns `false` if there is none.
    pub(super) fn send_end(
        &self,
        stream: &Http2Stream,
        exchange: &Exchange,
        trailers: Option<&HeaderMap>,
    ) -> bool {
        if self.is_closed(stream) || !exchange.is_started() || exchange.is_done() {
            return false;
        }
        let is_complete = {
            let mut state = self.state();
            let state = &mut *state;
            let mut of_stream = stream.state();
            let sends_body = of_stream.flags.contains(StreamFlags::SENDS_BODY);
            let is_complete = !sends_body || of_stream.left.is_none_or(|left| left == 0);
            if is_complete {
                exchange.response.set(ResponseProgress::Done);
                of_stream.flags.insert(StreamFlags::ENDING);
                of_stream.trailers = trailers.filter(|_| sends_body).cloned().map(Box::new);
                if of_stream.output.is_empty() {
                    state.write_end(&self.conn, stream, &mut of_stream);
                }
            }
            is_complete
        };
        if is_complete {
            self.list(stream);
        } else {
            tracing::error!(
                "sending a response failed: the body is shorter than its Content-Length"
            );
            self.reset(stream, ErrorCode::INTERNAL_ERROR);
        }
        is_complete
    }

    /// Sends an interim response. Returns `true` if it is sent.
    #[cold]
    pub(super) fn send_interim(
        &self,
        stream: &Http2Stream,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> bool {
        if self.is_closed(stream) {
            return false;
        }
        let mut state = self.state();
        let codec = &mut state.codec;
        let open = self
            .conn
            .write_with(|out| ignore(codec.send_interim(stream.key(), status, headers, out)));
        state.written(open);
        open.is_some()
    }

    /// Returns `true` if nothing more is sent on a stream.
    #[inline]
    pub(super) fn is_closed(&self, stream: &Http2Stream) -> bool {
        stream.state().flags.contains(StreamFlags::CLOSED)
            || self.state().flags.contains(ConnectionFlags::CLOSING)
    }

    /// Returns `true` if the writer of a stream should wait.
    pub(super) fn is_full(&self, stream: &Http2Stream) -> bool {
        let state = self.state();
        let mut of_stream = stream.state();
        let full = of_stream.output.len() >= SOFT_LIMIT
            || !of_stream.output.is_empty()
                && state.queued >= state.codec.limits().max_queued_output();
        if full {
            of_stream.flags.insert(StreamFlags::FULL);
        }
        full
    }

    /// Resets a stream: its peer gets an error, and everything that waits for it ends in the next iteration.
    pub(super) fn reset(&self, stream: &Http2Stream, code: ErrorCode) {
        {
            let mut state = self.state();
            let mut of_stream = stream.state();
            if of_stream.flags.contains(StreamFlags::CLOSED) {
                return;
            }
            of_stream.flags.insert(StreamFlags::CLOSED);
            state.drop_output(&mut of_stream);
            state.codec.reset(stream.key(), code);
        }
        self.list(stream);
    }
}

impl StreamState {
    /// Subtracts the length of a body piece from the announced length. Returns `false` if the piece is too long.
    fn take_from_length(&mut self, piece: usize) -> bool {
        match &mut self.left {
            None => true,
            Some(left) => match left.checked_sub(piece as u64) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => false,
            },
        }
    }
}

impl ConnectionState {
    /// Returns `true` if a stream may send a number of bytes now: the windows and the connection have room, and no other output is first.
    #[inline]
    pub(super) fn accepts(&self, key: StreamKey, length: usize) -> bool {
        !self.flags.contains(ConnectionFlags::FULL)
            && self.queued == 0
            && self.codec.capacity(key) >= length
    }

    /// Records the result of a write to the connection.
    #[inline]
    pub(super) fn written(&mut self, open: Option<bool>) {
        if open != Some(true) {
            self.flags.insert(ConnectionFlags::FULL);
        }
    }

    /// Writes a body piece, or queues it.
    fn write_piece(
        &mut self,
        writer: &impl OutputWriter,
        stream: &Http2Stream,
        of_stream: &mut StreamState,
        piece: BodyPiece<'_>,
    ) {
        let key = stream.key();
        match piece {
            BodyPiece::Short(bytes) if self.accepts(key, bytes.len()) => {
                let codec = &mut self.codec;
                let open = writer.append(|out| ignore(codec.send_data(key, bytes, false, out)));
                self.written(open);
                of_stream.progress = Timestamp::now();
            }
            piece => self.queue(stream, of_stream, piece),
        }
    }

    /// Queues a body piece, which is written in the order of priorities.
    fn queue(&mut self, stream: &Http2Stream, of_stream: &mut StreamState, piece: BodyPiece<'_>) {
        if of_stream.output.is_empty() {
            of_stream.progress = Timestamp::now();
        }
        self.queued += piece.len();
        match piece {
            BodyPiece::Short(bytes) => of_stream.output.push(bytes),
            BodyPiece::Long(bytes) => of_stream.output.push(bytes),
        }
        self.codec.set_pending(stream.key(), true);
    }

    /// Discards the queued output of a stream.
    pub(super) fn drop_output(&mut self, of_stream: &mut StreamState) {
        self.queued = self.queued.saturating_sub(of_stream.output.len());
        of_stream.output.clear();
        of_stream.trailers = None;
    }
}
