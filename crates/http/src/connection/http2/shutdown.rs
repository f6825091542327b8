//! Connections of a server that shuts down.

use std::rc::Rc;

use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::ConnectionFlags;
use super::state::Http2Connection;
use crate::site::Service;

/// Ends each connection of a server after its requests: clients learn with a first GOAWAY frame that they should send no more, and with a
/// second one which of their requests are handled (RFC 9113, section 6.8).
pub(in crate::connection) fn drain(service: &Rc<Service>) {
    for http in connections_of(service) {
        http.begin_draining();
    }
}

/// Closes the remaining connections of a server, and returns their number.
pub(in crate::connection) fn abort_all(service: &Rc<Service>) -> usize {
    let left = connections_of(service);
    for http in &left {
        http.conn.close();
    }
    left.len()
}

fn connections_of(service: &Rc<Service>) -> Vec<Rc<Http2Connection>> {
    let sessions = Connection::all().into_iter();
    let ours = sessions.filter_map(|conn| conn.session::<Http2Connection>());
    ours.filter(|http| Rc::ptr_eq(&http.service, service))
        .collect()
}

impl Http2Connection {
    /// Announces that the connection ends, and ends responses that would not end otherwise.
    pub(super) fn begin_draining(&self) {
        {
            let mut state = self.state();
            if state
                .flags
                .intersects(ConnectionFlags::GOING_AWAY | ConnectionFlags::CLOSING)
            {
                return;
            }
            state
                .flags
                .insert(ConnectionFlags::DRAINING | ConnectionFlags::GOING_AWAY);
            state.extra().announced = Timestamp::now();
            state.codec.announce_go_away();
            // Requests that were in transit when the client received the first frame precede the acknowledgement. A client that does not
            // acknowledge it has the time limit of a new connection.
            state.codec.send_ping();
            self.arm_connection(&mut state);
        }
        for stream in self.streams() {
            let started = stream
                .exchange()
                .filter(|exchange| exchange.is_started() && !exchange.is_done());
            if let Some(early_end) = started.and_then(|exchange| exchange.early_end()) {
                self.service.end_early(early_end);
            }
        }
        self.advance();
    }
}
