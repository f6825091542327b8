//! Connections that go on with another protocol.

use std::rc::Rc;

use http::header::UPGRADE;
use uptick_event_loop::catch;
use uptick_socket::engine::Engine;

use super::flags::Flags;
use super::{At, CONNECTIONS, with_exchange};
use crate::{HeaderMap, HttpError, Request, StatusCode, Upgrade};

/// Checks whether another protocol can follow: the request has come whole, and lists the protocol (RFC 9110, 7.8).
pub(super) fn check(
    at: At,
    request: Option<&Request>,
    fields: Option<&HeaderMap>,
) -> Result<(), HttpError> {
    let flags = with_exchange(at, |entry| entry.flags).unwrap_or_default();
    if !flags.contains(Flags::RECEIVED) || flags.contains(Flags::OLD) {
        return Err(HttpError::bad_request("The connection cannot be upgraded"));
    }
    let protocols = fields.map(|fields| fields.get_all(UPGRADE));
    let is_listed = request.zip(protocols).is_some_and(|(request, protocols)| {
        let mut protocols = protocols.iter().peekable();
        protocols.peek().is_some()
            && protocols.all(|protocol| request.head().lists_upgrades(protocol.as_bytes()))
    });
    if is_listed {
        return Ok(());
    }
    let error = HttpError::from_status(StatusCode::UPGRADE_REQUIRED);
    Err(match fields.and_then(|fields| fields.get(UPGRADE)) {
        Some(protocol) => error.with_header(UPGRADE, protocol.clone()),
        None => error,
    })
}

/// Gives the connection away, with what has come behind the request.
pub(super) fn hand_over(at: At, upgrade: Upgrade) {
    let entry = CONNECTIONS
        .try_with(|all| all.borrow_mut().remove(at.key))
        .ok()
        .flatten();
    let Some(mut entry) = entry else { return };
    entry.deadline.cancel();
    let conn = entry.conn;
    let rest = entry.decoder.take_rest();
    let ended = entry.flags.contains(Flags::PEER_ENDED);
    let service = Rc::clone(&entry.service);
    drop(entry);
    conn.clear_session();
    conn.set_allow_half_open(false);
    conn.unshift(rest, ended);
    service.tell_upgrade(conn);
    if let Err(message) = catch(|| upgrade.run(conn)) {
        tracing::error!("an upgrade callback panicked: {message}");
        conn.close();
    }
    service.closed();
}
