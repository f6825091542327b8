//! Servers whose clients have to connect before anything else.

use std::net::IpAddr;
use std::rc::Rc;

use super::client_table::Clients;
use crate::server::{HttpServer, with_entry};
use crate::{HttpError, IntoHandler, Next, Reply, Request};

/// Clients that have to connect before they ask for anything.
impl HttpServer {
    /// Sets whether clients have to connect first, by a request for `/connect`, which [`connect`](HttpServer::connect) adds, or for a
    /// route of [`connect_at`](HttpServer::connect_at). Before that, and after `/disconnect`, other requests are answered with 400.
    /// Default: false.
    ///
    /// A client is the address of [`Request::client`]; one whose address is not known never is connected. An address proves
    /// little, so this is no authentication.
    ///
    /// # Limits
    /// 65,536 clients; beyond, those are forgotten that have not asked for longest.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request};
    ///
    /// let http = HttpServer::new().connection_required(true);
    /// http.connect(|_: Request| "welcome").disconnect(|_: Request| "bye");
    /// http.get("/", |_: Request| "for those who are connected");
    /// ```
    pub fn connection_required(self, required: bool) -> Self {
        let Some(clients) = self.clients() else {
            return self;
        };
        clients.required.set(required);
        if required && !clients.wrapped.replace(true) {
            self.wrap(
                move |request: Request, next: Next| match clients.refuses(&request) {
                    false => next.run(request),
                    true => Reply::Ready(HttpError::bad_request("Client is not connected.").into()),
                },
            );
        }
        self
    }

    fn clients(self) -> Option<Rc<Clients>> {
        with_entry(self, |entry| {
            Rc::clone(entry.convenience.clients.get_or_insert_default())
        })
    }

    /// Adds the route `/connect` for GET: it marks the client as connected, then calls the handler. [`connect_at`](HttpServer::connect_at)
    /// takes another path.
    ///
    /// # Panics
    /// If there is such a route.
    #[track_caller]
    pub fn connect<M>(self, handler: impl IntoHandler<M>) -> Self {
        self.connect_at("/connect", handler)
    }

    /// Adds a route for GET that marks the client as connected, then calls the handler. A client that is not connected can request it, and
    /// the routes of other calls. The pattern is one of [`get`](HttpServer::get). Default: `/connect`, by [`connect`](HttpServer::connect).
    ///
    /// # Panics
    /// As [`get`](HttpServer::get): if the pattern is malformed, or taken.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request};
    ///
    /// let http = HttpServer::new().connection_required(true);
    /// http.connect_at("/api/session/open", |_: Request| "welcome");
    /// http.disconnect_at("/api/session/close", |_: Request| "bye");
    /// ```
    #[track_caller]
    pub fn connect_at<M>(self, pattern: &str, handler: impl IntoHandler<M>) -> Self {
        let mut handler = handler.into_handler();
        self.get(pattern, move |request: Request| -> Reply {
            if let Some(client) = request.client() {
                self.mark_connected(client);
            }
            handler(request)
        });
        if let Some(clients) = self.clients() {
            clients.add_path(pattern);
        }
        self
    }

    /// Adds the route `/disconnect` for GET: it marks the client as not connected, then calls the handler.
    /// [`disconnect_at`](HttpServer::disconnect_at) takes another path.
    ///
    /// # Panics
    /// If there is such a route.
    #[track_caller]
    pub fn disconnect<M>(self, handler: impl IntoHandler<M>) -> Self {
        self.disconnect_at("/disconnect", handler)
    }

    /// Adds a route for GET that marks the client as not connected, then calls the handler. The pattern is one of
    /// [`get`](HttpServer::get). Default: `/disconnect`, by [`disconnect`](HttpServer::disconnect).
    ///
    /// # Panics
    /// As [`get`](HttpServer::get): if the pattern is malformed, or taken.
    #[track_caller]
    pub fn disconnect_at<M>(self, pattern: &str, handler: impl IntoHandler<M>) -> Self {
        let mut handler = handler.into_handler();
        self.get(pattern, move |request: Request| -> Reply {
            if let Some(client) = request.client() {
                self.mark_disconnected(client);
            }
            handler(request)
        })
    }

    /// Marks a client as connected.
    pub fn mark_connected(self, client: IpAddr) {
        if let Some(clients) = self.clients() {
            clients.insert(client);
        }
    }

    /// Marks a client as not connected; `false` when it was not.
    pub fn mark_disconnected(self, client: IpAddr) -> bool {
        self.clients().is_some_and(|clients| clients.remove(client))
    }

    /// Whether a client is marked as connected.
    pub fn has_client(self, client: IpAddr) -> bool {
        self.clients().is_some_and(|clients| clients.has(client))
    }
}
