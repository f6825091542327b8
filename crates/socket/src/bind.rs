//! Creates a listening socket from an address.

mod fd;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::Cause;
use crate::{Address, Error, InheritedSockets, ListenUri, SocketOptions};

pub use unix::SocketFile;

/// A listening socket. It is non-blocking and close-on-exec.
#[derive(Debug)]
pub struct Bound {
    /// The file of a Unix socket that this process created. Dropping it removes the file, which must happen before the
    /// socket closes; the fields of `Bound` are dropped in this order.
    pub file: Option<SocketFile>,
    /// The socket.
    pub socket: OwnedFd,
    /// The address that the socket is bound to, with the actual port if the requested port was 0.
    pub address: Address,
}

/// Listens on an address.
///
/// A stale socket file, whose server is gone, is replaced. To find out, the function connects to the file, so a server
/// that still listens sees a connection that closes at once. Checking and replacing the file takes a lock on its
/// directory; the function waits for the lock for at most 250 ms.
///
/// # Errors
///
/// [`Error::Listen`] with, among others:
/// - EADDRINUSE: a server already listens on the address;
/// - EACCES: the port is below 1024, or the directory is not accessible to this process;
/// - EADDRNOTAVAIL: this machine does not have the IP address;
/// - ENOTSOCK: the existing file, or the inherited descriptor, is not a socket;
/// - EBADF, EISCONN, EPROTOTYPE, EINVAL, EBUSY: an inherited descriptor is not open, is a connection, is not a stream
///   socket, is not bound, or was taken before.
///
/// [`Error::Inherit`] if the environment variables of the service manager are invalid.
pub fn bind(uri: &ListenUri, options: &SocketOptions) -> Result<Bound, Error> {
    let bound = match uri {
        ListenUri::Tcp(address) => tcp(*address, options),
        ListenUri::Unix(unix) => unix::bind(unix, options),
        ListenUri::Fd(number) => fd::take_inherited(*number, options),
        ListenUri::Systemd(name) => {
            fd::take_next(&InheritedSockets::from_env()?, name.as_deref(), options)
        }
    };
    bound.map_err(|cause| Error::listen(uri, cause))
}

/// Creates a server socket from a descriptor that this process owns, for instance one that another process sent. A
/// bound socket that does not listen yet starts listening.
///
/// # Errors
///
/// [`Error::Listen`] if it is not a TCP or Unix stream socket, is a connection, or is not bound. The descriptor is then
/// closed.
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
    // Without it, a restarted server has to wait until the TIME_WAIT state of the old connections ends. Two servers at the same
    // time remain impossible.
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
