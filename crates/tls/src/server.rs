//! A server that speaks TLS over the connections of another.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ClientHello;
use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, Table, driver, future_tick};
use uptick_socket::wrapping::{self, Pending, ServerControl, Waiting, Waits, Wrapped, Wrapper};
use uptick_socket::{Address, Connection, Error, ServerInterface, Shutdown};

use crate::config::TlsConfig;
use crate::error::Error as TlsError;
use crate::filter::{TlsFilter, Waiter};
use crate::session::{Gate, Session};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many costly steps of handshakes are taken in an iteration.
const STEPS: usize = 8;

/// How many handshakes may be under way.
const MAX_HANDSHAKES: usize = 1024;

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
/// [`next`](Emitter::next). What had been accepted by then is held, once its handshake is done. The wrapped server is paused
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
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecureServer {
    id: Option<Id>,
    local: PhantomData<*const ()>,
}

events! {
    impl SecureServer {
        Connection => {
            /// The handshake of a connection is done.
            CONNECTION = "connection";
        }
        Error => {
            /// A handshake failed, or an error of the wrapped server.
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

thread_local! {
    static SERVERS: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
}

fn with_servers<R>(f: impl FnOnce(&mut Table<Entry>) -> R) -> Option<R> {
    SERVERS
        .try_with(|servers| f(&mut servers.borrow_mut()))
        .ok()
}

impl Emitter for SecureServer {
    type Events = SecureServer;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        wrapping::listener_added(*self, slot);
    }
}

impl SecureServer {
    /// Wraps a server whose clients speak TLS. A [`TlsContext`](crate::TlsContext) is loaded at the first handshake.
    pub fn new<S: ServerInterface>(server: S, tls: impl Into<TlsConfig>) -> Self {
        let entry = Entry {
            wrapped: Wrapped::new(server),
            listeners: Listeners::new(),
            config: tls.into(),
            pending: Pending::new(Some(HANDSHAKE_TIMEOUT), MAX_HANDSHAKES),
            steps: Steps::new(),
        };
        let exists = wrapping::exists(server);
        let id = exists.then(|| with_servers(|servers| servers.insert(entry)));
        let secure = SecureServer {
            id: id.flatten().flatten(),
            local: PhantomData,
        };
        wrapping::update(secure);
        server.on(S::CONNECTION, move |conn| secure.accept(conn));
        server.on(S::ERROR, move |error| wrapping::report(secure, error));
        server.on(S::CLOSE, move |()| secure.finish());
        secure
    }

    /// Sets how long a handshake may take, also those under way; `None` is for ever. Default: 10 s.
    ///
    /// A handshake that waits for its turn ([`handshakes_per_iteration`](Self::handshakes_per_iteration)) does not time out, and
    /// from its turn on it has 1 s at least.
    pub fn handshake_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        wrapping::set_limit(self, timeout.into());
        self
    }

    /// Sets how many handshakes may be under way, at least 1: when another one begins, the one that has taken longest is
    /// refused, with an `error`. Default: 1,024.
    pub fn max_handshakes(self, max: usize) -> Self {
        self.with_entry(|entry| entry.pending.set_max(max));
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
        self.with_entry(|entry| {
            entry.steps.budget = max.max(1);
            entry.steps.left = entry.steps.left.min(entry.steps.budget);
        });
        self
    }

    /// How many handshakes are under way.
    pub fn pending_handshakes(self) -> usize {
        self.with_entry(|entry| entry.pending.len()).unwrap_or(0)
    }

    /// What the wrapped server listens on, `tls://127.0.0.1:8443`, `unix:///run/app.sock`; `None` once it has stopped listening.
    pub fn address(self) -> Option<String> {
        let address = self.inner()?.address()?;
        Some(match address.strip_prefix("tcp://") {
            Some(rest) => format!("tls://{rest}"),
            None => address,
        })
    }

    /// Stops accepting; clients wait. Handshakes under way go on.
    pub fn pause(self) {
        wrapping::set_paused(self, true);
    }

    /// Accepts again. Nothing happens when it is not paused.
    pub fn resume(self) {
        wrapping::set_paused(self, false);
    }

    /// Closes the wrapped server, and the connections whose handshake is under way; others stay open.
    pub fn close(self) {
        if let Some(inner) = self.inner() {
            inner.close();
        }
    }

    /// Shuts the wrapped server down; see [`Server::shutdown`](uptick_socket::Server::shutdown).
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
        // A listener before this one may have closed it.
        if !conn.is_open() {
            return;
        }
        let Some(config) = self.with_entry(|entry| entry.config.clone()) else {
            return conn.close();
        };
        if let Some((oldest, max)) = wrapping::make_room(self) {
            refuse(
                oldest,
                TlsError::protocol(format!(
                    "{max} handshakes that began later are under way, which is the limit"
                )),
            );
        }
        match Waiting::begin(self, conn, ()) {
            Some(waiting) => {
                let handshake = Handshake { waiting, config };
                conn.add_filter(TlsFilter::new(Session::server(), handshake));
            }
            None => conn.close(),
        }
    }

    /// Whether a handshake may take a costly step now. If not, it goes on in one of the next iterations.
    fn may_step(self, handshake: Waiting<Self>) -> bool {
        let (may, queue) = self
            .with_entry(|entry| {
                let may = entry.steps.take();
                let mut queue = false;
                if !may {
                    entry.steps.waiting.insert(handshake.key());
                    queue = !std::mem::replace(&mut entry.steps.queued, true);
                }
                (may, queue)
            })
            .unwrap_or((true, false));
        if queue {
            future_tick(move || self.go_on());
        }
        if may {
            // A client whose ClientHello had to wait needs time for its answer.
            handshake.extend();
        }
        may
    }

    /// Has handshakes go on that have waited for their turn, those first that began last.
    fn go_on(self) {
        self.with_entry(|entry| entry.steps.queued = false);
        while let Some(key) = self.with_entry(|entry| entry.steps.next()).flatten() {
            if let Some(waiting) = wrapping::waiting(self, key) {
                waiting.conn().resume_filters();
            }
        }
        let more = self.with_entry(|entry| {
            !entry.steps.waiting.is_empty() && !std::mem::replace(&mut entry.steps.queued, true)
        });
        if more == Some(true) {
            future_tick(move || self.go_on());
        }
    }

    /// Ends a handshake; `false` when it has ended before.
    fn end(self, handshake: Waiting<Self>) -> bool {
        let was_under_way = handshake.take().is_some();
        if was_under_way {
            self.with_entry(|entry| entry.steps.waiting.remove(&handshake.key()));
        }
        was_under_way
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

/// The client, also behind a proxy.
fn client_of(conn: Connection) -> Address {
    let proxied = conn.proxied().map(|proxied| proxied.source);
    proxied.or_else(|| conn.peer()).unwrap_or(Address::UNNAMED)
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
    waiting: Waiting<SecureServer>,
    config: TlsConfig,
}

impl Waiter for Handshake {
    fn done(self: Box<Self>) {
        let (server, conn) = (self.waiting.server(), self.waiting.conn());
        if server.end(self.waiting) {
            conn.set_secure(true);
            wrapping::announce(server, conn);
        }
    }

    fn closed(self: Box<Self>) {
        self.waiting.server().end(self.waiting);
    }

    fn gate(&self) -> Option<&dyn Gate> {
        Some(self)
    }
}

impl Gate for Handshake {
    fn may_step(&self) -> bool {
        self.waiting.server().may_step(self.waiting)
    }

    fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, TlsError> {
        self.config.select(hello)
    }

    fn verifies_clients(&self) -> bool {
        self.config.verifies_clients()
    }
}

fn refuse(handshake: Waiting<SecureServer>, error: TlsError) {
    if handshake.server().end(handshake) {
        let conn = handshake.conn();
        wrapping::report(handshake.server(), failure(conn, Arc::new(error)));
        conn.close();
    }
}

impl Waits for SecureServer {
    type Item = ();

    fn with_pending<R>(self, f: impl FnOnce(&mut Pending<()>) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.pending))
    }

    fn failed(self, handshake: Waiting<Self>, error: Error) {
        if !self.end(handshake) {
            return;
        }
        let source = match error {
            Error::Filter { source, .. } => source,
            Error::Read { source, .. } | Error::Write { source, .. } => {
                Arc::new(TlsError::Below { source })
            }
            other => return wrapping::report(self, other),
        };
        wrapping::report(self, failure(handshake.conn(), source));
    }

    fn timed_out(self, handshake: Waiting<Self>, limit: Duration) {
        if self.end(handshake) {
            let conn = handshake.conn();
            let error = Error::Timeout {
                what: format!("TLS handshake with {}", client_of(conn)).into(),
                after: limit,
            };
            wrapping::report(self, error);
            conn.close();
        }
    }

    fn is_due(self, handshake: Waiting<Self>) -> bool {
        self.with_entry(|entry| entry.steps.waiting.contains(&handshake.key()))
            .unwrap_or(false)
    }
}

impl Wrapper for SecureServer {
    fn with_wrapped<R>(self, f: impl FnOnce(&mut Wrapped) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.wrapped))
    }
}

uptick_socket::server_interface!(SecureServer);

impl fmt::Debug for SecureServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureServer")
            .field("address", &self.address())
            .field("pending_handshakes", &self.pending_handshakes())
            .finish()
    }
}
