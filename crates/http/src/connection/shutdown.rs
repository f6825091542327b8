//! The connections of a server that shuts down.

use std::rc::Rc;

use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::Flags;
use super::state::HttpConnection;
use crate::site::Service;

/// Ends the idle connections of a server, gives fresh ones a moment, and lets the others end with what they are doing.
pub(crate) fn drain(service: &Rc<Service>) {
    for http in of_service(service) {
        let idle = {
            let mut state = http.state();
            state.flags.insert(Flags::DRAINING);
            if state.flags.contains(Flags::FRESH) {
                // A request may be on its way.
                state.since = Timestamp::now();
                http.arm(&mut state);
            }
            state.exchange.is_none() && !state.flags.intersects(Flags::FRESH | Flags::IN_HEAD)
        };
        if idle {
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
    left.len()
}

fn of_service(service: &Rc<Service>) -> Vec<Rc<HttpConnection>> {
    let sessions = Connection::all().into_iter();
    let ours = sessions.filter_map(|conn| conn.session::<HttpConnection>());
    ours.filter(|http| Rc::ptr_eq(&http.service, service))
        .collect()
}
