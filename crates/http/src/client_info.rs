//! The client of a request.

use std::net::IpAddr;

/// The client of a request: its address, and the scheme and host that it used.
///
/// For a direct request, these are the address of the peer, the scheme of the connection, and `Host`. For a request from a trusted proxy,
/// they come from the proxy's headers ([`TrustedProxies`](crate::TrustedProxies)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The client's address: the peer's, unless the peer is a trusted proxy that reports another one.
    ///
    /// `None` for a peer on a Unix socket, and if a trusted proxy hides the client's address (`for=unknown`, `for=_name`), its header is
    /// malformed, or two of its headers contradict each other. It is never a proxy's address in place of the client's, so that an allow
    /// list does not admit the wrong client.
    pub ip: Option<IpAddr>,
    /// The client's port, if it is known.
    pub port: Option<u16>,
    /// `true` if the client uses HTTPS.
    pub secure: bool,
    /// The requested host, with the port unless it is the default of the scheme. `None` for an HTTP/1.0 request without `Host`.
    pub host: Option<String>,
}
