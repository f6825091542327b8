//! The configuration of a server: its routes, middleware, callbacks and limits.
//!
//! A [`Site`] does not change while requests use it. The [`Service`] replaces it when the server is configured, and each request keeps
//! the site that it started with.

mod group;
mod hooks;
mod preflight;
mod scope;
mod service;
mod serving;
mod settings;
mod shutdown;
mod shutdown_state;
mod upgraded;
#[macro_use]
mod verbs;

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use uptick_event_loop::{Id, catch};

use crate::cors::is_preflight;
use crate::exchange::{Exchange, OnError, SitePolicy, error_page};
use crate::middleware::Endpoint;
use crate::routing::{BadEscape, RouteError, RouteMatch, Router, has_plain_segments};
use crate::type_map::TypeMap;
use crate::{
    Handler, HeaderValue, HttpError, Middleware, Next, Reply, Request, Response, StatusCode,
    TrustedProxies, handler,
};

pub use group::Group;
pub(crate) use hooks::{Hooks, Observer, OnResponse};
pub use hooks::{RequestInfo, ResponseInfo};
use preflight::options;
use scope::{Scope, with};
pub(crate) use service::Service;
pub(crate) use settings::SiteSettings;
pub(crate) use verbs::routing_methods;

/// The routes, middleware, callbacks and limits of a server.
#[derive(Clone, Default)]
pub(crate) struct Site {
    router: Router<Rc<SiteRoute>>,
    layers: Rc<[Middleware]>,
    pub(crate) on_error: Option<OnError>,
    /// `true` if a path without a route is redirected to the same path with, or without, a trailing slash.
    pub(crate) redirect_trailing_slash: bool,
    pub(crate) settings: SiteSettings,
    pub(crate) proxies: Option<Rc<TrustedProxies>>,
    pub(crate) hooks: Hooks,
    /// The values shared by handlers. Changes also apply to requests in progress.
    pub(crate) states: Rc<TypeMap>,
}

/// A handler and its group.
pub(crate) struct SiteRoute {
    handler: RefCell<Handler>,
    scope: Option<Rc<Scope>>,
}

impl Site {
    /// Adds a route: `methods` as in `GET|POST`, or `ALL`.
    pub(crate) fn add(
        &mut self,
        scope: Option<Rc<Scope>>,
        methods: &str,
        pattern: &str,
        handler: Handler,
    ) -> Result<(), RouteError> {
        let handler = RefCell::new(handler);
        self.router
            .add(methods, pattern, Rc::new(SiteRoute { handler, scope }))
    }

    /// Adds middleware around all routes, and around the responses to requests without a route.
    pub(crate) fn wrap(&mut self, layer: Middleware) {
        self.layers = with(&self.layers, layer);
    }

    /// Returns the trusted proxies, if the peer is one of them.
    #[inline]
    pub(crate) fn proxies_of(
        &self,
        peer: impl FnOnce() -> Option<IpAddr>,
    ) -> Option<Rc<TrustedProxies>> {
        let proxies = self.proxies.as_ref()?;
        proxies.trusts_peer(peer()).then(|| Rc::clone(proxies))
    }

    /// Runs the middleware, and the handler of the request's route.
    #[inline(always)]
    pub(crate) fn handle(self: &Rc<Self>, request: Request) -> Reply {
        if self.layers.is_empty() {
            return self.find(request);
        }
        let end = Rc::<Site>::clone(self);
        Next::new(Rc::clone(&self.layers), end).run(request)
    }

    #[inline(always)]
    fn find(&self, request: Request) -> Reply {
        let exact = self
            .router
            .find_exact(request.method(), request.path_bytes());
        match exact {
            Some(route) => route.enter(request),
            None => self.find_pattern(request),
        }
    }

    /// Runs the route whose pattern is not identical to the path as sent.
    #[inline(never)]
    fn find_pattern(&self, request: Request) -> Reply {
        match self.lookup(&request) {
            RouteMatch::Route { value, params } => {
                request.set_params(params);
                value.enter(request)
            }
            RouteMatch::Options { allow } if is_preflight(&request) => {
                self.preflight(allow, request)
            }
            other => Reply::Ready(self.without_route(other, &request)),
        }
    }

    /// Returns the route for the normalized path, [`Request::path`], which access checks also compare.
    #[inline]
    fn lookup(&self, request: &Request) -> RouteMatch<'_, Rc<SiteRoute>> {
        match request.normal_path() {
            Ok(path) => self.router.find_normal(request.method(), path, path),
            Err(BadEscape) => RouteMatch::BadPath,
        }
    }

    #[cold]
    fn without_route(&self, found: RouteMatch<'_, Rc<SiteRoute>>, request: &Request) -> Response {
        match found {
            RouteMatch::Options { allow } => options(&allow),
            RouteMatch::MethodNotAllowed { allow } => {
                let error = HttpError::from_status(StatusCode::METHOD_NOT_ALLOWED);
                match HeaderValue::try_from(allow) {
                    Ok(allow) => error.with_header(http::header::ALLOW, allow).into(),
                    Err(e) => HttpError::internal(e).into(),
                }
            }
            RouteMatch::BadPath => HttpError::bad_request("the path is not well-formed").into(),
            RouteMatch::UnknownMethod => HttpError::from_status(StatusCode::NOT_IMPLEMENTED).into(),
            RouteMatch::NotFound | RouteMatch::Route { .. } => {
                let redirect = self
                    .redirect_trailing_slash
                    .then(|| self.with_other_trailing_slash(request));
                match redirect.flatten() {
                    Some(location) => {
                        Response::redirect(&location).with_status(StatusCode::PERMANENT_REDIRECT)
                    }
                    None => HttpError::not_found().into(),
                }
            }
        }
    }

    /// Returns the path with a trailing slash added or removed, and the query, if that path has a route.
    fn with_other_trailing_slash(&self, request: &Request) -> Option<String> {
        let path = request.path();
        // A location that starts with two slashes is on another host, and clients resolve `..`.
        if !has_plain_segments(path) {
            return None;
        }
        let mut other = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        if other.is_empty() || !self.router.has_path(&other) {
            return None;
        }
        if let Some(query) = request.query_string() {
            other.push('?');
            other.push_str(query);
        }
        Some(other)
    }
}

impl SitePolicy for Site {
    fn body_limit(&self) -> usize {
        self.settings.body_limit
    }

    fn finishes(&self) -> bool {
        self.hooks.finishes()
    }

    fn finish(&self, exchange: &Rc<Exchange>, response: Response) -> Response {
        let request = Request::of(Rc::clone(exchange));
        self.hooks.finish(exchange.conn, response, Some(&request))
    }

    fn server(&self) -> Option<Id> {
        self.hooks.observer.as_ref()?.id()
    }

    fn states(&self) -> Rc<TypeMap> {
        Rc::clone(&self.states)
    }

    fn upgrade_refusal(&self) -> Option<HttpError> {
        let draining = self.hooks.observer.as_ref()?.draining()?;
        Some(draining.refusal())
    }

    fn error_page(&self, exchange: &Rc<Exchange>, response: Response) -> Response {
        let request = Request::of(Rc::clone(exchange));
        let response = match self.hooks.debug {
            true => response.explained(),
            false => response,
        };
        catch(|| error_page(response, self.on_error.as_ref(), &request)).unwrap_or_else(|message| {
            error_page(HttpError::panicked(message).into(), None, &request)
        })
    }
}

impl SiteRoute {
    /// Runs the middleware of the route's group, and the handler.
    #[inline(always)]
    fn enter(self: &Rc<Self>, request: Request) -> Reply {
        match &self.scope {
            None => self.run(request),
            Some(scope) => self.run_in(scope, request),
        }
    }

    #[inline(never)]
    fn run_in(self: &Rc<Self>, scope: &Rc<Scope>, request: Request) -> Reply {
        if scope.has_state() {
            request.set_group_state(Rc::<Scope>::clone(scope));
        }
        let layers = scope.layers();
        match layers.is_empty() {
            true => self.run(request),
            false => Next::new(layers, Rc::<SiteRoute>::clone(self)).run(request),
        }
    }

    #[inline(never)]
    fn run(&self, request: Request) -> Reply {
        match self.handler.try_borrow_mut() {
            Ok(mut handler) => handler::call(|| handler(request)),
            // The handler has called itself with a request.
            Err(_) => {
                let error = HttpError::internal("the handler was called while it was running");
                Reply::Ready(error.into())
            }
        }
    }
}

impl Endpoint for Site {
    fn handle(&self, request: Request) -> Reply {
        self.find(request)
    }
}

impl Endpoint for SiteRoute {
    fn handle(&self, request: Request) -> Reply {
        self.run(request)
    }
}

#[cfg(test)]
mod tests;
