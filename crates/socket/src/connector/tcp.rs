//! TCP to an IP address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::handshake::{established, finished};
use super::{ConnectTarget, Connecting, ConnectorInterface};
use crate::Address;
use crate::connection::Connection;
use crate::error::{Cause, Error};
use crate::options::SocketOptions;
use crate::uri::ConnectUri;

/// Connects to IP addresses over TCP.
///
/// Host names are for a [`DnsConnector`](crate::DnsConnector) or
/// [`HappyEyeballsConnector`](crate::HappyEyeballsConnector) around it.
///
/// # Limits
/// The system gives up by itself, with ETIMEDOUT: on Linux after about two minutes. To have it earlier, put a
/// [`TimeoutConnector`](crate::TimeoutConnector) around it.
///
/// # Examples
/// ```
/// use uptick_socket::prelude::*;
/// use uptick_socket::TcpConnector;
///
/// let server = Server::bind("127.0.0.1:0")?;
/// # server.on(Server::CONNECTION, |_| ());
/// let address = server.address().unwrap();
/// # let expected = address.clone();
/// let conn = uptick_event_loop::block_on(TcpConnector::new().connect(address))??;
/// # assert_eq!(conn.remote_address(), Some(expected));
/// # server.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TcpConnector {
    options: SocketOptions,
    source: Option<SocketAddr>,
}

impl TcpConnector {
    /// Makes a connector with the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the options of the sockets. Those of listening sockets are passed over. Default: see [`SocketOptions`].
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the address to connect from, with port 0 for any. Default: the system chooses.
    ///
    /// An address of the other family cannot be connected to then (EAFNOSUPPORT).
    #[must_use]
    pub fn bind_to(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    async fn dial(self, target: ConnectTarget, address: SocketAddr) -> Result<Connection, Error> {
        let failed = |cause: Cause| Error::connect(&target, cause);
        let (socket, under_way) = self.begin(address).map_err(failed)?;
        let socket = if under_way {
            finished(socket).await.map_err(failed)?
        } else {
            socket
        };
        if self.source.is_none() && is_connected_to_itself(&socket, address) {
            return Err(failed(Errno::CONNREFUSED.into()));
        }
        established(socket, address.into())
    }

    /// Makes a socket and starts to connect it; gives whether the outcome has to be waited for.
    fn begin(&self, address: SocketAddr) -> Result<(OwnedFd, bool), Cause> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        self.options.apply(&socket, true)?;
        if let Some(source) = self.source {
            bind(&socket, source, address)?;
        }
        let under_way = match socket.connect(&address.into()) {
            Ok(()) => false,
            Err(error) if is_under_way(&error) => true,
            Err(error) => return Err(error.into()),
        };
        Ok((socket.into(), under_way))
    }
}

fn bind(socket: &Socket, source: SocketAddr, target: SocketAddr) -> Result<(), Cause> {
    if source.is_ipv4() != target.is_ipv4() {
        return Err(Cause::explained(
            Errno::AFNOSUPPORT,
            format!("it cannot be reached from {}", source.ip()),
        ));
    }
    if source.port() != 0 {
        // The port may still be in TIME_WAIT from the connection before.
        socket.set_reuse_address(true)?;
    }
    socket
        .bind(&source.into())
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => Cause::explained(errno, format!("it cannot be bound to {source}")),
            None => error.into(),
        })
}

fn is_under_way(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INPROGRESS | Errno::INTR)
    )
}

/// Whether the system gave the socket the very port that it connects to, on this machine, where nobody listens: TCP
/// lets a socket shake hands with itself (RFC 9293, 3.5, simultaneous open).
fn is_connected_to_itself(socket: &OwnedFd, address: SocketAddr) -> bool {
    // The system may leave out a scope id that the address does not need.
    Address::local_of(socket)
        .is_ok_and(|local| (local.ip(), local.port()) == (Some(address.ip()), Some(address.port())))
}

impl ConnectorInterface for TcpConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        if let Err(error) = only_tcp(&target) {
            return Connecting::failed(error);
        }
        match *target.uri() {
            ConnectUri::Tcp(address) => Connecting::new(self.clone().dial(target, address)),
            _ => Connecting::failed(target.unfit(
                "the host must be an IP address; a DnsConnector or a HappyEyeballsConnector looks \
                 names up",
            )),
        }
    }
}

/// Refuses what is not TCP.
pub(super) fn only_tcp(target: &ConnectTarget) -> Result<(), Error> {
    match target.scheme() {
        "tcp" => Ok(()),
        "tls" => Err(target.unfit(TLS_IS_ABOVE)),
        scheme => Err(target.unfit(format!("this connector knows tcp://, not {scheme:?}"))),
    }
}

pub(super) const TLS_IS_ABOVE: &str = "TLS is a layer above the socket: uptick_tls::connector() has \
                                       it, or put a SecureConnector around this connector";

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use socket2::SockRef;

    use super::*;

    #[test]
    fn the_options_are_set_before_it_connects() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (socket, _) = TcpConnector::new().begin(address).unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        let options = SocketOptions::new().nodelay(false).keepalive(None);
        let connector = TcpConnector::new().socket(options);
        let (socket, _) = connector.begin(address).unwrap();
        let socket = SockRef::from(&socket);
        assert!(!socket.tcp_nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
    }

    /// Connects from the port that it connects to, as the system may choose to by chance.
    #[test]
    fn a_socket_that_met_itself_is_recognised() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let connector = TcpConnector::new().bind_to(address);
        let (socket, _) = connector.begin(address).unwrap();
        assert!(is_connected_to_itself(&socket, address));
        let other = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        assert!(!is_connected_to_itself(&socket, other));
    }
}
