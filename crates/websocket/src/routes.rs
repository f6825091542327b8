//! WebSocket routes of an HTTP server.

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
use crate::servers::ServerSockets;
use crate::socket::serving::{UpgradedChannel, open};
use crate::socket::state::RouteContext;
use crate::{Hub, WebSocket, WebSocketOptions, WebSocketStats};

mod sealed {
    pub trait Sealed {}
    impl Sealed for uptick_http::HttpServer {}
}

/// WebSocket routes of an [`HttpServer`].
///
/// Requests without a WebSocket handshake get the response 426, and requests of browsers from pages of other
/// hosts get 403 ([`Origins`](crate::Origins)).
///
/// A [shutdown](HttpServer::shutdown_with) of the server closes its WebSockets with 1001, or with 1012 if the server restarts, each at a
/// random moment of the shutdown's window. Until then they keep working. Requests for a WebSocket during the shutdown get the response 503
/// with `Retry-After`.
pub trait WebSocketRoutes: sealed::Sealed + Copy {
    /// Calls `open` with each WebSocket that is opened at a path.
    ///
    /// The pattern is the same as for [`HttpServer::get`], and the [`WebSocketOptions`] have their defaults.
    ///
    /// # Panics
    /// If the pattern is malformed or already in use; see [`HttpServer::get`].
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

    /// Calls `gate` with each request for a WebSocket at a path, before the upgrade. The gate returns [`Accept`],
    /// [`Reject`](crate::Reject), [`RejectWithClose`](crate::RejectWithClose), a `Result` of an `Accept` and an error that converts into a response or is
    /// a `RejectWithClose`, or a future of one of these.
    ///
    /// # Panics
    /// If the pattern is malformed or already in use; see [`HttpServer::get`].
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

    /// Sends a message to all WebSockets of the server that are subscribed to a topic, and returns the number of receivers in this worker; see
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
        let sockets = ServerSockets::of(self);
        let route = Rc::new(RouteContext {
            options,
            hub: sockets.hub(),
            counts: Some(sockets.counts()),
            close_timeout: sockets.close_timeout(),
        });
        self.get(pattern, move |req: Request| respond(req, &route, &gate))
    }

    fn hub(self) -> Hub {
        ServerSockets::of(self).hub()
    }

    fn websockets(self) -> WebSocketStats {
        ServerSockets::of(self).counts().stats()
    }
}

/// Returns the response to a WebSocket handshake, in a handler of any route, and passes the WebSocket to `open`.
///
/// Its hub is the [hub of the thread](Hub::of_thread); [`upgrade_with`] takes another one. A shutdown of the server closes the WebSocket like
/// all other WebSockets of the server.
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

/// Returns the response to a WebSocket handshake, as [`upgrade`] does, with another hub.
pub fn upgrade_with(
    req: &Request,
    options: WebSocketOptions,
    hub: Hub,
    open: impl FnOnce(WebSocket) + 'static,
) -> Response {
    let sockets = req.server().map(ServerSockets::of);
    let route = Rc::new(RouteContext {
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

/// A valid upgrade request.
pub(crate) struct Admission {
    offer: Offer,
    slot: Option<ClientSlot>,
}

/// Checks an upgrade request; if it is not valid or not allowed, returns the response to it.
pub(crate) fn check(req: &Request, route: &RouteContext) -> Result<Admission, Response> {
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
        // The gate is not called, because it may be expensive.
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
            "pages of this origin may not open WebSockets here",
        );
        return Err(error.into());
    }
    Ok(Admission {
        offer,
        slot: slot_of_client(req, route)?,
    })
}

/// Counts the request among the WebSockets of its client if the route limits them.
fn slot_of_client(req: &Request, route: &RouteContext) -> Result<Option<ClientSlot>, Response> {
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
                "too many WebSockets of this client are open",
            );
            Err(error.into())
        }
    }
}

/// Returns the origin of the page that sent the request; `null` if it is not valid UTF-8.
fn origin(req: &Request) -> Option<&str> {
    let origin = req.head().field("origin")?;
    Some(std::str::from_utf8(origin).unwrap_or("null"))
}

fn respond<R, M>(req: Request, route: &Rc<RouteContext>, gate: impl Fn(Request) -> R) -> Reply
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
    route: Rc<RouteContext>,
) -> Response {
    match verdict {
        Ok(accept) => opened(admission, route, accept),
        Err(response) => response,
    }
}

/// Returns the response that opens a WebSocket.
pub(crate) fn opened(admission: Admission, route: Rc<RouteContext>, accept: Accept) -> Response {
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
            let upgraded = UpgradedChannel {
                channel,
                role: Role::Server,
                route,
                protocol,
                deflation,
                slot,
            };
            if let Some(ws) = open(upgraded) {
                on_open(ws);
            }
        })
    };
    if let Some(accept_value) = accept_value {
        response = response.header("sec-websocket-accept", accept_value);
    }
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
