//! Connections to addresses and names, to a Unix socket, and to a proxy.

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;

use uptick_socket::{
    ConnectTarget, ConnectUri, Connecting, ConnectorInterface, Error as SocketError,
    HappyEyeballsConnector, Resolver, TcpConnector, UnixConnector, UnixName,
};

use super::connection_guard::ConnectionGuard;
use super::destination::authority;
use super::resolve::ResolveCache;
use super::{ConnectOptions, Destination, failure, tunnel};
use crate::error::Failure;

/// Connects to a destination, below TLS.
pub(super) async fn dial(
    names: &ResolveCache,
    destination: &Destination,
    options: &ConnectOptions,
) -> Result<ConnectionGuard, Failure> {
    let dialer = Dialer { names, options };
    if let Some(path) = &destination.unix {
        let conn = dialer.unix(path).await;
        return conn.map_err(|error| failure::of_target(&error));
    }
    let Some(proxy) = destination.active_proxy() else {
        let conn = dialer.tcp(&destination.host, destination.port).await;
        return conn.map_err(|error| failure::of_target(&error));
    };
    let conn = dialer.tcp(proxy.host(), proxy.port()).await;
    let conn = conn.map_err(|error| failure::of_proxy(proxy, &error))?;
    if destination.forward_proxy().is_some() {
        return Ok(conn);
    }
    tunnel::open(conn, proxy, destination).await
}

/// The parts that every dial needs.
struct Dialer<'a> {
    names: &'a ResolveCache,
    options: &'a ConnectOptions,
}

impl Dialer<'_> {
    async fn unix(&self, path: &Path) -> Result<ConnectionGuard, SocketError> {
        let target = ConnectUri::Unix(UnixName::Path(path.to_path_buf())).into();
        match &self.options.connector {
            Some(connector) => guarded(connector.connect_target(target)).await,
            None => guarded(UnixConnector::new().connect_target(target)).await,
        }
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<ConnectionGuard, SocketError> {
        let target = target(host, port)?;
        if let Some(connector) = &self.options.connector {
            return guarded(connector.connect_target(target)).await;
        }
        let ConnectUri::Host { name, .. } = target.uri() else {
            return guarded(TcpConnector::new().connect_target(target)).await;
        };
        if let Some(addresses) = self.options.resolve.get(name) {
            // The order of these addresses is the user's.
            let connector = race(addresses).alternate_families(false);
            return guarded(connector.connect_target(target)).await;
        }
        let addresses = self.names.lookup(name).await?;
        let result = guarded(race(addresses).connect_target(target.clone())).await;
        if result.is_err() {
            self.names.forget(name);
        }
        result
    }
}

async fn guarded(connecting: Connecting) -> Result<ConnectionGuard, SocketError> {
    connecting.await.map(ConnectionGuard::new)
}

/// Returns a connector that tries these addresses.
fn race(addresses: Rc<[SocketAddr]>) -> HappyEyeballsConnector {
    let resolver = Resolver::with_scopes(move |_| ready(Ok(addresses.to_vec())));
    HappyEyeballsConnector::new(TcpConnector::new()).resolver(resolver)
}

/// Returns the target of a connector for a host name or an IP address.
pub(super) fn target(host: &str, port: u16) -> Result<ConnectTarget, SocketError> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, port).into()),
        // An IPv6 address with a scope id, whose `%` is encoded in URLs (RFC 6874).
        Err(_) if host.contains(':') => authority(&host.replacen("%25", "%", 1), port).parse(),
        Err(_) => Ok(ConnectTarget::from(ConnectUri::Host {
            name: host.to_owned(),
            port,
        })),
    }
}
