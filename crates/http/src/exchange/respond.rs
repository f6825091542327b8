//! Responses: from a [`Response`] to the transport.

use std::rc::Rc;

use uptick_emitter::{Emitter, Event, emit};
use uptick_event_loop::catch;

use super::error_page::error_page;
use super::events::Incoming;
use super::parts::{COPIED, Head, Piece};
use super::progress::{BodyProgress, ResponseProgress};
use super::state::Exchange;
use super::{Request, streaming, upgrade};
use crate::body::BodyError;
use crate::h1::ResponseBody;
use crate::response::Parts;
use crate::{Body, HttpError, Response, StatusCode};

/// Sends a response; returns `false` if there was one already or the client has gone.
#[inline]
pub(crate) fn respond(exchange: &Rc<Exchange>, response: Response) -> bool {
    match response.failure() {
        None => send(exchange, response, false),
        Some(_) => fail(exchange, response),
    }
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

/// Sends a response; the server's callbacks see it before, unless it is `finished`.
#[inline]
fn send(exchange: &Rc<Exchange>, response: Response, finished: bool) -> bool {
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
    };
    match body {
        Body::Upgrade(handler) => {
            return match upgrade::check(exchange, head.headers) {
                Ok(()) => transport.upgrade(exchange, &head, handler),
                Err(error) => fail(exchange, error.into()),
            };
        }
        _ if status.is_informational() => spoilt(exchange, interim(status)),
        Body::File(range) => {
            let length = ResponseBody::Bytes(range.len());
            return transport.start(exchange, &head, length)
                && streaming::send_file(exchange, &*transport, range, fail);
        }
        Body::Stream(stream) => {
            let length = stream.length;
            let length = length.map_or(ResponseBody::Stream, ResponseBody::Bytes);
            return transport.start(exchange, &head, length)
                && streaming::send_pieces(exchange, &*transport, stream, fail);
        }
        Body::Bytes(bytes) if bytes.len() > COPIED => {
            transport.respond(exchange, &head, Piece::Long(bytes));
        }
        Body::Static(bytes) if bytes.len() > COPIED => {
            transport.respond(exchange, &head, Piece::Long(bytes.into()));
        }
        body => {
            let bytes = body.as_bytes().unwrap_or_default();
            transport.respond(exchange, &head, Piece::Short(bytes));
        }
    }
    true
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
    let parts = response.into_parts();
    if parts.status.is_informational() {
        spoilt(exchange, interim(parts.status));
        return false;
    }
    let Some(first) = parts.body.as_bytes() else {
        spoilt(
            exchange,
            "a response that is written in pieces has a body of its own",
        );
        return false;
    };
    let head = Head {
        status: parts.status,
        content_type: parts.content_type,
        headers: parts.headers.as_deref(),
    };
    if !transport.start(exchange, &head, ResponseBody::Stream) {
        return false;
    }
    if !first.is_empty() {
        streaming::write(exchange, first);
    }
    true
}

/// Passes a response through the server's callbacks.
#[cold]
fn finish(exchange: &Rc<Exchange>, response: Response) -> Response {
    match exchange.policy() {
        Some(policy) => policy.finish(exchange, response),
        None => response,
    }
}

/// Sends an error in the place of a response that cannot be sent as it is, and of which nothing was sent.
#[cold]
fn spoilt(exchange: &Rc<Exchange>, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
    let response = shaped(exchange, HttpError::internal(error).into());
    // The callback that sees all responses may be what has spoilt this one: it does not get another.
    send(exchange, response, true);
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
    let task = exchange.take_task();
    let error = HttpError::internal("the handler has not answered in time");
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
