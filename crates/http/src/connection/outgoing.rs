//! Answers: whole ones in one write, streamed ones piece by piece.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use uptick_emitter::Excerpt;
use uptick_event_loop::{Id, catch, spawn};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;
use uptick_stream::Chunk;

use super::exchange::keep_task;
use super::flags::Flags;
use super::{
    At, Entry, Timestamp, advance_later, date, files, owned_headers, steps, upgrading, with_entry,
    with_exchange,
};
use crate::h1::{Encoder, Persistence, ResponseBody, ResponseHead, Version};
use crate::handler::contained;
use crate::response::Parts;
use crate::server::Service;
use crate::{Body, BodyStream, HeaderMap, HttpError, Request, Response, StatusCode, Upgrade};

/// Pieces up to this many bytes are copied behind the head; longer ones are handed on as they are.
const COPIED: usize = 4096;

/// How many bytes of a stream that always has more are sent before others get their turn: 1 MiB.
const TURN: usize = 1024 * 1024;

/// What an answer depends on beside the response.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    conn: Connection,
    version: Version,
    to_head: bool,
    persistence: Persistence,
    /// Bytes of the head that were sent ahead.
    ahead: u8,
}

impl Entry {
    /// Begins the answer.
    #[inline]
    fn start(&mut self) -> Facts {
        self.flags.insert(Flags::STARTED);
        let unread = !self.flags.contains(Flags::RECEIVED)
            && (self
                .flags
                .intersects(Flags::EXPECTS | Flags::LONG | Flags::BODY_FAILED)
                || self.decoder.announced() > u64::from(self.service.drain_limit()));
        if unread || self.flags.intersects(Flags::DRAINING | Flags::PEER_ENDED) {
            self.flags.insert(Flags::LAST);
        }
        let last = self.flags.contains(Flags::LAST);
        Facts {
            conn: self.conn,
            version: if self.flags.contains(Flags::OLD) {
                Version::Http10
            } else {
                Version::Http11
            },
            to_head: self.flags.contains(Flags::TO_HEAD),
            persistence: if last {
                Persistence::Close
            } else {
                Persistence::KeepAlive
            },
            ahead: self.sent_ahead(),
        }
    }
}

/// Sends a response; `false` if there was one already or the client has gone.
#[inline]
pub(crate) fn respond(at: At, response: Response) -> bool {
    match response.failure() {
        None => send(at, response, None, false),
        Some(_) => fail(at, response, request_of(at).as_ref()),
    }
}

/// Sends the response to a request, as [`respond`].
#[inline]
pub(super) fn respond_to(request: &Request, response: Response) -> bool {
    match response.failure() {
        None => send(request.at(), response, Some(request), false),
        Some(_) => fail(request.at(), response, Some(request)),
    }
}

/// Sends a response that stands for an error. If it comes of a panic, the response that has begun is cut off.
#[cold]
fn fail(at: At, response: Response, request: Option<&Request>) -> bool {
    let panicked = response.failure().is_some_and(HttpError::is_panic);
    let response = shaped(at, response, request);
    if send(at, response, request, false) {
        return true;
    }
    if panicked {
        let whole = with_exchange(at, |entry| {
            entry.flags.insert(Flags::LAST);
            entry.flags.contains(Flags::ANSWERED)
        });
        if whole == Some(false) {
            cut(at);
        }
    }
    false
}

/// The request of an exchange, where it is kept because the response takes longer.
fn request_of(at: At) -> Option<Request> {
    with_exchange(at, |entry| {
        let request = entry.exchange.as_ref()?.request.as_ref();
        request.map(Request::again)
    })
    .flatten()
}

/// How an answer begins.
enum Begun {
    /// It is sent.
    Sent(Facts),
    /// The server has something to say to it first.
    Finishes(Connection, Rc<Service>),
}

/// Sends an answer, once it is `finished`.
#[inline]
fn send(at: At, response: Response, request: Option<&Request>, finished: bool) -> bool {
    let begun = with_exchange(at, |entry| {
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            // There is no knowing how much of it is still to come.
            entry.flags.insert(Flags::LONG);
        }
        if entry.flags.contains(Flags::STARTED) {
            return None;
        }
        if !finished && entry.service.finishes() {
            return Some(Begun::Finishes(entry.conn, Rc::clone(&entry.service)));
        }
        Some(Begun::Sent(entry.start()))
    });
    let facts = match begun.flatten() {
        Some(Begun::Sent(facts)) => facts,
        Some(Begun::Finishes(conn, service)) => {
            let response = service.finished(conn, response, request);
            return send(at, response, request, true);
        }
        None => return false,
    };
    let Parts {
        status,
        content_type,
        headers,
        body,
    } = response.into_parts();
    let head = Head {
        status,
        content_type,
        headers: headers.as_deref(),
        request,
    };
    match body {
        Body::Upgrade(upgrade) => return send_upgrade(at, facts, &head, upgrade),
        _ if status.is_informational() => spoilt(at, interim(status), request),
        Body::File(range) => return files::send_file(at, facts, &head, range),
        Body::Stream(stream) => return send_stream(at, facts, &head, stream),
        body => send_whole(at, facts, &head, body),
    }
    true
}

/// The head of a response.
pub(super) struct Head<'a> {
    status: StatusCode,
    content_type: Option<&'static str>,
    headers: Option<&'a HeaderMap>,
    /// The request, unless the exchange has it.
    request: Option<&'a Request>,
}

impl Head<'_> {
    /// Logs the headers that the server replaces, for a response that is about to be written.
    #[inline]
    fn log_replaced(&self, facts: Facts, body: ResponseBody) {
        let Some(headers) = self.headers else { return };
        let keeps_length = facts.to_head || self.status == StatusCode::NOT_MODIFIED;
        let length = match body {
            ResponseBody::Empty if keeps_length => None,
            ResponseBody::Empty => Some(0),
            ResponseBody::Bytes(length) => Some(length),
            // None is sent.
            ResponseBody::Stream => Some(u64::MAX),
        };
        owned_headers::log_replaced(facts.conn, headers, length);
    }

    /// Writes the head. What a [`Response`] is made of is fit for one.
    #[inline]
    fn encode(&self, facts: Facts, body: ResponseBody, out: &mut Vec<u8>) -> Encoder {
        let date = date::now();
        let start = out.len();
        let encoder = Encoder::begin_checked(
            out,
            &ResponseHead {
                status: self.status,
                reason: None,
                content_type: self.content_type,
                date: date.as_deref(),
                fields: self.headers,
                body,
                version: facts.version,
                to_head: facts.to_head,
                persistence: facts.persistence,
            },
        );
        if facts.ahead > 0 {
            out.drain(start..start + usize::from(facts.ahead));
        }
        encoder
    }
}

/// Sends an answer whose body is in memory.
#[inline]
fn send_whole(at: At, facts: Facts, head: &Head<'_>, body: Body) {
    let bytes = body.as_bytes().unwrap_or_default();
    let length = match bytes.len() {
        0 => ResponseBody::Empty,
        count => ResponseBody::Bytes(count as u64),
    };
    head.log_replaced(facts, length);
    let short = bytes.len() <= COPIED;
    let mut persistence = facts.persistence;
    let mut sends = false;
    let mut open = facts.conn.write_with(|out| {
        let encoder = head.encode(facts, length, out);
        persistence = encoder.persistence();
        sends = encoder.sends_body();
        if sends && short {
            out.extend_from_slice(bytes);
        }
    });
    if sends && !short && open.is_some() {
        open = Some(facts.conn.write(match body {
            Body::Static(bytes) => Bytes::from_static(bytes),
            Body::Bytes(bytes) => bytes,
            _ => Bytes::new(),
        }));
    }
    answered(at, persistence, open);
}

/// The answer is written whole.
#[inline]
fn answered(at: At, persistence: Persistence, open: Option<bool>) {
    let waits = with_exchange(at, |entry| {
        entry.flags.insert(Flags::ANSWERED);
        if !entry.flags.contains(Flags::RECEIVED) {
            // The rest of the body is thrown away, and has its own time and limit.
            entry.since = Timestamp::now();
            entry.counted = 0;
        }
        if persistence != Persistence::KeepAlive {
            entry.flags.insert(Flags::LAST);
        }
        entry.note_room(open);
        !entry.flags.contains(Flags::ADVANCING)
    });
    if waits == Some(true) {
        advance_later(at.key);
    }
}

impl Entry {
    #[inline]
    pub(super) fn note_room(&mut self, open: Option<bool>) {
        self.note_sent();
        match open {
            Some(true) => {}
            Some(false) => self.flags.insert(Flags::FULL),
            // Nothing can be written any more: whoever writes waits for the close, which is on its way.
            None => self.flags.insert(Flags::LAST | Flags::FULL),
        }
    }
}

/// The response cannot be sent as it is, and nothing of it was: the client gets an error in its place.
#[cold]
fn spoilt(
    at: At,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    request: Option<&Request>,
) {
    with_exchange(at, |entry| entry.flags.remove(Flags::STARTED));
    let kept = request_of(at);
    let request = request.or(kept.as_ref());
    let response = shaped(at, HttpError::internal(error).into(), request);
    // What finishes answers may be what has spoilt this one: it does not get another.
    send(at, response, request, true);
}

/// Why a status of 1xx is not sent: the client would go on waiting for an answer (RFC 9110, 15.2).
#[cold]
fn interim(status: StatusCode) -> String {
    format!("{status} is not the status of an answer")
}

/// Logs an error, and calls the server's error callback for its page.
fn shaped(at: At, response: Response, request: Option<&Request>) -> Response {
    let Some(request) = request else {
        if let Some(error) = response.failure() {
            error.log(None);
        }
        return response;
    };
    let service = with_exchange(at, |entry| Rc::clone(&entry.service));
    let Some(service) = service else {
        // The client has gone: the error is logged.
        return response.shaped(None, request);
    };
    let response = service.explained(response);
    let on_error = service.on_error();
    catch(|| response.shaped(on_error.as_ref(), request)).unwrap_or_else(|message| {
        Response::from(HttpError::panicked(message)).shaped(None, request)
    })
}

/// Sends the head, and the body as it comes.
fn send_stream(at: At, facts: Facts, head: &Head<'_>, stream: BodyStream) -> bool {
    let length = stream
        .length
        .map_or(ResponseBody::Stream, ResponseBody::Bytes);
    if !begin(at, facts, head, length) {
        return false;
    }
    send_pieces(at, stream);
    true
}

/// Sends the body of an answer that has begun as it comes.
pub(super) fn send_pieces(at: At, stream: BodyStream) {
    let mut pieces = stream.into_pieces();
    let sends = with_exchange(at, |entry| {
        entry.exchange().encoder.is_some_and(|e| e.sends_body())
    });
    if sends != Some(true) {
        finish(at, None);
        return;
    }
    let sending = async move {
        let mut turn = 0;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => {
                    turn += piece.len();
                    if turn >= TURN {
                        turn = 0;
                        next_turn().await;
                    }
                    if !write(at, piece) && !poll_fn(|cx| poll_writable(at, cx)).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!("a response broke off: {}", Excerpt::new(error));
                    return cut(at);
                }
            }
        }
        finish(at, None);
    };
    let task = spawn(async move {
        let sent = contained(async {
            sending.await;
            None
        });
        if let Some(panicked) = sent.await {
            respond(at, panicked);
        }
    });
    keep_task(at, task);
}

/// Lets others have their turn.
fn next_turn() -> impl Future<Output = ()> {
    let mut waited = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Sends the head and gives the connection away.
fn send_upgrade(at: At, facts: Facts, head: &Head<'_>, upgrade: Upgrade) -> bool {
    let kept = request_of(at);
    let request = head.request.or(kept.as_ref());
    if let Err(error) = upgrading::check(at, request, head.headers) {
        with_exchange(at, |entry| entry.flags.remove(Flags::STARTED));
        return fail(at, error.into(), request);
    }
    let open = facts.conn.write_with(|out| {
        let _ = head.encode(facts, ResponseBody::Empty, out);
    });
    upgrading::hand_over(at, upgrade);
    open.is_some()
}

/// Writes the head of an answer whose body follows in pieces.
pub(super) fn begin(at: At, facts: Facts, head: &Head<'_>, length: ResponseBody) -> bool {
    head.log_replaced(facts, length);
    let mut encoder = None;
    let open = facts
        .conn
        .write_with(|out| encoder = Some(head.encode(facts, length, out)));
    with_exchange(at, |entry| {
        entry.note_room(open);
        let exchange = entry.exchange();
        exchange.encoder = encoder;
        if let Some(request) = head.request {
            exchange.request = Some(request.again());
        }
    });
    open.is_some()
}

/// Begins an answer whose body is written later; a body that the response has is the first piece of it.
pub(crate) fn start(at: At, mut response: Response) -> bool {
    if response.failure().is_some() {
        respond(at, response);
        return false;
    }
    let finishes = with_exchange(at, |entry| {
        let finishes = !entry.flags.contains(Flags::STARTED) && entry.service.finishes();
        finishes.then(|| (entry.conn, Rc::clone(&entry.service)))
    });
    if let Some(Some((conn, service))) = finishes {
        response = service.finished(conn, response, request_of(at).as_ref());
    }
    let facts = with_exchange(at, |entry| {
        (!entry.flags.contains(Flags::STARTED)).then(|| entry.start())
    });
    let Some(Some(facts)) = facts else {
        return false;
    };
    let parts = response.into_parts();
    if parts.status.is_informational() {
        spoilt(at, interim(parts.status), None);
        return false;
    }
    let Some(first) = parts.body.as_bytes() else {
        spoilt(
            at,
            "an answer that is written in pieces has a body of its own",
            None,
        );
        return false;
    };
    let head = Head {
        status: parts.status,
        content_type: parts.content_type,
        headers: parts.headers.as_deref(),
        request: None,
    };
    if !begin(at, facts, &head, ResponseBody::Stream) {
        return false;
    }
    if !first.is_empty() {
        write(at, Bytes::copy_from_slice(first));
    }
    true
}

/// Writes a piece of an answer that has begun; `false` when the writer should wait, or nothing is taken.
pub(crate) fn write(at: At, piece: impl Chunk) -> bool {
    let begun = with_exchange(at, |entry| {
        let done = entry.flags.contains(Flags::ANSWERED);
        let encoder = entry.exchange.as_ref()?.encoder.filter(|_| !done)?;
        Some((entry.conn, encoder))
    });
    let Some(Some((conn, mut encoder))) = begun else {
        return false;
    };
    let mut result = Ok(false);
    let length = piece.as_slice().len();
    let mut open = conn.write_with(|out| {
        result = encoder.open_piece(out, length);
        if length <= COPIED && result == Ok(true) {
            out.extend_from_slice(piece.as_slice());
            encoder.close_piece(out);
        }
    });
    if length > COPIED && result == Ok(true) && open.is_some() {
        conn.write(piece.into_bytes());
        open = conn.write_with(|out| encoder.close_piece(out));
    }
    if let Err(error) = result {
        tracing::error!("a response is longer than it said: {error}");
        cut(at);
        return false;
    }
    with_exchange(at, |entry| {
        entry.note_room(open);
        entry.exchange().encoder = Some(encoder);
    });
    open == Some(true)
}

/// Ends an answer that has begun; `false` when there is none.
pub(crate) fn end(at: At) -> bool {
    finish(at, None)
}

pub(super) fn finish(at: At, trailers: Option<&HeaderMap>) -> bool {
    let begun = with_exchange(at, |entry| {
        let done = entry.flags.contains(Flags::ANSWERED);
        let encoder = entry.exchange.as_ref()?.encoder.filter(|_| !done)?;
        Some((entry.conn, encoder))
    });
    let Some(Some((conn, encoder))) = begun else {
        return false;
    };
    let mut result = Ok(encoder.persistence());
    let open = conn.write_with(|out| result = encoder.finish(out, trailers));
    match result {
        Ok(persistence) => {
            answered(at, persistence, open);
            true
        }
        Err(error) => {
            tracing::error!("a response broke off: {error}");
            cut(at);
            false
        }
    }
}

/// Waits until more can be written; `false` when the exchange is over.
pub(crate) fn poll_writable(at: At, context: &Context<'_>) -> Poll<bool> {
    let open = with_exchange(at, |entry| {
        let full = entry.flags.contains(Flags::FULL);
        if full {
            entry.exchange().writer = Some(context.waker().clone());
        }
        !full
    });
    match open {
        Some(true) => Poll::Ready(true),
        Some(false) => Poll::Pending,
        None => Poll::Ready(false),
    }
}

/// Breaks an answer off, so that the client cannot take a part for the whole.
pub(super) fn cut(at: At) {
    let cut = with_exchange(at, |entry| (entry.conn, entry.flags.contains(Flags::OLD)));
    match cut {
        // To HTTP/1.0, an orderly end may be that of the body.
        Some((conn, true)) => conn.reset(),
        Some((conn, false)) => conn.close(),
        None => {}
    }
}

/// Answers what is no request, and ends the connection.
#[cold]
pub(super) fn refuse(key: Id, status: StatusCode, reason: &'static str) {
    let facts = with_entry(key, |entry| {
        if entry.flags.contains(Flags::CLOSING) {
            return None;
        }
        entry.flags.insert(Flags::LAST);
        let facts = entry.start();
        Some((facts, Rc::clone(&entry.service)))
    });
    let Some(Some((facts, service))) = facts else {
        return;
    };
    let mut response = Response::from(HttpError::new(status, reason));
    if service.finishes() {
        response = service.finished(facts.conn, response, None);
    }
    let Parts {
        status,
        content_type,
        headers,
        body,
    } = response.into_parts();
    let head = Head {
        status,
        content_type,
        headers: headers.as_deref(),
        request: None,
    };
    let bytes = body.as_bytes().unwrap_or_default();
    facts.conn.write_with(|out| {
        let length = ResponseBody::Bytes(bytes.len() as u64);
        if head.encode(facts, length, out).sends_body() {
            out.extend_from_slice(bytes);
        }
    });
    steps::end(key);
}
