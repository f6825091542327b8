//! TLS state that the workers share: the session ticket keys, and the handshake counters.

use crate::error::Error;

/// Returns the ticket keys in their exported form, for another process. Empty without TLS.
#[cfg(feature = "tls")]
pub(crate) fn export_ticket_keys() -> Result<Vec<u8>, Error> {
    let state = uptick_tls::TicketKeys::of_process().and_then(|keys| keys.export());
    let state = state.map_err(|error| Error::ticket_keys("exporting", &error))?;
    Ok(state.to_vec())
}

/// Installs the ticket keys of another process.
#[cfg(feature = "tls")]
pub(crate) fn install_ticket_keys(state: &[u8]) -> Result<(), Error> {
    if state.is_empty() {
        return Ok(());
    }
    uptick_tls::TicketKeys::import(state)
        .and_then(uptick_tls::TicketKeys::install)
        .map_err(|error| Error::ticket_keys("importing", &error))
}

#[cfg(not(feature = "tls"))]
pub(crate) fn export_ticket_keys() -> Result<Vec<u8>, Error> {
    Ok(Vec::new())
}

#[cfg(not(feature = "tls"))]
pub(crate) fn install_ticket_keys(_state: &[u8]) -> Result<(), Error> {
    Ok(())
}

/// Returns the number of handshakes of this thread that succeeded, resumed a session, and failed.
#[cfg(feature = "tls")]
pub(crate) fn handshakes() -> [u64; 3] {
    let stats = uptick_tls::handshake_stats();
    [stats.completed, stats.resumed, stats.failed]
}

#[cfg(not(feature = "tls"))]
pub(crate) fn handshakes() -> [u64; 3] {
    [0; 3]
}
