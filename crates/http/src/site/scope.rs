//! Groups of routes, as stored with their routes.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::Middleware;
use crate::type_map::{GroupState, TypeMap};

/// A group, as stored with its routes.
pub(crate) struct Scope {
    prefix: String,
    parent: Option<Rc<Scope>>,
    layers: RefCell<Rc<[Middleware]>>,
    states: TypeMap,
    /// `true` if any of the middleware answers CORS preflights.
    answers_preflights: Cell<bool>,
}

impl Scope {
    pub(super) fn new(parent: Option<&Rc<Self>>, prefix: &str) -> Rc<Self> {
        let before = parent.map_or("", |parent| &parent.prefix);
        Rc::new(Self {
            prefix: joined(before, prefix),
            parent: parent.cloned(),
            layers: RefCell::default(),
            states: TypeMap::default(),
            answers_preflights: Cell::default(),
        })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns a pattern with the prefix.
    pub(super) fn joined(&self, pattern: &str) -> String {
        joined(&self.prefix, pattern)
    }

    /// Adds a middleware.
    pub(super) fn wrap(&self, layer: Middleware, answers_preflights: bool) {
        if answers_preflights {
            self.answers_preflights.set(true);
        }
        let mut layers = self.layers.borrow_mut();
        *layers = with(&layers, layer);
    }

    /// Returns `true` if middleware of the group, or of an outer one, answers CORS preflights.
    pub(super) fn answers_preflights(&self) -> bool {
        let parent = self.parent.as_ref();
        self.answers_preflights.get() || parent.is_some_and(|parent| parent.answers_preflights())
    }

    /// Returns the state of this group only.
    pub(super) fn states(&self) -> &TypeMap {
        &self.states
    }

    /// Returns `true` if the group, or an outer one, has state.
    pub(super) fn has_state(&self) -> bool {
        let parent = self.parent.as_ref();
        !self.states.is_empty() || parent.is_some_and(|parent| parent.has_state())
    }

    /// Returns the middleware of the outer groups, followed by the group's own.
    pub(super) fn layers(&self) -> Rc<[Middleware]> {
        let own = Rc::clone(&self.layers.borrow());
        match self.parent.as_ref().map(|parent| parent.layers()) {
            Some(outer) if own.is_empty() => outer,
            Some(outer) if !outer.is_empty() => outer.iter().chain(&*own).cloned().collect(),
            _ => own,
        }
    }
}

impl GroupState for Scope {
    fn state(&self, id: TypeId) -> Option<Rc<dyn Any>> {
        let parent = self.parent.as_ref();
        self.states
            .get(id)
            .or_else(|| parent.and_then(|parent| parent.state(id)))
    }

    fn add_state_names(&self, names: &mut Vec<&'static str>) {
        self.states.add_names(names);
        if let Some(parent) = &self.parent {
            parent.add_state_names(names);
        }
    }
}

/// Joins a prefix and a pattern, with one slash between them if both have one.
fn joined(prefix: &str, rest: &str) -> String {
    let prefix = match rest.starts_with('/') {
        true => prefix.strip_suffix('/').unwrap_or(prefix),
        false => prefix,
    };
    format!("{prefix}{rest}")
}

/// Returns the middleware with one more.
pub(super) fn with(layers: &[Middleware], layer: Middleware) -> Rc<[Middleware]> {
    layers.iter().cloned().chain([layer]).collect()
}
