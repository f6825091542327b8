//! Routes under a common prefix.

use std::fmt;
use std::rc::Rc;

use super::routing_methods;
use super::scope::Scope;
use super::service::Service;
use crate::routing::RouteError;
use crate::{Handler, IntoMiddleware};

/// The routes under a prefix: what is added here has the prefix before its pattern and the group's middlewares
/// around its handler.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    service: &'a Service,
    scope: &'a Rc<Scope>,
}

impl Service {
    /// Calls `f` to add routes under a prefix.
    pub(crate) fn group(&self, prefix: &str, f: impl FnOnce(Group<'_>)) {
        let scope = &Scope::new(None, prefix);
        f(Group {
            service: self,
            scope,
        });
    }
}

impl Group<'_> {
    /// Calls `f` to add routes under a prefix within this one.
    pub fn group(self, prefix: &str, f: impl FnOnce(Group<'_>)) -> Self {
        let scope = &Scope::new(Some(self.scope), prefix);
        f(Group {
            service: self.service,
            scope,
        });
        self
    }

    /// Adds a middleware around the routes of this group, whether they were added before it or are added after it.
    ///
    /// Those of the server and of the groups around this one come first. Paths without a route are not the group's. A path without a
    /// route for OPTIONS is for CORS preflights only, and only if the middleware of the group [answers
    /// them](IntoMiddleware::answers_preflights).
    pub fn wrap<M>(self, middleware: impl IntoMiddleware<M>) -> Self {
        let answers_preflights = middleware.answers_preflights();
        self.scope
            .wrap(middleware.into_middleware(), answers_preflights);
        self
    }

    /// Sets a value for the handlers and middleware of this group, which [`Request::state`](crate::Request::state) returns. It replaces the one
    /// of its type that was set for this group, and is used in place of those of the groups around it and of the server
    /// ([`HttpServer::set_state`](crate::HttpServer::set_state)). Default: none.
    pub fn set_state<T: 'static>(self, state: T) -> Self {
        drop(self.scope.states().set(state));
        self
    }

    fn add_route(self, methods: &str, pattern: &str, handler: Handler) -> Result<(), RouteError> {
        let pattern = self.scope.joined(pattern);
        let scope = Some(Rc::clone(self.scope));
        self.service
            .configure(|site| site.add(scope, methods, &pattern, handler))
    }

    routing_methods!();
}

impl fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("prefix", &self.scope.prefix())
            .finish_non_exhaustive()
    }
}
