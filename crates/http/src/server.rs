//! The HTTP server: routes and settings, on any number of listeners.

mod convenience;
mod health;
mod hooks;
mod http2_settings;
mod remote;
mod sequential;
mod settings;
mod shutdown;
mod shutdown_progress;
mod signals;
mod state;
mod stats;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use uptick_emitter::{Emitter, Event, Listeners, emit, events};
use uptick_event_loop::{Id, Table, UseRemoteOrLoopHandle, catch};
use uptick_socket::{
    Connection, Error, IntoUri, ListenUri, Server, ServerControl, ServerInterface,
};

use crate::exchange::OnError;
use crate::routing::RouteError;
use crate::site::{Group, Service, Site, routing_methods};
use crate::test::TestClient;
use crate::{
    Channel, Handler, HttpError, IntoMiddleware, IntoResponse, ProblemDetails, Request,
    RequestInfo, Response, ResponseInfo, ShutdownOptions,
};

use convenience::ConvenienceState;
use shutdown_progress::ShutdownProgress;

pub use convenience::{PortHolder, PortInUse};
pub use hooks::HeaderError;
pub use shutdown::Shutdown;
pub use stats::Stats;

/// A server for HTTP/2, HTTP/1.1 and HTTP/1.0.
///
/// A `Copy` handle: the thread's event loop owns the server. It serves any number of listeners (TCP, TLS, Unix) with the same routes.
/// Routes and settings may change while it serves.
///
/// Requests of an HTTP/1 connection are handled one after the other, and their responses are sent in order. Those of an HTTP/2 connection
/// are handled at the same time.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `request` | [`RequestInfo`] | a request was received; its handler is called next |
/// | `response` | [`ResponseInfo`] | a response is about to be sent; if sending it turns out to be impossible, 500 follows without another event |
/// | `upgrade` | [`Channel`] | a connection, or a stream of HTTP/2, was upgraded to another protocol |
/// | `error` | [`Error`] | a listener failed; the server keeps running |
/// | `shutdown` | [`ShutdownOptions`] | a [`shutdown`](HttpServer::shutdown_with) starts, or another call changes its options |
/// | `close` | `()` | the server was closed and its last connection has ended: the last event |
///
/// # Limits
/// Request head: 10 s, 16 KiB for the request line, 64 KiB and 100 headers · idle 60 s · body 1 KiB/s · response 60 s; see the setters.
///
/// # Examples
/// ```no_run
/// use uptick_http::{HttpServer, Request, Response};
///
/// let http = HttpServer::bind(8080)?;
/// http.get("/", |_: Request| Response::html("<h1>Hello, World!</h1>"));
/// http.get("/users/{id}", |req: Request| format!("User {}", req.param("id").unwrap_or("?")));
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpServer {
    /// `None` if the server table was full.
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl HttpServer {
        RequestInfo => {
            /// A request was received; its handler is called next.
            REQUEST = "request";
        }
        ResponseInfo => {
            /// A response is about to be sent.
            RESPONSE = "response";
        }
        Channel => {
            /// A connection, or a stream of HTTP/2, was upgraded to another protocol. [`Channel::connection`] returns the connection.
            UPGRADE = "upgrade";
        }
        Error => {
            /// A listener failed; the server keeps running.
            ERROR = "error", warn;
        }
        ShutdownOptions => {
            /// A shutdown starts, or its options change. Protocols with their own connections use this.
            SHUTDOWN = "shutdown";
        }
        () => {
            /// The server was closed and its last connection has ended.
            CLOSE = "close";
        }
    }
}

#[derive(Default)]
struct ServerEntry {
    service: Rc<Service>,
    listeners: Listeners,
    servers: Vec<ServerControl>,
    convenience: ConvenienceState,
    draining: Option<ShutdownProgress>,
    /// Connections that wait until another one ends; see [`HttpServer::sequential`].
    waiting: VecDeque<Connection>,
    /// `true` while the listeners are paused for that reason.
    paused: bool,
    /// `true` after `close` was emitted.
    ended: bool,
}

thread_local! {
    static SERVERS: RefCell<Table<ServerEntry>> = const { RefCell::new(Table::new()) };
}

fn with_entry<R>(server: HttpServer, f: impl FnOnce(&mut ServerEntry) -> R) -> Option<R> {
    SERVERS
        .try_with(|servers| servers.borrow_mut().get_mut(server.id?).map(f))
        .ok()
        .flatten()
}

impl Emitter for HttpServer {
    type Events = HttpServer;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_entry(*self, |entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        if slot == HttpServer::REQUEST.slot() {
            self.configure(|site| site.hooks.requests = true);
        } else if slot == HttpServer::RESPONSE.slot() {
            self.configure(|site| site.hooks.responses = true);
        }
    }
}

impl HttpServer {
    /// Returns the servers of this thread that are not closed, for example to shut all of them down.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::HttpServer;
    ///
    /// let http = HttpServer::new();
    /// assert_eq!(HttpServer::of_thread(), [http]);
    /// ```
    pub fn of_thread() -> Vec<HttpServer> {
        let servers = SERVERS.try_with(|servers| {
            let servers = servers.borrow();
            let open = servers.iter().filter(|(_, entry)| !entry.ended);
            open.map(|(id, _)| HttpServer::from_id(Some(id))).collect()
        });
        servers.unwrap_or_default()
    }

    fn from_id(id: Option<Id>) -> Self {
        HttpServer {
            id,
            local: PhantomData,
        }
    }

    /// Creates a server without listeners.
    ///
    /// # Limits
    /// 2³² servers in a thread; the handle of any further one is stale from the start.
    pub fn new() -> Self {
        let id = SERVERS.with_borrow_mut(|servers| servers.insert(ServerEntry::default()));
        let server = HttpServer::from_id(id);
        server.configure(|site| site.hooks.observer = Some(Rc::new(server)));
        server
    }

    /// Creates a server that listens on a port on 127.0.0.1 or on an address, as accepted by [`Server::bind`].
    ///
    /// # Errors
    /// As for [`Server::bind`].
    pub fn bind(uri: impl IntoUri<ListenUri>) -> Result<Self, Error> {
        let server = Server::bind(uri)?;
        Ok(HttpServer::new().listen(server))
    }

    /// Serves the connections of another server, in addition to existing listeners. When this server is closed or shut down, it closes
    /// that one. A [TLS server](ServerInterface::offer_protocols) whose context sets no protocols offers those of HTTP by ALPN.
    pub fn listen<S: ServerInterface>(self, server: S) -> Self {
        let taken = with_entry(self, |entry| {
            let open = !entry.service.stopped.get();
            if open {
                entry.servers.push(ServerControl::new(server));
            }
            if open && entry.paused {
                server.pause();
            }
            open
        });
        if taken != Some(true) {
            server.close();
            return self;
        }
        server.offer_protocols(self.protocols());
        server.on(S::CONNECTION, move |conn| self.take_connection(conn));
        server.on(S::ERROR, move |error| {
            emit(&self, HttpServer::ERROR, error);
        });
        server.on(S::CLOSE, move |()| self.listener_closed());
        self
    }

    /// Serves HTTP on any connection, such as one that was adopted or made by a connector.
    pub fn serve(self, conn: Connection) {
        match self.service() {
            Some(service) => crate::connection::serve(conn, &service),
            None => conn.close(),
        }
    }

    /// Returns a client that sends requests to the server without a socket, for tests; see [`test`](crate::test).
    pub fn test(self) -> TestClient {
        TestClient::new(self.service())
    }

    /// Returns the listening address, such as `tcp://127.0.0.1:8080`; the first one if there are several, and `None` without listeners.
    pub fn address(self) -> Option<String> {
        self.addresses().into_iter().next()
    }

    /// Returns all listening addresses.
    pub fn addresses(self) -> Vec<String> {
        let servers = with_entry(self, |entry| entry.servers.clone()).unwrap_or_default();
        servers.iter().filter_map(ServerControl::address).collect()
    }

    /// Returns the number of open connections, including upgraded ones.
    pub fn open_connections(self) -> usize {
        self.service()
            .map_or(0, |service| service.open_connections())
    }

    /// Returns the number of open upgraded connections and streams of HTTP/2, such as WebSockets.
    pub fn open_upgrades(self) -> usize {
        self.service().map_or(0, |service| service.open_upgrades())
    }

    /// Adds middleware around all routes, and around the responses to requests without a route.
    pub fn wrap<M>(self, middleware: impl IntoMiddleware<M>) -> Self {
        let layer = middleware.into_middleware();
        self.configure(|site| site.wrap(layer));
        self
    }

    /// Sets the callback that creates the page of an error: an error returned by a handler or middleware, a panic, or an error of the
    /// server, such as 404. Default: a short plain-text page.
    ///
    /// The callback is called once for each error, after the middleware and before [`on_response`](HttpServer::on_response). Middleware
    /// can therefore read the error ([`Response::failure`]). Headers that middleware adds are kept, unless the page sets them; a body set
    /// by middleware is replaced. Middleware that creates the page itself returns a new response.
    pub fn error(self, page: impl Fn(HttpError, &Request) -> Response + 'static) -> Self {
        let page: OnError = Rc::new(page);
        // The previous callback is dropped while no `RefCell` is borrowed.
        let before = self.configure(|site| site.on_error.replace(page));
        drop(before);
        self
    }

    /// Sends all errors as [`ProblemDetails`] instead of plain text. This sets the callback of [`error`](HttpServer::error), replacing
    /// the previous one. Default: plain text.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpError, HttpServer, Request};
    ///
    /// let http = HttpServer::new();
    /// http.problem_details();
    /// http.get("/", |_: Request| HttpError::bad_request("the page is not a number"));
    /// # let response = http.test().get("/").send()?;
    /// # assert_eq!(response.text(), r#"{"detail":"the page is not a number","status":400,"title":"Bad Request"}"#);
    /// # Ok::<(), uptick_http::test::TestError>(())
    /// ```
    pub fn problem_details(self) -> Self {
        self.error(|error, _| ProblemDetails::from(&error).into_response())
    }

    /// Adds routes with a common prefix.
    pub fn group(self, prefix: &str, f: impl FnOnce(Group<'_>)) -> Self {
        if let Some(service) = self.service() {
            service.group(prefix, f);
        }
        self
    }

    /// Sets whether a path without a route is redirected to the same path with, or without, a trailing slash, if that one has a route.
    /// Default: false, they are different paths.
    pub fn redirect_trailing_slash(self, redirect: bool) -> Self {
        self.configure(|site| site.redirect_trailing_slash = redirect);
        self
    }

    fn add_route(self, methods: &str, pattern: &str, handler: Handler) -> Result<(), RouteError> {
        self.configure(|site| site.add(None, methods, pattern, handler))
            .unwrap_or(Ok(()))
    }

    routing_methods!();

    /// Changes the site for subsequent requests.
    fn configure<R>(self, f: impl FnOnce(&mut Site) -> R) -> Option<R> {
        Some(self.service()?.configure(f))
    }

    fn service(self) -> Option<Rc<Service>> {
        with_entry(self, |entry| Rc::clone(&entry.service))
    }

    /// Emits an event. If a listener panics, the panic is logged.
    fn notify<P: Clone + 'static>(self, event: Event<HttpServer, P>, payload: P) {
        if let Err(message) = catch(|| emit(&self, event, payload)) {
            tracing::error!("a callback of an HTTP server panicked: {message}");
        }
    }

    /// Stops listening permanently; open connections stay open. `close` is emitted when the last of them has ended.
    pub fn close(self) {
        for server in self.take_servers() {
            server.close();
        }
        if let Some(service) = self.service() {
            service.stopped.set(true);
            service.watch_upgraded();
            self.finish_if_over();
        }
    }

    fn take_servers(self) -> Vec<ServerControl> {
        with_entry(self, |entry| std::mem::take(&mut entry.servers)).unwrap_or_default()
    }

    /// Handles the close of a listener, by this server or by other code.
    fn listener_closed(self) {
        let servers = with_entry(self, |entry| entry.servers.clone()).unwrap_or_default();
        let open: Vec<_> = servers
            .into_iter()
            .filter(|server| server.address().is_some())
            .collect();
        let none = open.is_empty();
        with_entry(self, |entry| entry.servers = open);
        if none && let Some(service) = self.service() {
            service.stopped.set(true);
            service.watch_upgraded();
            self.finish_if_over();
        }
    }

    /// Emits `close` and removes the server, once it has no listeners and connections left.
    fn finish_if_over(self) {
        let over = with_entry(self, |entry| {
            let service = &entry.service;
            entry.servers.is_empty()
                && entry.draining.is_none()
                && service.stopped.get()
                && service.open_connections() == 0
                && !std::mem::replace(&mut entry.ended, true)
        });
        if over != Some(true) {
            return;
        }
        self.notify(HttpServer::CLOSE, ());
        let entry = SERVERS
            .try_with(|servers| servers.borrow_mut().remove(self.id?))
            .ok()
            .flatten();
        drop(entry);
    }
}

impl Default for HttpServer {
    fn default() -> Self {
        HttpServer::new()
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer")
            .field("addresses", &self.addresses())
            .finish()
    }
}
