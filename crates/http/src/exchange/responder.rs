//! The handle by which a request is answered.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll};

use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::UseRemoteOrLoopHandle;
use uptick_stream::Chunk;

use super::handle::Handle;
use super::request::Request;
use super::respond::{respond, start};
use super::state::Exchange;
use super::streaming;
use crate::{HeaderMap, IntoResponse, Response};

/// Answers a request, now or later.
///
/// A `Copy` handle, which is the second argument of a handler that responds later, `|req: Request, res: Responder|`
/// ([`IntoHandler`](crate::IntoHandler)); [`Request::responder`](crate::Request::responder) returns it elsewhere. Such a handler
/// returns `()`. When the request is answered, or its client has gone, the handle is stale: [`send`](Responder::send) returns `false`
/// and does nothing.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `drain` | `()` | after [`write`](Responder::write) gave `false`: there is room again |
/// | `close` | `()` | the client has gone before it was answered |
///
/// # Limits
/// A request that nobody answers in 60 s ([`HttpServer::answer_timeout`](crate::HttpServer::answer_timeout)) is answered
/// with 500, and logged.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::add_timer;
/// use uptick_http::{HttpServer, Request, Responder};
///
/// let http = HttpServer::new();
/// http.get("/later", |_: Request, res: Responder| {
///     add_timer(Duration::from_secs(1), move || res.send("Here you are"));
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Responder {
    exchange: Handle,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl Responder {
        () => {
            /// There is room for more of the answer again.
            DRAIN = "drain";
            /// The client has gone before it was answered.
            CLOSE = "close";
        }
    }
}

impl Emitter for Responder {
    type Events = Responder;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.exchange.get()?.responder_listeners(f)
    }
}

impl Request {
    /// The handle by which the request can be answered at any time, from anywhere on this thread.
    pub fn responder(&self) -> Responder {
        self.exchange.hold();
        Responder {
            exchange: Handle::of(&self.exchange),
            local: PhantomData,
        }
    }
}

impl Responder {
    /// Answers. `false` when it was answered before, or the client has gone: then nothing happens.
    pub fn send(self, answer: impl IntoResponse) -> bool {
        self.with(|exchange| exchange.is_unanswered() && respond(exchange, answer.into_response()))
    }

    /// Begins an answer whose body is written piece by piece. The body that the response has is the first of them.
    /// `false` when it was answered before, or the client has gone; and when the response is an error, which is answered
    /// whole, or cannot be begun: one of status 1xx, or whose body is a stream.
    pub fn start(self, response: Response) -> bool {
        self.with(|exchange| start(exchange, response))
    }

    /// Writes a piece of the body of an answer that was [`start`](Responder::start)ed.
    ///
    /// `false` says that the client does not read as fast: the piece was taken, and `drain` tells when to go on. `false`
    /// without a `drain` to come says that nothing is taken: the answer is not started, or over, or the client has gone.
    pub fn write(self, piece: impl Chunk) -> bool {
        self.with(|exchange| streaming::write(exchange, piece))
    }

    /// Ends an answer that was [`start`](Responder::start)ed; `false` when there is none.
    pub fn end(self) -> bool {
        self.with(|exchange| streaming::end(exchange, None))
    }

    /// Ends a response that was [`start`](Responder::start)ed with trailers; returns `false` when there is none.
    ///
    /// They are sent where [`BodyStream::with_trailers`](crate::BodyStream::with_trailers) sends them; elsewhere the response ends
    /// without.
    pub fn end_with_trailers(self, trailers: &HeaderMap) -> bool {
        self.with(|exchange| streaming::end(exchange, Some(trailers)))
    }

    /// Whether an answer would be taken: none was begun, and the client is there.
    pub fn is_open(self) -> bool {
        self.with(|exchange| exchange.is_unanswered())
    }

    /// Ready when more can be written: `true`, or `false` when the answer is over or the client has gone.
    pub fn poll_writable(self, context: &Context<'_>) -> Poll<bool> {
        match self.exchange.get() {
            Some(exchange) => streaming::poll_writable(&exchange, context),
            None => Poll::Ready(false),
        }
    }

    /// Calls `f` with the exchange; returns `false` if that is over.
    fn with(self, f: impl FnOnce(&Rc<Exchange>) -> bool) -> bool {
        self.exchange.get().is_some_and(|exchange| f(&exchange))
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("open", &self.is_open())
            .finish()
    }
}
