//! TLS sessions of [async-tls](https://docs.rs/async-tls) over Uptick's connections, with the feature `async-tls`.
//!
//! async-tls has TLS 1.3 and 1.2 of rustls 0.21, which is no longer maintained: for programs that have it anyway. Uptick's own TLS is
//! the crate `uptick-tls`.

use std::io;
use std::sync::Arc;

use rustls::{Certificate, ClientConfig, PrivateKey, RootCertStore, ServerConfig};
use uptick_socket::{Connection, Connector, ConnectorInterface};
use uptick_stream::{AsyncDuplex, DuplexStream};

pub use async_tls::{TlsAcceptor, TlsConnector};

use crate::handshake::within;

/// A TLS session of a server over a connection.
pub type ServerStream<S> = async_tls::server::TlsStream<AsyncDuplex<S>>;

/// A TLS session of a client over a connection.
pub type ClientStream<S> = async_tls::client::TlsStream<AsyncDuplex<S>>;

/// Accepts a TLS session over a connection.
///
/// It is `AsyncRead + AsyncWrite`; [`from_async`](crate::from_async) makes an Uptick stream with events of it.
///
/// # Errors
/// When the handshake fails; the connection is ended.
///
/// # Limits
/// The handshake may take [`HANDSHAKE_TIMEOUT`](crate::HANDSHAKE_TIMEOUT), 10 s; then it fails (`ETIMEDOUT`).
pub async fn accept<S: DuplexStream>(
    conn: S,
    acceptor: &TlsAcceptor,
) -> io::Result<ServerStream<S>> {
    let handshake = acceptor.accept(conn.into_async());
    within(conn, "TLS handshake", handshake).await
}

/// Connects to a TLS server: `example.com:443` or `tls://example.com:443`. The certificate has to be valid for the host.
///
/// # Errors
/// When connecting or the handshake fails.
///
/// # Limits
/// Those of [`Connector`], and [`HANDSHAKE_TIMEOUT`](crate::HANDSHAKE_TIMEOUT), 10 s.
pub async fn connect(
    address: &str,
    connector: &TlsConnector,
) -> io::Result<ClientStream<Connection>> {
    let address = address.strip_prefix("tls://").unwrap_or(address);
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let conn = Connector::new().connect(address).await?;
    let handshake = connector.connect(host, conn.into_async());
    within(conn, "TLS handshake", handshake).await
}

/// Returns an acceptor with a certificate chain and its key, both in `pem`.
///
/// # Errors
/// `InvalidData` when there is no certificate or no key in it, or the two do not fit.
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

/// Returns a connector that trusts the certificates in `pem`, and no others. `TlsConnector::new()` trusts those of Mozilla.
///
/// # Errors
/// `InvalidData` when there is no certificate in it, or one is not valid.
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
