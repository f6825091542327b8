//! A server behind proxies that speak the PROXY protocol.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, Table};

use super::filter::HeaderFilter;
use super::options::{Origin, ProxyProtocolOptions};
use super::protocol::Header;
use crate::Address;
use crate::connection::{Connection, Proxied};
use crate::error::Error;
use crate::server::{ServerInterface, Shutdown};
use crate::wrapping::{self, Pending, ServerControl, Waiting, Waits, Wrapped, Wrapper};

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
/// [`next`](Emitter::next). What had been accepted by then is held, once its header is read. The wrapped server is paused
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
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProxyProtocolServer {
    id: Option<Id>,
    local: PhantomData<*const ()>,
}

events! {
    impl ProxyProtocolServer {
        Connection => {
            /// The header of a connection is read.
            CONNECTION = "connection";
        }
        Error => {
            /// A header is wrong or late, or an error of the wrapped server.
            ERROR = "error", warn;
        }
        () => {
            /// The wrapped server has stopped listening for good.
            CLOSE = "close";
        }
    }
}

struct Entry {
    wrapped: Wrapped,
    listeners: Listeners,
    options: Rc<ProxyProtocolOptions>,
    /// The connections that wait for their header, and whether anything has come.
    pending: Pending<bool>,
}

thread_local! {
    static SERVERS: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
}

fn with_servers<R>(f: impl FnOnce(&mut Table<Entry>) -> R) -> Option<R> {
    SERVERS
        .try_with(|servers| f(&mut servers.borrow_mut()))
        .ok()
}

impl Emitter for ProxyProtocolServer {
    type Events = ProxyProtocolServer;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        wrapping::listener_added(*self, slot);
    }
}

impl ProxyProtocolServer {
    /// Wraps a server to which proxies connect.
    pub fn new<S: ServerInterface>(server: S, options: ProxyProtocolOptions) -> Self {
        let entry = Entry {
            wrapped: Wrapped::new(server),
            listeners: Listeners::new(),
            pending: Pending::new(options.timeout, options.max_pending),
            options: Rc::new(options),
        };
        let exists = wrapping::exists(server);
        let id = exists.then(|| with_servers(|servers| servers.insert(entry)));
        let behind_proxies = ProxyProtocolServer {
            id: id.flatten().flatten(),
            local: PhantomData,
        };
        wrapping::update(behind_proxies);
        server.on(S::CONNECTION, move |conn| behind_proxies.accept(conn));
        server.on(S::ERROR, move |error| {
            wrapping::report(behind_proxies, error)
        });
        server.on(S::CLOSE, move |()| behind_proxies.finish());
        behind_proxies
    }

    /// How many connections wait for their header.
    pub fn pending_connections(self) -> usize {
        self.with_entry(|entry| entry.pending.len()).unwrap_or(0)
    }

    /// What the wrapped server listens on; `None` once it has stopped listening.
    pub fn address(self) -> Option<String> {
        self.inner()?.address()
    }

    /// Stops accepting; clients wait. Connections that wait for their header still come.
    pub fn pause(self) {
        wrapping::set_paused(self, true);
    }

    /// Accepts again. Nothing happens when it is not paused.
    pub fn resume(self) {
        wrapping::set_paused(self, false);
    }

    /// Closes the wrapped server, and the connections that wait for their header; others stay open.
    pub fn close(self) {
        if let Some(inner) = self.inner() {
            inner.close();
        }
    }

    /// Shuts the wrapped server down; see [`Server::shutdown`](crate::Server::shutdown).
    ///
    /// `connection` is still emitted for connections that had been accepted.
    pub fn shutdown(self, deadline: Duration) -> Shutdown {
        match self.inner() {
            Some(inner) => inner.shutdown(deadline),
            None => Shutdown::over(),
        }
    }

    fn with_entry<R>(self, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let id = self.id?;
        with_servers(|servers| servers.get_mut(id).map(f)).flatten()
    }

    /// The wrapped server. It may be another of this type, so it is never called inside a borrow.
    fn inner(self) -> Option<ServerControl> {
        self.with_wrapped(|wrapped| wrapped.control())
    }

    fn accept(self, conn: Connection) {
        // `None` when a listener before this one has closed it.
        let Some(peer) = conn.peer() else { return };
        let Some(options) = self.with_entry(|entry| Rc::clone(&entry.options)) else {
            return conn.close();
        };
        match options.origin(&peer) {
            Origin::Proxy => self.wait_for_header(conn, options),
            Origin::PassThrough => wrapping::announce(self, conn),
            Origin::Refuse => self.refuse(conn, "it is not from one of the proxies"),
        }
    }

    fn wait_for_header(self, conn: Connection, options: Rc<ProxyProtocolOptions>) {
        if let Some((oldest, max)) = wrapping::make_room(self) {
            refuse(
                oldest,
                &format!(
                    "{max} connections after it wait for their PROXY header, which is the limit"
                ),
            );
        }
        match Waiting::begin(self, conn, false) {
            Some(waiting) => conn.add_filter(HeaderFilter::new(waiting, options)),
            None => conn.close(),
        }
    }

    fn refuse(self, conn: Connection, reason: &str) {
        let error = Error::ProxyProtocol {
            peer: conn.peer().unwrap_or(Address::UNNAMED),
            reason: reason.into(),
        };
        wrapping::report(self, error);
        conn.close();
    }

    /// The wrapped server has closed.
    fn finish(self) {
        wrapping::close_pending(self);
        wrapping::close_held(self);
        wrapping::say_closed(self);
        let entry = self
            .id
            .and_then(|id| with_servers(|servers| servers.remove(id)).flatten());
        drop(entry);
    }
}

/// Something has come; `false` when the connection no longer waits.
pub(super) fn begin(waiting: Waiting<ProxyProtocolServer>) -> bool {
    waiting.with(|begun| *begun = true).is_some()
}

/// Hands the connection to the server's listeners, with the addresses of the header.
pub(super) fn pass_on(waiting: Waiting<ProxyProtocolServer>, header: Option<Header>) {
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
    wrapping::announce(waiting.server(), waiting.conn());
}

pub(super) fn refuse(waiting: Waiting<ProxyProtocolServer>, reason: &str) {
    if waiting.take().is_some() {
        waiting.server().refuse(waiting.conn(), reason);
    }
}

impl Waits for ProxyProtocolServer {
    /// Whether anything has come.
    type Item = bool;

    fn with_pending<R>(self, f: impl FnOnce(&mut Pending<bool>) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.pending))
    }

    fn failed(self, waiting: Waiting<Self>, error: Error) {
        if waiting.take() == Some(true) {
            wrapping::report(self, error);
        }
    }

    fn timed_out(self, waiting: Waiting<Self>, limit: Duration) {
        let optional = self.with_entry(|entry| entry.options.optional);
        let (Some(begun), Some(optional)) = (waiting.take(), optional) else {
            return;
        };
        let conn = waiting.conn();
        if optional && !begun {
            return wrapping::announce(self, conn);
        }
        let peer = conn.peer().unwrap_or(Address::UNNAMED);
        let error = Error::Timeout {
            what: format!("reading the PROXY header from {peer}").into(),
            after: limit,
        };
        wrapping::report(self, error);
        conn.close();
    }
}

impl Wrapper for ProxyProtocolServer {
    fn with_wrapped<R>(self, f: impl FnOnce(&mut Wrapped) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.wrapped))
    }
}

crate::server_interface!(ProxyProtocolServer);

impl fmt::Debug for ProxyProtocolServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyProtocolServer")
            .field("address", &self.address())
            .field("pending_connections", &self.pending_connections())
            .finish()
    }
}
