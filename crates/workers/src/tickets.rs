//! The keys of session tickets, which all workers of all generations share.

use crate::error::Error;

/// Returns the state of the keys, to pass to another process.
pub(crate) fn export() -> Vec<u8> {
    Vec::new()
}

/// Uses the keys of another process.
pub(crate) fn install(_state: &[u8]) -> Result<(), Error> {
    Ok(())
}
