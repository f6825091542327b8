//! A server behind proxies that speak the PROXY protocol.

use std::rc::Rc;
use std::time::Duration;

use super::filter::HeaderFilter;
use super::options::{PeerPolicy, ProxyProtocolOptions};
use super::protocol::Header;
use crate::Address;
use crate::connection::engine::Engine;
use crate::connection::{Connection, ProxyInfo};
use crate::decorated::{Decorated, Layer, PendingConnection, PendingConnections, PendingLayer};
use crate::error::Error;
use crate::server::ServerInterface;

crate::decorated_server! {
    /// A server whose connections begin with a header that contains the client's address: the PROXY protocol, version 1
    /// or 2.
    ///
    /// It wraps any server. `connection` is emitted when the header has been read. From then on
    /// [`Connection::remote_address`], [`remote_ip`](Connection::remote_ip) and
    /// [`local_address`](Connection::local_address) return the addresses of the connection between client and proxy,
    /// [`Connection::peer`] returns the address of the proxy, and [`Connection::proxied`] the remaining fields. If the
    /// header has no client address (LOCAL, UNKNOWN), the addresses are those of the socket. The data after the header
    /// is passed to the listeners.
    ///
    /// `ProxyProtocolServer` is a `Copy` handle, as [`Server`](crate::Server); it is stale once the wrapped server has
    /// closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | the header of a connection has been read |
    /// | `error` | [`Error`] | the header is invalid or late ([`Error::ProxyProtocol`], [`Error::Timeout`]), and the connection closes; or an error of the wrapped server |
    /// | `close` | `()` | the wrapped server has stopped listening permanently: the last event |
    ///
    /// A connection that closes without having sent any bytes, as health checks do, is not an error.
    ///
    /// Without a `connection` listener clients stay in the kernel's backlog until the first one is added, also between
    /// two calls of [`next`](uptick_emitter::Emitter::next). Connections that were already accepted are held once their
    /// header is read. The wrapped server is paused for this: pause and resume the `ProxyProtocolServer` instead.
    ///
    /// # Limits
    /// A header must arrive within 5 s and may have 107 bytes in version 1 and 552 in version 2; 1,024 connections may
    /// wait for their header. See [`ProxyProtocolOptions`]. While the server is paused, headers are still read, and
    /// `connection` is emitted for them. While connections are held no further ones are accepted, so their number is
    /// limited by that of the connections that waited for their header.
    ///
    /// # Examples
    /// ```no_run
    /// use uptick_socket::prelude::*;
    /// use uptick_socket::IpNetwork;
    ///
    /// let proxy: IpNetwork = "10.0.0.0/8".parse()?;
    /// let options = ProxyProtocolOptions::new().proxies([proxy]);
    /// let server = ProxyProtocolServer::new(Server::bind("0.0.0.0:8080")?, options);
    /// server.on("connection", |conn: Connection| {
    ///     println!("{:?} by way of {:?}", conn.remote_address(), conn.peer());
    /// });
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct ProxyProtocolServer(ProxyHeaders) { pending_connections }
}

/// A layer that reads the PROXY header of each connection.
pub(super) struct ProxyHeaders {
    options: Rc<ProxyProtocolOptions>,
    /// The connections that wait for their header; the value is `true` once bytes were received.
    pending: PendingConnections<bool>,
}

impl ProxyProtocolServer {
    /// Wraps a server that proxies connect to.
    pub fn new<S: ServerInterface>(server: S, options: ProxyProtocolOptions) -> Self {
        let layer = ProxyHeaders {
            pending: PendingConnections::new(options.timeout, options.max_pending),
            options: Rc::new(options),
        };
        ProxyProtocolServer(Decorated::new(server, layer))
    }

    /// Returns the number of connections that wait for their header.
    pub fn pending_connections(self) -> usize {
        self.0.pending_connections()
    }
}

impl Layer for ProxyHeaders {
    fn accept(server: Decorated<Self>, conn: Connection) {
        let Some(options) = server.with(|layer| Rc::clone(&layer.options)) else {
            return conn.close();
        };
        match options.peer_policy(&peer_of(conn)) {
            PeerPolicy::Proxy => wait_for_header(server, conn, options),
            PeerPolicy::PassThrough => server.announce(conn),
            PeerPolicy::Refuse => {
                report_and_close(server, conn, "its peer is not one of the proxies")
            }
        }
    }

    fn shutting_down(server: Decorated<Self>, deadline: Duration) {
        server.shorten_limit(deadline);
    }

    fn open_connections(&self, accepted: usize) -> usize {
        accepted.saturating_sub(self.pending.len())
    }

    fn waiting(&self) -> Vec<Connection> {
        self.pending.connections()
    }

    fn closed(server: Decorated<Self>) {
        server.close_pending();
    }
}

impl PendingLayer for ProxyHeaders {
    /// `true` once bytes were received.
    type Item = bool;

    fn pending(&mut self) -> &mut PendingConnections<bool> {
        &mut self.pending
    }

    fn failed(waiting: PendingConnection<Self>, error: Error) {
        if waiting.take() == Some(true) {
            waiting.server().report(error);
        }
    }

    fn timed_out(waiting: PendingConnection<Self>, limit: Duration) {
        let (server, conn) = (waiting.server(), waiting.conn());
        let optional = server.with(|layer| layer.options.optional);
        let (Some(begun), Some(optional)) = (waiting.take(), optional) else {
            return;
        };
        if optional && !begun {
            return server.announce(conn);
        }
        server.report(Error::Timeout {
            operation: format!("reading the PROXY header from {}", peer_of(conn)).into(),
            after: limit,
        });
        conn.close();
    }
}

fn wait_for_header(
    server: Decorated<ProxyHeaders>,
    conn: Connection,
    options: Rc<ProxyProtocolOptions>,
) {
    if let Some((oldest, max)) = server.make_room() {
        let reason =
            format!("{max} later connections wait for their PROXY header, which is the limit");
        refuse(oldest, &reason);
    }
    match PendingConnection::begin(server, conn, false) {
        Some(waiting) => conn.add_filter(HeaderFilter::new(waiting, options)),
        None => conn.close(),
    }
}

/// Records that a connection has sent bytes; returns `false` if it no longer waits.
pub(super) fn mark_begun(waiting: PendingConnection<ProxyHeaders>) -> bool {
    waiting.with(|begun| *begun = true).is_some()
}

/// Announces the connection, with the addresses of the header.
pub(super) fn announce_with_header(
    waiting: PendingConnection<ProxyHeaders>,
    header: Option<Header>,
) {
    if waiting.take().is_none() {
        return;
    }
    if let Some(header) = header
        && let Some(endpoints) = header.endpoints
    {
        waiting.conn().set_proxied(ProxyInfo {
            source: endpoints.source,
            destination: endpoints.destination,
            tlvs: header.tlvs,
        });
    }
    waiting.server().announce(waiting.conn());
}

/// Refuses a waiting connection.
pub(super) fn refuse(waiting: PendingConnection<ProxyHeaders>, reason: &str) {
    if waiting.take().is_some() {
        report_and_close(waiting.server(), waiting.conn(), reason);
    }
}

fn report_and_close(server: Decorated<ProxyHeaders>, conn: Connection, reason: &str) {
    server.report(Error::ProxyProtocol {
        peer: peer_of(conn),
        reason: reason.into(),
    });
    conn.close();
}

/// Returns the address of the socket's peer, the proxy.
fn peer_of(conn: Connection) -> Address {
    conn.peer().unwrap_or(Address::UNNAMED)
}
