//! Who is at the two ends of a connection.

use std::net::IpAddr;

use uptick_stream::transport::{self, Transport};

use super::{Connection, Extra};
use crate::Address;
use crate::proxy_protocol::protocol::Tlvs;

/// What a proxy in front of the server has said of a connection, by the PROXY protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client's address, as the proxy saw it.
    pub source: Address,
    /// The address that the client connected to.
    pub destination: Address,
    /// Further fields of version 2, such as the host name of a TLS handshake.
    pub tlvs: Tlvs,
}

impl Extra {
    /// Who is at the other end, as errors name it.
    pub(super) fn remote(&self) -> Address {
        let address = self.proxied().map_or(&self.peer, |proxied| &proxied.source);
        secured(address.clone(), self.is_secure())
    }
}

impl Connection {
    /// The other end as a URI, `tcp://127.0.0.1:40000`: behind a proxy that speaks the PROXY protocol, the client.
    ///
    /// `tls://…` while the connection is encrypted, other than over a Unix socket, which stays `unix://…`: ask
    /// [`is_secure`](Connection::is_secure). `None` for the unnamed end of a Unix connection, as clients have, and when the
    /// handle is stale. In `close` listeners it is still there.
    pub fn remote_address(self) -> Option<String> {
        self.with_extra(|extra| uri(extra.remote()))?
    }

    /// This end as a URI; behind a proxy that speaks the PROXY protocol, what the client connected to.
    ///
    /// `None` when it has no name and when the handle is stale.
    pub fn local_address(self) -> Option<String> {
        let (proxied, secure) = self.with_extra(|extra| {
            let destination = extra.proxied().map(|proxied| proxied.destination.clone());
            (destination, extra.is_secure())
        })?;
        let address = match proxied {
            Some(address) => address,
            None => Connection::streams(|all| {
                all.with_descriptor(self, |fd| Address::local_of(fd).ok())
            })
            .flatten()
            .flatten()?,
        };
        uri(secured(address, secure))
    }

    /// The IP address of the other end, of the client behind a proxy; `None` for Unix connections and stale handles.
    pub fn remote_ip(self) -> Option<IpAddr> {
        self.with_extra(|extra| match extra.proxied() {
            Some(proxied) => proxied.source.ip(),
            None => extra.peer.ip(),
        })?
    }

    /// The socket's peer: behind a proxy, the proxy.
    pub fn peer(self) -> Option<Address> {
        self.with_extra(|extra| extra.peer.clone())
    }

    /// What a proxy has said of the connection; `None` when it came directly.
    pub fn proxied(self) -> Option<Proxied> {
        self.with_extra(|extra| extra.proxied().cloned())?
    }

    pub(crate) fn set_proxied(self, proxied: Proxied) {
        self.with_extra(|extra| extra.wrapping().proxied = Some(Box::new(proxied)));
    }

    /// Whether the connection is encrypted, over whatever socket.
    pub fn is_secure(self) -> bool {
        self.with_extra(|extra| extra.is_secure()).unwrap_or(false)
    }

    /// Returns the protocol that TLS has negotiated for the connection, such as `h2` (ALPN, RFC 7301); `None` without TLS, when
    /// nothing was negotiated, and when the handle is stale.
    pub fn alpn(self) -> Option<Vec<u8>> {
        transport::alpn_protocol(self)
    }
}

fn secured(address: Address, secure: bool) -> Address {
    if secure { address.secured() } else { address }
}

/// The URI of an address that has one.
fn uri(address: Address) -> Option<String> {
    (!address.is_unnamed()).then(|| address.to_string())
}
