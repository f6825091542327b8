//! Routes under a common prefix.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::{Service, routing_methods, with};
use crate::routing::RouteError;
use crate::{Handler, IntoMiddleware, Middleware};

/// The routes under a prefix: what is added here has the prefix before its pattern and the group's middlewares
/// around its handler.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    service: &'a Service,
    scope: &'a Rc<Scope>,
}

/// A group, as its routes keep it.
pub(crate) struct Scope {
    prefix: String,
    parent: Option<Rc<Scope>>,
    layers: RefCell<Rc<[Middleware]>>,
}

impl Scope {
    fn new(parent: Option<&Rc<Self>>, prefix: &str) -> Rc<Self> {
        let before = parent.map_or("", |parent| &parent.prefix);
        Rc::new(Self {
            prefix: joined(before, prefix),
            parent: parent.cloned(),
            layers: RefCell::default(),
        })
    }

    /// The middlewares of the group, after those of the groups around it.
    pub(super) fn layers(&self) -> Rc<[Middleware]> {
        let own = Rc::clone(&self.layers.borrow());
        match self.parent.as_ref().map(|parent| parent.layers()) {
            Some(outer) if own.is_empty() => outer,
            Some(outer) if !outer.is_empty() => outer.iter().chain(&*own).cloned().collect(),
            _ => own,
        }
    }
}

/// A prefix and what follows it, with one slash between them where both have one: no path with two slashes is meant.
fn joined(prefix: &str, rest: &str) -> String {
    let prefix = match rest.starts_with('/') {
        true => prefix.strip_suffix('/').unwrap_or(prefix),
        false => prefix,
    };
    format!("{prefix}{rest}")
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
    /// Those of the server and of the groups around this one come first. Paths without a route are not the group's.
    pub fn wrap<M>(self, middleware: impl IntoMiddleware<M>) -> Self {
        let mut layers = self.scope.layers.borrow_mut();
        *layers = with(&layers, middleware.into_middleware());
        self
    }

    fn add_route(self, methods: &str, pattern: &str, handler: Handler) -> Result<(), RouteError> {
        let pattern = joined(&self.scope.prefix, pattern);
        let scope = Some(Rc::clone(self.scope));
        self.service
            .configure(|site| site.add(scope, methods, &pattern, handler))
    }

    routing_methods!();
}

impl fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("prefix", &self.scope.prefix)
            .finish_non_exhaustive()
    }
}
