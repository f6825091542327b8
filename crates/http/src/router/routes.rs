//! The routes and middlewares of a server.

use std::cell::RefCell;
use std::rc::Rc;

use crate::{Handler, HttpError, Middleware, Reply, Request, Response};

/// What shapes the answers that are errors.
pub(crate) type OnError = Rc<dyn Fn(HttpError, &Request) -> Response>;

/// The routes, middlewares and error callback of a server.
#[derive(Default)]
pub(crate) struct Routes {
    layers: Vec<Middleware>,
    redirect_trailing_slash: bool,
}

impl Routes {
    /// Adds a route: `methods` as in `GET|POST`, or `ALL`.
    pub(crate) fn add(
        &mut self,
        _methods: &str,
        _pattern: &str,
        _handler: Handler,
    ) -> Result<(), HttpError> {
        Ok(())
    }

    /// Adds a middleware around every route and every answer that there is no route.
    pub(crate) fn wrap(&mut self, layer: Middleware) {
        self.layers.push(layer);
    }

    pub(crate) fn redirect_trailing_slash(&mut self, on: bool) {
        self.redirect_trailing_slash = on;
    }

    /// Has the middlewares and the route answer; the routes are not borrowed while these run.
    pub(crate) fn answer(_routes: &Rc<RefCell<Self>>, _request: Request) -> Reply {
        Reply::Ready(HttpError::not_found().into())
    }
}
