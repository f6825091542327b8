//! From an address to a listening socket that is ready to accept.

mod fd;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::Cause;
use crate::{Address, Error, InheritedSockets, ListenUri, SocketOptions};

pub use unix::SocketFile;

/// A listening socket. It does not block and is not passed on to other programs.
#[derive(Debug)]
pub struct Bound {
    /// The file of a Unix socket that this process made. Dropping it removes the file, which has to
    /// happen before the socket closes; dropping the whole does it in this order.
    pub file: Option<SocketFile>,
    /// The socket.
    pub socket: OwnedFd,
    /// What the socket is bound to, with the real port where port 0 was asked for.
    pub address: Address,
}

/// Listens on an address.
///
/// If there is a socket file in the way whose server is gone, it is replaced; a server that still
/// listens notices a connection that closes at once. Looking at the file and replacing it takes a
/// lock on its directory, for which this waits up to 250 ms.
///
/// # Errors
///
/// [`Error::Listen`] with, among others:
/// - EADDRINUSE: a server listens there already;
/// - EACCES: a port below 1024 or a directory that this process may not use;
/// - EADDRNOTAVAIL: an IP address that this machine does not have;
/// - ENOTSOCK: there is a file in the way that is not a socket, or the inherited descriptor is not;
/// - EBADF, EISCONN, EPROTOTYPE, EINVAL, EBUSY: an inherited descriptor is not open, is a
///   connection, is not a stream socket, is not bound, or was taken over before.
///
/// [`Error::Inherit`] if the variables of the service manager make no sense.
pub fn bind(uri: &ListenUri, options: &SocketOptions) -> Result<Bound, Error> {
    let bound = match uri {
        ListenUri::Tcp(address) => tcp(*address, options),
        ListenUri::Unix(unix) => unix::bind(unix, options),
        ListenUri::Fd(number) => fd::take(*number, options),
        ListenUri::Systemd(name) => {
            fd::take_next(&InheritedSockets::from_env()?, name.as_deref(), options)
        }
    };
    bound.map_err(|cause| Error::listen(uri, cause))
}

/// Makes a server socket of a descriptor that this process owns, for instance one that another
/// process sent. A bound socket that does not listen yet begins to.
///
/// # Errors
///
/// [`Error::Listen`] if it is not a TCP or Unix stream socket, is a connection, or is not bound.
/// The descriptor is closed then.
pub fn adopt(socket: OwnedFd, options: &SocketOptions) -> Result<Bound, Error> {
    match fd::prepare(&socket, options) {
        Ok(address) => Ok(Bound {
            file: None,
            socket,
            address,
        }),
        Err(cause) => Err(Error::listen(ListenUri::Fd(socket.as_raw_fd()), cause)),
    }
}

fn tcp(address: SocketAddr, options: &SocketOptions) -> Result<Bound, Cause> {
    let socket = stream_socket(Domain::for_address(address), Some(Protocol::TCP))?;
    // Without it, a restarted server has to wait until the old connections' TIME_WAIT is over. Two
    // servers at the same time remain impossible.
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
    }
    if let (SocketAddr::V6(_), Some(only)) = (address, options.v6_only) {
        socket.set_only_v6(only)?;
    }
    options.apply(&socket, true)?;
    socket.bind(&address.into())?;
    socket.listen(options.system_backlog())?;
    Ok(Bound {
        file: None,
        address: Address::local_of(&socket)?,
        socket: socket.into(),
    })
}

fn stream_socket(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
