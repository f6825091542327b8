//! The request as the client made it, when proxies have passed it on.

mod parse;

use std::net::IpAddr;

use uptick_socket::IpNetwork;

use crate::ClientInfo;
use parse::{Hop, Node};

/// The proxies whose `Forwarded` and `X-Forwarded-*` headers are believed.
///
/// Any client can send these headers, so they are read only if the peer is listed here. `X-Forwarded-For` and `Forwarded` are read
/// from the right, as every proxy adds to the right end: while an address is that of a trusted proxy, what that proxy has added
/// is believed, and the first address that is not one of a trusted proxy is the client's. Addresses to the left of it are ignored: the
/// client may have sent them.
///
/// | header | meaning |
/// |---|---|
/// | `Forwarded: for=…;proto=…;host=…` | the client's address, the scheme and the host that the client used (RFC 7239) |
/// | `X-Forwarded-For` | the client's address |
/// | `X-Forwarded-Proto` | the scheme: `https` or `http` |
/// | `X-Forwarded-Host` | the host, and its port |
/// | `X-Forwarded-Port` | the port of the host, where that has none |
///
/// What the headers do not name is taken from the request itself: the scheme from the connection, the host from `Host`. A proxy has
/// to set or remove each of these headers: those that it does not know it passes on as the client has sent them.
///
/// # Examples
/// ```
/// use uptick_http::{ClientInfo, TrustedProxies};
///
/// let proxies = TrustedProxies::parse("10.0.0.0/8, ::1")?;
/// let headers = [
///     ("x-forwarded-for", b"6.6.6.6, 192.0.2.7, 10.0.0.2".as_slice()),
///     ("x-forwarded-proto", b"https"),
/// ];
/// let mut received = ClientInfo::default();
///
/// // The load balancer 10.0.0.1 has the request from 10.0.0.2, and that one from 192.0.2.7, who claims to be another.
/// received.ip = Some([10, 0, 0, 1].into());
/// let info = proxies.client_info(received.clone(), headers);
/// assert_eq!(info.ip, Some([192, 0, 2, 7].into()));
/// assert!(info.secure);
///
/// // From a stranger the headers say nothing.
/// received.ip = Some([203, 0, 113, 9].into());
/// assert_eq!(proxies.client_info(received.clone(), headers), received);
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNetwork>,
    unix_sockets: bool,
    fields: ForwardedFields,
}

/// The headers that trusted proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedFields {
    /// Whichever are there. Where they contradict each other, what they say is unknown: one of them may be what a client
    /// has sent and the proxy has passed on.
    #[default]
    Either,
    /// Only `Forwarded` (RFC 7239).
    Forwarded,
    /// Only `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Forwarded-Port`.
    XForwarded,
}

impl TrustedProxies {
    /// Trusts proxies with addresses in these networks.
    pub fn new<N: Into<IpNetwork>>(networks: impl IntoIterator<Item = N>) -> TrustedProxies {
        TrustedProxies {
            networks: networks.into_iter().map(Into::into).collect(),
            ..TrustedProxies::default()
        }
    }

    /// Trusts proxies with addresses in the networks of a list with commas: `10.0.0.0/8, ::1`.
    ///
    /// # Errors
    /// What is no network, by name.
    pub fn parse(list: &str) -> Result<TrustedProxies, uptick_socket::Error> {
        let names = list.split(',').map(str::trim);
        let networks: Result<Vec<IpNetwork>, _> = names
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect();
        networks.map(TrustedProxies::new)
    }

    /// Sets whether whoever connects by a Unix socket is a trusted proxy. Default: `false`.
    pub fn unix_sockets(mut self, trusted: bool) -> TrustedProxies {
        self.unix_sockets = trusted;
        self
    }

    /// Sets which fields the proxies write. Naming the one that they do write is safer: a proxy that writes only the other
    /// passes this one on as the client has sent it. Default: [`ForwardedFields::Either`].
    pub fn fields(mut self, fields: ForwardedFields) -> TrustedProxies {
        self.fields = fields;
        self
    }

    /// Whether an address is that of a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// Whether a peer is a trusted proxy; `None` is one on a Unix socket.
    pub(crate) fn trusts_peer(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix_sockets, |ip| self.trusts(ip))
    }

    /// Returns the request as the client made it: `received` is the request as the server received it, with the address of the
    /// peer (`None` on a Unix socket), and `headers` are those of the request, in their order.
    pub fn client_info<'a>(
        &self,
        received: ClientInfo,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> ClientInfo {
        let received = ClientInfo {
            ip: received.ip.map(|ip| ip.to_canonical()),
            ..received
        };
        match self.trusts_peer(received.ip) {
            true => self.believed(received, headers),
            false => received,
        }
    }

    /// Returns the [`client_info`](TrustedProxies::client_info) of a request whose peer is a trusted proxy.
    pub(crate) fn believed<'a>(
        &self,
        received: ClientInfo,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> ClientInfo {
        let headers = Headers::collect(headers, self.fields);
        let forwarded = headers.forwarded.map(|hops| match hops {
            Some(hops) => self.follow(hops),
            None => ForwardedInfo::HIDDEN,
        });
        let x_forwarded = headers.x_forwarded.hops().map(|hops| self.follow(hops));
        let info = match (forwarded, x_forwarded) {
            (None, None) => return received,
            (Some(info), None) | (None, Some(info)) => info,
            (Some(one), Some(other)) => one.agreed(other),
        };
        info.complete(received)
    }

    /// Goes from proxy to proxy, from the right, as far as they are trusted. A proxy that does not name the scheme or the host
    /// leaves what the proxy to its right has named.
    fn follow(&self, hops: Vec<Hop>) -> ForwardedInfo {
        let mut info = ForwardedInfo::default();
        for hop in hops.into_iter().rev() {
            info = ForwardedInfo {
                secure: hop.secure.or(info.secure),
                host: hop.host.or(info.host),
                host_port: hop.host_port.or(info.host_port),
                client: hop.client,
            };
            match info.client {
                Some(Node::Address(ip, _)) if self.trusts(ip) => {}
                _ => break,
            }
        }
        info
    }
}

/// The description of a request in the headers of trusted proxies.
#[derive(Default)]
struct ForwardedInfo {
    /// `None` when no proxy names a client: then the peer is the client.
    client: Option<Node>,
    secure: Option<bool>,
    host: Option<String>,
    host_port: Option<u16>,
}

impl ForwardedInfo {
    /// Nothing is known, not even that the peer is the client.
    const HIDDEN: ForwardedInfo = ForwardedInfo {
        client: Some(Node::Hidden),
        secure: None,
        host: None,
        host_port: None,
    };

    /// The parts of two descriptions that do not contradict each other. When they name two clients, nothing is known.
    fn agreed(self, other: ForwardedInfo) -> ForwardedInfo {
        let client = match (self.client, other.client) {
            (Some(Node::Address(ip, port)), Some(Node::Address(other_ip, other_port)))
                if ip == other_ip =>
            {
                Some(Node::Address(ip, port.or(other_port)))
            }
            (Some(Node::Hidden), Some(Node::Hidden)) => Some(Node::Hidden),
            (Some(_), Some(_)) => return ForwardedInfo::HIDDEN,
            (client, None) | (None, client) => client,
        };
        ForwardedInfo {
            client,
            secure: agreed(self.secure, other.secure),
            host: agreed(self.host, other.host),
            host_port: agreed(self.host_port, other.host_port),
        }
    }

    /// Completes the description with the request as it was received.
    fn complete(self, received: ClientInfo) -> ClientInfo {
        let (ip, port) = match self.client {
            None => (received.ip, received.port),
            Some(Node::Address(ip, port)) => (Some(ip), port),
            Some(Node::Hidden) => (None, None),
        };
        let secure = self.secure.unwrap_or(received.secure);
        let host = self.host.or(received.host);
        ClientInfo {
            ip,
            port,
            secure,
            host: host.map(|host| with_port(host, self.host_port, secure)),
        }
    }
}

/// Returns the value if both agree or only one is known.
fn agreed<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => (one == other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// Adds a port to a host that has none, unless it is the default of the scheme.
fn with_port(host: String, port: Option<u16>, secure: bool) -> String {
    let default = if secure { 443 } else { 80 };
    let name_end = host.rfind(']').unwrap_or(0);
    match port {
        Some(port) if port != default && !host.is_empty() && !host[name_end..].contains(':') => {
            format!("{host}:{port}")
        }
        _ => host,
    }
}

/// The headers of proxies, taken apart.
#[derive(Default)]
struct Headers {
    /// `Some(None)` when it is malformed.
    forwarded: Option<Option<Vec<Hop>>>,
    x_forwarded: XForwarded,
}

/// The members of the four lists.
#[derive(Default)]
struct XForwarded {
    clients: Vec<Node>,
    schemes: Vec<Option<bool>>,
    hosts: Vec<Option<String>>,
    ports: Vec<Option<u16>>,
}

impl Headers {
    fn collect<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        which: ForwardedFields,
    ) -> Headers {
        let mut all = Headers::default();
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("forwarded") {
                if which != ForwardedFields::XForwarded {
                    let before = all.forwarded.take().unwrap_or(Some(Vec::new()));
                    all.forwarded = Some(before.and_then(|mut hops| {
                        hops.extend(parse::forwarded(value)?);
                        Some(hops)
                    }));
                }
            } else if which != ForwardedFields::Forwarded {
                all.x_forwarded.add(name, value);
            }
        }
        all
    }
}

impl XForwarded {
    fn add(&mut self, name: &str, value: &[u8]) {
        if name.eq_ignore_ascii_case("x-forwarded-for") {
            self.clients
                .extend(parse::list(value).map(parse::loose_node));
        } else if name.eq_ignore_ascii_case("x-forwarded-proto") {
            self.schemes.extend(parse::list(value).map(parse::scheme));
        } else if name.eq_ignore_ascii_case("x-forwarded-host") {
            self.hosts.extend(parse::list(value).map(parse::host));
        } else if name.eq_ignore_ascii_case("x-forwarded-port") {
            self.ports.extend(parse::list(value).map(parse::port));
        }
    }

    /// The description that each proxy has added; `None` when there are none of the headers. Without `X-Forwarded-For`, only the last members are
    /// sure to be of the peer.
    fn hops(self) -> Option<Vec<Hop>> {
        let XForwarded {
            clients,
            schemes,
            hosts,
            ports,
        } = self;
        if clients.is_empty() && schemes.is_empty() && hosts.is_empty() && ports.is_empty() {
            return None;
        }
        let count = clients.len();
        let hop = |index, client| Hop {
            client,
            secure: member_for(&schemes, index, count),
            host: member_for(&hosts, index, count),
            host_port: member_for(&ports, index, count),
        };
        if count == 0 {
            return Some(vec![hop(0, None)]);
        }
        let clients = clients.into_iter().map(Some).enumerate();
        Some(clients.map(|(index, client)| hop(index, client)).collect())
    }
}

/// The member of a list that belongs to a client's. Proxies add to all lists, or replace the others: then
/// there is one member for all. With another number, only the last is sure to be of the peer.
fn member_for<T: Clone>(list: &[Option<T>], index: usize, count: usize) -> Option<T> {
    let member = if list.len() == count {
        list.get(index)
    } else {
        list.last()
    };
    member.cloned().flatten()
}

#[cfg(test)]
mod tests;
