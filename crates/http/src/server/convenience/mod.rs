//! Convenience methods that are built only on routes, middleware and the operating system.
//!
//! No other part of the crate depends on them.

mod client_table;
mod clients;
mod ports;
mod shorthand;

use std::cell::RefCell;
use std::rc::Rc;

use crate::Middleware;
use client_table::ConnectedClients;

pub use ports::{PortHolder, PortInUse};

/// The state of the convenience methods.
#[derive(Default)]
pub(super) struct ConvenienceState {
    clients: Option<Rc<ConnectedClients>>,
    rate_limit: Option<Rc<RefCell<Middleware>>>,
}
