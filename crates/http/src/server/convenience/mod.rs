//! Methods of a server for what can be done with routes, middlewares and the system alone.
//!
//! Nothing else of the crate needs them.

mod client_table;
mod clients;
mod ports;
mod shorthand;

use std::cell::RefCell;
use std::rc::Rc;

use crate::Middleware;
use client_table::Clients;

pub use ports::{PortHolder, PortInUse};

/// The state of these methods.
#[derive(Default)]
pub(super) struct Convenience {
    clients: Option<Rc<Clients>>,
    rate_limit: Option<Rc<RefCell<Middleware>>>,
}
