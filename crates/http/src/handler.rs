//! Handlers and their return values.

use std::fmt;
use std::pin::Pin;

use uptick_event_loop::catch;

use crate::exchange::{contained, panicked};
use crate::marker::{
    Answered, AnsweredLater, ByResponder, Later, Now, Passed, Responds, RespondsLater,
};
use crate::{IntoResponse, Request, Responder, Response};

/// A boxed future that stays on this thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// A handler in the form stored by routes.
pub type Handler = Box<dyn FnMut(Request) -> Reply>;

/// The result of a handler.
pub enum Reply {
    /// An immediate response.
    Ready(Response),
    /// A later response; `None` if the responder sends the response or has sent it.
    Later(LocalFuture<Option<Response>>),
    /// The responder sends the response, or has sent it.
    Detached,
}

impl Reply {
    /// Applies `f` to the response, immediately or when it is available. `f` is not called for a response sent by the [`Responder`];
    /// [`Request::on_response_headers`] also covers the headers of those.
    pub fn map(self, f: impl FnOnce(Response) -> Response + 'static) -> Self {
        match self {
            Self::Ready(response) => Self::Ready(f(response)),
            Self::Later(future) => Self::Later(Box::pin(async move {
                let response = future.await?;
                Some(catch(|| f(response)).unwrap_or_else(panicked))
            })),
            Self::Detached => Self::Detached,
        }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Ready(response)
    }
}

/// Awaiting a reply returns its response, or `None` if the responder sends the response.
impl IntoFuture for Reply {
    type Output = Option<Response>;
    type IntoFuture = LocalFuture<Option<Response>>;

    fn into_future(self) -> Self::IntoFuture {
        match self {
            Self::Ready(response) => Box::pin(std::future::ready(Some(response))),
            Self::Later(future) => future,
            Self::Detached => Box::pin(std::future::ready(None)),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(response) => f.debug_tuple("Ready").field(response).finish(),
            Self::Later(_) => f.debug_tuple("Later").finish_non_exhaustive(),
            Self::Detached => f.write_str("Detached"),
        }
    }
}

/// A return value of a handler or a middleware:
///
/// - a type that implements [`IntoResponse`], or a future of one;
/// - a future of `Option<Response>`, as returned by [`Next::run`](crate::Next::run) in async middleware;
/// - a [`Reply`];
/// - `()` or a future of it, if the handler responds through the [`Responder`].
///
/// `M` distinguishes these kinds. It is always inferred.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not a response",
    note = "a handler returns a type that implements `IntoResponse`, a future of one, or `()` if it responds through the `Responder`",
    note = "return a value as JSON with `Response::json(&value)`, and an error as `HttpError`, as in `Err(HttpError::new(StatusCode::NOT_FOUND, \"no such user\"))`"
)]
pub trait IntoReply<M> {
    /// Converts the value into a reply.
    fn into_reply(self) -> Reply;
}

impl<R: IntoResponse> IntoReply<Now> for R {
    fn into_reply(self) -> Reply {
        Reply::Ready(self.into_response())
    }
}

impl<F> IntoReply<Later> for F
where
    F: Future + 'static,
    F::Output: IntoResponse,
{
    fn into_reply(self) -> Reply {
        Reply::Later(Box::pin(contained(async move {
            Some(self.await.into_response())
        })))
    }
}

impl<F: Future<Output = Option<Response>> + 'static> IntoReply<Passed> for F {
    fn into_reply(self) -> Reply {
        Reply::Later(Box::pin(contained(self)))
    }
}

impl IntoReply<Answered> for () {
    fn into_reply(self) -> Reply {
        Reply::Detached
    }
}

impl<F: Future<Output = ()> + 'static> IntoReply<AnsweredLater> for F {
    fn into_reply(self) -> Reply {
        Reply::Later(Box::pin(contained(async move {
            self.await;
            None
        })))
    }
}

impl IntoReply<Self> for Reply {
    fn into_reply(self) -> Reply {
        self
    }
}

/// A function that handles requests: `|req: Request|`, or `|req: Request, res: Responder|` if it responds later.
///
/// A handler that takes the [`Responder`] returns `()` or a future of it, and responds with [`Responder::send`] or [`Responder::start`]
/// at any time. A handler that takes only the request returns a type that implements [`IntoReply`].
///
/// `M` distinguishes the kinds. It is always inferred, for which closures need the types of their arguments.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::add_timer;
/// use uptick_http::{HttpServer, Request, Responder};
///
/// let http = HttpServer::new();
/// http.get("/now", |_: Request| "Here you are");
/// http.get("/later", |_: Request, res: Responder| {
///     add_timer(Duration::from_secs(1), move || res.send("Here you are"));
/// });
/// ```
/// A handler that takes the responder does not return a response:
/// ```compile_fail
/// # use uptick_http::{HttpServer, Request, Responder};
/// HttpServer::new().get("/", |_: Request, _: Responder| "Here you are");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is `|req: Request|` and returns a type that implements `IntoResponse`, or a future of one",
    note = "a handler that responds later is `|req: Request, res: Responder|` and returns `()`",
    note = "return a value as JSON with `Response::json(&value)`, and an error as `HttpError`, as in `Err(HttpError::new(StatusCode::NOT_FOUND, \"no such user\"))`"
)]
pub trait IntoHandler<M> {
    /// Converts the value into the form stored by routes.
    fn into_handler(self) -> Handler;
}

impl<F, R, M> IntoHandler<(Responds, M)> for F
where
    F: FnMut(Request) -> R + 'static,
    R: IntoReply<M>,
{
    fn into_handler(mut self) -> Handler {
        Box::new(move |request| self(request).into_reply())
    }
}

impl<F, R, M> IntoHandler<(RespondsLater, M)> for F
where
    F: FnMut(Request, Responder) -> R + 'static,
    R: IntoReply<M>,
    M: ByResponder,
{
    fn into_handler(mut self) -> Handler {
        Box::new(move |request| {
            let responder = request.responder();
            self(request, responder).into_reply()
        })
    }
}

/// Calls a handler or a middleware, and converts a panic into an error response.
#[inline]
pub(crate) fn call(f: impl FnOnce() -> Reply) -> Reply {
    catch(f).unwrap_or_else(|message| Reply::Ready(panicked(message)))
}
