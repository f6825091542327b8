//! Connections that go on with another protocol.

use std::rc::Rc;

use uptick_event_loop::{catch, driver};

use super::flags::Flags;
use super::{At, CONNECTIONS, with_exchange};
use crate::Upgrade;

/// Whether the exchange can be followed by another protocol: the request has come whole, of a client that knows how.
pub(super) fn can_upgrade(at: At) -> bool {
    with_exchange(at, |entry| {
        entry.flags.contains(Flags::RECEIVED) && !entry.flags.contains(Flags::OLD)
    })
    .unwrap_or(false)
}

/// Gives the connection away, with what has come behind the request.
pub(super) fn hand_over(at: At, upgrade: Upgrade) {
    let entry = CONNECTIONS
        .try_with(|all| all.borrow_mut().remove(at.key))
        .ok()
        .flatten();
    let Some(mut entry) = entry else { return };
    if let Some(deadline) = entry.deadline.take() {
        driver::disarm_deadline(deadline);
    }
    let conn = entry.conn;
    let rest = entry.decoder.take_rest();
    let ended = entry.flags.contains(Flags::PEER_ENDED);
    let service = Rc::clone(&entry.service);
    drop(entry);
    conn.clear_protocol();
    conn.set_allow_half_open(false);
    conn.unshift(rest, ended);
    service.tell_upgrade(conn);
    if let Err(message) = catch(|| upgrade.run(conn)) {
        tracing::error!("an upgrade callback panicked: {message}");
        conn.close();
    }
    service.closed();
}
