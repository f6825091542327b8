//! Access to the state of the server and of groups.

use std::any::{Any, TypeId};
use std::rc::Rc;

use super::request::Request;
use crate::type_map::{GroupState, MissingValue};

impl Request {
    /// Returns the state of a type that was set for the group of the route ([`Group::set_state`](crate::router::Group::set_state)) or for
    /// the server ([`HttpServer::set_state`](crate::HttpServer::set_state)). Middleware of the server gets the state of the server.
    ///
    /// # Errors
    /// [`MissingValue`] if no value of the type was set; it lists the types of the values that were set. Returned by `?` from a handler, it
    /// becomes a response with status 500, and is logged.
    pub fn state<T: 'static>(&self) -> Result<Rc<T>, MissingValue> {
        let id = TypeId::of::<T>();
        let found = self.find_state(id).and_then(|value| value.downcast().ok());
        found.ok_or_else(|| {
            let mut names = Vec::new();
            self.add_state_names(&mut names);
            MissingValue::new::<T>("state", names)
        })
    }

    /// Sets the group of the route, if it has state.
    pub(crate) fn set_group_state(&self, group: Rc<dyn GroupState>) {
        self.exchange
            .extended(|extended| extended.group_state = Some(group));
    }

    fn find_state(&self, id: TypeId) -> Option<Rc<dyn Any>> {
        let group = self.exchange.group_state();
        group
            .and_then(|group| group.state(id))
            .or_else(|| self.exchange.policy()?.states().get(id))
    }

    fn add_state_names(&self, names: &mut Vec<&'static str>) {
        if let Some(group) = self.exchange.group_state() {
            group.add_state_names(names);
        }
        if let Some(policy) = self.exchange.policy() {
            policy.states().add_names(names);
        }
    }
}
