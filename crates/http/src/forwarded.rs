//! Whom a request comes from when proxies have passed it on.

mod parse;

use std::net::IpAddr;

use uptick_socket::IpNetwork;

use parse::{Hop, Node};

/// The proxies that are believed when they say for whom they pass a request on.
///
/// Anybody can send `Forwarded` and `X-Forwarded-For`, so they count only from a peer that is listed here. They are read from the
/// right, as every proxy adds to the right end: while an address is that of a trusted proxy, what that proxy has added is believed,
/// and the first address that is not one of a trusted proxy is the client's. What stands to the left of it anybody may have written.
///
/// # Examples
/// ```
/// use uptick_http::TrustedProxies;
///
/// let proxies = TrustedProxies::parse("10.0.0.0/8, ::1")?;
/// let fields = [("x-forwarded-for", b"6.6.6.6, 192.0.2.7, 10.0.0.2".as_slice())];
///
/// // The load balancer 10.0.0.1 has the request from 10.0.0.2, and that one from 192.0.2.7, who claims to be another.
/// let origin = proxies.origin(Some([10, 0, 0, 1].into()), fields);
/// assert_eq!(origin.ip, Some([192, 0, 2, 7].into()));
///
/// // From a stranger the field says nothing.
/// let origin = proxies.origin(Some([203, 0, 113, 9].into()), fields);
/// assert_eq!(origin.ip, Some([203, 0, 113, 9].into()));
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNetwork>,
    unix_sockets: bool,
    fields: ForwardedFields,
}

/// Which fields trusted proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedFields {
    /// Whichever is there. When both are, they have to name the same client, otherwise it is unknown: one of them
    /// may be what a client has sent and the proxy has passed on.
    #[default]
    Either,
    /// Only `Forwarded` (RFC 7239).
    Forwarded,
    /// Only `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    XForwarded,
}

/// Whom a request comes from, as far as trusted proxies tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The client's address; the peer's, unless that is a trusted proxy which names another.
    ///
    /// `None` for a peer on a Unix socket, and when a trusted proxy hides the client's address (`for=unknown`,
    /// `for=_name`), when its field is malformed or two of them contradict each other. It is never the address of a
    /// proxy for another's, so that lists of who is allowed let nobody in by mistake.
    pub ip: Option<IpAddr>,
    /// The client's port, if it is told.
    pub port: Option<u16>,
    /// Whether the client speaks HTTPS with the first of the trusted proxies, if that tells.
    pub secure: Option<bool>,
    /// The host that the client has asked the first of the trusted proxies for, and the port, if that tells.
    pub host: Option<String>,
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

    /// Tells whom a request comes from: by the address of the peer (`None` on a Unix socket) and the fields of
    /// the request in the order in which they came.
    pub fn origin<'a>(
        &self,
        peer: Option<IpAddr>,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Origin {
        let own = Origin {
            ip: peer.map(|ip| ip.to_canonical()),
            ..Origin::default()
        };
        if !peer.map_or(self.unix_sockets, |ip| self.trusts(ip)) {
            return own;
        }
        let told = Told::collect(fields, self.fields);
        let forwarded = told.forwarded.map(|hops| match hops {
            Some(hops) => self.follow(own.clone(), hops),
            None => Origin::default(),
        });
        let x_forwarded = told
            .x_forwarded
            .hops()
            .map(|hops| self.follow(own.clone(), hops));
        match (forwarded, x_forwarded) {
            (None, None) => own,
            (Some(origin), None) | (None, Some(origin)) => origin,
            // `Forwarded` tells more, if they agree.
            (Some(origin), Some(other)) if origin.ip == other.ip => origin,
            (Some(_), Some(_)) => Origin::default(),
        }
    }

    /// Goes from proxy to proxy, from the right, as far as they are trusted.
    fn follow(&self, peer: Origin, hops: Vec<Hop>) -> Origin {
        let mut origin = peer;
        for hop in hops.into_iter().rev() {
            let (ip, port) = match hop.client {
                Some(Node::Address(ip, port)) => (Some(ip), port),
                // That this proxy does not name a client, or hides it, ends what is known.
                Some(Node::Hidden) | None => (None, None),
            };
            origin = Origin {
                ip,
                port,
                secure: hop.secure,
                host: hop.host,
            };
            if !ip.is_some_and(|ip| self.trusts(ip)) {
                break;
            }
        }
        origin
    }
}

/// What the fields say.
#[derive(Default)]
struct Told {
    /// `Some(None)` when it is malformed.
    forwarded: Option<Option<Vec<Hop>>>,
    x_forwarded: XForwarded,
}

/// The members of the three lists.
#[derive(Default)]
struct XForwarded {
    clients: Vec<Node>,
    schemes: Vec<Option<bool>>,
    hosts: Vec<Option<String>>,
}

impl Told {
    fn collect<'a>(
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        which: ForwardedFields,
    ) -> Told {
        let mut told = Told::default();
        for (name, value) in fields {
            if name.eq_ignore_ascii_case("forwarded") {
                if which != ForwardedFields::XForwarded {
                    let before = told.forwarded.take().unwrap_or(Some(Vec::new()));
                    told.forwarded = Some(before.and_then(|mut hops| {
                        hops.extend(parse::forwarded(value)?);
                        Some(hops)
                    }));
                }
            } else if which != ForwardedFields::Forwarded {
                told.x_forwarded.add(name, value);
            }
        }
        told
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
        }
    }

    /// What each proxy has added, or `None` when no client is named.
    fn hops(self) -> Option<Vec<Hop>> {
        let XForwarded {
            clients,
            schemes,
            hosts,
        } = self;
        let count = clients.len();
        let hops = clients.into_iter().enumerate().map(|(index, client)| Hop {
            client: Some(client),
            secure: member_for(&schemes, index, count),
            host: member_for(&hosts, index, count),
        });
        Some(hops.collect()).filter(|_| count > 0)
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
