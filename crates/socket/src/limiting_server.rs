//! A server that limits how many connections of another are open.

mod clients;

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, Table};
use uptick_stream::Chunk;

use crate::Address;
use crate::connection::Connection;
use crate::error::Error;
use crate::server::{ServerInterface, Shutdown};
use crate::wrapping::{self, Intake, ServerControl, Wrapped, Wrapper};
use clients::{Client, Clients};

/// A server that passes the connections of another on, as long as not too many are open.
///
/// It wraps any server. A connection over a limit is refused: there is an `error` and no `connection`, and it is closed.
/// A `Copy` handle, as [`Server`](crate::Server); it is stale once the wrapped server has closed.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `connection` | [`Connection`] | a client has connected, within the limits |
/// | `error` | [`Error`] | a connection was refused ([`Error::TooManyConnections`]), or an error of the wrapped server |
/// | `close` | `()` | the wrapped server has stopped listening for good: the last event |
///
/// Without a `connection` listener only refusals go on; whoever would be let in waits in the kernel's backlog for the
/// first listener, and so between two calls of [`next`](Emitter::next). What the wrapped server had accepted by then is
/// held, and counts. The wrapped server is paused for that: pause and resume this one instead.
///
/// # Limits
/// The total given to [`new`](LimitingServer::new), and one for each client address
/// ([`limit_per_client`](LimitingServer::limit_per_client)). What it keeps is bounded by the connections that are open.
///
/// # Examples
/// At most 100 connections, 5 from one address; whoever sends something speaks to all others.
/// ```no_run
/// use uptick_socket::prelude::*;
///
/// let server = LimitingServer::new(Server::bind(8080)?, 100, false)
///     .limit_per_client(5)
///     .refuse_with("full, sorry\n");
/// server.on("connection", move |conn: Connection| {
///     conn.on("data", move |chunk: Bytes| {
///         for other in server.connections() {
///             if other != conn {
///                 other.write(chunk.clone());
///             }
///         }
///     });
/// });
/// server.on("error", |e: Error| eprintln!("{e}"));
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LimitingServer {
    id: Option<Id>,
    local: PhantomData<*const ()>,
}

events! {
    impl LimitingServer {
        Connection => {
            /// A client has connected, within the limits.
            CONNECTION = "connection";
        }
        Error => {
            /// A connection was refused, or an error of the wrapped server.
            ERROR = "error", warn;
        }
        () => {
            /// The wrapped server has stopped listening for good.
            CLOSE = "close";
        }
    }
}

/// How many refused connections are told so at the same time; those above it are closed without a word.
const POLITE_REFUSALS: usize = 128;

struct Entry {
    wrapped: Wrapped,
    listeners: Listeners,
    limit: Option<usize>,
    pause_on_limit: bool,
    open: Table<Open>,
    clients: Clients,
    refusal: Bytes,
    /// How many refused connections are being told so.
    refusing: usize,
}

/// A connection that counts.
struct Open {
    conn: Connection,
    client: Option<Client>,
}

thread_local! {
    static SERVERS: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
}

fn with_servers<R>(f: impl FnOnce(&mut Table<Entry>) -> R) -> Option<R> {
    SERVERS
        .try_with(|servers| f(&mut servers.borrow_mut()))
        .ok()
}

impl Emitter for LimitingServer {
    type Events = LimitingServer;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        wrapping::listener_added(*self, slot);
    }
}

impl LimitingServer {
    /// Wraps a server of which at most `limit` connections may be open; `None` only counts them.
    ///
    /// With `pause_on_limit` the wrapped server is paused while the limit is reached, so that clients wait in the
    /// kernel's backlog instead of being refused. That is independent of [`pause`](LimitingServer::pause). What the wrapped
    /// server has accepted by then but not emitted yet, as it waits for a handshake or a PROXY header, is refused. A limit
    /// of 0 refuses everyone.
    pub fn new<S: ServerInterface>(
        server: S,
        limit: impl Into<Option<usize>>,
        pause_on_limit: bool,
    ) -> LimitingServer {
        let entry = Entry {
            wrapped: Wrapped::new(server),
            listeners: Listeners::new(),
            limit: limit.into(),
            pause_on_limit,
            open: Table::new(),
            clients: Clients::default(),
            refusal: Bytes::new(),
            refusing: 0,
        };
        let exists = wrapping::exists(server);
        let id = exists.then(|| with_servers(|servers| servers.insert(entry)));
        let limiting = LimitingServer::from_id(id.flatten().flatten());
        wrapping::update(limiting);
        server.on(S::CONNECTION, move |conn| limiting.accept(conn));
        server.on(S::ERROR, move |error| wrapping::report(limiting, error));
        server.on(S::CLOSE, move |()| limiting.finish());
        limiting
    }

    /// Sets how many connections of one client may be open: of one IPv4 address, or of one IPv6 network of 64 bits,
    /// which is what a client has. An address of NAT64 (`64:ff9b::/96`) is the IPv4 address in it. Unix connections are not
    /// limited. Default: `None`, no limit.
    ///
    /// The client is that of [`Connection::remote_ip`]: behind a
    /// [`ProxyProtocolServer`](crate::ProxyProtocolServer), the one that the proxy has named. Connections that are open
    /// already count, and stay.
    pub fn limit_per_client(self, limit: impl Into<Option<usize>>) -> Self {
        let limit = limit.into();
        self.with_entry(|entry| {
            let open = entry.open.iter().filter_map(|(_, open)| open.client);
            entry.clients = Clients::new(limit, open);
        });
        self
    }

    /// Sets what a refused connection is sent before it ends. Default: nothing, it is closed at once.
    ///
    /// # Limits
    /// 128 refused connections are told so at the same time; those above it are closed at once.
    pub fn refuse_with(self, chunk: impl Chunk) -> Self {
        let bytes = chunk.into_bytes();
        let old = self.with_entry(|entry| std::mem::replace(&mut entry.refusal, bytes));
        drop(old);
        self
    }

    /// The open connections, in no particular order; also those that still wait for a `connection` listener.
    ///
    /// In `close` listeners of a connection it is no longer among them.
    pub fn connections(self) -> Vec<Connection> {
        self.with_entry(|entry| entry.open.iter().map(|(_, open)| open.conn).collect())
            .unwrap_or_default()
    }

    /// How many connections are open; refused ones do not count.
    pub fn open_connections(self) -> usize {
        self.with_entry(|entry| entry.open.len()).unwrap_or(0)
    }

    /// What the wrapped server listens on; `None` once it has stopped listening.
    pub fn address(self) -> Option<String> {
        self.inner()?.address()
    }

    /// Stops accepting; clients wait. Nothing happens when it is paused.
    pub fn pause(self) {
        wrapping::set_paused(self, true);
    }

    /// Accepts again, unless the limit is reached and `pause_on_limit` is set: then as soon as it no longer is.
    pub fn resume(self) {
        wrapping::set_paused(self, false);
    }

    /// Closes the wrapped server; open connections stay. Nothing happens when it is closed.
    pub fn close(self) {
        if let Some(inner) = self.inner() {
            inner.close();
        }
    }

    /// Shuts the wrapped server down; see [`Server::shutdown`](crate::Server::shutdown).
    pub fn shutdown(self, deadline: Duration) -> Shutdown {
        match self.inner() {
            Some(inner) => inner.shutdown(deadline),
            None => Shutdown::over(),
        }
    }

    fn from_id(id: Option<Id>) -> Self {
        LimitingServer {
            id,
            local: PhantomData,
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
        // A listener before this one may have closed it.
        if !conn.is_open() {
            return;
        }
        let client = conn.remote_ip().map(Client::from);
        match self.with_entry(|entry| entry.admit(conn, client)) {
            Some(Ok(open)) => {
                self.count_until_close(conn, Some(open));
                wrapping::update(self);
                wrapping::announce(self, conn);
            }
            Some(Err((limit, per_client))) => self.refuse(conn, limit, per_client),
            None => conn.close(),
        }
    }

    fn refuse(self, conn: Connection, limit: usize, per_client: bool) {
        let proxied = conn.proxied().map(|proxied| proxied.source);
        let peer = proxied.or_else(|| conn.peer());
        let error = Error::TooManyConnections {
            peer: peer.unwrap_or(Address::UNNAMED),
            limit,
            per_client,
        };
        wrapping::report(self, error);
        let refusal = self.with_entry(|entry| {
            let politely = !entry.refusal.is_empty() && entry.refusing < POLITE_REFUSALS;
            politely.then(|| {
                entry.refusing += 1;
                entry.refusal.clone()
            })
        });
        let Some(Some(refusal)) = refusal else {
            return conn.close();
        };
        self.count_until_close(conn, None);
        // Whether the refusal arrives is the client's business.
        conn.on(Connection::ERROR, |_| ());
        conn.end_with(refusal);
    }

    fn count_until_close(self, conn: Connection, open: Option<Id>) {
        if let Some(id) = self.id {
            conn.when_closing(connection_closing, id, open);
        }
    }

    /// The wrapped server has closed.
    fn finish(self) {
        wrapping::close_held(self);
        wrapping::say_closed(self);
        let entry = self
            .id
            .and_then(|id| with_servers(|servers| servers.remove(id)).flatten());
        drop(entry);
    }
}

impl Entry {
    /// Counts a connection, or gives the limit that it is over, and whether that is the one for each client.
    fn admit(&mut self, conn: Connection, client: Option<Client>) -> Result<Id, (usize, bool)> {
        let open = self.open.len();
        if let Some(limit) = self.limit.filter(|limit| open >= *limit) {
            return Err((limit, false));
        }
        if let Some(client) = client
            && let Some(limit) = self.clients.limit_reached(client)
        {
            return Err((limit, true));
        }
        let id = self.open.insert(Open { conn, client });
        let id = id.ok_or((open, false))?;
        self.clients.add(client);
        Ok(id)
    }
}

/// A connection is closing: one that counts, or one that is being refused.
fn connection_closing(server: Id, open: Option<Id>) {
    let server = LimitingServer::from_id(Some(server));
    server.with_entry(|entry| match open {
        Some(open) => {
            if let Some(open) = entry.open.remove(open) {
                entry.clients.remove(open.client);
            }
        }
        None => entry.refusing = entry.refusing.saturating_sub(1),
    });
    wrapping::update(server);
}

impl Wrapper for LimitingServer {
    fn with_wrapped<R>(self, f: impl FnOnce(&mut Wrapped) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.wrapped))
    }

    fn intake(self) -> Intake {
        let reached = self.with_entry(|entry| {
            let open = entry.open.len();
            let full = entry.limit.is_some_and(|limit| open >= limit);
            full.then_some(entry.pause_on_limit && open > 0)
        });
        match reached.flatten() {
            None => Intake::Announce,
            Some(true) => Intake::Wait,
            Some(false) => Intake::Refuse,
        }
    }
}

crate::server_interface!(LimitingServer);

impl fmt::Debug for LimitingServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitingServer")
            .field("address", &self.address())
            .field("open_connections", &self.open_connections())
            .finish()
    }
}
