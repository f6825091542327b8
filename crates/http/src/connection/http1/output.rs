//! Encoding of responses: complete ones in one write, streamed ones piece by piece.

use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Visit};
use uptick_stream::FileRange;

use super::flags::ConnectionFlags;
use super::state::{ConnectionState, HttpConnection};
use crate::connection::{date, owned_headers};
use crate::exchange::{
    BodyPiece, BodyProgress, Exchange, ExchangeTransport, Head, ResponseProgress,
};
use crate::h1::{
    Encoder, Persistence, ResponseBody, ResponseHead, Version, write_interim, write_plain,
};
use crate::{HeaderMap, HttpError, Method, Response, StatusCode};

/// The properties of the request and connection that the head of a response depends on.
#[derive(Clone, Copy)]
struct ResponseContext {
    version: Version,
    to_head: bool,
    persistence: Persistence,
    /// Number of bytes of the head that were sent in advance.
    ahead: u8,
}

/// The writer of responses.
pub(super) trait ResponseWriter {
    /// Writes the bytes that `f` appends: [`Engine::write_with`].
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool>;
}

impl ResponseWriter for Connection {
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.write_with(f)
    }
}

/// Writes to the stream that is being visited, without a lookup.
impl ResponseWriter for Visit<Connection> {
    #[inline]
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.write_with(f)
    }
}

/// Flags that exclude the fast path for responses.
const UNUSUAL: ConnectionFlags = ConnectionFlags::CLOSING
    .union(ConnectionFlags::DRAINING)
    .union(ConnectionFlags::HALF_OPEN)
    .union(ConnectionFlags::LAST)
    .union(ConnectionFlags::PEER_ENDED);

impl HttpConnection {
    /// Starts the response.
    fn begin_response(&self, exchange: &Exchange, status: StatusCode) -> ResponseContext {
        self.service.count_response(status);
        exchange.response.set(ResponseProgress::Started);
        let mut state = self.state();
        let unread = !exchange.is_received()
            && (exchange.awaits_continue.get()
                || exchange.exceeds_drain_limit.get()
                || exchange.body.get() == BodyProgress::Failed
                || state.announced() > u64::from(self.service.site().settings.drain_limit));
        if unread
            || state
                .flags
                .intersects(ConnectionFlags::DRAINING | ConnectionFlags::PEER_ENDED)
        {
            state.flags.insert(ConnectionFlags::LAST);
        }
        ResponseContext {
            version: exchange.head.version(),
            to_head: *exchange.head.method() == Method::HEAD,
            persistence: state.persistence(),
            ahead: state.bytes_sent_ahead(),
        }
    }

    /// Logs the headers that the server replaces in a response that is about to be written.
    #[inline]
    fn log_replaced(&self, head: &Head<'_>, context: ResponseContext, body: ResponseBody) {
        let Some(headers) = head.headers else { return };
        let keeps_length = context.to_head || head.status == StatusCode::NOT_MODIFIED;
        let length = match body {
            ResponseBody::Empty if keeps_length => None,
            ResponseBody::Empty => Some(0),
            ResponseBody::Bytes(length) => Some(length),
            // No `Content-Length` is sent.
            ResponseBody::Stream => Some(u64::MAX),
        };
        owned_headers::log_replaced(self.conn, headers, length);
    }

    /// Sends an interim response, and returns `true` if it is sent. It is not sent if bytes of the final response were sent in advance.
    #[cold]
    pub(super) fn send_interim(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let flags = self.state().flags;
        if flags.intersects(
            ConnectionFlags::CLOSING | ConnectionFlags::HALF_OPEN | ConnectionFlags::PEER_ENDED,
        ) {
            return false;
        }
        let open = self
            .conn
            .write_with(|out| write_interim(out, status, headers));
        open.is_some()
    }

    /// Sends a complete response. Returns `false` if the connection is closing.
    ///
    /// Cost on the fast path: one read of the state, and one append to the send buffer.
    #[inline]
    pub(super) fn send_whole(
        &self,
        writer: &impl ResponseWriter,
        exchange: &Exchange,
        head: &Head<'_>,
        body: BodyPiece<'_>,
    ) -> bool {
        let flags = self.state().flags;
        if flags.intersects(UNUSUAL)
            || !exchange.is_received()
            || !exchange.head.is_plain()
            || head.status != StatusCode::OK
            || head.headers.is_some()
        {
            return self.send_any(exchange, head, body);
        }
        let (Some(content_type), BodyPiece::Short(body)) = (head.content_type, &body) else {
            return self.send_any(exchange, head, body);
        };
        self.service.count_success();
        let date = date::now();
        let open = writer.append(|out| write_plain(out, content_type, &date, body));
        exchange.response.set(ResponseProgress::Done);
        if open != Some(true) {
            self.state().update_write_state(open);
        }
        if !flags.contains(ConnectionFlags::ADVANCING) {
            self.advance_later();
        }
        true
    }

    /// Same as [`send_whole`](HttpConnection::send_whole), for every response.
    #[inline(never)]
    fn send_any(&self, exchange: &Exchange, head: &Head<'_>, body: BodyPiece<'_>) -> bool {
        if self.state().flags.contains(ConnectionFlags::CLOSING) {
            return false;
        }
        let context = self.begin_response(exchange, head.status);
        let length = match body.len() {
            0 => ResponseBody::Empty,
            count => ResponseBody::Bytes(count as u64),
        };
        self.log_replaced(head, context, length);
        let mut persistence = context.persistence;
        let mut sends = false;
        let mut open = self.conn.write_with(|out| {
            let encoder = encode(head, context, length, out);
            persistence = encoder.persistence();
            sends = encoder.sends_body();
            if let BodyPiece::Short(bytes) = body
                && sends
            {
                out.extend_from_slice(bytes);
            }
        });
        if let BodyPiece::Long(bytes) = body
            && sends
            && open.is_some()
        {
            open = Some(self.conn.write(bytes));
        }
        self.response_written(exchange, persistence, open);
        true
    }

    /// Updates the state after the whole response was written.
    fn response_written(&self, exchange: &Exchange, persistence: Persistence, open: Option<bool>) {
        let mut state = self.state();
        exchange.response.set(ResponseProgress::Done);
        if !exchange.is_received() {
            // The rest of the body is discarded, within its own time and size limits.
            state.since = Timestamp::now();
            state.counted = 0;
        }
        if persistence != Persistence::KeepAlive {
            state.flags.insert(ConnectionFlags::LAST);
        }
        state.update_write_state(open);
        if !state.flags.contains(ConnectionFlags::ADVANCING) {
            drop(state);
            self.advance_later();
        }
    }

    /// Writes the head of a response whose body follows in pieces.
    pub(super) fn send_head(
        &self,
        exchange: &Exchange,
        head: &Head<'_>,
        length: ResponseBody,
    ) -> bool {
        let context = self.begin_response(exchange, head.status);
        self.log_replaced(head, context, length);
        let mut encoder = None;
        let open = self
            .conn
            .write_with(|out| encoder = Some(encode(head, context, length, out)));
        let drains = {
            let mut state = self.state();
            state.update_write_state(open);
            state.streaming().encoder = encoder;
            state.flags.contains(ConnectionFlags::DRAINING)
        };
        if drains && let Some(early_end) = exchange.early_end() {
            self.service.end_early(early_end);
        }
        open.is_some()
    }

    /// Writes a body piece of a response in progress. Returns `false` if the writer should wait, or if the piece is not accepted.
    pub(super) fn send_piece(&self, exchange: &Exchange, piece: BodyPiece<'_>) -> bool {
        let Some(mut encoder) = self.state().encoder(exchange) else {
            return false;
        };
        let mut result = Ok(false);
        let length = piece.len();
        let mut open = self.conn.write_with(|out| {
            result = encoder.open_piece(out, length);
            if let BodyPiece::Short(bytes) = piece
                && result == Ok(true)
            {
                out.extend_from_slice(bytes);
                encoder.close_piece(out);
            }
        });
        if let BodyPiece::Long(bytes) = piece
            && result == Ok(true)
            && open.is_some()
        {
            self.conn.write(bytes);
            open = self.conn.write_with(|out| encoder.close_piece(out));
        }
        if let Err(error) = result {
            tracing::error!("sending a response failed: {error}");
            self.abort();
            return false;
        }
        let mut state = self.state();
        state.update_write_state(open);
        state.streaming().encoder = Some(encoder);
        open == Some(true)
    }

    /// Sends a file as the whole body of known length. Returns `true` if it is sent completely.
    pub(super) fn send_file(
        &self,
        exchange: &Exchange,
        range: FileRange,
    ) -> Result<bool, FileRange> {
        let Some(mut encoder) = self.state().encoder(exchange) else {
            return Ok(false);
        };
        let Ok(length) = usize::try_from(range.len()) else {
            return Err(range);
        };
        // With a Content-Length, no framing bytes precede the body.
        if encoder.open_piece(&mut Vec::new(), length) != Ok(true) {
            return Ok(true);
        }
        let sent = self.conn.write_file(range)?;
        let mut state = self.state();
        state.update_write_state(Some(sent));
        state.streaming().encoder = Some(encoder);
        Ok(sent)
    }

    /// Ends a response in progress; returns `false` if there is none.
    pub(super) fn send_end(&self, exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool {
        let Some(encoder) = self.state().encoder(exchange) else {
            return false;
        };
        let mut result = Ok(encoder.persistence());
        let open = self
            .conn
            .write_with(|out| result = encoder.finish(out, trailers));
        match result {
            Ok(persistence) => {
                self.response_written(exchange, persistence, open);
                true
            }
            Err(error) => {
                tracing::error!("sending a response failed: {error}");
                self.abort();
                false
            }
        }
    }

    /// Sends the head of a response after which the connection switches to another protocol. Returns `true` if it is sent.
    pub(super) fn send_upgrade(&self, exchange: &Exchange, head: &Head<'_>) -> bool {
        let context = self.begin_response(exchange, head.status);
        let open = self.conn.write_with(|out| {
            let _ = encode(head, context, ResponseBody::Empty, out);
        });
        open.is_some()
    }

    /// Responds to invalid input with an error, and closes the connection.
    #[cold]
    pub(super) fn refuse(&self, status: StatusCode, reason: &'static str) {
        {
            let mut state = self.state();
            if state.flags.contains(ConnectionFlags::CLOSING) {
                return;
            }
            state.flags.insert(ConnectionFlags::LAST);
        }
        let mut response = Response::from(HttpError::new(status, reason));
        let site = self.service.site();
        if site.hooks.finishes() {
            response = site.hooks.finish(Some(self.conn), response, None);
        }
        self.service.count_response(response.status());
        let context = ResponseContext {
            version: Version::Http11,
            to_head: false,
            persistence: Persistence::Close,
            ahead: 0,
        };
        let bytes = response.body().as_bytes().unwrap_or_default();
        self.conn.write_with(|out| {
            let length = ResponseBody::Bytes(bytes.len() as u64);
            if encode(&Head::of(&response), context, length, out).sends_body() {
                out.extend_from_slice(bytes);
            }
        });
        self.end();
    }
}

impl ConnectionState {
    fn persistence(&self) -> Persistence {
        match self.flags.contains(ConnectionFlags::LAST) {
            true => Persistence::Close,
            false => Persistence::KeepAlive,
        }
    }

    #[inline]
    fn update_write_state(&mut self, open: Option<bool>) {
        self.record_write();
        match open {
            Some(true) => {}
            Some(false) => self.flags.insert(ConnectionFlags::FULL),
            // The connection accepts no more bytes: writers wait for the close, which follows.
            None => self
                .flags
                .insert(ConnectionFlags::LAST | ConnectionFlags::FULL),
        }
    }
}

/// Writes the head of a response.
fn encode(
    head: &Head<'_>,
    context: ResponseContext,
    body: ResponseBody,
    out: &mut Vec<u8>,
) -> Encoder {
    let start = out.len();
    let date = date::now();
    let head = ResponseHead {
        status: head.status,
        reason: None,
        content_type: head.content_type,
        date: str::from_utf8(&date).ok(),
        fields: head.headers,
        body,
        version: context.version,
        to_head: context.to_head,
        persistence: context.persistence,
    };
    let encoder = Encoder::begin_checked(out, &head);
    if context.ahead > 0 {
        out.drain(start..start + usize::from(context.ahead));
    }
    encoder
}
