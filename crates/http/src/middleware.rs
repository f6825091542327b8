//! What runs around handlers.

use std::fmt;
use std::rc::Rc;

use crate::{IntoReply, Reply, Request};

/// A middleware as the server keeps it.
pub type Middleware = Rc<dyn Fn(Request, Next) -> Reply>;

/// The rest of the way to the handler: the middlewares after this one, then the route.
pub struct Next {
    rest: Box<dyn FnOnce(Request) -> Reply>,
}

impl Next {
    pub(crate) fn new(rest: impl FnOnce(Request) -> Reply + 'static) -> Self {
        Self {
            rest: Box::new(rest),
        }
    }

    /// Has the rest answer the request.
    pub fn run(self, request: Request) -> Reply {
        (self.rest)(request)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// A function that may be a middleware.
pub trait IntoMiddleware<M> {
    /// The middleware.
    fn into_middleware(self) -> Middleware;
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
