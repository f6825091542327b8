//! TCP connections to IP addresses.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::handshake::{connect_finished, connection_from_socket};
use super::{ConnectTarget, Connecting, ConnectorInterface};
use crate::Address;
use crate::connection::Connection;
use crate::error::{Cause, Error};
use crate::options::SocketOptions;
use crate::uri::ConnectUri;

/// A connector to IP addresses over TCP.
///
/// For host names, wrap it in a [`DnsConnector`](crate::DnsConnector) or a
/// [`HappyEyeballsConnector`](crate::HappyEyeballsConnector).
///
/// # Limits
/// Only the timeout of the system applies, with ETIMEDOUT: on Linux after about two minutes. For a shorter one, wrap
/// the connector in a [`TimeoutConnector`](crate::TimeoutConnector).
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
    /// Creates a connector with the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the options of the sockets. Options of listening sockets are ignored. Default: see [`SocketOptions`].
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the local address to connect from; port 0 selects a free port.
    ///
    /// Connecting to an address of the other family then fails (EAFNOSUPPORT). Default: chosen by the system.
    #[must_use]
    pub fn bind_to(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    async fn dial(self, target: ConnectTarget, address: SocketAddr) -> Result<Connection, Error> {
        let failed = |cause: Cause| Error::connect(&target, cause);
        let (socket, in_progress) = self.begin(address).map_err(failed)?;
        let socket = if in_progress {
            connect_finished(socket).await.map_err(failed)?
        } else {
            socket
        };
        if self.source.is_none() && is_connected_to_itself(&socket, address) {
            return Err(failed(Errno::CONNREFUSED.into()));
        }
        connection_from_socket(socket, address.into())
    }

    /// Creates a socket and starts to connect it. Returns the socket, and `true` if the connect is in progress.
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
        let in_progress = match socket.connect(&address.into()) {
            Ok(()) => false,
            Err(error) if is_in_progress(&error) => true,
            Err(error) => return Err(error.into()),
        };
        Ok((socket.into(), in_progress))
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
        // The port may still be in TIME_WAIT from a previous connection.
        socket.set_reuse_address(true)?;
    }
    socket
        .bind(&source.into())
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => Cause::explained(errno, format!("it cannot be bound to {source}")),
            None => error.into(),
        })
}

fn is_in_progress(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INPROGRESS | Errno::INTR)
    )
}

/// Returns `true` if the system has assigned the very port that the socket connects to, on this machine and without a
/// listener: TCP allows a socket to connect to itself (RFC 9293, section 3.5, simultaneous open).
fn is_connected_to_itself(socket: &OwnedFd, address: SocketAddr) -> bool {
    // The system may omit a scope id that the address does not need.
    Address::local_of(socket)
        .is_ok_and(|local| (local.ip(), local.port()) == (Some(address.ip()), Some(address.port())))
}

impl ConnectorInterface for TcpConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        if let Err(error) = require_tcp(&target) {
            return Connecting::failed(error);
        }
        match *target.uri() {
            ConnectUri::Tcp(address) => Connecting::new(self.clone().dial(target, address)),
            _ => Connecting::failed(target.unsupported(
                "the host must be an IP address; a DnsConnector or a HappyEyeballsConnector looks \
                 names up",
            )),
        }
    }
}

/// Returns an error unless the target is a TCP one.
pub(super) fn require_tcp(target: &ConnectTarget) -> Result<(), Error> {
    match target.scheme() {
        "tcp" => Ok(()),
        "tls" => Err(target.unsupported(TLS_UNSUPPORTED)),
        scheme => {
            Err(target.unsupported(format!("this connector supports tcp://, not {scheme:?}")))
        }
    }
}

pub(super) const TLS_UNSUPPORTED: &str = "TLS is a layer above the socket: use \
                                       uptick_tls::connector(), or wrap this connector in a SecureConnector";

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

    /// Connects from the port that it connects to, which the system may also choose by chance.
    #[test]
    fn a_socket_that_is_connected_to_itself_is_detected() {
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
