//! Responses as bytes: whole ones in one write, streamed ones piece by piece.

use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Visit};
use uptick_stream::FileRange;

use super::flags::Flags;
use super::state::{HttpConnection, State};
use super::{date, owned_headers};
use crate::exchange::{BodyProgress, Exchange, Head, Piece, ResponseProgress, Transport};
use crate::h1::{
    Encoder, Persistence, ResponseBody, ResponseHead, Version, write_interim, write_plain,
};
use crate::{HeaderMap, HttpError, Method, Response, StatusCode};

/// The values that the head of a response depends on beside the response.
#[derive(Clone, Copy)]
struct Context {
    version: Version,
    to_head: bool,
    persistence: Persistence,
    /// The number of bytes of the head that were sent ahead.
    ahead: u8,
}

/// The stream of a connection as responses are written to it.
pub(super) trait Outlet {
    /// Writes what `f` appends: [`Engine::write_with`].
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool>;
}

impl Outlet for Connection {
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.write_with(f)
    }
}

/// While it is visited, nothing is looked up.
impl Outlet for Visit<Connection> {
    #[inline]
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.write_with(f)
    }
}

/// States in which a response is not a usual one.
const UNUSUAL: Flags = Flags::CLOSING
    .union(Flags::DRAINING)
    .union(Flags::HALF_OPEN)
    .union(Flags::LAST)
    .union(Flags::PEER_ENDED);

impl HttpConnection {
    /// Begins the response.
    fn begin_response(&self, exchange: &Exchange, status: StatusCode) -> Context {
        self.service.count_response(status);
        exchange.response.set(ResponseProgress::Started);
        let mut state = self.state();
        let unread = !exchange.is_received()
            && (exchange.expects.get()
                || exchange.long.get()
                || exchange.body.get() == BodyProgress::Failed
                || state.announced() > u64::from(self.service.site().settings.drain_limit));
        if unread || state.flags.intersects(Flags::DRAINING | Flags::PEER_ENDED) {
            state.flags.insert(Flags::LAST);
        }
        Context {
            version: exchange.head.version(),
            to_head: *exchange.head.method() == Method::HEAD,
            persistence: state.persistence(),
            ahead: state.sent_ahead(),
        }
    }

    /// Logs the headers that the server replaces, for a response that is about to be written.
    #[inline]
    fn log_replaced(&self, head: &Head<'_>, context: Context, body: ResponseBody) {
        let Some(headers) = head.headers else { return };
        let keeps_length = context.to_head || head.status == StatusCode::NOT_MODIFIED;
        let length = match body {
            ResponseBody::Empty if keeps_length => None,
            ResponseBody::Empty => Some(0),
            ResponseBody::Bytes(length) => Some(length),
            // None is sent.
            ResponseBody::Stream => Some(u64::MAX),
        };
        owned_headers::log_replaced(self.conn, headers, length);
    }

    /// Sends an interim response; returns whether it is sent. One that was begun ahead of the response cannot be.
    #[cold]
    pub(super) fn send_interim(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let flags = self.state().flags;
        if flags.intersects(Flags::CLOSING | Flags::HALF_OPEN | Flags::PEER_ENDED) {
            return false;
        }
        let open = self
            .conn
            .write_with(|out| write_interim(out, status, headers));
        open.is_some()
    }

    /// Sends a whole response; returns `false` when the connection closes.
    ///
    /// Cost of a usual one: the state is looked at once, and all of it is appended to the send buffer at once.
    #[inline]
    pub(super) fn send_whole(
        &self,
        outlet: &impl Outlet,
        exchange: &Exchange,
        head: &Head<'_>,
        body: Piece<'_>,
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
        let (Some(content_type), Piece::Short(body)) = (head.content_type, &body) else {
            return self.send_any(exchange, head, body);
        };
        self.service.count_success();
        let date = date::now();
        let open = outlet.append(|out| write_plain(out, content_type, &date, body));
        exchange.response.set(ResponseProgress::Done);
        if open != Some(true) {
            self.state().note_room(open);
        }
        if !flags.contains(Flags::ADVANCING) {
            self.advance_later();
        }
        true
    }

    /// [`send_whole`](HttpConnection::send_whole) for any response.
    #[inline(never)]
    fn send_any(&self, exchange: &Exchange, head: &Head<'_>, body: Piece<'_>) -> bool {
        if self.state().flags.contains(Flags::CLOSING) {
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
            if let Piece::Short(bytes) = body
                && sends
            {
                out.extend_from_slice(bytes);
            }
        });
        if let Piece::Long(bytes) = body
            && sends
            && open.is_some()
        {
            open = Some(self.conn.write(bytes));
        }
        self.sent(exchange, persistence, open);
        true
    }

    /// Notes that the response is written whole.
    fn sent(&self, exchange: &Exchange, persistence: Persistence, open: Option<bool>) {
        let mut state = self.state();
        exchange.response.set(ResponseProgress::Done);
        if !exchange.is_received() {
            // The rest of the body is discarded, and has its own time and limit.
            state.since = Timestamp::now();
            state.counted = 0;
        }
        if persistence != Persistence::KeepAlive {
            state.flags.insert(Flags::LAST);
        }
        state.note_room(open);
        if !state.flags.contains(Flags::ADVANCING) {
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
            state.note_room(open);
            state.streaming().encoder = encoder;
            state.flags.contains(Flags::DRAINING)
        };
        if drains && let Some(early_end) = exchange.early_end() {
            self.service.end_early(early_end);
        }
        open.is_some()
    }

    /// Writes a piece of a response that has begun; returns `false` when the writer should wait, or nothing is taken.
    pub(super) fn send_piece(&self, exchange: &Exchange, piece: Piece<'_>) -> bool {
        let Some(mut encoder) = self.state().encoder(exchange) else {
            return false;
        };
        let mut result = Ok(false);
        let length = piece.len();
        let mut open = self.conn.write_with(|out| {
            result = encoder.open_piece(out, length);
            if let Piece::Short(bytes) = piece
                && result == Ok(true)
            {
                out.extend_from_slice(bytes);
                encoder.close_piece(out);
            }
        });
        if let Piece::Long(bytes) = piece
            && result == Ok(true)
            && open.is_some()
        {
            self.conn.write(bytes);
            open = self.conn.write_with(|out| encoder.close_piece(out));
        }
        if let Err(error) = result {
            tracing::error!("a response is longer than it said: {error}");
            self.cut();
            return false;
        }
        let mut state = self.state();
        state.note_room(open);
        state.streaming().encoder = Some(encoder);
        open == Some(true)
    }

    /// Sends a file as the whole body, which has a length; returns `true` when it is sent.
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
        // With a length, there is nothing between the head and the body.
        if encoder.open_piece(&mut Vec::new(), length) != Ok(true) {
            return Ok(true);
        }
        let sent = self.conn.write_file(range)?;
        let mut state = self.state();
        state.note_room(Some(sent));
        state.streaming().encoder = Some(encoder);
        Ok(sent)
    }

    /// Ends a response that has begun; returns `false` when there is none.
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
                self.sent(exchange, persistence, open);
                true
            }
            Err(error) => {
                tracing::error!("a response broke off: {error}");
                self.cut();
                false
            }
        }
    }

    /// Sends the head of a response after which the connection speaks another protocol; returns whether it is sent.
    pub(super) fn send_upgrade(&self, exchange: &Exchange, head: &Head<'_>) -> bool {
        let context = self.begin_response(exchange, head.status);
        let open = self.conn.write_with(|out| {
            let _ = encode(head, context, ResponseBody::Empty, out);
        });
        open.is_some()
    }

    /// Sends an error to what is no request, and ends the connection.
    #[cold]
    pub(super) fn refuse(&self, status: StatusCode, reason: &'static str) {
        {
            let mut state = self.state();
            if state.flags.contains(Flags::CLOSING) {
                return;
            }
            state.flags.insert(Flags::LAST);
        }
        let mut response = Response::from(HttpError::new(status, reason));
        let site = self.service.site();
        if site.hooks.finishes() {
            response = site.hooks.finish(Some(self.conn), response, None);
        }
        self.service.count_response(response.status());
        let context = Context {
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

impl State {
    fn persistence(&self) -> Persistence {
        match self.flags.contains(Flags::LAST) {
            true => Persistence::Close,
            false => Persistence::KeepAlive,
        }
    }

    #[inline]
    fn note_room(&mut self, open: Option<bool>) {
        self.note_sent();
        match open {
            Some(true) => {}
            Some(false) => self.flags.insert(Flags::FULL),
            // Nothing can be written any more: a writer waits for the close, which is on its way.
            None => self.flags.insert(Flags::LAST | Flags::FULL),
        }
    }
}

/// Writes the head.
fn encode(head: &Head<'_>, context: Context, body: ResponseBody, out: &mut Vec<u8>) -> Encoder {
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
