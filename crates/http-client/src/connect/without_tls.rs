//! Replacement of TLS without the feature `tls`.

use std::time::Duration;

use super::connection_guard::ConnectionGuard;
use super::{Connected, Destination};
use crate::error::{ErrorKind, Failure};

#[derive(Default)]
pub(super) struct SecureConnectors;

/// Fails, as TLS is not supported.
pub(super) async fn secure(
    _: &SecureConnectors,
    _: ConnectionGuard,
    destination: &Destination,
    _: Option<Duration>,
) -> Result<Connected, Failure> {
    Err(unsupported(destination))
}

/// Returns the failure of a destination that requires TLS.
pub(super) fn unsupported(destination: &Destination) -> Failure {
    let reason = format!(
        "connecting to {destination} failed: TLS requires the feature `tls` of the HTTP client, which is disabled"
    );
    Failure::new(ErrorKind::UnsupportedScheme, reason)
}
