//! Values by type: the state of servers and groups, and the extensions of requests.

use std::any::{Any, TypeId, type_name};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A map with at most one value of each type.
#[derive(Default)]
pub(crate) struct TypeMap(RefCell<Vec<TypedValue>>);

struct TypedValue {
    id: TypeId,
    name: &'static str,
    value: Rc<dyn Any>,
}

impl TypeMap {
    /// Sets the value of a type. Returns the previous one, which the caller must drop while nothing is borrowed.
    pub(crate) fn set<T: 'static>(&self, value: T) -> Option<Rc<dyn Any>> {
        let id = TypeId::of::<T>();
        let value: Rc<dyn Any> = Rc::new(value);
        let mut entries = self.0.borrow_mut();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.id == id) {
            return Some(std::mem::replace(&mut entry.value, value));
        }
        let name = type_name::<T>();
        entries.push(TypedValue { id, name, value });
        None
    }

    /// Returns the value of a type.
    pub(crate) fn get(&self, id: TypeId) -> Option<Rc<dyn Any>> {
        let entries = self.0.borrow();
        let entry = entries.iter().find(|entry| entry.id == id)?;
        Some(Rc::clone(&entry.value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Appends the names of the types to a list.
    pub(crate) fn add_names(&self, names: &mut Vec<&'static str>) {
        names.extend(self.0.borrow().iter().map(|entry| entry.name));
    }
}

/// The state of the group of a route.
pub(crate) trait GroupState {
    /// Returns the value of a type.
    fn state(&self, id: TypeId) -> Option<Rc<dyn Any>>;

    /// Appends the names of the types to a list.
    fn add_state_names(&self, names: &mut Vec<&'static str>);
}

/// The error for a state or a request extension that was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingValue {
    kind: &'static str,
    name: &'static str,
    available: Box<[&'static str]>,
}

impl MissingValue {
    pub(crate) fn new<T>(kind: &'static str, available: Vec<&'static str>) -> Self {
        MissingValue {
            kind,
            name: type_name::<T>(),
            available: available.into(),
        }
    }

    /// Returns the name of the type that was not set.
    pub fn type_name(&self) -> &'static str {
        self.name
    }

    /// Returns the names of the types that were set.
    pub fn available(&self) -> &[&'static str] {
        &self.available
    }
}

impl fmt::Display for MissingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MissingValue { kind, name, .. } = self;
        write!(f, "no {kind} of the type `{name}` was set; ")?;
        match &*self.available {
            [] => f.write_str("no other type was set"),
            available => write!(f, "the available types are `{}`", available.join("`, `")),
        }
    }
}

impl std::error::Error for MissingValue {}
