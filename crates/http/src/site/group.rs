//! Routes with a common prefix.

use std::fmt;
use std::rc::Rc;

use super::routing_methods;
use super::scope::Scope;
use super::service::Service;
use crate::routing::RouteError;
use crate::{Handler, IntoMiddleware};

/// A group of routes: patterns added to it get its prefix, and its middleware wraps their handlers.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    service: &'a Service,
    scope: &'a Rc<Scope>,
}

impl Service {
    /// Calls `f` to add routes with a prefix.
    pub(crate) fn group(&self, prefix: &str, f: impl FnOnce(Group<'_>)) {
        let scope = &Scope::new(None, prefix);
        f(Group {
            service: self,
            scope,
        });
    }
}

impl Group<'_> {
    /// Returns the prefix of the patterns, including those of outer groups.
    pub fn prefix(&self) -> &str {
        self.scope.prefix()
    }

    /// Calls `f` to add routes with a prefix below the prefix of this group.
    pub fn group(self, prefix: &str, f: impl FnOnce(Group<'_>)) -> Self {
        let scope = &Scope::new(Some(self.scope), prefix);
        f(Group {
            service: self.service,
            scope,
        });
        self
    }

    /// Adds middleware around the routes of this group, including the routes added before.
    ///
    /// The middleware of the server and of outer groups runs first. The middleware of a group does not run for paths without a route. For
    /// a path without an OPTIONS route, it runs only for CORS preflights, and only if it [answers
    /// them](IntoMiddleware::answers_preflights).
    pub fn wrap<M>(self, middleware: impl IntoMiddleware<M>) -> Self {
        let answers_preflights = middleware.answers_preflights();
        self.scope
            .wrap(middleware.into_middleware(), answers_preflights);
        self
    }

    /// Sets a value for the handlers and middleware of this group, which [`Request::state`](crate::Request::state) returns, replacing a
    /// value of the same type. It takes precedence over the values of outer groups and of the server
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
