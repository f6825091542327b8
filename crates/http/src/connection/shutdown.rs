//! The connections of a server that shuts down.

use std::rc::Rc;

use uptick_event_loop::Id;

use super::flags::Flags;
use super::{CONNECTIONS, Entry, Timestamp, steps, with_entry};
use crate::server::Service;

/// Ends the idle connections of a server, gives fresh ones a moment, and has the others end with what they are doing.
pub(crate) fn drain(service: &Rc<Service>) {
    for key in of_service(service) {
        let idle = with_entry(key, |entry| {
            entry.flags.insert(Flags::DRAINING);
            if entry.flags.contains(Flags::FRESH) {
                // A request may be on its way.
                entry.since = Timestamp::now();
                entry.arm(key);
            }
            let busy = Flags::ACTIVE | Flags::FRESH | Flags::IN_HEAD;
            !entry.flags.intersects(busy)
        });
        if idle == Some(true) {
            steps::end(key);
        }
    }
}

/// Closes the connections of a server that are left; gives how many there were.
pub(crate) fn cut(service: &Rc<Service>) -> usize {
    let left: Vec<_> = of_service(service)
        .into_iter()
        .filter_map(|key| with_entry(key, |entry| entry.conn))
        .collect();
    for conn in &left {
        conn.close();
    }
    left.len()
}

fn of_service(service: &Rc<Service>) -> Vec<Id> {
    let ours = |(id, entry): (Id, &Entry)| Rc::ptr_eq(&entry.service, service).then_some(id);
    CONNECTIONS
        .try_with(|all| all.borrow().iter().filter_map(ours).collect())
        .unwrap_or_default()
}
