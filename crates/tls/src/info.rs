//! The negotiated parameters of a connection.

use rustls::{CipherSuite, ProtocolVersion};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

#[cfg(feature = "x509")]
use crate::certificate::subject_of;
use crate::context::TlsVersion;
use crate::filter::TlsFilter;
use crate::session::Session;

/// TLS methods of a [`Connection`].
///
/// # Examples
/// ```no_run
/// use uptick_socket::prelude::*;
/// use uptick_tls::{SecureServer, TlsConnection, TlsContext};
///
/// let tls = TlsContext::new().local_cert("server.pem").load()?;
/// let server = SecureServer::new(Server::bind("0.0.0.0:8443")?, tls);
/// server.on("connection", |conn: Connection| {
///     if let Some(tls) = conn.tls() {
///         println!("{:?} with {}", tls.version(), tls.cipher_suite());
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TlsConnection {
    /// Returns the parameters negotiated in the handshake; `None` without TLS, before the handshake is complete, and if the handle is
    /// stale. It is still available in `close` listeners.
    ///
    /// Each call creates the result, so store it for repeated use. If there are several layers of TLS, it is the result of the innermost one.
    fn tls(self) -> Option<TlsInfo>;
}

impl TlsConnection for Connection {
    fn tls(self) -> Option<TlsInfo> {
        self.with_filter(|filter: &TlsFilter| TlsInfo::of(filter.session()))
            .flatten()
    }
}

/// The parameters negotiated in the handshake of a connection; see [`TlsConnection::tls`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    version: TlsVersion,
    cipher_suite: &'static str,
    alpn_protocol: Option<Vec<u8>>,
    server_name: Option<String>,
    peer_certificates: Vec<Vec<u8>>,
    #[cfg(feature = "x509")]
    peer_subject: Option<String>,
    resumed: bool,
}

impl TlsInfo {
    fn of(session: &Session) -> Option<Self> {
        let negotiated = session.negotiated()?;
        let certificates = negotiated.peer_certificates;
        Some(TlsInfo {
            version: match negotiated.version {
                ProtocolVersion::TLSv1_2 => TlsVersion::V1_2,
                _ => TlsVersion::V1_3,
            },
            cipher_suite: standard_name(negotiated.suite),
            alpn_protocol: negotiated.alpn_protocol.map(<[u8]>::to_vec),
            server_name: session.server_name().map(str::to_owned),
            peer_certificates: certificates.iter().map(|cert| cert.to_vec()).collect(),
            #[cfg(feature = "x509")]
            peer_subject: certificates.first().and_then(subject_of),
            resumed: negotiated.is_resumed,
        })
    }

    /// Returns the version of the protocol.
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// Returns the name of the cipher suite as registered by IANA: `TLS_AES_128_GCM_SHA256`.
    pub fn cipher_suite(&self) -> &'static str {
        self.cipher_suite
    }

    /// Returns the negotiated protocol (ALPN, RFC 7301), such as `b"http/1.1"`; `None` if there is none.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.alpn_protocol.as_deref()
    }

    /// Returns the host name that the client requested (SNI, RFC 6066, section 3); `None` if it requested none, as for an IP
    /// address.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns the peer's certificate, followed by those of its issuers that it sent, in DER. There are none if the peer sent
    /// none, as most clients.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.peer_certificates.iter().map(Vec::as_slice)
    }

    /// Returns the subject of the peer's certificate as a distinguished name (RFC 4514): `CN=alice,O=Example`. Requires the feature
    /// `x509`, which is on by default.
    #[cfg(feature = "x509")]
    pub fn peer_subject(&self) -> Option<&str> {
        self.peer_subject.as_deref()
    }

    /// Returns `true` if the session was resumed, which shortens the handshake.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }
}

/// Returns the name of a cipher suite. The names of rustls differ for TLS 1.3.
fn standard_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}
