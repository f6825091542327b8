//! The Engine.IO server.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::{Id, Table, UseRemoteOrLoopHandle};
use uptick_http::{HeaderMap, HttpServer, IntoMiddleware, Middleware, Mount, Request};

use super::OpenProtocol;
use super::client::Client;
#[cfg(feature = "workers")]
use super::cluster::Cluster;
use super::hooks::{AllowRequest, HeaderHooks, IntoPermission, ResponseStage};
use super::mounted::MountedEngine;
use super::options::EngineOptions;
use super::refusal::{ConnectionError, RequestRefusal};
use super::requests;
use super::session_id::{SessionId, Tag};
use super::stats::{Counts, EngineStats};
use crate::protocol::session::SessionOptions;

thread_local! {
    static SERVERS: RefCell<Table<ServerEntry>> = const { RefCell::new(Table::new()) };
}

/// An open server.
struct ServerEntry {
    state: Rc<EngineState>,
    listeners: Listeners,
}

/// An Engine.IO server: sessions over HTTP long-polling and WebSockets, at a path of an HTTP server.
///
/// This is a `Copy` handle: the thread owns the server until it is [closed](EngineIo::close).
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `connection` | [`Client`] | a session was opened |
/// | `connection_error` | [`ConnectionError`] | a request was refused |
///
/// # Limits
/// [`EngineOptions`].
///
/// # Examples
/// ```
/// use uptick_emitter::Emitter;
/// use uptick_http::HttpServer;
/// use uptick_socketio::engine::{Client, EngineIo};
/// use uptick_websocket::Message;
///
/// let engine = EngineIo::new();
/// engine.on("connection", |client: Client| {
///     client.on("message", move |message: Message| client.send(message));
/// });
/// let http = HttpServer::new().mount("/engine.io/", &engine);
/// # let _ = http;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EngineIo {
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl EngineIo {
        Client => {
            /// A session was opened.
            CONNECTION = "connection";
        }
        ConnectionError => {
            /// A request was refused.
            CONNECTION_ERROR = "connection_error";
        }
    }
}

impl Emitter for EngineIo {
    type Events = EngineIo;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        let id = self.id?;
        let found = SERVERS.try_with(|servers| {
            let mut servers = servers.borrow_mut();
            Some(f(&mut servers.get_mut(id)?.listeners))
        });
        found.ok().flatten()
    }
}

/// The state of a server.
pub(super) struct EngineState {
    id: OnceCell<Id>,
    pub(super) options: EngineOptions,
    pub(super) session_options: Arc<SessionOptions>,
    sessions: RefCell<HashMap<SessionId, Client>>,
    pub(super) layers: RefCell<Rc<[Middleware]>>,
    pub(super) protocol: RefCell<Option<OpenProtocol>>,
    pub(super) allow_request: RefCell<Option<AllowRequest>>,
    pub(super) header_hooks: HeaderHooks,
    pub(super) counts: Counts,
    closing: Cell<bool>,
    /// The tag of the server in this worker, which is the prefix of its session ids.
    pub(super) tag: Tag,
    /// The connection to the same server in other workers.
    #[cfg(feature = "workers")]
    cluster: OnceCell<Rc<Cluster>>,
}

impl EngineIo {
    /// Creates a server with the default options.
    pub fn new() -> EngineIo {
        EngineIo::with_options(EngineOptions::new())
    }

    /// Creates a server with `options`.
    ///
    /// # Limits
    /// 2³² servers per thread; the handle of any further server is stale from the start.
    pub fn with_options(options: EngineOptions) -> EngineIo {
        let state = Rc::new(EngineState {
            id: OnceCell::new(),
            session_options: Arc::new(options.session_options()),
            sessions: RefCell::default(),
            layers: RefCell::new(options.layers.iter().cloned().collect()),
            protocol: RefCell::new(None),
            allow_request: RefCell::new(None),
            header_hooks: HeaderHooks::default(),
            counts: Counts::default(),
            closing: Cell::new(false),
            tag: Tag::random(),
            #[cfg(feature = "workers")]
            cluster: OnceCell::new(),
            options,
        });
        let server = ServerEntry {
            state: Rc::clone(&state),
            listeners: Listeners::new(),
        };
        let id = SERVERS.with_borrow_mut(|servers| servers.insert(server));
        if let Some(id) = id {
            // The cell is empty before.
            let _ = state.id.set(id);
        }
        EngineIo {
            id,
            local: PhantomData,
        }
    }

    fn state(self) -> Option<Rc<EngineState>> {
        let id = self.id?;
        let found = SERVERS.try_with(|servers| {
            let servers = servers.borrow();
            Some(Rc::clone(&servers.get(id)?.state))
        });
        found.ok().flatten()
    }

    /// Changes the state, unless the server is closed.
    fn configure(self, change: impl FnOnce(&EngineState)) -> EngineIo {
        if let Some(state) = self.state() {
            change(&state);
        }
        self
    }

    /// Returns the number of open sessions.
    pub fn clients_count(self) -> usize {
        self.state()
            .map_or(0, |state| state.sessions.borrow().len())
    }

    /// Returns the open sessions.
    pub fn clients(self) -> Vec<Client> {
        self.state()
            .map(|state| state.clients())
            .unwrap_or_default()
    }

    /// Returns the counters of the server.
    pub fn stats(self) -> EngineStats {
        self.state()
            .map(|state| state.counts.stats(state.sessions.borrow().len()))
            .unwrap_or_default()
    }

    /// Closes all sessions as [`Client::close`] does, and refuses new ones with status 503. When the last session is over, the listeners are
    /// dropped and the handle becomes stale.
    pub fn close(self) {
        let Some(state) = self.state() else { return };
        state.closing.set(true);
        for client in state.clients() {
            client.close();
        }
        state.session_closed();
    }

    /// Sets the callback that accepts or refuses handshakes after the checks of the server. An error is answered with status 403,
    /// code 4 and the error's text. The callback returns a `Result` or a future of one. Default: all handshakes are accepted.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::Request;
    /// use uptick_socketio::engine::EngineIo;
    ///
    /// let engine = EngineIo::new().allow_request(|req: &Request| match req.header("x-token") {
    ///     Some("secret") => Ok(()),
    ///     _ => Err("a token is required"),
    /// });
    /// # let _ = engine;
    /// ```
    pub fn allow_request<R, M>(self, allow: impl Fn(&Request) -> R + 'static) -> EngineIo
    where
        R: IntoPermission<M>,
    {
        let allow: AllowRequest = Rc::new(move |req| allow(req).into_permission());
        self.configure(|state| drop(state.allow_request.replace(Some(allow))))
    }

    /// Adds middleware for the requests to this server, like `io.engine.use` of the official server. The middleware of the HTTP server runs
    /// first.
    pub fn wrap<M>(self, middleware: impl IntoMiddleware<M>) -> EngineIo {
        let layer = middleware.into_middleware();
        self.configure(|state| {
            let layers = Rc::clone(&state.layers.borrow());
            let layers = layers.iter().cloned().chain([layer]).collect();
            state.layers.replace(layers);
        })
    }

    /// Calls `f` with the headers of each response before it is sent, including responses that open WebSockets.
    pub fn on_headers(self, f: impl FnMut(&mut HeaderMap, &Request) + 'static) -> EngineIo {
        let hook = Rc::new(RefCell::new(f));
        self.configure(|state| state.header_hooks.add(ResponseStage::Other, hook))
    }

    /// Calls `f` with the headers of the first response of each session, before [`on_headers`](EngineIo::on_headers). It is typically used to set cookies.
    pub fn on_initial_headers(self, f: impl FnMut(&mut HeaderMap, &Request) + 'static) -> EngineIo {
        let hook = Rc::new(RefCell::new(f));
        self.configure(|state| state.header_hooks.add(ResponseStage::Handshake, hook))
    }

    /// Sets the protocol on top. `open` is called once for each session, after its handshake was queued and before any of its messages.
    pub(crate) fn set_protocol(self, open: OpenProtocol) {
        self.configure(|state| drop(state.protocol.replace(Some(open))));
    }
}

impl Mount for EngineIo {
    #[track_caller]
    fn mount(&self, http: HttpServer, path: &str) {
        let Some(state) = self.state() else { return };
        #[cfg(feature = "workers")]
        state.join_cluster(path);
        let mounted = MountedEngine::new(state, http);
        http.any(path, move |req: Request| requests::serve(&mounted, req));
    }
}

impl Default for EngineIo {
    fn default() -> EngineIo {
        EngineIo::new()
    }
}

impl fmt::Debug for EngineIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EngineIo").field(&self.id).finish()
    }
}

impl EngineState {
    /// Returns the handle of the server.
    pub(super) fn handle(&self) -> Option<EngineIo> {
        self.id.get().map(|id| EngineIo {
            id: Some(*id),
            local: PhantomData,
        })
    }

    pub(super) fn add(&self, sid: SessionId, client: Client) {
        self.sessions.borrow_mut().insert(sid, client);
    }

    pub(super) fn remove(&self, sid: &SessionId) {
        let mut sessions = self.sessions.borrow_mut();
        sessions.remove(sid);
        // Frees memory after many sessions have ended.
        if sessions.capacity() > 1024 && sessions.len() < sessions.capacity() / 8 {
            sessions.shrink_to_fit();
        }
    }

    /// Returns the session with an id.
    pub(super) fn find(&self, sid: &SessionId) -> Option<Client> {
        self.sessions.borrow().get(sid).copied()
    }

    /// Connects the server to the servers at the same path in other workers.
    #[cfg(feature = "workers")]
    fn join_cluster(self: &Rc<Self>, path: &str) {
        self.cluster.get_or_init(|| Cluster::join(self, path));
    }

    /// Returns the connection to the same server in other workers, if the server is mounted.
    #[cfg(feature = "workers")]
    pub(super) fn cluster(&self) -> Option<&Rc<Cluster>> {
        self.cluster.get()
    }

    pub(super) fn clients(&self) -> Vec<Client> {
        self.sessions.borrow().values().copied().collect()
    }

    /// Returns `true` if no new session can be opened.
    pub(super) fn is_full(&self) -> bool {
        self.closing.get() || self.sessions.borrow().len() >= self.options.max_clients
    }

    /// Emits `connection_error`.
    pub(super) fn report(&self, refusal: &RequestRefusal, req: &Request) {
        let slot = EngineIo::CONNECTION_ERROR.slot();
        if let Some(engine) = self.handle()
            && engine.with_listeners(|listeners| listeners.has(slot)) == Some(true)
        {
            emit(&engine, EngineIo::CONNECTION_ERROR, refusal.describe(req));
        }
    }

    /// Removes the server if it was closed and its last session is over.
    pub(super) fn session_closed(&self) {
        if self.closing.get()
            && self.sessions.borrow().is_empty()
            && let Some(id) = self.id.get()
        {
            let removed = SERVERS.try_with(|servers| servers.borrow_mut().remove(*id));
            drop(removed);
        }
    }
}
