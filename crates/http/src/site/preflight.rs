//! OPTIONS requests for paths without an OPTIONS route, including CORS preflights.

use std::rc::Rc;

use super::{Site, SiteRoute};
use crate::middleware::Endpoint;
use crate::routing::{Params, RouteMatch};
use crate::{Method, Next, Reply, Request, Response, StatusCode};

/// Returns the response to OPTIONS for a path without an OPTIONS route.
pub(super) fn options(allow: &str) -> Response {
    Response::new(StatusCode::NO_CONTENT).header(http::header::ALLOW, allow)
}

/// The endpoint after the middleware of a group, for a path without an OPTIONS route.
struct OptionsEndpoint {
    /// The methods that have a route.
    allow: String,
}

impl Endpoint for OptionsEndpoint {
    fn handle(&self, _: Request) -> Reply {
        options(&self.allow).into()
    }
}

impl Site {
    /// Responds to a CORS preflight of a path that has routes for the methods in `allow`. The response is created by the middleware of the
    /// requested method's group if it answers preflights, otherwise by that of another route of the path.
    #[cold]
    pub(super) fn preflight(&self, allow: String, request: Request) -> Reply {
        let wanted = request.header("access-control-request-method");
        let mut names = wanted.into_iter().chain(allow.split(", "));
        let found = names.find_map(|name| {
            let (route, params) = self.route_for(name, &request)?;
            let scope = route.scope.as_ref()?;
            scope.answers_preflights().then(|| (scope.layers(), params))
        });
        let end = OptionsEndpoint { allow };
        match found {
            Some((layers, params)) => {
                request.set_params(params);
                Next::new(layers, Rc::new(end)).run(request)
            }
            None => end.handle(request),
        }
    }

    /// Returns the route that the request would match with another method.
    fn route_for(&self, method: &str, request: &Request) -> Option<(&Rc<SiteRoute>, Params)> {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let path = request.normal_path().ok()?;
        match self.router.find_normal(&method, path, path) {
            RouteMatch::Route { value, params } => Some((value, params)),
            _ => None,
        }
    }
}
