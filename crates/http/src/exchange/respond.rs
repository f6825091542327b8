//! Responses: from a [`Response`] to the transport.

use std::rc::Rc;

use uptick_emitter::{Emitter, Event, emit};
use uptick_event_loop::catch;

use super::error_page::error_page;
use super::incoming::Incoming;
use super::parts::{COPIED, Head, Piece};
use super::progress::{BodyProgress, ResponseProgress};
use super::state::Exchange;
use super::{Request, streaming, upgrade};
use crate::body::BodyError;
use crate::h1::ResponseBody;
use crate::{Body, HttpError, Response, StatusCode};

/// The cause of the error for a response that is late.
pub(super) const LATE: &str = "the handler has not answered in time";

/// Sends a response; returns `false` if there was one already or the client has gone.
pub(crate) fn respond(exchange: &Rc<Exchange>, response: Response) -> bool {
    match response.failure() {
        None => send(exchange, response, false),
        Some(_) => fail(exchange, response),
    }
}

/// Sends a response with status 200, no headers of its own and a short body in memory by `send`, the way that is at hand to
/// [send](super::Transport::respond) a whole one. Returns `true`, and leaves a response that owns nothing; `false` if it is to be sent
/// by [`respond`].
///
/// Cost: one call of `send`. No callback sees it.
#[inline]
pub(crate) fn send_plain(
    exchange: &Exchange,
    response: &mut Response,
    send: impl FnOnce(&Head<'_>, Piece<'_>) -> bool,
) -> bool {
    let body = response.plain_body().filter(|body| body.len() <= COPIED);
    let free = !exchange.is_started() && !exchange.edits_headers.get();
    let Some(body) = body.filter(|_| free) else {
        return false;
    };
    send(&Head::of(response), Piece::Short(body));
    response.drop_body();
    true
}

/// Sends a response that stands for an error. If it comes of a panic, the response that has begun is cut off.
#[cold]
fn fail(exchange: &Rc<Exchange>, response: Response) -> bool {
    let panicked = response.failure().is_some_and(HttpError::is_panic);
    let response = shaped(exchange, response);
    if send(exchange, response, false) {
        return true;
    }
    if panicked && let Some(transport) = exchange.live() {
        transport.set_last();
        if !exchange.is_done() {
            transport.cut();
        }
    }
    false
}

/// Sends a response; the callbacks of the server and the request see it before, unless it is `finished`.
fn send(exchange: &Rc<Exchange>, mut response: Response, finished: bool) -> bool {
    let Some(transport) = exchange.live() else {
        return false;
    };
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        // There is no knowing how much of it is still to come.
        exchange.long.set(true);
    }
    if exchange.is_started() {
        return false;
    }
    if !finished && exchange.finishes() {
        let response = finish(exchange, response);
        return send(exchange, response, true);
    }
    let body = response.take_body();
    let head = Head::of(&response);
    match body {
        Body::Upgrade(handler) => {
            let refusal = exchange.policy().and_then(|site| site.upgrade_refusal());
            let allowed = upgrade::check(exchange, head.headers);
            match allowed.and_then(|()| refusal.map_or(Ok(()), Err)) {
                Ok(()) => transport.upgrade(exchange, &head, handler),
                Err(error) => fail(exchange, error.into()),
            }
        }
        _ if head.status.is_informational() => {
            spoilt(exchange, interim(head.status));
            true
        }
        Body::File(range) => {
            let length = ResponseBody::Bytes(range.len());
            exchange.count_bytes(range.len());
            transport.start(exchange, &head, length)
                && streaming::send_file(exchange, &*transport, range, fail)
        }
        Body::Stream(stream) => {
            let length = stream.length;
            let length = length.map_or(ResponseBody::Stream, ResponseBody::Bytes);
            if let Some(early_end) = stream.early_end() {
                exchange.extras(|extras| extras.early_end = Some(early_end));
            }
            transport.start(exchange, &head, length)
                && streaming::send_pieces(exchange, &*transport, stream, fail)
        }
        body => {
            exchange.count_bytes(body.as_bytes().map_or(0, |bytes| bytes.len() as u64));
            match Piece::short(&body) {
                Some(piece) => transport.respond(exchange, &head, piece),
                None => transport.respond(exchange, &head, Piece::Long(body.into_bytes())),
            }
        }
    }
}

/// Begins a response whose body is written later; a body that the response has is the first piece of it.
pub(crate) fn start(exchange: &Rc<Exchange>, mut response: Response) -> bool {
    if response.failure().is_some() {
        respond(exchange, response);
        return false;
    }
    let Some(transport) = exchange.live() else {
        return false;
    };
    if !exchange.is_started() && exchange.finishes() {
        response = finish(exchange, response);
    }
    if exchange.is_started() || transport.is_closing() {
        return false;
    }
    if response.status().is_informational() {
        spoilt(exchange, interim(response.status()));
        return false;
    }
    let Some(first) = response.body().as_bytes() else {
        spoilt(
            exchange,
            "a response that is written in pieces has a body of its own",
        );
        return false;
    };
    if !transport.start(exchange, &Head::of(&response), ResponseBody::Stream) {
        return false;
    }
    if !first.is_empty() {
        streaming::write(exchange, first);
    }
    true
}

/// Passes a response through the callbacks of the server and the request.
#[cold]
fn finish(exchange: &Rc<Exchange>, response: Response) -> Response {
    let policy = exchange.policy().filter(|policy| policy.finishes());
    let response = match policy {
        Some(policy) => policy.finish(exchange, response),
        None => response,
    };
    edit_headers(exchange, response)
}

/// Passes the headers of a response through the callbacks of the request.
#[cold]
fn edit_headers(exchange: &Rc<Exchange>, response: Response) -> Response {
    exchange.edit_headers(response, |error| shaped(exchange, error.into()))
}

/// Sends an error in the place of a response that cannot be sent as it is, and of which nothing was sent.
#[cold]
fn spoilt(exchange: &Rc<Exchange>, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
    let response = shaped(exchange, HttpError::internal(error).into());
    // The server's callback for all responses may be what has spoilt this one: it does not get another. Those for headers cannot be.
    send(exchange, edit_headers(exchange, response), true);
}

/// Returns why a status of 1xx is not sent: the client would go on waiting for a response (RFC 9110, 15.2).
#[cold]
fn interim(status: StatusCode) -> String {
    format!("{status} is not the status of a response")
}

/// Logs an error, and calls the server's error callback for its page.
fn shaped(exchange: &Rc<Exchange>, response: Response) -> Response {
    match exchange.live().and_then(|_| exchange.policy()) {
        Some(policy) => policy.error_page(exchange, response),
        // The client has gone: the error is logged.
        None => error_page(response, None, &Request::of(Rc::clone(exchange))),
    }
}

/// Emits an event of the request; responds to a panic of a listener with an error.
pub(crate) fn emit_to_request<P: Clone + 'static>(
    exchange: &Rc<Exchange>,
    event: Event<Request, P>,
    payload: P,
) {
    if let Err(message) = catch(|| emit(&Incoming(exchange), event, payload)) {
        respond(exchange, HttpError::panicked(message).into());
    }
}

/// Ends the body of a request that failed: its reader gets the error, or the listeners of `error`, otherwise the client.
pub(crate) fn body_failed(exchange: &Rc<Exchange>, error: BodyError) {
    let Some(transport) = exchange.live() else {
        return;
    };
    exchange.body.set(BodyProgress::Failed);
    transport.set_last();
    exchange.fail_body(error.clone());
    if let Some(reader) = exchange.take_reader() {
        return reader.wake();
    }
    let listens = Incoming(exchange).with_listeners(|all| all.has(Request::ERROR.slot()));
    if listens == Some(true) {
        emit_to_request(exchange, Request::ERROR, error);
    } else if !exchange.is_started() {
        respond(exchange, HttpError::from(error).into());
    }
}

/// The handler has not responded in time: responds with an error, and cancels the handler's task.
pub(crate) fn overdue(exchange: &Rc<Exchange>) {
    give_up(exchange, HttpError::internal(LATE));
}

/// The handler has not responded in time: responds with `error`, and cancels the handler's task.
pub(super) fn give_up(exchange: &Rc<Exchange>, error: HttpError) {
    let task = exchange.take_task();
    respond(exchange, error.into());
    if let Some(task) = task {
        task.cancel();
    }
}

impl Exchange {
    /// Notes that a [`Responder`](crate::Responder) was taken.
    pub(crate) fn hold(&self) {
        if self.response.get() == ResponseProgress::None && self.live().is_some() {
            self.response.set(ResponseProgress::Held);
        }
    }

    /// Returns whether a response would be taken: none has begun, and the client is there.
    pub(crate) fn is_unanswered(&self) -> bool {
        !self.is_started() && self.live().is_some()
    }
}
