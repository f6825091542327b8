//! Passing requests to handlers and responses to the transport, independent of the transport.

use std::rc::Rc;

use uptick_event_loop::spawn;

use super::{Service, Site};
use crate::exchange::{
    BodyPiece, Exchange, Head, ResponseProgress, contained, respond, send_plain,
};
use crate::{HttpError, Reply, Request};

impl Service {
    /// Passes a request to its site, and sends the response. Returns `true` if the response follows later.
    ///
    /// `send` sends an immediate response: [`ExchangeTransport::respond`](crate::exchange::ExchangeTransport::respond).
    #[inline]
    pub(crate) fn handle(
        &self,
        exchange: &Rc<Exchange>,
        site: &Rc<Site>,
        send: impl FnOnce(&Head<'_>, BodyPiece<'_>) -> bool,
    ) -> bool {
        let request = Request::of(Rc::clone(exchange));
        self.count_request();
        site.hooks.request(&request);
        let mut reply = site.handle(request);
        if let Reply::Ready(response) = &mut reply
            && !site.hooks.finishes()
            && send_plain(exchange, response, send)
        {
            // The response owns nothing any more, so its drop is skipped.
            std::mem::forget(reply);
            return false;
        }
        match reply {
            Reply::Ready(response) => {
                respond(exchange, response);
                return false;
            }
            Reply::Later(future) => {
                let this = Rc::clone(exchange);
                let task = spawn(async move {
                    // The future is arbitrary, and may panic.
                    match contained(future).await {
                        Some(response) => {
                            respond(&this, response);
                        }
                        None => fail_without_response(&this),
                    }
                });
                exchange.keep_task(task);
            }
            Reply::Detached => fail_without_response(exchange),
        }
        !exchange.is_started()
    }
}

/// Responds with an error if the handler has finished without a response and without a responder.
fn fail_without_response(exchange: &Rc<Exchange>) {
    if exchange.response.get() == ResponseProgress::None && exchange.awaits_response() {
        let error =
            HttpError::internal("the handler has neither sent a response nor taken the responder");
        respond(exchange, error.into());
    }
}
