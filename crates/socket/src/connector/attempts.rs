//! The errors of several attempts at one target, combined into one error.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::ConnectTarget;
use crate::error::{Cause, Error};

/// The error of each address of a target, in order.
#[derive(Debug, Default)]
pub(super) struct AttemptErrors(Vec<(SocketAddr, Error)>);

impl AttemptErrors {
    pub(super) fn push(&mut self, address: SocketAddr, error: Error) {
        self.0.push((address, error));
    }

    /// Combines the errors into one that names all attempts and has the error number of the last one.
    pub(super) fn into_error(self, target: &ConnectTarget) -> Error {
        let mut text = String::new();
        for (address, error) in &self.0 {
            let separator = if text.is_empty() { "" } else { "; " };
            let ip = ip_with_scope(address);
            // Writing to a string does not fail.
            let _ = match error {
                Error::Connect { source, .. } => write!(text, "{separator}{ip}: {source}"),
                error => write!(text, "{separator}{ip}: {error}"),
            };
        }
        let last = self.0.last().map(|(_, error)| error);
        let errno = last.and_then(Error::errno).map(Errno::from_raw_os_error);
        let name = last.and_then(Error::errno_name);
        let cause = match (errno, name) {
            // `Cause` appends the name.
            (Some(errno), Some(name)) => {
                let text = text.strip_suffix(&format!(" ({name})")).unwrap_or(&text);
                Cause::explained(errno, text)
            }
            _ => io::Error::other(text).into(),
        };
        Error::connect(target, cause)
    }
}

/// Returns the IP address without its port, with its scope id.
fn ip_with_scope(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        address => address.ip().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_every_attempt_and_has_the_errno_of_the_last() {
        let target: ConnectTarget = "example.com:80".parse().unwrap();
        let first = SocketAddr::from(([192, 0, 2, 1], 80));
        let second = "[2001:db8::1]:80".parse().unwrap();
        let third = "[fe80::1%2]:80".parse().unwrap();
        let mut failures = AttemptErrors::default();
        failures.push(
            first,
            Error::Timeout {
                operation: "connecting".into(),
                after: std::time::Duration::from_secs(3),
            },
        );
        failures.push(second, Error::connect("x", Errno::CONNREFUSED));
        failures.push(third, Error::connect("x", Errno::CONNREFUSED));
        let error = failures.into_error(&target);
        assert_eq!(
            error.to_string(),
            "connecting to tcp://example.com:80 failed: \
             192.0.2.1: connecting timed out after 3s (ETIMEDOUT); \
             2001:db8::1: Connection refused (ECONNREFUSED); \
             fe80::1%2: Connection refused (ECONNREFUSED)"
        );
        assert_eq!(error.errno_name(), Some("ECONNREFUSED"));
    }

    #[test]
    fn without_an_errno_of_the_last_attempt_the_error_has_none() {
        let target: ConnectTarget = "example.com:80".parse().unwrap();
        let mut failures = AttemptErrors::default();
        let panic = Error::Panic {
            object: "a connector".into(),
            message: "oh no".into(),
        };
        failures.push(([192, 0, 2, 1], 80).into(), panic);
        let error = failures.into_error(&target);
        assert_eq!(
            error.to_string(),
            "connecting to tcp://example.com:80 failed: \
             192.0.2.1: a callback of a connector panicked: oh no"
        );
        assert_eq!(error.errno(), None);
    }
}
