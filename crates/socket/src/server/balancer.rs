//! Connections shared out between the event loops that accept from one socket.

use std::fmt;
use std::os::fd::OwnedFd;

use super::{Server, accept, with_entry};
use crate::Address;

/// Shares out the connections of a socket that several event loops accept from.
///
/// A server whose options have a balancer ([`ServerOptions::balancer`](crate::ServerOptions::balancer)) asks it about each
/// connection that it accepts. The balancer may pass the socket on to another loop, where
/// [`Server::serve_accepted`] serves it.
pub trait Balancer: fmt::Debug {
    /// Decides about a connection that was accepted: returns its socket if this server serves it, `None` if another loop will.
    fn place(&self, server: Server, socket: OwnedFd) -> Option<OwnedFd>;

    /// Called when a batch of connections was accepted, so that sockets for other loops can be passed on together.
    fn batch_accepted(&self, server: Server);

    /// Called when the server serves one connection more.
    fn opened(&self);

    /// Called when a connection of the server has closed.
    fn closed(&self);
}

impl Server {
    /// Accepts the connections that wait in the backlog now, 64 in an iteration of the loop. For a shared socket: the loop that was
    /// woken for them may be gone, or stopped. Nothing happens while accepting rests because no descriptor is free.
    pub fn accept_waiting(self) {
        accept::waiting(self);
    }

    /// Serves a connection that another event loop accepted from the same socket, as if this one had. Without a
    /// `connection` listener, or once the server is gone, the connection is closed.
    ///
    /// # Errors
    /// The system's error if the socket is not a connected one, with the socket closed.
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
