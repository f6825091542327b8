//! A server that limits how many connections of another are open.

mod clients;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::{Id, Table};
use uptick_stream::Chunk;

use crate::connection::Connection;
use crate::decorated::{Decorated, Intake, Layer, client_of};
use crate::error::Error;
use crate::server::ServerInterface;
use clients::{Client, Clients};

crate::decorated_server! {
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
    /// Without a `connection` listener only refusals go on; clients within the limits wait in the kernel's backlog for the
    /// first listener, and so between two calls of [`next`](uptick_emitter::Emitter::next). What the wrapped server had accepted by then is
    /// held, and counts. The wrapped server is paused for that: pause and resume this one instead.
    ///
    /// # Limits
    /// The total given to [`new`](LimitingServer::new), and one for each client address
    /// ([`limit_per_client`](LimitingServer::limit_per_client)). What it keeps is bounded by the connections that are open.
    ///
    /// # Examples
    /// At most 100 connections, 5 from one address; bytes of one client go to all others.
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
    pub struct LimitingServer(Limiting) { open_connections }
}

/// How many refused connections are told so at the same time; those above it are closed without a word.
const POLITE_REFUSALS: usize = 128;

/// Limits how many connections are open.
#[derive(Default)]
struct Limiting {
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
        let layer = Limiting {
            limit: limit.into(),
            pause_on_limit,
            ..Limiting::default()
        };
        LimitingServer(Decorated::new(server, layer))
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
        self.0.with(|layer| {
            let open = layer.open.iter().filter_map(|(_, open)| open.client);
            layer.clients = Clients::new(limit, open);
        });
        self
    }

    /// Sets what a refused connection is sent before it ends. Default: nothing, it is closed at once.
    ///
    /// # Limits
    /// 128 refused connections are told so at the same time; those above it are closed at once.
    pub fn refuse_with(self, chunk: impl Chunk) -> Self {
        let bytes = chunk.into_bytes();
        let old = self
            .0
            .with(|layer| std::mem::replace(&mut layer.refusal, bytes));
        drop(old);
        self
    }
}

impl Layer for Limiting {
    fn accept(server: Decorated<Self>, conn: Connection) {
        let client = conn.remote_ip().map(Client::from);
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

    /// Without those that are being refused.
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

impl Limiting {
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

fn refuse(server: Decorated<Limiting>, conn: Connection, limit: usize, per_client: bool) {
    server.report(Error::TooManyConnections {
        peer: client_of(conn),
        limit,
        per_client,
    });
    let refusal = server.with(|layer| {
        let politely = !layer.refusal.is_empty() && layer.refusing < POLITE_REFUSALS;
        politely.then(|| {
            layer.refusing += 1;
            layer.refusal.clone()
        })
    });
    let Some(Some(refusal)) = refusal else {
        return conn.close();
    };
    count_until_close(server, conn, None);
    // Whether the refusal arrives is the client's business.
    conn.on(Connection::ERROR, |_| ());
    conn.end_with(refusal);
}

fn count_until_close(server: Decorated<Limiting>, conn: Connection, open: Option<Id>) {
    if let Some(id) = server.id() {
        conn.when_closing(connection_closing, id, open);
    }
}

/// Called when a connection closes that counts, or is being refused.
fn connection_closing(server: Id, open: Option<Id>) {
    let server = Decorated::<Limiting>::from_id(Some(server));
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
