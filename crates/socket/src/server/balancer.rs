//! Distribution of connections among the event loops that accept from one socket.

use std::fmt;
use std::os::fd::OwnedFd;

use super::{Server, accept, with_entry};
use crate::Address;

/// A policy that distributes the connections of a socket among the event loops that accept from it.
///
/// A server whose options have a balancer ([`ServerOptions::balancer`](crate::ServerOptions::balancer)) calls it for
/// each connection that it accepts. The balancer may pass the socket to another loop, which serves it with
/// [`Server::serve_accepted`].
pub trait Balancer: fmt::Debug {
    /// Decides about an accepted connection: returns its socket if this server serves it, `None` if another loop does.
    fn place(&self, server: Server, socket: OwnedFd) -> Option<OwnedFd>;

    /// Called after a batch of connections was accepted, so that the sockets for other loops can be passed together.
    fn batch_accepted(&self, server: Server);

    /// Called when the server starts to serve a connection.
    fn opened(&self);

    /// Called when a connection of the server has closed.
    fn closed(&self);
}

impl Server {
    /// Accepts the connections that are in the backlog now, 64 in each iteration of the loop. This is for a shared
    /// socket whose woken loop is gone or stopped. Does nothing while accepting is suspended because no descriptor is
    /// free.
    pub fn accept_backlog(self) {
        accept::accept_backlog(self);
    }

    /// Serves a connection that another event loop accepted from the same socket, as if this loop had accepted it.
    /// Without a `connection` listener, or if the server is gone, the connection is closed.
    ///
    /// # Errors
    /// The system's error if the socket is not connected. The socket is then closed.
    pub fn serve_accepted(self, socket: OwnedFd) -> std::io::Result<()> {
        let peer = rustix::net::getpeername(&socket)?;
        let peer = peer
            .and_then(|peer| Address::try_from(peer).ok())
            .unwrap_or(Address::UNNAMED);
        let options = with_entry(self, |entry, _| entry.options.transport());
        match options {
            Some(options) => accept::announce(self, socket, peer, options),
            None => drop(socket),
        }
        Ok(())
    }
}
