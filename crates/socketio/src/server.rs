//! The handle of a Socket.IO server.

mod state;

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};
use uptick_http::{HttpServer, Mount};

use crate::engine::EngineIo;
use crate::namespace::IntoConnectMiddleware;
use crate::{
    Ack, Broadcast, EventListenerId, FromArguments, Incomplete, Namespace, Promise, RemoteSocket,
    Socket, SocketIoOptions, ToArguments,
};

pub(crate) use state::ServerState;

/// A Socket.IO server.
///
/// This is a `Copy` handle; the thread owns the server. [`HttpServer::mount`] serves it at a path. Its methods for sockets and rooms apply to the namespace `/`.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `connection` | [`Socket`] | a client joined the namespace `/` |
/// | `new_namespace` | [`Namespace`] | a namespace was created |
///
/// # Limits
/// See [`SocketIoOptions`] and [`EngineOptions`](crate::engine::EngineOptions).
///
/// # Examples
///
/// ```
/// use uptick_emitter::Emitter;
/// use uptick_http::HttpServer;
/// use uptick_socketio::{Socket, SocketIo};
///
/// let io = SocketIo::new();
/// io.on("connection", |socket: Socket| {
///     socket.on("message", move |text: String| socket.to("room").emit("message", &text));
///     socket.on_ack("sum", |(a, b): (i64, i64), ack| ack.send(&(a + b)));
/// });
/// let http = HttpServer::new();
/// http.mount("/socket.io/", &io);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketIo {
    id: Option<Id>,
    engine: EngineIo,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl SocketIo {
        Socket => {
            /// A client joined the namespace `/`.
            CONNECTION = "connection";
        }
        Namespace => {
            /// A namespace was created.
            NEW_NAMESPACE = "new_namespace";
        }
    }
}

impl Emitter for SocketIo {
    type Events = SocketIo;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        let state = self.state()?;
        let mut listeners = state.listeners.borrow_mut();
        Some(f(&mut listeners))
    }
}

impl Default for SocketIo {
    fn default() -> Self {
        Self::new()
    }
}

impl SocketIo {
    /// Creates a server with the default options.
    pub fn new() -> SocketIo {
        SocketIo::with_options(SocketIoOptions::new())
    }

    /// Creates a server with `options`.
    pub fn with_options(options: SocketIoOptions) -> SocketIo {
        ServerState::create(options)
    }

    pub(crate) fn of_id(id: Option<Id>, engine: EngineIo) -> SocketIo {
        SocketIo {
            id,
            engine,
            local: PhantomData,
        }
    }

    pub(crate) fn state(self) -> Option<Rc<ServerState>> {
        ServerState::find(self.id?)
    }

    /// Returns the Engine.IO server, which has the hooks for requests and handshakes.
    pub fn engine(self) -> EngineIo {
        self.engine
    }

    /// Returns the namespace with a name, and creates it if it does not exist. A leading slash is added to a name without one.
    pub fn of(self, name: &str) -> Namespace {
        let state = self.state();
        state.map_or(Namespace::STALE, |state| state.of(name))
    }

    /// Accepts clients in all namespaces whose names match. Each is created when its first client joins, and removed when its last client leaves.
    ///
    /// The returned namespace represents all of them: its listeners and middleware run for each, and its broadcasts address the sockets of all. Namespaces created by
    /// [`of`](SocketIo::of) take precedence, then the patterns in the order in which they were added.
    ///
    /// # Limits
    /// [`SocketIoOptions::max_dynamic_namespaces`].
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_emitter::Emitter;
    /// use uptick_socketio::{Socket, SocketIo};
    ///
    /// let io = SocketIo::new();
    /// let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    /// let tenants = io.of_dynamic(move |name| name.strip_prefix("/tenant-").is_some_and(is_number));
    /// tenants.on("connection", |socket: Socket| {
    ///     println!("{} in {}", socket.id(), socket.namespace().name());
    /// });
    /// ```
    pub fn of_dynamic(self, matches: impl Fn(&str) -> bool + 'static) -> Namespace {
        let state = self.state();
        state.map_or(Namespace::STALE, |state| state.of_dynamic(matches))
    }

    /// Returns the existing namespaces.
    pub fn namespaces(self) -> Vec<Namespace> {
        let state = self.state();
        state.map_or_else(Vec::new, |state| state.namespaces())
    }

    /// Adds middleware to the namespace `/`; see [`Namespace::wrap`].
    pub fn wrap<M>(self, middleware: impl IntoConnectMiddleware<M>) -> Self {
        self.of("/").wrap(middleware);
        self
    }

    /// Addresses all sockets of the namespace `/`.
    pub fn broadcast(self) -> Broadcast {
        self.of("/").broadcast()
    }

    /// Returns the sockets of the namespace `/` on this server.
    pub fn sockets(self) -> Vec<Socket> {
        self.of("/").sockets()
    }

    /// Returns all sockets of the namespace `/`, including those on other servers; see [`Namespace::fetch_sockets`].
    ///
    /// # Errors
    ///
    /// Returns [`Incomplete`] with the known sockets if a server does not respond in time.
    pub fn fetch_sockets(self) -> Promise<Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>> {
        self.of("/").fetch_sockets()
    }

    /// Emits an event to the listeners of the namespace `/` on all other servers; see [`Namespace::server_side_emit`].
    pub fn server_side_emit<A: ToArguments + ?Sized>(self, event: &str, arguments: &A) {
        self.of("/").server_side_emit(event, arguments);
    }

    /// Calls `callback` with each event of the given name that another server emits in the namespace `/`; see [`Namespace::on_server_side`].
    pub fn on_server_side<T: FromArguments, R>(
        self,
        event: &str,
        callback: impl FnMut(T, Ack) -> R + 'static,
    ) -> EventListenerId {
        self.of("/").on_server_side(event, callback)
    }

    /// Addresses the sockets in a room of the namespace `/`; see [`Namespace::to`].
    pub fn to(self, room: impl AsRef<str>) -> Broadcast {
        self.of("/").to(room)
    }

    /// Addresses the sockets of the namespace `/` that are not in a room; see [`Namespace::except`].
    pub fn except(self, room: impl AsRef<str>) -> Broadcast {
        self.of("/").except(room)
    }

    /// Sends an event to all sockets of the namespace `/`, including those on other servers. Returns the number of sockets of this server.
    pub fn emit<A: ToArguments + ?Sized>(self, event: &str, arguments: &A) -> usize {
        self.of("/").emit(event, arguments)
    }

    /// Returns the number of connected clients, regardless of the namespaces that they have joined.
    pub fn clients_count(self) -> usize {
        self.engine().clients_count()
    }

    /// Closes the server: disconnects all sockets with the reason `server shutting down`, and closes their connections once queued packets are sent. New clients are
    /// refused.
    ///
    /// The HTTP server keeps running; [`HttpServer::shutdown`] closes both, because a server is closed together with the last HTTP server that it is mounted on. The routes
    /// of a closed server remain: requests to its path are refused, and no other server can be mounted there.
    pub fn close(self) {
        if let Some(state) = self.state() {
            state.close();
        }
    }
}

impl Mount for SocketIo {
    fn mount(&self, http: HttpServer, path: &str) {
        self.engine().mount(http, path);
        let Some(state) = self.state() else { return };
        state.mounts.set(state.mounts.get() + 1);
        let server = *self;
        http.once(HttpServer::CLOSE, move |()| {
            if let Some(state) = server.state() {
                state.unmounted();
            }
        });
    }
}

impl fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketIo").field(&self.id).finish()
    }
}
