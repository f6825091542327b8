//! A server behind proxies that speak the PROXY protocol.

use std::rc::Rc;
use std::time::Duration;

use super::filter::HeaderFilter;
use super::options::{Origin, ProxyProtocolOptions};
use super::protocol::Header;
use crate::Address;
use crate::connection::engine::Engine;
use crate::connection::{Connection, Proxied};
use crate::decorated::{Decorated, Layer, Pending, Waiting, Waits};
use crate::error::Error;
use crate::server::ServerInterface;

crate::decorated_server! {
    /// A server whose connections begin with a header that says who the client is: the PROXY protocol, version 1 or 2.
    ///
    /// It wraps any server. `connection` is emitted when the header is read. From then on
    /// [`Connection::remote_address`], [`remote_ip`](Connection::remote_ip) and
    /// [`local_address`](Connection::local_address) are those of the connection between client and proxy,
    /// [`Connection::peer`] is the proxy and [`Connection::proxied`] has the rest. Where the header names no client (LOCAL,
    /// UNKNOWN) they stay those of the socket. What follows the header goes to the listeners.
    ///
    /// A `Copy` handle, as [`Server`](crate::Server); it is stale once the wrapped server has closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | the header of a connection is read |
    /// | `error` | [`Error`] | the header is wrong or late ([`Error::ProxyProtocol`], [`Error::Timeout`]) and the connection closes; or an error of the wrapped server |
    /// | `close` | `()` | the wrapped server has stopped listening for good: the last event |
    ///
    /// A connection that closes without having sent anything, as health checks do, is no error.
    ///
    /// Without a `connection` listener clients wait in the kernel's backlog for the first one, and so between two calls of
    /// [`next`](uptick_emitter::Emitter::next). What had been accepted by then is held, once its header is read. The wrapped server is paused
    /// for that: pause and resume this one instead.
    ///
    /// # Limits
    /// A header has 5 s, 107 bytes in version 1 and 552 in version 2; 1,024 connections may wait for theirs. See
    /// [`ProxyProtocolOptions`]. While the server is paused, headers are still read, and `connection` is emitted for them.
    /// While connections are held nothing is accepted, so that those that waited for their header are the most there are.
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

/// Reads the PROXY header of each connection.
pub(super) struct ProxyHeaders {
    options: Rc<ProxyProtocolOptions>,
    /// The connections that wait for their header, and whether they have sent anything.
    pending: Pending<bool>,
}

impl ProxyProtocolServer {
    /// Wraps a server to which proxies connect.
    pub fn new<S: ServerInterface>(server: S, options: ProxyProtocolOptions) -> Self {
        let layer = ProxyHeaders {
            pending: Pending::new(options.timeout, options.max_pending),
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
        match options.origin(&peer_of(conn)) {
            Origin::Proxy => wait_for_header(server, conn, options),
            Origin::PassThrough => server.announce(conn),
            Origin::Refuse => report_and_close(server, conn, "it is not from one of the proxies"),
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

impl Waits for ProxyHeaders {
    /// Whether anything has come.
    type Item = bool;

    fn pending(&mut self) -> &mut Pending<bool> {
        &mut self.pending
    }

    fn failed(waiting: Waiting<Self>, error: Error) {
        if waiting.take() == Some(true) {
            waiting.server().report(error);
        }
    }

    fn timed_out(waiting: Waiting<Self>, limit: Duration) {
        let (server, conn) = (waiting.server(), waiting.conn());
        let optional = server.with(|layer| layer.options.optional);
        let (Some(begun), Some(optional)) = (waiting.take(), optional) else {
            return;
        };
        if optional && !begun {
            return server.announce(conn);
        }
        server.report(Error::Timeout {
            what: format!("reading the PROXY header from {}", peer_of(conn)).into(),
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
            format!("{max} connections after it wait for their PROXY header, which is the limit");
        refuse(oldest, &reason);
    }
    match Waiting::begin(server, conn, false) {
        Some(waiting) => conn.add_filter(HeaderFilter::new(waiting, options)),
        None => conn.close(),
    }
}

/// Notes that a connection has sent something; returns `false` when it no longer waits.
pub(super) fn begin(waiting: Waiting<ProxyHeaders>) -> bool {
    waiting.with(|begun| *begun = true).is_some()
}

/// Announces the connection, with the addresses of the header.
pub(super) fn pass_on(waiting: Waiting<ProxyHeaders>, header: Option<Header>) {
    if waiting.take().is_none() {
        return;
    }
    if let Some(header) = header
        && let Some(endpoints) = header.endpoints
    {
        waiting.conn().set_proxied(Proxied {
            source: endpoints.source,
            destination: endpoints.destination,
            tlvs: header.tlvs,
        });
    }
    waiting.server().announce(waiting.conn());
}

/// Refuses a connection that waits.
pub(super) fn refuse(waiting: Waiting<ProxyHeaders>, reason: &str) {
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

/// The proxy.
fn peer_of(conn: Connection) -> Address {
    conn.peer().unwrap_or(Address::UNNAMED)
}
