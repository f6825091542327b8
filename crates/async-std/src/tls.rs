//! TLS sessions of [async-tls](https://docs.rs/async-tls) over Uptick's connections, with the feature `async-tls`.
//!
//! async-tls supports TLS 1.3 and 1.2 with rustls 0.21, which is no longer maintained. The module is meant for programs that
//! use async-tls already; Uptick's own TLS is the crate `uptick-tls`.

use std::io;
use std::sync::Arc;

use rustls::{Certificate, ClientConfig, PrivateKey, RootCertStore, ServerConfig};
use uptick_socket::{Connection, Connector, ConnectorInterface};
use uptick_stream::{AsyncDuplex, DuplexStream};

pub use async_tls::{TlsAcceptor, TlsConnector};

use crate::handshake::run_handshake;

/// A server-side TLS session over a connection.
pub type ServerStream<S> = async_tls::server::TlsStream<AsyncDuplex<S>>;

/// A client-side TLS session over a connection.
pub type ClientStream<S> = async_tls::client::TlsStream<AsyncDuplex<S>>;

/// Accepts a TLS session over a connection.
///
/// The session is `AsyncRead + AsyncWrite`; [`from_async`](crate::from_async) turns it into an Uptick stream with events.
///
/// # Errors
/// An error if the handshake fails; the connection is ended.
///
/// # Limits
/// The handshake may take [`HANDSHAKE_TIMEOUT`](crate::HANDSHAKE_TIMEOUT), 10 s; after that it fails (`ETIMEDOUT`).
pub async fn accept<S: DuplexStream>(
    conn: S,
    acceptor: &TlsAcceptor,
) -> io::Result<ServerStream<S>> {
    let handshake = acceptor.accept(conn.into_async());
    run_handshake(conn, "TLS handshake", handshake).await
}

/// Connects to a TLS server: `example.com:443` or `tls://example.com:443`. The certificate must be valid for the host.
///
/// # Errors
/// An error if connecting or the handshake fails.
///
/// # Limits
/// The limits of [`Connector`], and [`HANDSHAKE_TIMEOUT`](crate::HANDSHAKE_TIMEOUT), 10 s.
pub async fn connect(
    address: &str,
    connector: &TlsConnector,
) -> io::Result<ClientStream<Connection>> {
    let address = address.strip_prefix("tls://").unwrap_or(address);
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let conn = Connector::new().connect(address).await?;
    let handshake = connector.connect(host, conn.into_async());
    run_handshake(conn, "TLS handshake", handshake).await
}

/// Returns an acceptor with the certificate chain and the private key in `pem`.
///
/// # Errors
/// `InvalidData` if `pem` contains no certificate or no key, or if they do not match.
pub fn acceptor(pem: impl AsRef<[u8]>) -> io::Result<TlsAcceptor> {
    let sections = parse(pem.as_ref())?;
    let key = sections
        .iter()
        .find(|section| section.tag().ends_with("PRIVATE KEY"))
        .ok_or_else(|| invalid("there is no private key in the PEM text"))?;
    let config = ServerConfig::builder()
        .with_safe_defaults()
        .with_no_client_auth()
        .with_single_cert(
            certificates(&sections)?,
            PrivateKey(key.contents().to_vec()),
        )
        .map_err(invalid)?;
    Ok(config.into())
}

/// Returns a connector that trusts only the certificates in `pem`. `TlsConnector::new()` trusts Mozilla's root certificates.
///
/// # Errors
/// `InvalidData` if `pem` contains no certificate, or an invalid one.
pub fn connector(pem: impl AsRef<[u8]>) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&parse(pem.as_ref())?)? {
        roots.add(&certificate).map_err(invalid)?;
    }
    let config = ClientConfig::builder()
        .with_safe_defaults()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

fn parse(text: &[u8]) -> io::Result<Vec<pem::Pem>> {
    pem::parse_many(text).map_err(invalid)
}

fn certificates(sections: &[pem::Pem]) -> io::Result<Vec<Certificate>> {
    let sections = sections.iter();
    let certificates: Vec<Certificate> = sections
        .filter(|section| section.tag() == "CERTIFICATE")
        .map(|section| Certificate(section.contents().to_vec()))
        .collect();
    if certificates.is_empty() {
        return Err(invalid("there is no certificate in the PEM text"));
    }
    Ok(certificates)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
