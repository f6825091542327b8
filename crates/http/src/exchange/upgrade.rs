//! Checks of upgrade requests.

use http::header::UPGRADE;

use super::state::Exchange;
use crate::message::Version;
use crate::{HeaderMap, HttpError, StatusCode, Upgrade};

/// Returns `true` if the status of a response without an upgrade would open the tunnel of an extended `CONNECT` request, as success does
/// (RFC 9110, section 9.3.6; RFC 8441, section 5).
#[inline]
pub(super) fn opens_tunnel(exchange: &Exchange, status: StatusCode) -> bool {
    exchange.head.protocol().is_some() && status.is_success()
}

/// Returns the error for a response that would open a tunnel.
#[cold]
pub(super) fn no_tunnel() -> HttpError {
    HttpError::new(
        StatusCode::NOT_IMPLEMENTED,
        "the resource does not support the requested protocol",
    )
}

/// Checks that the request was received completely, is not an HTTP/1.0 request, and lists the protocols in the `Upgrade` header of the
/// response (RFC 9110, 7.8). `headers` are those of the response.
///
/// The stream of an HTTP/2 connection cannot become a connection, which `upgrade` may need.
pub(super) fn check(
    exchange: &Exchange,
    headers: Option<&HeaderMap>,
    upgrade: &Upgrade,
) -> Result<(), HttpError> {
    if exchange.head.version() == Version::Http2 && upgrade.needs_connection() {
        let status = StatusCode::NOT_IMPLEMENTED;
        return Err(HttpError::new(
            status,
            "this protocol is not supported over HTTP/2",
        ));
    }
    if !exchange.is_received() || exchange.head.version() == Version::Http10 {
        return Err(HttpError::bad_request("the connection cannot be upgraded"));
    }
    let is_listed = headers.is_some_and(|headers| {
        let mut protocols = headers.get_all(UPGRADE).iter().peekable();
        protocols.peek().is_some()
            && protocols.all(|protocol| exchange.head.lists_upgrades(protocol.as_bytes()))
    });
    if is_listed {
        return Ok(());
    }
    if exchange.head.protocol().is_some() {
        return Err(no_tunnel());
    }
    let error = HttpError::from_status(StatusCode::UPGRADE_REQUIRED);
    Err(match headers.and_then(|headers| headers.get(UPGRADE)) {
        Some(protocol) => error.with_header(UPGRADE, protocol.clone()),
        None => error,
    })
}
