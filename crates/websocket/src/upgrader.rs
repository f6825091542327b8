//! Upgrades in the handlers of a service.

use std::rc::Rc;

use uptick_http::{HttpServer, Request, Response};

use crate::routes::{check, opened};
use crate::servers::ServerSockets;
use crate::socket::state::RouteContext;
use crate::{Accept, Hub, WebSocketOptions};

/// A responder to WebSocket handshakes in the handlers of a service. All of its WebSockets share its options.
///
/// Therefore it needs less memory than [`upgrade`](crate::upgrade). Clones also share the options.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, Request};
/// use uptick_websocket::{Accept, Upgrader, WebSocket, WebSocketOptions};
///
/// let http = HttpServer::new();
/// let upgrader = Upgrader::new(http, WebSocketOptions::new());
/// http.get("/ws", move |req: Request| {
///     upgrader.upgrade(&req, Accept::new(|ws: WebSocket| drop(ws.send("hello"))))
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Upgrader {
    route: Rc<RouteContext>,
}

impl Upgrader {
    /// Creates an upgrader for the requests of a server. A [shutdown](HttpServer::shutdown_with) of the server closes its WebSockets; their
    /// hub is the [hub of the thread](Hub::of_thread).
    pub fn new(http: HttpServer, options: WebSocketOptions) -> Upgrader {
        let sockets = ServerSockets::of(http);
        Upgrader {
            route: Rc::new(RouteContext {
                options,
                hub: Hub::of_thread(),
                counts: Some(sockets.counts()),
                close_timeout: sockets.close_timeout(),
            }),
        }
    }

    /// Returns the response that opens a WebSocket, or a refusal if the request is not a valid handshake, its origin is
    /// not allowed, or the server is shutting down.
    pub fn upgrade(&self, req: &Request, accept: Accept) -> Response {
        match check(req, &self.route) {
            Ok(admission) => opened(admission, Rc::clone(&self.route), accept),
            Err(response) => response,
        }
    }
}
