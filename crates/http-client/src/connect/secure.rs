//! TLS with ALPN over an established connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_socket::{
    ConnectTarget, Connecting, Connector, ConnectorInterface, Error as SocketError,
};
use uptick_tls::SecureConnector;

use super::connection_guard::ConnectionGuard;
use super::{Connected, Destination, Http2Mode, Protocol, TlsOptions, dial, failure};
use crate::error::{ErrorKind, Failure};
use crate::timeout::within;

/// Maximum number of TLS configurations that are kept.
const MAX_CONFIGURATIONS: usize = 32;

/// The TLS configurations in use, the most recently used one last. Each reads its files once, and has its own resumable sessions.
#[derive(Default)]
pub(super) struct SecureConnectors(RefCell<Vec<(TlsOptions, Http2Mode, SecureConnector)>>);

impl SecureConnectors {
    fn get(&self, tls: &TlsOptions, http2: Http2Mode) -> SecureConnector {
        let mut all = self.0.borrow_mut();
        let index = all
            .iter()
            .position(|(options, mode, _)| *mode == http2 && options == tls);
        let entry = match index {
            Some(index) => all.remove(index),
            None => {
                if all.len() >= MAX_CONFIGURATIONS {
                    all.remove(0);
                }
                (tls.clone(), http2, create(tls, http2))
            }
        };
        let connector = entry.2.clone();
        all.push(entry);
        connector
    }
}

fn create(tls: &TlsOptions, http2: Http2Mode) -> SecureConnector {
    let protocols: &[&str] = match http2 {
        Http2Mode::Auto => &["h2", "http/1.1"],
        Http2Mode::Never => &["http/1.1"],
        Http2Mode::Only => &["h2"],
    };
    let connector = SecureConnector::new(Connector::new())
        .alpn_protocols(protocols.iter().copied())
        .handshake_timeout(None);
    tls.apply(connector)
}

/// Performs the TLS handshake on a connection to a destination.
pub(super) async fn secure(
    connectors: &SecureConnectors,
    conn: ConnectionGuard,
    destination: &Destination,
    limit: Option<Duration>,
) -> Result<Connected, Failure> {
    let target = dial::target(&destination.host, destination.port);
    let target = target.map_err(|error| failure::of_target(&error))?;
    let connector = connectors.get(&destination.tls, destination.http2);
    let connecting = connector
        .over(EstablishedConnection::new(conn))
        .connect_target(target.with_scheme("tls"));
    let Some(result) = within(limit, connecting).await else {
        let operation = format_args!("the TLS handshake with {destination}");
        return Err(failure::timed_out(ErrorKind::TlsTimeout, operation, limit));
    };
    let conn = result.map_err(|error| handshake_failure(destination, &error))?;
    let conn = ConnectionGuard::new(conn);
    let protocol = match conn.get().alpn().as_deref() {
        Some(b"h2") => Protocol::Http2,
        _ if destination.http2 == Http2Mode::Only => {
            let reason = format!("the server at {destination} did not negotiate HTTP/2 (ALPN)");
            return Err(Failure::new(ErrorKind::Tls, reason));
        }
        _ => Protocol::Http1,
    };
    Ok(Connected {
        conn: conn.release(),
        protocol,
    })
}

fn handshake_failure(destination: &Destination, error: &SocketError) -> Failure {
    let reason = match error {
        SocketError::Closed { .. } => format!(
            "connecting to {destination} failed during the TLS handshake: \
             the server closed the connection before the handshake was complete"
        ),
        error => error.to_string(),
    };
    Failure::new(ErrorKind::Tls, reason)
}

/// A connector that returns an established connection, whatever the target.
struct EstablishedConnection(Rc<Cell<Option<ConnectionGuard>>>);

impl EstablishedConnection {
    fn new(conn: ConnectionGuard) -> EstablishedConnection {
        EstablishedConnection(Rc::new(Cell::new(Some(conn))))
    }
}

impl ConnectorInterface for EstablishedConnection {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        let conn = Rc::clone(&self.0);
        Connecting::new(async move {
            match conn.take() {
                Some(conn) => Ok(conn.release()),
                None => Err(SocketError::Closed {
                    object: format!("the connection with {target}").into(),
                }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(number: usize) -> TlsOptions {
        TlsOptions::new().server_name(format!("{number}.test"))
    }

    fn numbers(connectors: &SecureConnectors) -> Vec<TlsOptions> {
        let all = connectors.0.borrow();
        all.iter().map(|(options, ..)| options.clone()).collect()
    }

    #[test]
    fn the_least_recently_used_configuration_is_removed() {
        let connectors = SecureConnectors::default();
        for number in 0..MAX_CONFIGURATIONS {
            connectors.get(&options(number), Http2Mode::Auto);
        }
        connectors.get(&options(0), Http2Mode::Auto);
        connectors.get(&options(100), Http2Mode::Auto);
        let kept = numbers(&connectors);
        assert_eq!(kept.len(), MAX_CONFIGURATIONS);
        assert!(kept.contains(&options(0)) && !kept.contains(&options(1)));
        connectors.get(&options(100), Http2Mode::Only);
        assert!(!numbers(&connectors).contains(&options(2)));
    }
}
