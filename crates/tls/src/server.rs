//! A server that speaks TLS over the connections of another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ClientHello;
use uptick_event_loop::{driver, future_tick};
use uptick_socket::decorated::{Decorated, Layer, Pending, Waiting, Waits, client_of};
use uptick_socket::engine::Engine;
use uptick_socket::{Connection, Error, ServerInterface};

use crate::config::TlsConfig;
use crate::error::Error as TlsError;
use crate::filter::{TlsFilter, Waiter};
use crate::session::{Gate, Session};
use crate::stats::{count_completed, count_failed};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many costly steps of handshakes are taken in an iteration.
const STEPS: usize = 8;

/// How many handshakes may be under way.
const MAX_HANDSHAKES: usize = 1024;

uptick_socket::decorated_server! {
    /// A server whose connections are encrypted with TLS.
    ///
    /// It wraps any server. `connection` is emitted when the handshake is done; the connection is of the same type as one
    /// without TLS, and its addresses begin with `tls://`, other than those of Unix sockets, which say `unix://` as without
    /// TLS. A `Copy` handle, as [`Server`](uptick_socket::Server); it is stale
    /// once the wrapped server has closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | the handshake of a connection is done |
    /// | `error` | [`Error`] | a handshake failed ([`Error::Filter`]) or took too long ([`Error::Timeout`]), and the connection closes; or an error of the wrapped server |
    /// | `close` | `()` | the wrapped server has stopped listening for good: the last event |
    ///
    /// `end` of a connection is the peer's `close_notify`. When the peer ends without it, what it sent may have been cut off by
    /// an attacker: that is an `error` (RFC 8446, section 6.1). [`end`](Connection::end),
    /// [`shutdown_write`](Connection::shutdown_write) and a [`close`](Connection::close) that discards nothing send it. After a fatal
    /// error the connection lingers, as after `end`, so that the alert arrives.
    ///
    /// Without a `connection` listener clients wait in the kernel's backlog for the first one, and so between two calls of
    /// [`next`](uptick_emitter::Emitter::next). What had been accepted by then is held, once its handshake is done. The wrapped server is paused
    /// for that: pause and resume this one instead.
    ///
    /// # Limits
    /// A handshake has 10 s ([`handshake_timeout`](SecureServer::handshake_timeout)); 1,024 may be under way
    /// ([`max_handshakes`](SecureServer::max_handshakes)), of which 8 go on in an iteration of the loop
    /// ([`handshakes_per_iteration`](SecureServer::handshakes_per_iteration)). While the server is paused they still go on, and `connection` is
    /// emitted for them. The write limits of a connection count encrypted bytes.
    ///
    /// # Examples
    /// ```no_run
    /// use uptick_socket::prelude::*;
    /// use uptick_tls::{SecureServer, TlsContext};
    ///
    /// let tls = TlsContext::new().local_cert("server.pem").load()?;
    /// let server = SecureServer::new(Server::bind("0.0.0.0:8443")?, tls);
    /// server.on("connection", |conn: Connection| {
    ///     conn.on("data", move |chunk: Bytes| conn.write(chunk));
    /// });
    /// server.on("error", |e: Error| eprintln!("{e}"));
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct SecureServer(Secure) { pending_handshakes }
}

/// Handshakes with the clients of a server.
struct Secure {
    config: TlsConfig,
    /// The handshakes under way.
    pending: Pending<()>,
    steps: Steps,
}

/// The steps of handshakes that cost, so many in an iteration.
struct Steps {
    budget: usize,
    iteration: u64,
    /// How many may still be taken in that iteration.
    left: usize,
    /// The handshakes that wait for their turn.
    waiting: BTreeSet<u64>,
    /// Whether they go on in the next iteration.
    queued: bool,
}

impl SecureServer {
    /// Wraps a server whose clients speak TLS. A [`TlsContext`](crate::TlsContext) is loaded at the first handshake.
    pub fn new<S: ServerInterface>(server: S, tls: impl Into<TlsConfig>) -> Self {
        let layer = Secure {
            config: tls.into(),
            pending: Pending::new(Some(HANDSHAKE_TIMEOUT), MAX_HANDSHAKES),
            steps: Steps::new(),
        };
        SecureServer(Decorated::new(server, layer))
    }

    /// Sets how long a handshake may take, also those under way; `None` is for ever. Default: 10 s.
    ///
    /// A handshake that waits for its turn ([`handshakes_per_iteration`](Self::handshakes_per_iteration)) does not time out, and
    /// from its turn on it has 1 s at least.
    pub fn handshake_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.0.set_limit(timeout.into());
        self
    }

    /// Sets how many handshakes may be under way, at least 1: when another one begins, the one that has taken longest is
    /// refused, with an `error`. Default: 1,024.
    pub fn max_handshakes(self, max: usize) -> Self {
        self.0.with(|layer| layer.pending.set_max(max));
        self
    }

    /// Sets how many costly steps of handshakes are taken in an iteration of the loop, at least 1, so that a flood of
    /// them does not keep the connections waiting that are open. Default: 8.
    ///
    /// Such a step is the answer to a whole ClientHello, and what a client sends next when its certificate is verified,
    /// when it has to choose another key exchange group, and in TLS 1.2. The others wait for the next iteration, in which
    /// the handshakes that began last go on first: those at the end of a long queue have the best chance that their
    /// clients still wait.
    pub fn handshakes_per_iteration(self, max: usize) -> Self {
        self.0.with(|layer| {
            layer.steps.budget = max.max(1);
            layer.steps.left = layer.steps.left.min(layer.steps.budget);
        });
        self
    }

    /// Returns the number of handshakes under way.
    pub fn pending_handshakes(self) -> usize {
        self.0.pending_connections()
    }
}

impl Layer for Secure {
    fn accept(server: Decorated<Self>, conn: Connection) {
        let Some(config) = server.with(|layer| layer.config.clone()) else {
            return conn.close();
        };
        if let Some((oldest, max)) = server.make_room() {
            refuse(
                oldest,
                TlsError::protocol(format!(
                    "{max} handshakes that began later are under way, which is the limit"
                )),
            );
        }
        match Waiting::begin(server, conn, ()) {
            Some(waiting) => {
                let handshake = Handshake { waiting, config };
                conn.add_filter(TlsFilter::new(Session::server(), handshake));
            }
            None => conn.close(),
        }
    }

    fn shutting_down(server: Decorated<Self>, deadline: Duration) {
        server.shorten_limit(deadline);
    }

    fn address(address: String) -> String {
        match address.strip_prefix("tcp://") {
            Some(rest) => format!("tls://{rest}"),
            None => address,
        }
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

impl Waits for Secure {
    type Item = ();

    fn pending(&mut self) -> &mut Pending<()> {
        &mut self.pending
    }

    fn failed(handshake: Waiting<Self>, error: Error) {
        if !end(handshake) {
            return;
        }
        count_failed();
        let source = match error {
            Error::Filter { source, .. } => source,
            Error::Read { source, .. } | Error::Write { source, .. } => {
                Arc::new(TlsError::Below { source })
            }
            other => return handshake.server().report(other),
        };
        let error = failure(handshake.conn(), source);
        handshake.server().report(error);
    }

    fn timed_out(handshake: Waiting<Self>, limit: Duration) {
        if end(handshake) {
            count_failed();
            let conn = handshake.conn();
            handshake.server().report(Error::Timeout {
                what: format!("TLS handshake with {}", client_of(conn)).into(),
                after: limit,
            });
            conn.close();
        }
    }

    fn is_due(handshake: Waiting<Self>) -> bool {
        let server = handshake.server();
        let waits = server.with(|layer| layer.steps.waiting.contains(&handshake.key()));
        waits == Some(true)
    }
}

/// Returns whether a handshake may take a costly step now. If not, it continues in one of the next iterations.
fn may_step(handshake: Waiting<Secure>) -> bool {
    let server = handshake.server();
    let (may, queue) = server
        .with(|layer| {
            let may = layer.steps.take();
            let mut queue = false;
            if !may {
                layer.steps.waiting.insert(handshake.key());
                queue = !std::mem::replace(&mut layer.steps.queued, true);
            }
            (may, queue)
        })
        .unwrap_or((true, false));
    if queue {
        future_tick(move || continue_handshakes(server));
    }
    if may {
        // A client whose ClientHello had to wait needs time for its answer.
        handshake.extend();
    }
    may
}

/// Continues handshakes that have waited for their turn, those first that began last.
fn continue_handshakes(server: Decorated<Secure>) {
    server.with(|layer| layer.steps.queued = false);
    while let Some(key) = server.with(|layer| layer.steps.next()).flatten() {
        if let Some(waiting) = server.waiting(key) {
            waiting.conn().resume_filters();
        }
    }
    let more = server.with(|layer| {
        !layer.steps.waiting.is_empty() && !std::mem::replace(&mut layer.steps.queued, true)
    });
    if more == Some(true) {
        future_tick(move || continue_handshakes(server));
    }
}

/// Ends a handshake; returns `false` when it has ended before.
fn end(handshake: Waiting<Secure>) -> bool {
    let was_under_way = handshake.take().is_some();
    if was_under_way {
        let server = handshake.server();
        server.with(|layer| layer.steps.waiting.remove(&handshake.key()));
    }
    was_under_way
}

impl Steps {
    fn new() -> Self {
        Steps {
            budget: STEPS,
            iteration: 0,
            left: STEPS,
            waiting: BTreeSet::new(),
            queued: false,
        }
    }

    /// How many steps may still be taken in this iteration.
    fn left(&mut self) -> &mut usize {
        let iteration = driver::iteration();
        if std::mem::replace(&mut self.iteration, iteration) != iteration {
            self.left = self.budget;
        }
        &mut self.left
    }

    /// Takes a step, if there is one left.
    fn take(&mut self) -> bool {
        let left = self.left();
        let may = *left > 0;
        *left = left.saturating_sub(1);
        may
    }

    /// The handshake whose turn it is, if there is a step left.
    fn next(&mut self) -> Option<u64> {
        if *self.left() == 0 {
            return None;
        }
        self.waiting.pop_last()
    }
}

fn failure(conn: Connection, source: Arc<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Filter {
        what: "TLS handshake".into(),
        peer: client_of(conn),
        source,
    }
}

/// A handshake under way, with what clients are answered.
struct Handshake {
    waiting: Waiting<Secure>,
    config: TlsConfig,
}

impl Waiter for Handshake {
    fn done(self: Box<Self>) {
        if end(self.waiting) {
            let conn = self.waiting.conn();
            conn.set_secure(true);
            let resumed = conn.with_filter(|filter: &TlsFilter| {
                let agreed = filter.session().agreed();
                agreed.is_some_and(|agreed| agreed.is_resumed)
            });
            count_completed(resumed == Some(true));
            self.waiting.server().announce(conn);
        }
    }

    fn closed(self: Box<Self>) {
        end(self.waiting);
    }

    fn gate(&self) -> Option<&dyn Gate> {
        Some(self)
    }
}

impl Gate for Handshake {
    fn may_step(&self) -> bool {
        may_step(self.waiting)
    }

    fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, TlsError> {
        self.config.select(hello)
    }

    fn verifies_clients(&self) -> bool {
        self.config.verifies_clients()
    }
}

fn refuse(handshake: Waiting<Secure>, error: TlsError) {
    if end(handshake) {
        count_failed();
        let conn = handshake.conn();
        handshake.server().report(failure(conn, Arc::new(error)));
        conn.close();
    }
}
