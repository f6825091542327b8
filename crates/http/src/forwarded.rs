//! Trusted proxies and the client information in their headers.

mod parse;

use std::net::IpAddr;

use uptick_socket::IpNetwork;

use crate::ClientInfo;
use parse::{ForwardedNode, Hop};

/// The proxies whose `Forwarded` and `X-Forwarded-*` headers are trusted.
///
/// Any client can send these headers, so they are read only if the peer is a trusted proxy. `X-Forwarded-For` and `Forwarded` are read from
/// right to left, because each proxy appends to the right end: as long as an address belongs to a trusted proxy, the values that this proxy
/// added are trusted. The first address that does not belong to a trusted proxy is the address of the client. Addresses to the left of it
/// are ignored, because the client may have sent them.
///
/// | header | meaning |
/// |---|---|
/// | `Forwarded: for=…;proto=…;host=…` | the client's address, the scheme and the host that the client used (RFC 7239) |
/// | `X-Forwarded-For` | the client's address |
/// | `X-Forwarded-Proto` | the scheme: `https` or `http` |
/// | `X-Forwarded-Host` | the host, and its port |
/// | `X-Forwarded-Port` | the port of the host, if the host has none |
///
/// Values that are missing in the headers are taken from the request: the scheme from the connection, the host from `Host`. A proxy must set
/// or remove each of these headers. Headers that it does not know are forwarded as the client sent them.
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
/// // The load balancer 10.0.0.1 received the request from 10.0.0.2, which received it from 192.0.2.7, which sent a forged header.
/// received.ip = Some([10, 0, 0, 1].into());
/// let info = proxies.client_info(received.clone(), headers);
/// assert_eq!(info.ip, Some([192, 0, 2, 7].into()));
/// assert!(info.secure);
///
/// // The headers of a peer that is not trusted are ignored.
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

/// The headers that trusted proxies set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedFields {
    /// All headers that are present. Values that contradict each other are ignored, because one of them may have been sent by the client and
    /// forwarded by the proxy.
    #[default]
    Either,
    /// Only `Forwarded` (RFC 7239).
    Forwarded,
    /// Only `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Forwarded-Port`.
    XForwarded,
}

impl TrustedProxies {
    /// Creates a list of proxies with addresses in these networks.
    pub fn new<N: Into<IpNetwork>>(networks: impl IntoIterator<Item = N>) -> TrustedProxies {
        TrustedProxies {
            networks: networks.into_iter().map(Into::into).collect(),
            ..TrustedProxies::default()
        }
    }

    /// Parses a comma-separated list of networks and addresses: `10.0.0.0/8, ::1`.
    ///
    /// # Errors
    /// If an element is not a network; the error names it.
    pub fn parse(list: &str) -> Result<TrustedProxies, uptick_socket::Error> {
        let names = list.split(',').map(str::trim);
        let networks: Result<Vec<IpNetwork>, _> = names
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect();
        networks.map(TrustedProxies::new)
    }

    /// Sets whether peers on Unix sockets are trusted proxies. Default: `false`.
    pub fn unix_sockets(mut self, trusted: bool) -> TrustedProxies {
        self.unix_sockets = trusted;
        self
    }

    /// Sets the headers that the proxies set. It is safer to select these headers: a proxy that sets only one kind of headers may forward the
    /// other kind as the client sent it. Default: [`ForwardedFields::Either`].
    pub fn fields(mut self, fields: ForwardedFields) -> TrustedProxies {
        self.fields = fields;
        self
    }

    /// Returns whether an address belongs to a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// Returns whether a peer is a trusted proxy; `None` is a peer on a Unix socket.
    pub(crate) fn trusts_peer(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix_sockets, |ip| self.trusts(ip))
    }

    /// Returns the client information of a request. `received` is the information from the connection and the request line, with the address
    /// of the peer (`None` on a Unix socket), and `headers` are the headers of the request, in order.
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
        let headers = ProxyHeaders::collect(headers, self.fields);
        let forwarded = headers.forwarded.map(|hops| match hops {
            Some(hops) => self.follow(hops),
            None => ForwardedInfo::HIDDEN,
        });
        let x_forwarded = headers.x_forwarded.hops().map(|hops| self.follow(hops));
        let info = match (forwarded, x_forwarded) {
            (None, None) => return received,
            (Some(info), None) | (None, Some(info)) => info,
            (Some(one), Some(other)) => one.merge(other),
        };
        info.complete(received)
    }

    /// Evaluates the hops from right to left, as long as the proxies are trusted. A hop without a scheme or a host keeps the value of the hop
    /// to its right.
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
                Some(ForwardedNode::Address(ip, _)) if self.trusts(ip) => {}
                _ => break,
            }
        }
        info
    }
}

/// The client information in the headers of trusted proxies.
#[derive(Default)]
struct ForwardedInfo {
    /// The client; `None` if no header names one, in which case the peer is the client.
    client: Option<ForwardedNode>,
    secure: Option<bool>,
    host: Option<String>,
    host_port: Option<u16>,
}

impl ForwardedInfo {
    /// No information; the peer is not the client.
    const HIDDEN: ForwardedInfo = ForwardedInfo {
        client: Some(ForwardedNode::Hidden),
        secure: None,
        host: None,
        host_port: None,
    };

    /// Merges the values that do not contradict each other. If the clients differ, the result is `HIDDEN`.
    fn merge(self, other: ForwardedInfo) -> ForwardedInfo {
        let client = match (self.client, other.client) {
            (
                Some(ForwardedNode::Address(ip, port)),
                Some(ForwardedNode::Address(other_ip, other_port)),
            ) if ip == other_ip => Some(ForwardedNode::Address(ip, port.or(other_port))),
            (Some(ForwardedNode::Hidden), Some(ForwardedNode::Hidden)) => {
                Some(ForwardedNode::Hidden)
            }
            (Some(_), Some(_)) => return ForwardedInfo::HIDDEN,
            (client, None) | (None, client) => client,
        };
        ForwardedInfo {
            client,
            secure: merge_values(self.secure, other.secure),
            host: merge_values(self.host, other.host),
            host_port: merge_values(self.host_port, other.host_port),
        }
    }

    /// Fills in missing values from the request as it was received.
    fn complete(self, received: ClientInfo) -> ClientInfo {
        let (ip, port) = match self.client {
            None => (received.ip, received.port),
            Some(ForwardedNode::Address(ip, port)) => (Some(ip), port),
            Some(ForwardedNode::Hidden) => (None, None),
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

/// Returns the value if both are equal or only one is known.
fn merge_values<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => (one == other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// Appends a port to a host that has none, unless it is the default port of the scheme.
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

/// The parsed headers of proxies.
#[derive(Default)]
struct ProxyHeaders {
    /// The hops in `Forwarded`; `Some(None)` if it is malformed.
    forwarded: Option<Option<Vec<Hop>>>,
    x_forwarded: XForwarded,
}

/// The members of the four `X-Forwarded-*` lists.
#[derive(Default)]
struct XForwarded {
    clients: Vec<ForwardedNode>,
    schemes: Vec<Option<bool>>,
    hosts: Vec<Option<String>>,
    ports: Vec<Option<u16>>,
}

impl ProxyHeaders {
    fn collect<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        fields: ForwardedFields,
    ) -> ProxyHeaders {
        let mut all = ProxyHeaders::default();
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("forwarded") {
                if fields != ForwardedFields::XForwarded {
                    let before = all.forwarded.take().unwrap_or(Some(Vec::new()));
                    all.forwarded = Some(before.and_then(|mut hops| {
                        hops.extend(parse::forwarded(value)?);
                        Some(hops)
                    }));
                }
            } else if fields != ForwardedFields::Forwarded {
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
                .extend(parse::list(value).map(parse::lenient_node));
        } else if name.eq_ignore_ascii_case("x-forwarded-proto") {
            self.schemes.extend(parse::list(value).map(parse::scheme));
        } else if name.eq_ignore_ascii_case("x-forwarded-host") {
            self.hosts.extend(parse::list(value).map(parse::host));
        } else if name.eq_ignore_ascii_case("x-forwarded-port") {
            self.ports.extend(parse::list(value).map(parse::port));
        }
    }

    /// Returns the hops; `None` if there are no such headers. Without `X-Forwarded-For`, only the last members are known to be from the peer.
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

/// Returns the member of a list that belongs to the client at `index`. Proxies append to all lists, or replace the other lists by a single
/// member. If the lengths differ, only the last member is known to be from the peer.
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
