//! How a server behind proxies is set up.

use std::net::IpAddr;
use std::time::Duration;

use super::protocol::{DEFAULT_MAX_PAYLOAD, Version};
use crate::{Address, IpNetwork};

/// Options of a [`ProxyProtocolServer`](super::ProxyProtocolServer).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_socket::{FromOthers, IpNetwork, ProxyProtocolOptions};
///
/// let proxies: IpNetwork = "10.0.0.0/8".parse()?;
/// let options = ProxyProtocolOptions::new()
///     .proxies([proxies])
///     .from_others(FromOthers::PassThrough)
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
    from_others: FromOthers,
    v1: bool,
    v2: bool,
}

/// What becomes of a connection that is not from one of the [`proxies`](ProxyProtocolOptions::proxies).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FromOthers {
    /// It is closed, and there is an `error`.
    Refuse,
    /// It is passed on as it is: a header in it would be data.
    PassThrough,
}

/// What to do with a connection, by who has made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Proxy,
    PassThrough,
    Refuse,
}

impl ProxyProtocolOptions {
    /// The defaults.
    pub fn new() -> Self {
        ProxyProtocolOptions {
            optional: false,
            timeout: Some(Duration::from_secs(5)),
            max_payload: DEFAULT_MAX_PAYLOAD,
            max_pending: 1024,
            proxies: None,
            from_others: FromOthers::Refuse,
            v1: true,
            v2: true,
        }
    }

    /// Sets whether a connection may come without a header; it is then passed on as it is. Default: false.
    ///
    /// Whoever can connect may then name any address as its own, unless [`proxies`](Self::proxies) says who is a proxy.
    /// A connection that sends nothing is passed on when the [`timeout`](Self::timeout) is over. One that sends the
    /// beginning of a header has to send the rest.
    #[must_use]
    pub fn optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    /// Sets the addresses of the proxies; headers of others are not believed. Default: everyone is a proxy.
    ///
    /// The peers of a Unix socket are always proxies: the rights of its file say who may connect.
    #[must_use]
    pub fn proxies<N: Into<IpNetwork>>(mut self, proxies: impl IntoIterator<Item = N>) -> Self {
        self.proxies = Some(proxies.into_iter().map(Into::into).collect());
        self
    }

    /// Sets what becomes of connections that are not from one of the [`proxies`](Self::proxies).
    /// Default: [`FromOthers::Refuse`].
    #[must_use]
    pub fn from_others(mut self, from_others: FromOthers) -> Self {
        self.from_others = from_others;
        self
    }

    /// Sets for how long the whole header may take before the connection is refused with an `error` (ETIMEDOUT).
    /// `None` switches the limit off. Default: 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets which versions of the header are accepted. Default: both.
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

    /// Sets how many bytes a version 2 header may have after its first 16, at most 65,535 of which count.
    /// Default: 536, see [`DEFAULT_MAX_PAYLOAD`].
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Sets how many connections may wait for their header, at least 1. Default: 1,024.
    ///
    /// When there is one more, the one that has waited longest is refused with an `error`: proxies send the header at
    /// once, so that those who hold connections back cannot keep them out.
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

    pub(super) fn origin(&self, peer: &Address) -> Origin {
        let is_in = |ip: IpAddr| {
            self.proxies
                .as_ref()
                .is_none_or(|proxies| proxies.iter().any(|network| network.contains(ip)))
        };
        match (peer.ip().is_none_or(is_in), self.from_others) {
            (true, _) => Origin::Proxy,
            (false, FromOthers::PassThrough) => Origin::PassThrough,
            (false, FromOthers::Refuse) => Origin::Refuse,
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

    fn origin(options: &ProxyProtocolOptions, peer: &str) -> Origin {
        options.origin(&peer.parse::<SocketAddr>().unwrap().into())
    }

    #[test]
    fn without_a_list_everyone_is_a_proxy() {
        let options = ProxyProtocolOptions::new();
        assert_eq!(origin(&options, "192.0.2.1:80"), Origin::Proxy);
        assert_eq!(origin(&options, "[2001:db8::1]:80"), Origin::Proxy);
    }

    #[test]
    fn with_a_list_those_in_it_are_proxies() {
        let networks: [IpNetwork; 2] = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
        let options = ProxyProtocolOptions::new().proxies(networks);
        assert_eq!(origin(&options, "10.9.9.9:80"), Origin::Proxy);
        assert_eq!(origin(&options, "[::ffff:10.9.9.9]:80"), Origin::Proxy);
        assert_eq!(origin(&options, "[::1]:80"), Origin::Proxy);
        assert_eq!(origin(&options, "192.0.2.1:80"), Origin::Refuse);
        let options = options.from_others(FromOthers::PassThrough);
        assert_eq!(origin(&options, "192.0.2.1:80"), Origin::PassThrough);
    }

    #[test]
    fn an_empty_list_has_no_proxies_but_those_at_unix_sockets() {
        let options = ProxyProtocolOptions::new().proxies(<[IpAddr; 0]>::default());
        assert_eq!(origin(&options, "127.0.0.1:80"), Origin::Refuse);
        assert_eq!(options.origin(&Address::UNNAMED), Origin::Proxy);
    }
}
