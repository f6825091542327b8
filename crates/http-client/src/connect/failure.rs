//! Failures of connection attempts.

use std::fmt::Display;
use std::time::Duration;

use uptick_socket::Error as SocketError;

use super::Proxy;
use crate::error::{ErrorKind, Failure};

/// Creates the failure of an operation that took too long.
pub(super) fn timed_out(
    kind: ErrorKind,
    operation: impl Display,
    limit: Option<Duration>,
) -> Failure {
    let limit = limit.unwrap_or_default();
    Failure::new(
        kind,
        format!("{operation} timed out after {limit:?} (ETIMEDOUT)"),
    )
}

/// Converts the error of a connector for the target itself.
pub(super) fn of_target(error: &SocketError) -> Failure {
    let kind = match error {
        SocketError::Resolve { .. } => ErrorKind::Resolve,
        SocketError::Timeout { .. } => ErrorKind::ConnectTimeout,
        _ => ErrorKind::Connect,
    };
    Failure::new(kind, error.to_string())
}

/// Converts the error of a connector for a proxy.
pub(super) fn of_proxy(proxy: &Proxy, error: &SocketError) -> Failure {
    let kind = match error {
        SocketError::Timeout { .. } => ErrorKind::ConnectTimeout,
        _ => ErrorKind::Proxy,
    };
    Failure::new(
        kind,
        format!("the proxy {proxy} cannot be reached: {error}"),
    )
}
