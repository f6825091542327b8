//! Tunnels through proxies.

mod byte_channel;
mod http_connect;
mod socks5;

use super::connection_guard::ConnectionGuard;
use super::proxy::ProxyProtocol;
use super::{Destination, Proxy};
use crate::error::{ErrorKind, Failure};
use byte_channel::ByteChannel;

/// Opens a tunnel to a destination on a connection to the proxy. Bytes that the proxy sends after its response belong to the tunnel.
pub(super) async fn open(
    conn: ConnectionGuard,
    proxy: &Proxy,
    destination: &Destination,
) -> Result<ConnectionGuard, Failure> {
    let mut channel = ByteChannel::new(conn);
    let exchange = match proxy.protocol() {
        ProxyProtocol::Http => http_connect::open(&mut channel, proxy, destination).await,
        ProxyProtocol::Socks5 => socks5::open(&mut channel, proxy, destination).await,
    };
    match exchange {
        Ok(()) => Ok(channel.finish()),
        Err(reason) => {
            let target = destination.authority();
            let reason =
                format!("connecting to {target} through the proxy {proxy} failed: {reason}");
            Err(Failure::new(ErrorKind::Proxy, reason))
        }
    }
}
