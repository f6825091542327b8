//! WebSockets at the paths of an HTTP server.

use std::rc::Rc;

use uptick_http::channel::Channel;
use uptick_http::{
    HeaderName, HeaderValue, HttpError, HttpServer, IntoResponse, Reply, Request, Response,
    StatusCode,
};
use uptick_rate_limit::Client;

use crate::counts::ClientSlot;
use crate::gate::{Accept, Decision, IntoDecision};
use crate::message::Payload;
use crate::protocol::Role;
use crate::protocol::handshake::server::{self, Offer};
use crate::servers::Sockets;
use crate::socket::serving::{Opening, open};
use crate::socket::state::Route;
use crate::{Hub, WebSocket, WebSocketOptions, WebSocketStats};

mod sealed {
    pub trait Sealed {}
    impl Sealed for uptick_http::HttpServer {}
}

/// WebSockets at the paths of an [`HttpServer`].
///
/// Requests that do not ask for a WebSocket are answered with 426, those of browsers on pages of other
/// hosts with 403 ([`Origins`](crate::Origins)).
///
/// A [shutdown](HttpServer::shutdown_with) of the server closes its WebSockets with 1001, or with 1012 if the server restarts, each at a
/// random moment of the shutdown's window. Until then they work as before. Requests for a WebSocket during the shutdown are answered with 503
/// and `Retry-After`.
pub trait WebSocketRoutes: sealed::Sealed + Copy {
    /// Has `open` called with each WebSocket that is opened at a path.
    ///
    /// The pattern is one of [`HttpServer::get`], and [`WebSocketOptions`] are the defaults.
    ///
    /// # Panics
    /// As [`HttpServer::get`]: when the pattern is malformed, or taken.
    ///
    /// # Examples
    /// ```
    /// use uptick_emitter::Emitter;
    /// use uptick_http::HttpServer;
    /// use uptick_websocket::{Message, WebSocket, WebSocketRoutes};
    ///
    /// let http = HttpServer::new();
    /// http.websocket("/echo", |ws: WebSocket| {
    ///     ws.on("message", move |message: Message| ws.send(message));
    /// });
    /// ```
    #[track_caller]
    fn websocket(self, pattern: &str, open: impl Fn(WebSocket) + 'static) -> Self {
        let open = Rc::new(open);
        self.websocket_with(pattern, WebSocketOptions::new(), move |_: Request| {
            let open = Rc::clone(&open);
            Accept::new(move |ws| open(ws))
        })
    }

    /// Calls `gate` with each request for a WebSocket at a path, before it is opened. The gate returns [`Accept`],
    /// [`Reject`](crate::Reject), [`RejectWithClose`](crate::RejectWithClose), a `Result` of an `Accept` and an error that makes a response or is
    /// a `RejectWithClose`, or a future of one of these.
    ///
    /// # Panics
    /// As [`HttpServer::get`]: when the pattern is malformed, or taken.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpError, HttpServer, Request, StatusCode};
    /// use uptick_websocket::{Accept, WebSocket, WebSocketOptions, WebSocketRoutes};
    ///
    /// let http = HttpServer::new();
    /// let options = WebSocketOptions::new().max_message(4096);
    /// http.websocket_with("/chat", options, |req: Request| {
    ///     let Some(user) = req.cookie("user").map(str::to_owned) else {
    ///         return Err(HttpError::from_status(StatusCode::UNAUTHORIZED));
    ///     };
    ///     Ok(Accept::new(move |ws: WebSocket| ws.set_extension(user)))
    /// });
    /// ```
    #[track_caller]
    fn websocket_with<F, R, M>(self, pattern: &str, options: WebSocketOptions, gate: F) -> Self
    where
        F: Fn(Request) -> R + 'static,
        R: IntoDecision<M>;

    /// Returns the hub of the server's WebSockets, with their topics.
    fn hub(self) -> Hub;

    /// Returns counts of the server's WebSockets.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::HttpServer;
    /// use uptick_websocket::WebSocketRoutes;
    ///
    /// let http = HttpServer::new();
    /// assert_eq!(http.websockets().open, 0);
    /// ```
    fn websockets(self) -> WebSocketStats;

    /// Sends a message to all WebSockets of the server that are subscribed to a topic, and returns to how many of this worker; see
    /// [`Hub::publish`].
    fn publish(self, topic: &str, payload: impl Payload) -> usize {
        self.hub().publish(topic, payload)
    }
}

impl WebSocketRoutes for HttpServer {
    #[track_caller]
    fn websocket_with<F, R, M>(self, pattern: &str, options: WebSocketOptions, gate: F) -> Self
    where
        F: Fn(Request) -> R + 'static,
        R: IntoDecision<M>,
    {
        let sockets = Sockets::of(self);
        let route = Rc::new(Route {
            options,
            hub: sockets.hub(),
            counts: Some(sockets.counts()),
            close_timeout: sockets.close_timeout(),
        });
        self.get(pattern, move |req: Request| answer(req, &route, &gate))
    }

    fn hub(self) -> Hub {
        Sockets::of(self).hub()
    }

    fn websockets(self) -> WebSocketStats {
        Sockets::of(self).counts().stats()
    }
}

/// The answer to a request that asks for a WebSocket, in a handler of any route: `open` gets it.
///
/// Its hub is the one [of the thread](Hub::of_thread); [`upgrade_with`] takes one of a server. A shutdown of the server closes it as
/// all its WebSockets.
///
/// # Examples
/// ```
/// use uptick_emitter::Emitter;
/// use uptick_http::{HttpServer, Request};
/// use uptick_websocket::{Message, WebSocket, WebSocketOptions, upgrade};
///
/// let http = HttpServer::new();
/// http.accept(r"/ws(?:/.*)?", |req: Request| {
///     upgrade(&req, WebSocketOptions::new(), |ws: WebSocket| {
///         ws.on("message", move |message: Message| ws.send(message));
///     })
/// });
/// ```
pub fn upgrade(
    req: &Request,
    options: WebSocketOptions,
    open: impl FnOnce(WebSocket) + 'static,
) -> Response {
    upgrade_with(req, options, Hub::of_thread(), open)
}

/// Opens a WebSocket as [`upgrade`] does, with another hub.
pub fn upgrade_with(
    req: &Request,
    options: WebSocketOptions,
    hub: Hub,
    open: impl FnOnce(WebSocket) + 'static,
) -> Response {
    let sockets = req.server().map(Sockets::of);
    let route = Rc::new(Route {
        options,
        hub,
        counts: sockets.as_ref().map(|sockets| sockets.counts()),
        close_timeout: sockets
            .map(|sockets| sockets.close_timeout())
            .unwrap_or_default(),
    });
    match check(req, &route) {
        Ok(admission) => opened(admission, route, Accept::new(open)),
        Err(response) => response,
    }
}

/// A request that may be followed by a WebSocket.
pub(crate) struct Admission {
    offer: Offer,
    slot: Option<ClientSlot>,
}

/// Checks whether a request may be followed by a WebSocket; otherwise returns the response to it.
pub(crate) fn check(req: &Request, route: &Route) -> Result<Admission, Response> {
    let offer = server::check(req.head()).map_err(|refusal| {
        let mut error = HttpError::new(refusal.status(), refusal.reason());
        for (name, value) in refusal.fields() {
            if let Ok(name) = HeaderName::try_from(name) {
                error = error.with_header(name, HeaderValue::from_static(value));
            }
        }
        Response::from(error)
    })?;
    if let Some(shutdown) = req.server().and_then(HttpServer::shutdown_options) {
        // Without a call of the gate, which may do a lot.
        return Err(shutdown.refusal().into());
    }
    let origin = origin(req);
    if !route.options.origins.allows(origin, req.host()) {
        route
            .options
            .origins
            .log_refusal(req, origin.unwrap_or_default());
        let error = HttpError::new(
            StatusCode::FORBIDDEN,
            "Pages of this origin may not open WebSockets here",
        );
        return Err(error.into());
    }
    Ok(Admission {
        offer,
        slot: slot_of_client(req, route)?,
    })
}

/// Counts the request among the WebSockets of its client, if the route limits them.
fn slot_of_client(req: &Request, route: &Route) -> Result<Option<ClientSlot>, Response> {
    let (Some(limit), Some(counts)) = (route.options.max_per_client, &route.counts) else {
        return Ok(None);
    };
    let Some(ip) = req.client() else {
        return Ok(None);
    };
    match ClientSlot::take(counts, Client::from(ip), limit) {
        Some(slot) => Ok(Some(slot)),
        None => {
            tracing::debug!(client = %ip, limit, "a client has too many WebSockets open");
            let error = HttpError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many WebSockets of this client are open",
            );
            Err(error.into())
        }
    }
}

/// The page that a request comes from. One that is no text is that of nobody.
fn origin(req: &Request) -> Option<&str> {
    let origin = req.head().field("origin")?;
    Some(std::str::from_utf8(origin).unwrap_or("null"))
}

fn answer<R, M>(req: Request, route: &Rc<Route>, gate: impl Fn(Request) -> R) -> Reply
where
    R: IntoDecision<M>,
{
    let admission = match check(&req, route) {
        Ok(admission) => admission,
        Err(response) => return Reply::Ready(response),
    };
    let route = Rc::clone(route);
    match gate(req).into_decision() {
        Decision::Now(verdict) => Reply::Ready(verdict_of(*verdict, admission, route)),
        Decision::Later(future) => Reply::Later(Box::pin(async move {
            Some(verdict_of(future.await, admission, route))
        })),
    }
}

fn verdict_of(
    verdict: Result<Accept, Response>,
    admission: Admission,
    route: Rc<Route>,
) -> Response {
    match verdict {
        Ok(accept) => opened(admission, route, accept),
        Err(response) => response,
    }
}

/// The answer that opens a WebSocket.
pub(crate) fn opened(admission: Admission, route: Rc<Route>, accept: Accept) -> Response {
    let Admission { offer, slot } = admission;
    let Accept {
        open: on_open,
        protocol,
        fields,
        failure,
    } = accept;
    if let Some(error) = failure {
        return error.into_response();
    }
    let protocol = match protocol {
        Some(chosen) if offer.subprotocols().any(|offered| offered == chosen) => Some(chosen),
        Some(chosen) => {
            let cause = format!("the client has not offered the subprotocol {chosen:?}");
            return HttpError::internal(cause).into();
        }
        None => offer
            .choose(route.options.protocols.iter().map(String::as_str))
            .map(str::to_owned),
    };
    let (deflation, extensions) = route.options.compression.agree(&offer).unzip();
    let accept_value = offer.accept();
    let mut response = {
        let protocol = protocol.clone().map(String::into_boxed_str);
        Response::upgrade_channel("websocket", move |channel: Channel| {
            let opening = Opening {
                channel,
                role: Role::Server,
                route,
                protocol,
                deflation,
                slot,
            };
            if let Some(ws) = open(opening) {
                on_open(ws);
            }
        })
    };
    response = response.header("sec-websocket-accept", accept_value);
    if let Some(protocol) = protocol {
        response = response.header("sec-websocket-protocol", protocol);
    }
    if let Some(extensions) = extensions {
        response = response.header("sec-websocket-extensions", extensions);
    }
    let headers = response.headers_mut();
    for (name, value) in fields {
        headers.append(name, value);
    }
    response
}
