//! Middleware.

use std::fmt;
use std::rc::Rc;

use crate::{IntoReply, Reply, Request, handler};

/// A middleware in the form stored by the server.
pub type Middleware = Rc<dyn Fn(Request, Next) -> Reply>;

/// The remaining chain: the middleware after this one, then the route.
///
/// [`Next::run`] returns a [`Reply`], which can be mapped, returned unchanged, or awaited. A middleware that does not call it responds
/// instead of the handler.
///
/// # Examples
///
/// ```
/// use uptick_http::{IntoMiddleware, IntoResponse, Next, Request, StatusCode};
///
/// fn middleware<M>(_: impl IntoMiddleware<M>) {}
///
/// middleware(|req: Request, next: Next| next.run(req).map(|res| res.header("x-frame-options", "DENY")));
/// middleware(|req: Request, next: Next| async move {
///     let response = next.run(req).await?;
///     Some(response.header("x-frame-options", "DENY"))
/// });
/// middleware(|req: Request, next: Next| match req.param("token") {
///     Some(_) => next.run(req),
///     None => StatusCode::UNAUTHORIZED.into_response().into(),
/// });
/// ```
pub struct Next {
    layers: Rc<[Middleware]>,
    index: usize,
    end: Rc<dyn Endpoint>,
}

/// The end of a middleware chain: the routes, or the handler of one.
pub(crate) trait Endpoint {
    /// Responds to a request.
    fn handle(&self, request: Request) -> Reply;
}

/// A function at the end of a middleware chain.
struct HandlerEnd<F>(F);

impl<F: Fn(Request) -> Reply> Endpoint for HandlerEnd<F> {
    fn handle(&self, request: Request) -> Reply {
        handler::call(|| (self.0)(request))
    }
}

impl Next {
    /// Returns a chain of middleware and a handler, for a [service](crate::Mount) with its own middleware.
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use uptick_http::{IntoMiddleware, Middleware, Next, Reply, Request, Response};
    ///
    /// let layers: Rc<[Middleware]> = Rc::new([(|req: Request, next: Next| {
    ///     next.run(req).map(|response| response.header("x-service", "counter"))
    /// }).into_middleware()]);
    /// let chain = Next::to_handler(layers, |_: Request| Reply::Ready(Response::plain("1")));
    /// # let _ = chain;
    /// ```
    pub fn to_handler(
        layers: Rc<[Middleware]>,
        handler: impl Fn(Request) -> Reply + 'static,
    ) -> Self {
        Self::new(layers, Rc::new(HandlerEnd(handler)))
    }

    pub(crate) fn new(layers: Rc<[Middleware]>, end: Rc<dyn Endpoint>) -> Self {
        Self {
            layers,
            index: 0,
            end,
        }
    }

    /// Runs the remaining middleware and the handler. A panic becomes an error response with status 500.
    pub fn run(mut self, request: Request) -> Reply {
        let Some(layer) = self.layers.get(self.index).cloned() else {
            return self.end.handle(request);
        };
        self.index += 1;
        handler::call(|| layer(request, self))
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.layers.len() - self.index;
        f.debug_struct("Next")
            .field("middlewares", &left)
            .finish_non_exhaustive()
    }
}

/// A middleware function: it takes the request and the remaining chain, and returns any return type of a handler, or an
/// `Option<Response>` from awaiting [`Next::run`].
///
/// `M` distinguishes the kinds. It is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a middleware",
    label = "not a middleware",
    note = "a middleware is `|req: Request, next: Next|` and returns `next.run(req)`, a type that implements `IntoResponse`, or a future of one"
)]
pub trait IntoMiddleware<M> {
    /// Converts the value into the form stored by the server.
    fn into_middleware(self) -> Middleware;

    /// Returns `true` if the middleware answers CORS preflights, as [`Cors`](crate::Cors) does. The middleware of a group runs for the
    /// preflights of the group's routes if any of it does; otherwise an OPTIONS request without a route is answered without it. Default:
    /// `false`.
    fn answers_preflights(&self) -> bool {
        false
    }
}

impl<F, R, M> IntoMiddleware<M> for F
where
    F: Fn(Request, Next) -> R + 'static,
    R: IntoReply<M>,
{
    fn into_middleware(self) -> Middleware {
        Rc::new(move |request, next| self(request, next).into_reply())
    }
}
