//! The routes and middlewares of a server.

use std::cell::RefCell;
use std::rc::Rc;

use super::group::Scope;
use super::path::{BadEscape, names_segments};
use super::{Found, RouteError, Router};
use crate::{
    Handler, HeaderValue, HttpError, Middleware, Next, Reply, Request, Response, StatusCode,
    handler,
};

/// What shapes the answers that are errors.
pub(crate) type OnError = Rc<dyn Fn(HttpError, &Request) -> Response>;

/// The routes, middlewares and error callback of a server.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Rc<Route>>,
    layers: Rc<[Middleware]>,
    on_error: Option<OnError>,
    redirect_trailing_slash: bool,
}

/// A handler and the group that it was added in.
pub(crate) struct Route {
    handler: RefCell<Handler>,
    scope: Option<Rc<Scope>>,
}

/// What comes after the last middleware.
pub(crate) enum End {
    /// The route for the request.
    Find(Rc<RefCell<Routes>>),
    /// This route.
    Run(Rc<Route>),
}

impl Routes {
    /// Adds a route: `methods` as in `GET|POST`, or `ALL`.
    pub(crate) fn add(
        &mut self,
        methods: &str,
        pattern: &str,
        handler: Handler,
    ) -> Result<(), RouteError> {
        self.add_in(None, methods, pattern, handler)
    }

    pub(super) fn add_in(
        &mut self,
        scope: Option<Rc<Scope>>,
        methods: &str,
        pattern: &str,
        handler: Handler,
    ) -> Result<(), RouteError> {
        let handler = RefCell::new(handler);
        self.router
            .add(methods, pattern, Rc::new(Route { handler, scope }))
    }

    /// Adds a middleware around all routes and around the answers where there is none.
    pub(crate) fn wrap(&mut self, layer: Middleware) {
        self.layers = with(&self.layers, layer);
    }

    /// Sets what shapes errors.
    pub(crate) fn error(&mut self, on_error: OnError) {
        self.on_error = Some(on_error);
    }

    /// What shapes errors, for [`Response::shaped`].
    pub(crate) fn on_error(&self) -> Option<OnError> {
        self.on_error.clone()
    }

    /// Whether a path that has no route is redirected to the one with, or without, a slash at its end. Default: no.
    pub(crate) fn redirect_trailing_slash(&mut self, on: bool) {
        self.redirect_trailing_slash = on;
    }

    /// Has the middlewares and the route answer.
    ///
    /// The routes are not borrowed while these run, so a handler may add some.
    #[inline]
    pub(crate) fn answer(routes: &Rc<RefCell<Self>>, request: Request) -> Reply {
        let this = routes.borrow();
        if this.layers.is_empty() {
            drop(this);
            return Self::find(routes, request);
        }
        let layers = Rc::clone(&this.layers);
        drop(this);
        Next::new(layers, End::Find(Rc::clone(routes))).run(request)
    }

    #[inline]
    fn find(routes: &RefCell<Self>, mut request: Request) -> Reply {
        let this = routes.borrow();
        let exact = this
            .router
            .find_exact(request.method(), request.path_bytes());
        let route = match exact {
            Some(route) => Rc::clone(route),
            None => match this.lookup(&request) {
                Found::Route { value, params } => {
                    let route = Rc::clone(value);
                    request.set_params(params);
                    route
                }
                other => return Reply::Ready(this.without_route(other, &request)),
            },
        };
        drop(this);
        match route.scope.as_ref().map(|scope| scope.layers()) {
            Some(layers) if !layers.is_empty() => Next::new(layers, End::Run(route)).run(request),
            _ => route.run(request),
        }
    }

    /// Finds the route by the path that guards compare, [`Request::path`].
    fn lookup(&self, request: &Request) -> Found<'_, Rc<Route>> {
        match request.normal_path() {
            Ok(path) => self.router.find_normal(request.method(), path, path),
            Err(BadEscape) => Found::BadPath,
        }
    }

    fn without_route(&self, found: Found<'_, Rc<Route>>, request: &Request) -> Response {
        match found {
            Found::Options { allow } => {
                Response::new(StatusCode::NO_CONTENT).header(http::header::ALLOW, allow)
            }
            Found::MethodNotAllowed { allow } => {
                let error = HttpError::from_status(StatusCode::METHOD_NOT_ALLOWED);
                match HeaderValue::try_from(allow) {
                    Ok(allow) => error.with_header(http::header::ALLOW, allow).into(),
                    Err(e) => HttpError::internal(e).into(),
                }
            }
            Found::BadPath => HttpError::bad_request("The path is not well-formed").into(),
            Found::UnknownMethod => HttpError::from_status(StatusCode::NOT_IMPLEMENTED).into(),
            Found::NotFound | Found::Route { .. } => {
                let redirect = self.redirect_trailing_slash.then(|| self.slashed(request));
                match redirect.flatten() {
                    Some(location) => {
                        Response::redirect(&location).with_status(StatusCode::PERMANENT_REDIRECT)
                    }
                    None => HttpError::not_found().into(),
                }
            }
        }
    }

    /// The request's path with a slash more or less at its end, and its query, if there is a route.
    fn slashed(&self, request: &Request) -> Option<String> {
        let path = request.path();
        // A location that begins with two slashes is on another host, and clients resolve `..`.
        if !names_segments(path) {
            return None;
        }
        let mut other = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        if other.is_empty() || !self.router.has_path(&other) {
            return None;
        }
        if let Some(query) = request.query() {
            other.push('?');
            other.push_str(query);
        }
        Some(other)
    }
}

impl Route {
    #[inline]
    fn run(&self, request: Request) -> Reply {
        match self.handler.try_borrow_mut() {
            Ok(mut handler) => handler::call(|| handler(request)),
            // A handler that answers by the way of itself.
            Err(_) => {
                let error = HttpError::internal("the handler was called while it was running");
                Reply::Ready(error.into())
            }
        }
    }
}

impl End {
    pub(crate) fn answer(self, request: Request) -> Reply {
        match self {
            Self::Find(routes) => Routes::find(&routes, request),
            Self::Run(route) => route.run(request),
        }
    }
}

/// The middlewares with one more.
pub(super) fn with(layers: &[Middleware], layer: Middleware) -> Rc<[Middleware]> {
    layers.iter().cloned().chain([layer]).collect()
}

#[cfg(test)]
mod tests;
