//! The server: a listening socket that emits connections.
//!
//! Cost of a connection: one `accept4` and a share of a wait. The listening socket is level-triggered, so that a batch
//! does not have to end with an accept that fails, which is the most expensive system call here.

mod accept;
mod balancer;
mod interface;
mod options;
mod shutdown;
mod signals;

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{
    DriverId, Id, Interest, Readiness, Table, Timer, Token, UseRemoteOrLoopHandle,
};

use crate::Address;
use crate::bind::{Bound, SocketFile, adopt, bind};
use crate::connection::{self, Connection};
use crate::error::Error;
use crate::remote::Remote;
use crate::uri::{IntoUri, ListenUri};

pub use balancer::Balancer;
pub use interface::ServerInterface;
pub use options::ServerOptions;
pub use shutdown::Shutdown;
pub use signals::shutdown_on;

/// A server for TCP or Unix connections.
///
/// `Server` is a `Copy` handle: the thread's event loop owns the server, which listens as soon as it is bound. The
/// handle of a closed server is stale: [`address`](Server::address) is `None`, and [`close`](Server::close) does
/// nothing.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `connection` | [`Connection`] | a client has connected; reading starts when the listeners have returned |
/// | `error` | [`Error`] | accepting failed, or a `connection` listener panicked and its connection was closed; the server continues, unless another owner of its socket has shut it down |
/// | `close` | `()` | the server has stopped listening permanently: the last event |
///
/// Without a `connection` listener no connection is accepted: clients stay in the kernel's backlog until the first one
/// is added, also between two calls of [`next`](Emitter::next).
///
/// # Limits
/// The kernel's backlog holds 511 connections ([`SocketOptions::backlog`](crate::SocketOptions::backlog)); 64 are
/// accepted in one iteration. If the process is out of descriptors or memory, the server emits one `error` and stops
/// accepting for 100 ms, which increases to up to 1 s while the condition lasts. To limit the number of open
/// connections, wrap the server in a [`LimitingServer`](crate::LimitingServer).
///
/// # Examples
/// ```no_run
/// use uptick_socket::prelude::*;
///
/// let server = Server::bind(8080)?; // 127.0.0.1
/// server.on("connection", |conn: Connection| {
///     conn.write("Hello!\n");
/// });
/// server.on("error", |e: Error| eprintln!("{e}"));
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Server {
    id: Id,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl Server {
        Connection => {
            /// A client has connected.
            CONNECTION = "connection";
        }
        Error => {
            /// Accepting failed; the server continues.
            ERROR = "error", warn;
        }
        () => {
            /// The server has stopped listening permanently.
            CLOSE = "close";
        }
    }
}

struct ServerEntry {
    /// `None` once the server has stopped listening.
    listening: Option<ListeningSocket>,
    listeners: Listeners,
    address: Address,
    options: Rc<ServerOptions>,
    /// Maximum size of the next batch of connections.
    budget: u32,
    paused: bool,
    watched: bool,
    backoff: Option<AcceptBackoff>,
    /// Number of accepted connections that are open.
    open: usize,
    accepted: u64,
    draining: Option<shutdown::ShutdownState>,
    /// Set while the `close` listeners are running.
    closing: bool,
}

/// The socket and its file, which has to be dropped first.
struct ListeningSocket {
    _file: Option<SocketFile>,
    socket: OwnedFd,
}

/// The back-off while the process is out of descriptors or memory. It is kept until an accept succeeds.
struct AcceptBackoff {
    time: Duration,
    /// The timer of the next attempt to accept.
    timer: Timer,
}

#[derive(Default)]
struct ServerTable {
    table: Table<ServerEntry>,
    driver: Option<DriverId>,
}

thread_local! {
    static SERVERS: RefCell<ServerTable> = RefCell::default();
}

impl ServerTable {
    fn token(&mut self, id: Id) -> Token {
        id.token(
            *self
                .driver
                .get_or_insert_with(|| driver::register(&ServerDriver)),
        )
    }
}

fn with_servers<R>(f: impl FnOnce(&mut ServerTable) -> R) -> Option<R> {
    SERVERS
        .try_with(|servers| f(&mut servers.borrow_mut()))
        .ok()
}

fn with_entry<R>(server: Server, f: impl FnOnce(&mut ServerEntry, Token) -> R) -> Option<R> {
    with_servers(|servers| {
        let token = servers.token(server.id);
        servers
            .table
            .get_mut(server.id)
            .map(|entry| f(entry, token))
    })
    .flatten()
}

struct ServerDriver;

impl Driver for ServerDriver {
    fn ready(&self, token: Token, _readiness: Readiness) {
        if let Some(server) = find(token) {
            accept::accept_batch(server);
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        if let Some(server) = find(token) {
            server.emit_panic(message);
        }
    }
}

fn find(token: Token) -> Option<Server> {
    with_servers(|servers| servers.table.find(token))
        .flatten()
        .map(Server::from_id)
}

impl Emitter for Server {
    type Events = Server;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_entry(*self, |entry, _| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        if slot == Server::CONNECTION.slot() {
            with_entry(*self, |entry, token| entry.update(token));
        }
    }
}

impl Server {
    fn from_id(id: Id) -> Self {
        Server {
            id,
            local: PhantomData,
        }
    }

    /// Listens on a port on 127.0.0.1 or on an address: `8080`, `"127.0.0.1:0"`, `"tcp://[::1]:80"`,
    /// `"unix:///run/app.sock?mode=0660"`, `"unix:@abstract"`, `"fd://3"`, `"systemd:"`; see [`ListenUri`].
    ///
    /// If the file of a Unix socket already exists, the call connects to it to find out whether a server still listens
    /// there. That server sees a connection that closes at once.
    ///
    /// # Errors
    /// [`Error::InvalidUri`] for an address that cannot be listened on: a host name, a missing port, an unknown scheme.
    /// [`Error::Listen`] if the system refuses (`EADDRINUSE`, `EACCES` and others), and while the thread is being torn
    /// down.
    pub fn bind(uri: impl IntoUri<ListenUri>) -> Result<Server, Error> {
        Server::bind_with(uri, ServerOptions::default())
    }

    /// Listens on an address, with options; see [`bind`](Server::bind).
    ///
    /// # Errors
    /// The errors of [`bind`](Server::bind).
    ///
    /// # Examples
    /// ```
    /// use uptick_socket::{Server, ServerOptions, SocketOptions};
    ///
    /// let socket = SocketOptions::new().backlog(4096).reuse_port(true);
    /// let server = Server::bind_with("127.0.0.1:0", ServerOptions::new().socket(socket))?;
    /// # server.close();
    /// # Ok::<(), uptick_socket::Error>(())
    /// ```
    pub fn bind_with(
        uri: impl IntoUri<ListenUri>,
        options: ServerOptions,
    ) -> Result<Server, Error> {
        let bound = bind(&uri.into_uri()?, &options.socket)?;
        Server::open(bound, options)
    }

    /// Creates a server from a listening socket that the program owns. With [`ServerOptions::shared`], other loops may
    /// accept from duplicates of the socket.
    ///
    /// # Errors
    /// [`Error::Listen`] if it is not a TCP or Unix socket, or is a connection.
    pub fn adopt(socket: impl Into<OwnedFd>, options: ServerOptions) -> Result<Server, Error> {
        let bound = adopt(socket.into(), &options.socket)?;
        Server::open(bound, options)
    }

    fn open(bound: Bound, options: ServerOptions) -> Result<Server, Error> {
        let Bound {
            file,
            socket,
            address,
        } = bound;
        let uri = address.clone();
        let entry = ServerEntry {
            listening: Some(ListeningSocket {
                _file: file,
                socket,
            }),
            listeners: Listeners::new(),
            address,
            options: Rc::new(options),
            budget: 1,
            paused: false,
            watched: true,
            backoff: None,
            open: 0,
            accepted: 0,
            draining: None,
            closing: false,
        };
        let id = match with_servers(|servers| servers.table.insert(entry)) {
            Some(Some(id)) => id,
            Some(None) => {
                let full = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
                return Err(Error::listen(uri, full));
            }
            None => return Err(Error::listen(uri, driver::loop_gone_error())),
        };
        let server = Server::from_id(id);
        let watched = with_entry(server, |entry, token| entry.watch(token));
        if let Some(Err(error)) = watched {
            drop(with_servers(|servers| servers.table.remove(id)));
            return Err(Error::listen(uri, error));
        }
        driver::hold();
        Ok(server)
    }

    /// Returns the address that the server listens on, such as `tcp://127.0.0.1:8080`, with the actual port if the
    /// requested port was 0. `None` once the server has stopped listening.
    pub fn address(self) -> Option<String> {
        with_entry(self, |entry, _| {
            entry.listening.is_some().then(|| entry.address.to_string())
        })
        .flatten()
    }

    /// Stops accepting; clients stay in the kernel's backlog. Does nothing if the server is paused.
    pub fn pause(self) {
        with_entry(self, |entry, token| {
            if !entry.paused {
                entry.paused = true;
                entry.update(token);
            }
        });
    }

    /// Resumes accepting. Does nothing if the server is not paused.
    pub fn resume(self) {
        with_entry(self, |entry, token| {
            if entry.paused {
                entry.paused = false;
                entry.update(token);
            }
        });
    }

    /// Stops listening permanently; open connections are not closed. Does nothing if the server is closed.
    ///
    /// The `close` listeners run before this returns. The file of a Unix socket is removed.
    pub fn close(self) {
        if self.stop_listening() {
            self.finish();
        }
    }

    /// Returns a handle to the server for other threads.
    pub fn remote(self) -> Remote<Server> {
        Remote::new(self)
    }

    /// Returns the open connections that the server has accepted, in no particular order.
    ///
    /// The call iterates over all connections of the thread. A [`LimitingServer`](crate::LimitingServer) keeps a list.
    ///
    /// # Examples
    /// ```
    /// use uptick_socket::Server;
    ///
    /// fn broadcast(server: Server, news: &str) {
    ///     for conn in server.connections() {
    ///         conn.write(news);
    ///     }
    /// }
    /// # let server = Server::bind(0)?;
    /// # broadcast(server, "news\n");
    /// # server.close();
    /// # Ok::<(), uptick_socket::Error>(())
    /// ```
    pub fn connections(self) -> Vec<Connection> {
        connection::of_server(self.id)
    }

    /// Returns the number of accepted connections that are open.
    pub fn open_connections(self) -> usize {
        with_entry(self, |entry, _| entry.open).unwrap_or(0)
    }

    /// Returns the number of connections accepted so far.
    pub fn accepted(self) -> u64 {
        with_entry(self, |entry, _| entry.accepted).unwrap_or(0)
    }

    fn emit_error(self, error: Error) {
        emit(&self, Server::ERROR, error);
    }

    /// Emits the error of a callback that has panicked.
    fn emit_panic(self, message: &str) {
        self.emit_error(Error::callback_panic(self.address(), message));
    }

    /// Closes the listening socket; returns `false` if there was none.
    fn stop_listening(self) -> bool {
        self.unwatch_shared();
        let stopped = with_entry(self, |entry, _| {
            if let Some(rest) = entry.backoff.take() {
                rest.timer.cancel();
            }
            if entry.watched
                && let Some(socket) = entry.socket()
                // Duplicates of an inherited socket would keep the watch alive, which would still report their
                // clients.
                && let Err(error) = driver::forget(socket)
            {
                tracing::warn!("unwatching {} failed: {error}", entry.address);
            }
            entry.listening.take()
        });
        match stopped.flatten() {
            Some(listening) => {
                drop(listening);
                driver::release();
                true
            }
            None => false,
        }
    }

    /// Stops watching a shared socket, and accepts the connections that only this loop was woken for.
    fn unwatch_shared(self) {
        let left = with_entry(self, |entry, _| {
            let watched = entry.options.shared && entry.accepts() && entry.watched;
            let socket = entry.socket().filter(|_| watched)?;
            driver::forget(socket).ok()?;
            entry.watched = false;
            Some(())
        });
        if left.flatten().is_some() {
            accept::accept_last_batch(self);
        }
    }

    /// Emits `close` and removes the server.
    fn finish(self) {
        let closing = with_entry(self, |entry, _| std::mem::replace(&mut entry.closing, true));
        if closing != Some(false) {
            return;
        }
        let emitted = uptick_event_loop::catch(|| emit(&self, Server::CLOSE, ()));
        let entry = with_servers(|servers| servers.table.remove(self.id)).flatten();
        if let Some(mut entry) = entry
            && let Some(draining) = entry.draining.take()
        {
            draining.complete();
        }
        if let Err(message) = emitted {
            tracing::error!("a close callback of a server panicked: {message}");
        }
    }
}

impl ServerEntry {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        let listening = self.listening.as_ref()?;
        Some(listening.socket.as_fd())
    }

    fn watch(&self, token: Token) -> std::io::Result<()> {
        match self.socket() {
            Some(socket) => driver::watch(socket, token, Interest::Read, self.options.trigger()),
            None => Ok(()),
        }
    }

    /// Returns `true` if the server is not paused and has a `connection` listener.
    fn accepts(&self) -> bool {
        !self.paused && self.listeners.has(Server::CONNECTION.slot())
    }

    /// Returns `true` while accepting is suspended because no descriptor was free.
    fn is_backing_off(&self) -> bool {
        let rest = self.backoff.as_ref();
        rest.is_some_and(|rest| rest.timer.is_pending())
    }

    /// Starts or stops watching the socket, as the current state requires.
    fn update(&mut self, token: Token) {
        let Some(socket) = self.socket() else { return };
        let watch = self.accepts() && !self.is_backing_off();
        if watch == self.watched {
            return;
        }
        let result = if watch {
            self.watch(token)
        } else {
            driver::forget(socket)
        };
        match result {
            Ok(()) => self.watched = watch,
            Err(error) => tracing::error!("watching {} failed: {error}", self.address),
        }
    }
}

/// Updates the counts when an accepted connection has closed, and completes a shutdown.
fn connection_gone(server: Id) {
    let server = Server::from_id(server);
    let drained = with_entry(server, |entry, _| {
        entry.open = entry.open.saturating_sub(1);
        if let Some(balancer) = &entry.options.balancer {
            balancer.closed();
        }
        entry.open == 0 && entry.draining.is_some()
    });
    if drained == Some(true) {
        server.finish();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address())
            .finish()
    }
}
