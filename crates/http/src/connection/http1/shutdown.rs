//! Connections of a server that shuts down.

use std::rc::Rc;

use uptick_event_loop::driver::{Timestamp, add_timeout};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::ConnectionFlags;
use super::state::{ConnectionState, HttpConnection};
use crate::site::Service;

/// Ends each HTTP/1 connection of a server after its current exchange. Idle connections end after pending input has been read; new ones get a
/// short time for their request.
pub(crate) fn drain(service: &Rc<Service>) {
    for http in connections_of(service) {
        let exchange = {
            let mut state = http.state();
            if state.flags.contains(ConnectionFlags::DRAINING) {
                continue;
            }
            state.flags.insert(ConnectionFlags::DRAINING);
            if state.flags.contains(ConnectionFlags::FRESH) {
                // A request may be in transit.
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
    // Requests that were received before the call but have not been read are still answered.
    add_timeout(std::time::Duration::ZERO, move || end_idle(&service));
}

fn end_idle(service: &Rc<Service>) {
    for http in connections_of(service) {
        let ends = http.state().is_idle_in_shutdown();
        if ends {
            http.end();
        }
    }
}

/// Closes the remaining HTTP/1 connections of a server, and returns their number.
pub(crate) fn abort_all(service: &Rc<Service>) -> usize {
    let left = connections_of(service);
    for http in &left {
        http.conn.close();
    }
    left.len()
}

fn connections_of(service: &Rc<Service>) -> Vec<Rc<HttpConnection>> {
    let sessions = Connection::all().into_iter();
    let ours = sessions.filter_map(|conn| conn.session::<HttpConnection>());
    ours.filter(|http| Rc::ptr_eq(&http.service, service))
        .collect()
}

impl ConnectionState {
    /// Returns `true` if the shutdown does not have to wait for this connection. A connection accepted during the shutdown still waits
    /// for its first request, and a request that was read may wait for room in the write queue.
    fn is_idle_in_shutdown(&self) -> bool {
        self.exchange.is_none()
            && self.buffered() == 0
            && self.flags.contains(ConnectionFlags::DRAINING)
            && !self
                .flags
                .intersects(ConnectionFlags::FRESH | ConnectionFlags::IN_HEAD)
    }
}
