//! The handle for sending a response.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll};

use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::UseRemoteOrLoopHandle;
use uptick_stream::Chunk;

use super::handle::ExchangeHandle;
use super::request::Request;
use super::respond::{respond, start};
use super::state::Exchange;
use super::streaming;
use crate::{HeaderMap, IntoResponse, Response};

/// A handle that sends the response to a request, immediately or later.
///
/// The handle is `Copy`. It is the second argument of a handler that responds later, `|req: Request, res: Responder|`
/// ([`IntoHandler`](crate::IntoHandler)); elsewhere, [`Request::responder`](crate::Request::responder) returns it. Such a handler returns
/// `()`. After the response was sent or the connection was closed, the handle is stale: [`send`](Responder::send) returns `false` and
/// does nothing.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `drain` | `()` | after [`write`](Responder::write) returned `false`: there is room again |
/// | `close` | `()` | the connection was closed before the response was complete |
///
/// # Limits
/// If no response is sent within 60 s ([`HttpServer::response_timeout`](crate::HttpServer::response_timeout)), the response is 500, and the
/// timeout is logged.
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
    exchange: ExchangeHandle,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl Responder {
        () => {
            /// There is room for more of the response again.
            DRAIN = "drain";
            /// The connection was closed before the response was complete.
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
    /// Returns the handle for sending the response at any time, anywhere on this thread.
    pub fn responder(&self) -> Responder {
        self.exchange.defer();
        Responder {
            exchange: ExchangeHandle::of(&self.exchange),
            local: PhantomData,
        }
    }
}

impl Responder {
    /// Sends the response. Returns `false` if a response was sent before or the connection is closed; the call then has no effect.
    pub fn send(self, response: impl IntoResponse) -> bool {
        self.with(|exchange| {
            exchange.awaits_response() && respond(exchange, response.into_response())
        })
    }

    /// Starts a response whose body is written piece by piece. The body of `response` is the first piece. Returns `false` if a response
    /// was sent before or the connection is closed; also if the response is an error, which is sent as a whole, or cannot be started: a
    /// response with status 1xx, or one whose body is a stream.
    pub fn start(self, response: Response) -> bool {
        self.with(|exchange| start(exchange, response))
    }

    /// Writes a piece of the body of a response that was [`start`](Responder::start)ed.
    ///
    /// Returns `false` if the write queue is full: the piece was accepted, and `drain` is emitted when there is room again. Also returns
    /// `false`, without a later `drain`, if the piece was not accepted: the response was not started or has ended, or the connection is
    /// closed.
    pub fn write(self, piece: impl Chunk) -> bool {
        self.with(|exchange| streaming::write(exchange, piece))
    }

    /// Ends a response that was [`start`](Responder::start)ed. Returns `false` if there is none.
    pub fn end(self) -> bool {
        self.with(|exchange| streaming::end(exchange, None))
    }

    /// Ends a response that was [`start`](Responder::start)ed, with trailers. Returns `false` if there is none.
    ///
    /// The trailers are sent under the same conditions as those of [`BodyStream::with_trailers`](crate::BodyStream::with_trailers).
    /// Otherwise the response ends without them.
    pub fn end_with_trailers(self, trailers: &HeaderMap) -> bool {
        self.with(|exchange| streaming::end(exchange, Some(trailers)))
    }

    /// Returns `true` if a response can be sent: none has started, and the connection is open.
    pub fn is_open(self) -> bool {
        self.with(|exchange| exchange.awaits_response())
    }

    /// Polls until more can be written. Returns `true` then, or `false` if the response has ended or the connection is closed.
    pub fn poll_writable(self, context: &Context<'_>) -> Poll<bool> {
        match self.exchange.get() {
            Some(exchange) => streaming::poll_writable(&exchange, context),
            None => Poll::Ready(false),
        }
    }

    /// Calls `f` with the exchange, or returns `false` if the exchange has ended.
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
