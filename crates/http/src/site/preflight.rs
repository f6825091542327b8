//! OPTIONS on paths that have no route for it, and CORS preflights among them.

use std::rc::Rc;

use super::{Route, Site};
use crate::middleware::Endpoint;
use crate::routing::{Found, Params};
use crate::{Method, Next, Reply, Request, Response, StatusCode};

/// Returns the response to OPTIONS where there is no route for it.
pub(super) fn options(allow: &str) -> Response {
    Response::new(StatusCode::NO_CONTENT).header(http::header::ALLOW, allow)
}

/// The end of the middleware of a group whose path has no route for OPTIONS.
struct Options {
    /// The methods that have a route.
    allow: String,
}

impl Endpoint for Options {
    fn answer(&self, _: Request) -> Reply {
        options(&self.allow).into()
    }
}

impl Site {
    /// Responds to a CORS preflight of a path that has routes for the methods in `allow`: by the middleware of the group of the route for
    /// which the client asks, or of any other one, if it answers preflights.
    #[cold]
    pub(super) fn preflight(&self, allow: String, request: Request) -> Reply {
        let wanted = request.header("access-control-request-method");
        let mut names = wanted.into_iter().chain(allow.split(", "));
        let found = names.find_map(|name| {
            let (route, params) = self.route_for(name, &request)?;
            let scope = route.scope.as_ref()?;
            scope.answers_preflights().then(|| (scope.layers(), params))
        });
        let end = Options { allow };
        match found {
            Some((layers, params)) => {
                request.set_params(params);
                Next::new(layers, Rc::new(end)).run(request)
            }
            None => end.answer(request),
        }
    }

    /// Returns the route that the request would have with another method.
    fn route_for(&self, method: &str, request: &Request) -> Option<(&Rc<Route>, Params)> {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let path = request.normal_path().ok()?;
        match self.router.find_normal(&method, path, path) {
            Found::Route { value, params } => Some((value, params)),
            _ => None,
        }
    }
}
