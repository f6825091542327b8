//! Servers whose clients must request a connecting route before other requests.

use std::net::IpAddr;
use std::rc::Rc;

use super::client_table::ConnectedClients;
use crate::server::{HttpServer, with_entry};
use crate::{HttpError, IntoHandler, Next, Reply, Request};

/// Clients that must connect before other requests.
impl HttpServer {
    /// Sets whether clients must connect first, by a request for `/connect`, which [`connect`](HttpServer::connect) adds, or for a route
    /// of [`connect_at`](HttpServer::connect_at). Before that, and after `/disconnect`, other requests are answered with 400. Default:
    /// false.
    ///
    /// A client is identified by the address of [`Request::client`]; a client without a known address is never connected. An address
    /// proves little, so this is not authentication.
    ///
    /// # Limits
    /// 65,536 clients; beyond that, those with the oldest requests are removed.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request};
    ///
    /// let http = HttpServer::new().connection_required(true);
    /// http.connect(|_: Request| "welcome").disconnect(|_: Request| "bye");
    /// http.get("/", |_: Request| "for connected clients");
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
                    true => {
                        Reply::Ready(HttpError::bad_request("the client is not connected").into())
                    }
                },
            );
        }
        self
    }

    fn clients(self) -> Option<Rc<ConnectedClients>> {
        with_entry(self, |entry| {
            Rc::clone(entry.convenience.clients.get_or_insert_default())
        })
    }

    /// Adds the GET route `/connect`, which marks the client as connected and calls the handler. Use
    /// [`connect_at`](HttpServer::connect_at) for another path.
    ///
    /// # Panics
    /// If the route exists already.
    #[track_caller]
    pub fn connect<M>(self, handler: impl IntoHandler<M>) -> Self {
        self.connect_at("/connect", handler)
    }

    /// Adds a GET route that marks the client as connected and calls the handler. Clients that are not connected can request the routes
    /// of all such calls. The pattern has the syntax of [`get`](HttpServer::get). Default: `/connect`, by
    /// [`connect`](HttpServer::connect).
    ///
    /// # Panics
    /// As for [`get`](HttpServer::get): if the pattern is malformed, or exists already.
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

    /// Adds the GET route `/disconnect`, which marks the client as not connected and calls the handler. Use
    /// [`disconnect_at`](HttpServer::disconnect_at) for another path.
    ///
    /// # Panics
    /// If the route exists already.
    #[track_caller]
    pub fn disconnect<M>(self, handler: impl IntoHandler<M>) -> Self {
        self.disconnect_at("/disconnect", handler)
    }

    /// Adds a GET route that marks the client as not connected and calls the handler. The pattern has the syntax of
    /// [`get`](HttpServer::get). Default: `/disconnect`, by [`disconnect`](HttpServer::disconnect).
    ///
    /// # Panics
    /// As for [`get`](HttpServer::get): if the pattern is malformed, or exists already.
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

    /// Marks a client as not connected. Returns `false` if it was not connected.
    pub fn mark_disconnected(self, client: IpAddr) -> bool {
        self.clients().is_some_and(|clients| clients.remove(client))
    }

    /// Returns `true` if a client is marked as connected.
    pub fn has_client(self, client: IpAddr) -> bool {
        self.clients()
            .is_some_and(|clients| clients.contains(client))
    }
}
