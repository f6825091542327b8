//! A TLS server over the connections of another server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ClientHello;
use uptick_event_loop::{driver, future_tick};
use uptick_socket::decorated::{
    Decorated, Layer, PendingConnection, PendingConnections, PendingLayer, client_of,
};
use uptick_socket::engine::Engine;
use uptick_socket::{Connection, Error, ServerInterface};

use crate::config::TlsConfig;
use crate::error::Error as TlsError;
use crate::filter::{HandshakeObserver, TlsFilter};
use crate::offered_protocols::OfferedProtocols;
use crate::session::{HandshakeControl, Session};
use crate::stats::{count_completed, count_failed};

/// The default timeout of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The default number of expensive handshake steps in an iteration.
const STEPS: usize = 8;

/// The default maximum number of handshakes in progress.
const MAX_HANDSHAKES: usize = 1024;

uptick_socket::decorated_server! {
    /// A server whose connections are encrypted with TLS.
    ///
    /// It wraps any server. `connection` is emitted when the handshake is complete. The connection has the same type as one
    /// without TLS, and its addresses begin with `tls://`, except those of Unix sockets, which begin with `unix://` as without
    /// TLS. It is a `Copy` handle, like [`Server`](uptick_socket::Server), which becomes stale
    /// when the wrapped server has closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | the handshake of a connection is complete |
    /// | `error` | [`Error`] | a handshake failed ([`Error::Filter`]) or timed out ([`Error::Timeout`]), and the connection closes; or an error of the wrapped server |
    /// | `close` | `()` | the wrapped server has stopped listening; this is the last event |
    ///
    /// A connection emits `end` when the peer sends `close_notify`. If the connection ends without it, an attacker may have truncated the
    /// data: that is an `error` (RFC 8446, section 6.1). [`end`](Connection::end),
    /// [`shutdown_write`](Connection::shutdown_write), and a [`close`](Connection::close) that discards no data send `close_notify`. After a fatal
    /// error the connection lingers, as after `end`, so that the alert arrives.
    ///
    /// Without a `connection` listener, clients wait in the kernel's backlog for the first listener, also between two calls of
    /// [`next`](uptick_emitter::Emitter::next). Connections that are already accepted are held once their handshake is complete. The wrapped server
    /// is paused for that: pause and resume this one instead.
    ///
    /// # Limits
    /// 10 s for a handshake ([`handshake_timeout`](SecureServer::handshake_timeout)); 1,024 handshakes in progress
    /// ([`max_handshakes`](SecureServer::max_handshakes)), of which 8 take an expensive step in an iteration of the loop
    /// ([`handshakes_per_iteration`](SecureServer::handshakes_per_iteration)). Handshakes continue while the server is paused, and `connection` is
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
    pub struct SecureServer(TlsLayer) { pending_handshakes }
}

/// The TLS layer of a server.
struct TlsLayer {
    config: TlsConfig,
    /// The handshakes in progress.
    pending: PendingConnections<()>,
    steps: StepBudget,
    offered: OfferedProtocols,
}

/// The budget of expensive handshake steps per iteration.
struct StepBudget {
    budget: usize,
    iteration: u64,
    /// The number of steps left in that iteration.
    left: usize,
    /// The queued handshakes.
    waiting: BTreeSet<u64>,
    /// `true` if they are scheduled for the next iteration.
    scheduled: bool,
}

impl SecureServer {
    /// Wraps a server whose clients speak TLS. A [`TlsContext`](crate::TlsContext) is loaded at the first handshake.
    pub fn new<S: ServerInterface>(server: S, tls: impl Into<TlsConfig>) -> Self {
        let layer = TlsLayer {
            config: tls.into(),
            pending: PendingConnections::new(Some(HANDSHAKE_TIMEOUT), MAX_HANDSHAKES),
            steps: StepBudget::new(),
            offered: OfferedProtocols::default(),
        };
        SecureServer(Decorated::new(server, layer))
    }

    /// Sets the timeout of a handshake, including handshakes in progress; `None` for no timeout.
    ///
    /// A queued handshake ([`handshakes_per_iteration`](Self::handshakes_per_iteration)) does not time out, and
    /// it has at least 1 s after it is resumed. Default: 10 s.
    pub fn handshake_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.0.set_limit(timeout.into());
        self
    }

    /// Sets the maximum number of handshakes in progress, at least 1. When another one begins, the oldest one is
    /// refused with an `error`. Default: 1,024.
    pub fn max_handshakes(self, max: usize) -> Self {
        self.0.with(|layer| layer.pending.set_max(max));
        self
    }

    /// Sets the maximum number of expensive handshake steps in an iteration of the loop, at least 1, so that a flood of
    /// handshakes does not delay open connections.
    ///
    /// An expensive step is the answer to a complete ClientHello, or the processing of the client's next flight if its certificate is verified,
    /// if it has to choose another key exchange group, or in TLS 1.2. Other handshakes are queued for the next iteration, which resumes
    /// the newest handshakes first: if the queue is long, their clients are most likely to be still waiting. Default: 8.
    pub fn handshakes_per_iteration(self, max: usize) -> Self {
        self.0.with(|layer| {
            layer.steps.budget = max.max(1);
            layer.steps.left = layer.steps.left.min(layer.steps.budget);
        });
        self
    }

    /// Returns the number of handshakes in progress.
    pub fn pending_handshakes(self) -> usize {
        self.0.pending_connections()
    }
}

impl Layer for TlsLayer {
    fn accept(server: Decorated<Self>, conn: Connection) {
        let Some(config) = server.with(|layer| layer.config.clone()) else {
            return conn.close();
        };
        if let Some((oldest, max)) = server.make_room() {
            refuse(
                oldest,
                TlsError::protocol(format!(
                    "{max} handshakes that began later are in progress, which is the limit"
                )),
            );
        }
        match PendingConnection::begin(server, conn, ()) {
            Some(waiting) => {
                let handshake = ServerHandshake { waiting, config };
                conn.add_filter(TlsFilter::new(Session::server(), handshake));
            }
            None => conn.close(),
        }
    }

    fn offer_protocols(&mut self, protocols: &[&str]) -> bool {
        self.offered.set(protocols);
        true
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

impl PendingLayer for TlsLayer {
    type Item = ();

    fn pending(&mut self) -> &mut PendingConnections<()> {
        &mut self.pending
    }

    fn failed(handshake: PendingConnection<Self>, error: Error) {
        if !finish(handshake) {
            return;
        }
        count_failed();
        let source = match error {
            Error::Filter { source, .. } => source,
            Error::Read { source, .. } | Error::Write { source, .. } => {
                Arc::new(TlsError::Transport { source })
            }
            other => return handshake.server().report(other),
        };
        let error = failure(handshake.conn(), source);
        handshake.server().report(error);
    }

    fn timed_out(handshake: PendingConnection<Self>, limit: Duration) {
        if finish(handshake) {
            count_failed();
            let conn = handshake.conn();
            handshake.server().report(Error::Timeout {
                operation: format!("TLS handshake with {}", client_of(conn)).into(),
                after: limit,
            });
            conn.close();
        }
    }

    fn is_due(handshake: PendingConnection<Self>) -> bool {
        let server = handshake.server();
        let waits = server.with(|layer| layer.steps.waiting.contains(&handshake.key()));
        waits == Some(true)
    }
}

/// Returns `true` if a handshake may take an expensive step now. Otherwise it is queued and continues in a later iteration.
fn may_step(handshake: PendingConnection<TlsLayer>) -> bool {
    let server = handshake.server();
    let (may, schedule) = server
        .with(|layer| {
            let may = layer.steps.take();
            let mut schedule = false;
            if !may {
                layer.steps.waiting.insert(handshake.key());
                schedule = !std::mem::replace(&mut layer.steps.scheduled, true);
            }
            (may, schedule)
        })
        .unwrap_or((true, false));
    if schedule {
        future_tick(move || continue_handshakes(server));
    }
    if may {
        // A client whose ClientHello was queued needs time to respond.
        handshake.extend();
    }
    may
}

/// Continues queued handshakes, the newest first.
fn continue_handshakes(server: Decorated<TlsLayer>) {
    server.with(|layer| layer.steps.scheduled = false);
    while let Some(key) = server.with(|layer| layer.steps.next()).flatten() {
        if let Some(waiting) = server.waiting(key) {
            waiting.conn().resume_filters();
        }
    }
    let more = server.with(|layer| {
        !layer.steps.waiting.is_empty() && !std::mem::replace(&mut layer.steps.scheduled, true)
    });
    if more == Some(true) {
        future_tick(move || continue_handshakes(server));
    }
}

/// Ends a handshake. Returns `false` if it has already ended.
fn finish(handshake: PendingConnection<TlsLayer>) -> bool {
    let was_pending = handshake.take().is_some();
    if was_pending {
        let server = handshake.server();
        server.with(|layer| layer.steps.waiting.remove(&handshake.key()));
    }
    was_pending
}

impl StepBudget {
    fn new() -> Self {
        StepBudget {
            budget: STEPS,
            iteration: 0,
            left: STEPS,
            waiting: BTreeSet::new(),
            scheduled: false,
        }
    }

    /// Returns the number of steps left in this iteration.
    fn left(&mut self) -> &mut usize {
        let iteration = driver::iteration();
        if std::mem::replace(&mut self.iteration, iteration) != iteration {
            self.left = self.budget;
        }
        &mut self.left
    }

    /// Takes a step. Returns `false` if none is left.
    fn take(&mut self) -> bool {
        let left = self.left();
        let may = *left > 0;
        *left = left.saturating_sub(1);
        may
    }

    /// Returns the next queued handshake, if a step is left.
    fn next(&mut self) -> Option<u64> {
        if *self.left() == 0 {
            return None;
        }
        self.waiting.pop_last()
    }
}

fn failure(conn: Connection, source: Arc<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Filter {
        operation: "TLS handshake".into(),
        peer: client_of(conn),
        source,
    }
}

/// A handshake in progress, with the server's configuration.
struct ServerHandshake {
    waiting: PendingConnection<TlsLayer>,
    config: TlsConfig,
}

impl HandshakeObserver for ServerHandshake {
    fn done(self: Box<Self>) {
        if finish(self.waiting) {
            let conn = self.waiting.conn();
            conn.set_secure(true);
            let resumed = conn.with_filter(|filter: &TlsFilter| {
                let negotiated = filter.session().negotiated();
                negotiated.is_some_and(|negotiated| negotiated.is_resumed)
            });
            count_completed(resumed == Some(true));
            self.waiting.server().announce(conn);
        }
    }

    fn closed(self: Box<Self>) {
        finish(self.waiting);
    }

    fn control(&self) -> Option<&dyn HandshakeControl> {
        Some(self)
    }
}

impl HandshakeControl for ServerHandshake {
    fn may_step(&self) -> bool {
        may_step(self.waiting)
    }

    fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, TlsError> {
        let config = self.config.select(hello)?;
        if self.config.sets_protocols() {
            return Ok(config);
        }
        let server = self.waiting.server();
        let offered = server.with(|layer| layer.offered.apply(Arc::clone(&config)));
        Ok(offered.unwrap_or(config))
    }

    fn verifies_clients(&self) -> bool {
        self.config.verifies_clients()
    }
}

fn refuse(handshake: PendingConnection<TlsLayer>, error: TlsError) {
    if finish(handshake) {
        count_failed();
        let conn = handshake.conn();
        handshake.server().report(failure(conn, Arc::new(error)));
        conn.close();
    }
}
