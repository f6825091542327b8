//! Tests of WebSockets without a port.
//!
//! The server side is opened by the routes of a server as any other: request, gate, subprotocol, compression and options are those of
//! real clients. The connection is a pair of sockets, and both ends run on the loop of the thread. The clock may be a
//! [manual one](uptick_event_loop::ManualClock); the poller is that of the system.
//!
//! ```
//! use uptick_emitter::Emitter;
//! use uptick_event_loop::block_on;
//! use uptick_http::HttpServer;
//! use uptick_websocket::{Error, Message, WebSocket, WebSocketRoutes, test};
//!
//! let http = HttpServer::new();
//! http.websocket("/echo", |ws: WebSocket| {
//!     ws.on("message", move |message: Message| ws.send(message));
//! });
//!
//! let echoed = block_on(async move {
//!     let ws = test::connect(http, "/echo").await?;
//!     ws.send("Hello!");
//!     Ok::<_, Error>(ws.next(WebSocket::MESSAGE).await)
//! })??;
//! assert_eq!(echoed, Some(Message::from("Hello!")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::Display;

use uptick_http::HttpServer;

use crate::{Connecting, WebSocketConnector};

/// Opens a WebSocket at a path of a server, with its query if it has one.
///
/// # Errors
/// As [`WebSocketConnector::connect`]: [`Error::Refused`](crate::Error::Refused) when a gate refuses.
pub fn connect(http: HttpServer, target: impl Display) -> Connecting {
    connector(http).connect(format!("ws://localhost{target}"))
}

/// Returns a connector whose WebSockets are all opened at a server, whatever host the URL names; for headers, subprotocols and options.
///
/// # Examples
/// ```
/// use uptick_event_loop::block_on;
/// use uptick_http::{HttpError, HttpServer, Request, StatusCode};
/// use uptick_websocket::{Accept, Error, WebSocketOptions, WebSocketRoutes, test};
///
/// let http = HttpServer::new();
/// http.websocket_with("/chat", WebSocketOptions::new(), |req: Request| match req.cookie("user") {
///     Some(_) => Ok(Accept::new(|_| {})),
///     None => Err(HttpError::from_status(StatusCode::UNAUTHORIZED)),
/// });
///
/// let stranger = block_on(test::connect(http, "/chat"))?;
/// assert!(matches!(stranger, Err(Error::Refused { refusal, .. }) if refusal.status() == 401));
/// let member = test::connector(http).header("cookie", "user=ada");
/// assert!(block_on(member.connect("ws://localhost/chat"))?.is_ok());
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn connector(http: HttpServer) -> WebSocketConnector {
    WebSocketConnector::new(http.test().connector())
}
