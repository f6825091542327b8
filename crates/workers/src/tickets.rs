//! The keys of session tickets, which all workers of all generations share.

use crate::error::Error;

/// Returns the state of the keys, to pass to another process; it is empty without TLS.
#[cfg(feature = "tls")]
pub(crate) fn export() -> Result<Vec<u8>, Error> {
    let state = uptick_tls::TicketKeys::of_process().and_then(|keys| keys.export());
    let state = state.map_err(|error| Error::ticket_keys("exporting", &error))?;
    Ok(state.to_vec())
}

/// Uses the keys of another process.
#[cfg(feature = "tls")]
pub(crate) fn install(state: &[u8]) -> Result<(), Error> {
    if state.is_empty() {
        return Ok(());
    }
    uptick_tls::TicketKeys::import(state)
        .and_then(uptick_tls::TicketKeys::install)
        .map_err(|error| Error::ticket_keys("taking over", &error))
}

#[cfg(not(feature = "tls"))]
pub(crate) fn export() -> Result<Vec<u8>, Error> {
    Ok(Vec::new())
}

#[cfg(not(feature = "tls"))]
pub(crate) fn install(_state: &[u8]) -> Result<(), Error> {
    Ok(())
}
