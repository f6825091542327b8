//! Requests on their way to the handler, and responses on their way back, whatever carries them.

use std::rc::Rc;

use uptick_event_loop::spawn;

use super::{Service, Site};
use crate::exchange::{
    BodyPiece, Exchange, Head, ResponseProgress, contained, respond, send_plain,
};
use crate::{HttpError, Reply, Request};

impl Service {
    /// Passes a request to the site that it began with, and sends the response; returns whether the response is still to come.
    ///
    /// `send` is the way of a response that is there at once: [`ExchangeTransport::respond`].
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
        let mut reply = site.answer(request);
        if let Reply::Ready(response) = &mut reply
            && !site.hooks.finishes()
            && send_plain(exchange, response, send)
        {
            // It owns nothing any more, which its drop would have to find out.
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
                    // A reply can be made of any future, also of one that panics.
                    match contained(future).await {
                        Some(response) => {
                            respond(&this, response);
                        }
                        None => unanswered(&this),
                    }
                });
                exchange.keep_task(task);
            }
            Reply::Detached => unanswered(exchange),
        }
        !exchange.is_started()
    }
}

/// The handler is done and has not responded: a responder has to be held.
fn unanswered(exchange: &Rc<Exchange>) {
    if exchange.response.get() == ResponseProgress::None && exchange.awaits_response() {
        let error = HttpError::internal("the handler has neither answered nor taken the responder");
        respond(exchange, error.into());
    }
}
