//! What was agreed on in a handshake.

use rustls::{CipherSuite, ProtocolVersion};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

#[cfg(feature = "x509")]
use crate::certificate::subject_of;
use crate::context::TlsVersion;
use crate::filter::TlsFilter;
use crate::session::Session;

/// What a [`Connection`] tells of its TLS.
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
    /// What was agreed on in the handshake; `None` without TLS, before the handshake is done and when the handle is
    /// stale. In `close` listeners it is still there.
    ///
    /// It is put together for the call, so ask once. When there are several layers of TLS, it is that of the innermost.
    fn tls(self) -> Option<TlsInfo>;
}

impl TlsConnection for Connection {
    fn tls(self) -> Option<TlsInfo> {
        self.with_filter(|filter: &TlsFilter| TlsInfo::of(filter.session()))
            .flatten()
    }
}

/// What was agreed on in the handshake of a connection; see [`TlsConnection::tls`].
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
        let agreed = session.agreed()?;
        let certificates = agreed.peer_certificates;
        Some(TlsInfo {
            version: match agreed.version {
                ProtocolVersion::TLSv1_2 => TlsVersion::V1_2,
                _ => TlsVersion::V1_3,
            },
            cipher_suite: standard_name(agreed.suite),
            alpn_protocol: agreed.alpn_protocol.map(<[u8]>::to_vec),
            server_name: session.server_name().map(str::to_owned),
            peer_certificates: certificates.iter().map(|cert| cert.to_vec()).collect(),
            #[cfg(feature = "x509")]
            peer_subject: certificates.first().and_then(subject_of),
            resumed: agreed.is_resumed,
        })
    }

    /// The version of the protocol.
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// The name of the cipher suite as IANA has registered it: `TLS_AES_128_GCM_SHA256`.
    pub fn cipher_suite(&self) -> &'static str {
        self.cipher_suite
    }

    /// The protocol that was chosen (ALPN, RFC 7301), `b"http/1.1"`; `None` when none was.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.alpn_protocol.as_deref()
    }

    /// The host name that the client asked for (SNI, RFC 6066, section 3); `None` when it asked for none, as for an IP
    /// address.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The certificate that the peer has shown, and those of its issuers that it has sent, in DER. None when it has shown
    /// none, as most clients.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.peer_certificates.iter().map(Vec::as_slice)
    }

    /// Returns the subject of the peer's certificate as a distinguished name (RFC 4514): `CN=alice,O=Example`. Needs the feature
    /// `x509`, which is on by default.
    #[cfg(feature = "x509")]
    pub fn peer_subject(&self) -> Option<&str> {
        self.peer_subject.as_deref()
    }

    /// Whether the handshake was shortened because the two had spoken before.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }
}

/// The name of a suite, which rustls writes differently for TLS 1.3.
fn standard_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}
