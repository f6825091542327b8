//! The client of a request.

use std::net::IpAddr;

/// The client of a request: its address, and the scheme and the host that it used.
///
/// For a request that came directly, these are the address of the peer, the scheme of the connection, and `Host`. For one from a
/// trusted proxy, they come from the headers of the proxy ([`TrustedProxies`](crate::TrustedProxies)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The client's address; the peer's, unless that is a trusted proxy which names another.
    ///
    /// `None` for a peer on a Unix socket, and when a trusted proxy hides the client's address (`for=unknown`,
    /// `for=_name`), when its header is malformed or two of them contradict each other. It is never the address of a
    /// proxy for another's, so that an allow list admits nobody by mistake.
    pub ip: Option<IpAddr>,
    /// The client's port, where it is known.
    pub port: Option<u16>,
    /// Whether the client uses HTTPS.
    pub secure: bool,
    /// The host that the client asked for, with the port unless that is the default of the scheme. `None` for a request of
    /// HTTP/1.0 without `Host`.
    pub host: Option<String>,
}
