//! The local and remote addresses of a connection.

use std::net::IpAddr;

use uptick_stream::transport::{self, Transport};

use super::{Connection, ConnectionData};
use crate::Address;
use crate::proxy_protocol::protocol::Tlvs;

/// The addresses of a connection that a proxy has sent in a PROXY protocol header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyInfo {
    /// The client's address, as the proxy saw it.
    pub source: Address,
    /// The address that the client connected to.
    pub destination: Address,
    /// The further fields of version 2, such as the host name of a TLS handshake.
    pub tlvs: Tlvs,
}

impl ConnectionData {
    /// Returns the remote address, as used in errors.
    pub(super) fn remote(&self) -> Address {
        let address = self.proxied().map_or(&self.peer, |proxied| &proxied.source);
        secured(address.clone(), self.is_secure())
    }
}

impl Connection {
    /// Returns the remote address as a URI, `tcp://127.0.0.1:40000`. Behind a proxy with the PROXY protocol this is the
    /// client's address.
    ///
    /// The scheme is `tls://` while the connection is encrypted, except over a Unix socket, where it stays `unix://`;
    /// see [`is_secure`](Connection::is_secure). `None` for an unnamed Unix socket, as clients have, and if the handle
    /// is stale. The address is still available in `close` listeners.
    pub fn remote_address(self) -> Option<String> {
        self.with_attachment(|extra| uri(extra.remote()))?
    }

    /// Returns the local address as a URI. Behind a proxy with the PROXY protocol this is the address that the client
    /// connected to.
    ///
    /// `None` if the socket is unnamed or the handle is stale.
    pub fn local_address(self) -> Option<String> {
        let (proxied, secure) = self.with_attachment(|extra| {
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

    /// Returns the remote IP address, behind a proxy that of the client; `None` for Unix connections and stale handles.
    pub fn remote_ip(self) -> Option<IpAddr> {
        self.with_attachment(|extra| match extra.proxied() {
            Some(proxied) => proxied.source.ip(),
            None => extra.peer.ip(),
        })?
    }

    /// Returns the address of the socket's peer: behind a proxy, the address of the proxy.
    pub fn peer(self) -> Option<Address> {
        self.with_attachment(|extra| extra.peer.clone())
    }

    /// Returns the addresses that a proxy has sent for the connection; `None` if the connection did not come through a
    /// proxy.
    pub fn proxied(self) -> Option<ProxyInfo> {
        self.with_attachment(|extra| extra.proxied().cloned())?
    }

    pub(crate) fn set_proxied(self, proxied: ProxyInfo) {
        self.with_attachment(|extra| extra.decorators().proxied = Some(Box::new(proxied)));
    }

    /// Returns `true` if the connection is encrypted, over any kind of socket.
    pub fn is_secure(self) -> bool {
        self.with_attachment(|extra| extra.is_secure())
            .unwrap_or(false)
    }

    /// Returns the protocol that TLS has negotiated for the connection, such as `h2` (ALPN, RFC 7301); `None` without
    /// TLS, without a negotiated protocol, and if the handle is stale.
    pub fn alpn(self) -> Option<Vec<u8>> {
        transport::alpn_protocol(self)
    }
}

fn secured(address: Address, secure: bool) -> Address {
    if secure { address.secured() } else { address }
}

/// Returns the URI of an address, unless it is unnamed.
fn uri(address: Address) -> Option<String> {
    (!address.is_unnamed()).then(|| address.to_string())
}
