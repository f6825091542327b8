//! Options of a server behind proxies.

use std::net::IpAddr;
use std::time::Duration;

use super::protocol::{DEFAULT_MAX_PAYLOAD, Version};
use crate::{Address, IpNetwork};

/// Options of a [`ProxyProtocolServer`](super::ProxyProtocolServer).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_socket::{UntrustedPeers, IpNetwork, ProxyProtocolOptions};
///
/// let proxies: IpNetwork = "10.0.0.0/8".parse()?;
/// let options = ProxyProtocolOptions::new()
///     .proxies([proxies])
///     .untrusted_peers(UntrustedPeers::PassThrough)
///     .timeout(Some(Duration::from_secs(2)));
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProxyProtocolOptions {
    pub(super) optional: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) max_payload: usize,
    pub(super) max_pending: usize,
    proxies: Option<Vec<IpNetwork>>,
    untrusted_peers: UntrustedPeers,
    v1: bool,
    v2: bool,
}

/// The treatment of connections from peers other than the [`proxies`](ProxyProtocolOptions::proxies).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UntrustedPeers {
    /// The connection is closed with an `error`.
    Refuse,
    /// The connection is announced without reading a header: a header would be part of the data.
    PassThrough,
}

/// The treatment of a connection, depending on its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerPolicy {
    Proxy,
    PassThrough,
    Refuse,
}

impl ProxyProtocolOptions {
    /// Creates the default options.
    pub fn new() -> Self {
        ProxyProtocolOptions {
            optional: false,
            timeout: Some(Duration::from_secs(5)),
            max_payload: DEFAULT_MAX_PAYLOAD,
            max_pending: 1024,
            proxies: None,
            untrusted_peers: UntrustedPeers::Refuse,
            v1: true,
            v2: true,
        }
    }

    /// Sets whether the header is optional. A connection without a header is announced with the addresses of its
    /// socket.
    ///
    /// Any client can then claim any address, unless the [`proxies`](Self::proxies) are listed. A connection that sends
    /// no bytes is announced when the [`timeout`](Self::timeout) expires. A connection that sends the beginning of a
    /// header has to send the rest. Default: false.
    #[must_use]
    pub fn optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    /// Sets the addresses of the proxies. Headers from other peers are not trusted.
    ///
    /// The peers of a Unix socket are always treated as proxies: the mode of its file determines which clients may
    /// connect. Default: every peer is a proxy.
    #[must_use]
    pub fn proxies<N: Into<IpNetwork>>(mut self, proxies: impl IntoIterator<Item = N>) -> Self {
        self.proxies = Some(proxies.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the treatment of connections from peers other than the [`proxies`](Self::proxies).
    /// Default: [`UntrustedPeers::Refuse`].
    #[must_use]
    pub fn untrusted_peers(mut self, untrusted_peers: UntrustedPeers) -> Self {
        self.untrusted_peers = untrusted_peers;
        self
    }

    /// Sets the timeout for receiving the whole header. When it expires, the connection is refused with an `error`
    /// (ETIMEDOUT). `None` switches the timeout off. Default: 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the accepted versions of the header. Default: both.
    #[must_use]
    pub fn versions(mut self, versions: impl IntoIterator<Item = Version>) -> Self {
        (self.v1, self.v2) = (false, false);
        for version in versions {
            match version {
                Version::V1 => self.v1 = true,
                Version::V2 => self.v2 = true,
            }
        }
        self
    }

    /// Sets the maximum number of bytes of a version 2 header after its first 16; the format limits it to 65,535.
    /// Default: 536, see [`DEFAULT_MAX_PAYLOAD`].
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Sets the maximum number of connections that wait for their header, at least 1.
    ///
    /// When it is exceeded, the connection that has waited longest is refused with an `error`. Proxies send the header
    /// at once, so clients that keep connections waiting cannot displace them. Default: 1,024.
    #[must_use]
    pub fn max_pending(mut self, connections: usize) -> Self {
        self.max_pending = connections.max(1);
        self
    }

    pub(super) fn accepts(&self, version: Version) -> bool {
        match version {
            Version::V1 => self.v1,
            Version::V2 => self.v2,
        }
    }

    pub(super) fn peer_policy(&self, peer: &Address) -> PeerPolicy {
        let is_in = |ip: IpAddr| {
            self.proxies
                .as_ref()
                .is_none_or(|proxies| proxies.iter().any(|network| network.contains(ip)))
        };
        match (peer.ip().is_none_or(is_in), self.untrusted_peers) {
            (true, _) => PeerPolicy::Proxy,
            (false, UntrustedPeers::PassThrough) => PeerPolicy::PassThrough,
            (false, UntrustedPeers::Refuse) => PeerPolicy::Refuse,
        }
    }
}

impl Default for ProxyProtocolOptions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn peer_policy(options: &ProxyProtocolOptions, peer: &str) -> PeerPolicy {
        options.peer_policy(&peer.parse::<SocketAddr>().unwrap().into())
    }

    #[test]
    fn every_peer_is_a_proxy_without_a_list() {
        let options = ProxyProtocolOptions::new();
        assert_eq!(peer_policy(&options, "192.0.2.1:80"), PeerPolicy::Proxy);
        assert_eq!(peer_policy(&options, "[2001:db8::1]:80"), PeerPolicy::Proxy);
    }

    #[test]
    fn only_listed_peers_are_proxies() {
        let networks: [IpNetwork; 2] = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
        let options = ProxyProtocolOptions::new().proxies(networks);
        assert_eq!(peer_policy(&options, "10.9.9.9:80"), PeerPolicy::Proxy);
        assert_eq!(
            peer_policy(&options, "[::ffff:10.9.9.9]:80"),
            PeerPolicy::Proxy
        );
        assert_eq!(peer_policy(&options, "[::1]:80"), PeerPolicy::Proxy);
        assert_eq!(peer_policy(&options, "192.0.2.1:80"), PeerPolicy::Refuse);
        let options = options.untrusted_peers(UntrustedPeers::PassThrough);
        assert_eq!(
            peer_policy(&options, "192.0.2.1:80"),
            PeerPolicy::PassThrough
        );
    }

    #[test]
    fn only_peers_of_unix_sockets_are_proxies_with_an_empty_list() {
        let options = ProxyProtocolOptions::new().proxies(<[IpAddr; 0]>::default());
        assert_eq!(peer_policy(&options, "127.0.0.1:80"), PeerPolicy::Refuse);
        assert_eq!(options.peer_policy(&Address::UNNAMED), PeerPolicy::Proxy);
    }
}
