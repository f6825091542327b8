//! A server that limits the number of open connections of another server.

mod clients;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::{Id, Table};
use uptick_stream::Chunk;

use crate::connection::Connection;
use crate::decorated::{Decorated, Intake, Layer, client_of};
use crate::error::Error;
use crate::server::ServerInterface;
use clients::{ClientCounts, ClientKey};

crate::decorated_server! {
    /// A server that limits the number of open connections of the server that it wraps.
    ///
    /// It wraps any server. A connection over a limit is refused: the server emits an `error` instead of `connection`,
    /// and closes the connection. `LimitingServer` is a `Copy` handle, as [`Server`](crate::Server); it is stale once
    /// the wrapped server has closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | a client has connected, within the limits |
    /// | `error` | [`Error`] | a connection was refused ([`Error::TooManyConnections`]), or an error of the wrapped server |
    /// | `close` | `()` | the wrapped server has stopped listening permanently: the last event |
    ///
    /// Without a `connection` listener only refusals continue; clients within the limits stay in the kernel's backlog
    /// until the first listener is added, also between two calls of [`next`](uptick_emitter::Emitter::next).
    /// Connections that the wrapped server had already accepted are held, and count. The wrapped server is paused for
    /// this: pause and resume the `LimitingServer` instead.
    ///
    /// # Limits
    /// The total passed to [`new`](LimitingServer::new), and a limit for each client address
    /// ([`limit_per_client`](LimitingServer::limit_per_client)). The memory of the server is bounded by the number of
    /// open connections.
    ///
    /// # Examples
    /// At most 100 connections, 5 from one address; the data of one client is sent to all others.
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
    pub struct LimitingServer(ConnectionLimit) { open_connections }
}

/// Maximum number of refused connections that are being sent the refusal text; further ones are closed at once.
const MAX_REFUSAL_TEXTS: usize = 128;

/// A layer that limits the number of open connections.
#[derive(Default)]
struct ConnectionLimit {
    limit: Option<usize>,
    pause_on_limit: bool,
    open: Table<OpenConnection>,
    clients: ClientCounts,
    refusal: Bytes,
    /// Number of refused connections that are being sent the refusal text.
    refusing: usize,
}

/// An open connection that counts for the limits.
struct OpenConnection {
    conn: Connection,
    client: Option<ClientKey>,
}

impl LimitingServer {
    /// Wraps a server of which at most `limit` connections may be open; `None` only counts the connections.
    ///
    /// With `pause_on_limit` the wrapped server is paused while the limit is reached, so that clients stay in the
    /// kernel's backlog instead of being refused. This is independent of [`pause`](LimitingServer::pause). A connection
    /// that the wrapped server has already accepted but not emitted yet, because it waits for a handshake or a PROXY
    /// header, is refused. A limit of 0 refuses all connections.
    pub fn new<S: ServerInterface>(
        server: S,
        limit: impl Into<Option<usize>>,
        pause_on_limit: bool,
    ) -> LimitingServer {
        let layer = ConnectionLimit {
            limit: limit.into(),
            pause_on_limit,
            ..ConnectionLimit::default()
        };
        LimitingServer(Decorated::new(server, layer))
    }

    /// Sets the maximum number of open connections of one client: of one IPv4 address, or of one IPv6 network of 64
    /// bits, which is the usual allocation of a client. An address of NAT64 (`64:ff9b::/96`) counts as the embedded
    /// IPv4 address. Unix connections are not limited.
    ///
    /// The client is the address of [`Connection::remote_ip`]: behind a
    /// [`ProxyProtocolServer`](crate::ProxyProtocolServer), the address that the proxy has sent. Existing connections
    /// count, and are not closed. Default: `None`, no limit.
    pub fn limit_per_client(self, limit: impl Into<Option<usize>>) -> Self {
        let limit = limit.into();
        self.0.with(|layer| {
            let open = layer.open.iter().filter_map(|(_, open)| open.client);
            layer.clients = ClientCounts::new(limit, open);
        });
        self
    }

    /// Sets the text that is sent to a refused connection before it ends. Default: empty, the connection is closed at
    /// once.
    ///
    /// # Limits
    /// The text is sent to at most 128 refused connections at the same time; further ones are closed at once.
    pub fn refuse_with(self, chunk: impl Chunk) -> Self {
        let bytes = chunk.into_bytes();
        let old = self
            .0
            .with(|layer| std::mem::replace(&mut layer.refusal, bytes));
        drop(old);
        self
    }
}

impl Layer for ConnectionLimit {
    fn accept(server: Decorated<Self>, conn: Connection) {
        let client = conn.remote_ip().map(ClientKey::from);
        match server.with(|layer| layer.admit(conn, client)) {
            Some(Ok(open)) => {
                count_until_close(server, conn, Some(open));
                server.update();
                server.announce(conn);
            }
            Some(Err((limit, per_client))) => refuse(server, conn, limit, per_client),
            None => conn.close(),
        }
    }

    fn connections(&self) -> Option<Vec<Connection>> {
        Some(self.open.iter().map(|(_, open)| open.conn).collect())
    }

    /// Returns the number of counted connections, without those that are being refused.
    fn open_connections(&self, _: usize) -> usize {
        self.open.len()
    }

    fn intake(&self) -> Intake {
        let open = self.open.len();
        if self.limit.is_none_or(|limit| open < limit) {
            Intake::Announce
        } else if self.pause_on_limit && open > 0 {
            Intake::Wait
        } else {
            Intake::Refuse
        }
    }
}

impl ConnectionLimit {
    /// Counts a connection, or returns the limit that it exceeds, and `true` if that is the limit of each client.
    fn admit(&mut self, conn: Connection, client: Option<ClientKey>) -> Result<Id, (usize, bool)> {
        let open = self.open.len();
        if let Some(limit) = self.limit.filter(|limit| open >= *limit) {
            return Err((limit, false));
        }
        if let Some(client) = client
            && let Some(limit) = self.clients.limit_reached(client)
        {
            return Err((limit, true));
        }
        let id = self.open.insert(OpenConnection { conn, client });
        let id = id.ok_or((open, false))?;
        self.clients.add(client);
        Ok(id)
    }
}

fn refuse(server: Decorated<ConnectionLimit>, conn: Connection, limit: usize, per_client: bool) {
    server.report(Error::TooManyConnections {
        peer: client_of(conn),
        limit,
        per_client,
    });
    let refusal = server.with(|layer| {
        let sends_text = !layer.refusal.is_empty() && layer.refusing < MAX_REFUSAL_TEXTS;
        sends_text.then(|| {
            layer.refusing += 1;
            layer.refusal.clone()
        })
    });
    let Some(Some(refusal)) = refusal else {
        return conn.close();
    };
    count_until_close(server, conn, None);
    // A refusal that does not arrive is not an error of the server.
    conn.on(Connection::ERROR, |_| ());
    conn.end_with(refusal);
}

fn count_until_close(server: Decorated<ConnectionLimit>, conn: Connection, open: Option<Id>) {
    if let Some(id) = server.id() {
        conn.add_close_hook(connection_closing, id, open);
    }
}

/// Called when a connection that is counted or being refused closes.
fn connection_closing(server: Id, open: Option<Id>) {
    let server = Decorated::<ConnectionLimit>::from_id(Some(server));
    server.with(|layer| match open {
        Some(open) => {
            if let Some(open) = layer.open.remove(open) {
                layer.clients.remove(open.client);
            }
        }
        None => layer.refusing = layer.refusing.saturating_sub(1),
    });
    server.update();
}
