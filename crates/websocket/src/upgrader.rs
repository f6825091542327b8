//! WebSockets for services that answer requests themselves.

use std::rc::Rc;

use uptick_http::{HttpServer, Request, Response};

use crate::routes::{check, opened};
use crate::servers::Sockets;
use crate::socket::state::Route;
use crate::{Accept, Hub, WebSocketOptions};

/// Answers requests for WebSockets in the handlers of a service. All of its WebSockets share its options.
///
/// It differs from [`upgrade`](crate::upgrade) in memory: an idle WebSocket holds no options of its own. Clones are the same upgrader.
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
    route: Rc<Route>,
}

impl Upgrader {
    /// Returns an upgrader for the requests of a server. A [shutdown](HttpServer::shutdown_with) of the server closes its WebSockets; its
    /// hub is the one [of the thread](Hub::of_thread).
    pub fn new(http: HttpServer, options: WebSocketOptions) -> Upgrader {
        let sockets = Sockets::of(http);
        Upgrader {
            route: Rc::new(Route {
                options,
                hub: Hub::of_thread(),
                counts: Some(sockets.counts()),
                close_timeout: sockets.close_timeout(),
            }),
        }
    }

    /// Returns the response that opens a WebSocket, or the refusal of a request that does not ask for one correctly, of an origin that is
    /// not allowed, or during a shutdown.
    pub fn upgrade(&self, req: &Request, accept: Accept) -> Response {
        match check(req, &self.route) {
            Ok(admission) => opened(admission, Rc::clone(&self.route), accept),
            Err(response) => response,
        }
    }
}
