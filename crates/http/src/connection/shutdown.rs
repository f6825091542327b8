//! The connections of a server that shuts down.

use std::rc::Rc;

use uptick_event_loop::driver::{Timestamp, add_timeout};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::Flags;
use super::state::{HttpConnection, State};
use crate::site::Service;

/// Lets each connection of a server end with what it is doing. Idle ones end when received bytes have been read, new ones get a moment for
/// their request.
pub(crate) fn drain(service: &Rc<Service>) {
    for http in of_service(service) {
        let exchange = {
            let mut state = http.state();
            if state.flags.contains(Flags::DRAINING) {
                continue;
            }
            state.flags.insert(Flags::DRAINING);
            if state.flags.contains(Flags::FRESH) {
                // A request may be on its way.
                state.since = Timestamp::now();
                http.arm(&mut state);
            }
            state.exchange.clone()
        };
        let started = exchange.filter(|exchange| exchange.is_started() && !exchange.is_done());
        if let Some(early_end) = started.and_then(|exchange| exchange.early_end()) {
            service.end_early(early_end);
        }
    }
    let service = Rc::clone(service);
    // Requests that had come before the call, and were not read, are still responded to.
    add_timeout(std::time::Duration::ZERO, move || end_idle(&service));
}

fn end_idle(service: &Rc<Service>) {
    for http in of_service(service) {
        let ends = http.state().is_idle_in_shutdown();
        if ends {
            http.end();
        }
    }
}

/// Closes the connections of a server that are left; returns how many there were.
pub(crate) fn cut(service: &Rc<Service>) -> usize {
    let left = of_service(service);
    for http in &left {
        http.conn.close();
    }
    left.len() + service.cut_upgraded()
}

fn of_service(service: &Rc<Service>) -> Vec<Rc<HttpConnection>> {
    let sessions = Connection::all().into_iter();
    let ours = sessions.filter_map(|conn| conn.session::<HttpConnection>());
    ours.filter(|http| Rc::ptr_eq(&http.service, service))
        .collect()
}

impl State {
    /// Returns whether a connection has nothing to do that a shutdown waits for. One that came during the shutdown has had no moment for its
    /// request yet, and a request that was read may wait until there is room for its response.
    fn is_idle_in_shutdown(&self) -> bool {
        self.exchange.is_none()
            && self.buffered() == 0
            && self.flags.contains(Flags::DRAINING)
            && !self.flags.intersects(Flags::FRESH | Flags::IN_HEAD)
    }
}
