//! Sending of responses: from a [`Response`] to the transport.

use std::rc::Rc;

use uptick_emitter::{Emitter, Event, emit};
use uptick_event_loop::catch;

use super::error_page::error_page;
use super::parts::{BodyPiece, Head, MAX_COPIED};
use super::progress::{BodyProgress, ResponseProgress};
use super::request_emitter::RequestEmitter;
use super::state::Exchange;
use super::{Request, streaming, upgrade};
use crate::body::BodyError;
use crate::h1::ResponseBody;
use crate::{Body, HttpError, Response, StatusCode};

/// The cause of the error for a response that was not sent in time.
pub(super) const TIMED_OUT: &str = "the handler did not respond in time";

/// Sends a response. Returns `false` if a response was sent before, or the connection is closed.
pub(crate) fn respond(exchange: &Rc<Exchange>, response: Response) -> bool {
    match response.failure() {
        None => send(exchange, response, false),
        Some(_) => fail(exchange, response),
    }
}

/// Sends a response with status 200, no headers of its own and a short body in memory by calling `send`, the direct way to
/// [send](super::ExchangeTransport::respond) a complete response. Returns `true`, and leaves a response that owns nothing. Returns
/// `false` if the response must be sent by [`respond`].
///
/// Cost: one call of `send`. No callback is called.
#[inline]
pub(crate) fn send_plain(
    exchange: &Exchange,
    response: &mut Response,
    send: impl FnOnce(&Head<'_>, BodyPiece<'_>) -> bool,
) -> bool {
    let body = response
        .plain_body()
        .filter(|body| body.len() <= MAX_COPIED);
    let free = !exchange.is_started()
        && !exchange.edits_headers.get()
        && exchange.head.protocol().is_none();
    let Some(body) = body.filter(|_| free) else {
        return false;
    };
    send(&Head::of(response), BodyPiece::Short(body));
    response.drop_body();
    true
}

/// Sends an error response. If the cause is a panic, a response in progress is aborted.
#[cold]
fn fail(exchange: &Rc<Exchange>, response: Response) -> bool {
    let panicked = response.failure().is_some_and(HttpError::is_panic);
    let response = error_response(exchange, response);
    if send(exchange, response, false) {
        return true;
    }
    if panicked && let Some(transport) = exchange.open_transport() {
        transport.set_last();
        if !exchange.is_done() {
            transport.abort();
        }
    }
    false
}

/// Sends a response. The callbacks of the server and the request are called first, unless it is `finished`.
fn send(exchange: &Rc<Exchange>, mut response: Response, finished: bool) -> bool {
    let Some(transport) = exchange.open_transport() else {
        return false;
    };
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        // The number of body bytes that would follow is unknown.
        exchange.exceeds_drain_limit.set(true);
    }
    if exchange.is_started() {
        return false;
    }
    if upgrade::opens_tunnel(exchange, response.status()) {
        if finished {
            transport.abort();
        } else {
            refuse_tunnel(exchange);
        }
        return true;
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
            let allowed = upgrade::check(exchange, head.headers, &handler);
            match allowed.and_then(|()| refusal.map_or(Ok(()), Err)) {
                Ok(()) => transport.upgrade(exchange, &head, handler),
                Err(error) => fail(exchange, error.into()),
            }
        }
        _ if head.status.is_informational() => {
            send_internal_error(exchange, informational_status_error(head.status));
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
                exchange.extended(|extended| extended.early_end = Some(early_end));
            }
            transport.start(exchange, &head, length)
                && streaming::send_pieces(exchange, &*transport, stream, fail)
        }
        body => {
            exchange.count_bytes(body.as_bytes().map_or(0, |bytes| bytes.len() as u64));
            match BodyPiece::short(&body) {
                Some(piece) => transport.respond(exchange, &head, piece),
                None => transport.respond(exchange, &head, BodyPiece::Long(body.into_bytes())),
            }
        }
    }
}

/// Starts a response whose body is written later. A body in `response` is the first piece.
pub(crate) fn start(exchange: &Rc<Exchange>, mut response: Response) -> bool {
    if response.failure().is_some() {
        respond(exchange, response);
        return false;
    }
    let Some(transport) = exchange.open_transport() else {
        return false;
    };
    if !exchange.is_started() && upgrade::opens_tunnel(exchange, response.status()) {
        refuse_tunnel(exchange);
        return false;
    }
    if !exchange.is_started() && exchange.finishes() {
        response = finish(exchange, response);
    }
    if exchange.is_started() || transport.is_closing() {
        return false;
    }
    if response.status().is_informational() {
        send_internal_error(exchange, informational_status_error(response.status()));
        return false;
    }
    let Some(first) = response.body().as_bytes() else {
        send_internal_error(
            exchange,
            "a response that is written in pieces cannot have a streamed body",
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
    exchange.edit_headers(response, |error| error_response(exchange, error.into()))
}

/// Sends an error instead of a response that would open a tunnel.
#[cold]
fn refuse_tunnel(exchange: &Rc<Exchange>) {
    let response = error_response(exchange, upgrade::no_tunnel().into());
    let response = finish(exchange, response);
    send(exchange, response, true);
}

/// Sends an internal error instead of a response that cannot be sent, and of which nothing was sent.
#[cold]
fn send_internal_error(
    exchange: &Rc<Exchange>,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) {
    let response = error_response(exchange, HttpError::internal(error).into());
    // The server's response callback may have created the invalid response, so it is not called again. Header callbacks cannot do that.
    send(exchange, edit_headers(exchange, response), true);
}

/// Returns the error for an informational status. The client would continue to wait for a final response (RFC 9110, section 15.2).
#[cold]
fn informational_status_error(status: StatusCode) -> String {
    format!("{status} is not the status of a final response")
}

/// Logs an error, and calls the server's error callback for its page.
fn error_response(exchange: &Rc<Exchange>, response: Response) -> Response {
    match exchange.open_transport().and_then(|_| exchange.policy()) {
        Some(policy) => policy.error_page(exchange, response),
        // The connection is closed: the error is only logged.
        None => error_page(response, None, &Request::of(Rc::clone(exchange))),
    }
}

/// Emits an event of the request. If a listener panics, an error is the response.
pub(crate) fn emit_to_request<P: Clone + 'static>(
    exchange: &Rc<Exchange>,
    event: Event<Request, P>,
    payload: P,
) {
    if let Err(message) = catch(|| emit(&RequestEmitter(exchange), event, payload)) {
        respond(exchange, HttpError::panicked(message).into());
    }
}

/// Fails the body of a request: the reader or the `error` listeners receive the error, otherwise it is the response.
pub(crate) fn body_failed(exchange: &Rc<Exchange>, error: BodyError) {
    let Some(transport) = exchange.open_transport() else {
        return;
    };
    exchange.body.set(BodyProgress::Failed);
    transport.set_last();
    exchange.fail_body(error.clone());
    if let Some(reader) = exchange.take_reader() {
        return reader.wake();
    }
    let listens = RequestEmitter(exchange).with_listeners(|all| all.has(Request::ERROR.slot()));
    if listens == Some(true) {
        emit_to_request(exchange, Request::ERROR, error);
    } else if !exchange.is_started() {
        respond(exchange, HttpError::from(error).into());
    }
}

/// Responds with an error as the handler did not respond in time, and cancels the handler's task.
pub(crate) fn response_timed_out(exchange: &Rc<Exchange>) {
    respond_and_cancel(exchange, HttpError::internal(TIMED_OUT));
}

/// Responds with `error`, and cancels the handler's task.
pub(super) fn respond_and_cancel(exchange: &Rc<Exchange>, error: HttpError) {
    let task = exchange.take_task();
    respond(exchange, error.into());
    if let Some(task) = task {
        task.cancel();
    }
}

impl Exchange {
    /// Records that a [`Responder`](crate::Responder) was created.
    pub(crate) fn defer(&self) {
        if self.response.get() == ResponseProgress::None && self.open_transport().is_some() {
            self.response.set(ResponseProgress::Deferred);
        }
    }

    /// Returns `true` if a response can be sent: none has started, and the connection is open.
    pub(crate) fn awaits_response(&self) -> bool {
        !self.is_started() && self.open_transport().is_some()
    }
}
