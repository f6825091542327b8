//! In-memory tests of WebSockets, without a port.
//!
//! The routes of a server open the server side like any other WebSocket: request, gate, subprotocol, compression and options work as with
//! real clients. Both ends run on the loop of the thread, connected by a channel in memory: no socket, no file descriptor. The clock may be a
//! [manual one](uptick_event_loop::ManualClock), and the poller a [scripted one](uptick_event_loop::ScriptedPoller).
//!
//! Like the kernel for a connection, the peer buffers up to 64 KiB of undelivered bytes, and the rest stays in the write queue. There is no
//! [`WebSocket::connection`](crate::WebSocket::connection); for a [`WebSocketConnector`] with real connections to the server, use
//! [`TestClient::connector`](uptick_http::test::TestClient::connector).
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
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use uptick_event_loop::driver::timeout;
use uptick_http::test::{TestClient, TestError, TestExchange};
use uptick_http::{HeaderMap, HttpServer, LocalFuture, StatusCode};
use uptick_socket::Error as SocketError;

use crate::client::dial::{DialError, Dialed, Dialer};
use crate::client::refusal::{BODY_TIMEOUT, Refusal};
use crate::client::url::Url;
use crate::protocol::handshake::client::{HandshakeError, Request};
use crate::{Connecting, WebSocketConnector};

/// Opens a WebSocket at a path of a server, with an optional query.
///
/// # Errors
/// See [`WebSocketConnector::connect`]. [`Error::Refused`](crate::Error::Refused) if a gate rejects the request.
pub fn connect(http: HttpServer, target: impl Display) -> Connecting {
    connector(http).connect(format!("ws://localhost{target}"))
}

/// Returns a connector that opens all its WebSockets at a server, regardless of the host in the URL; for headers, subprotocols and options.
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
    WebSocketConnector::over(MemoryDialer(http.test()))
}

/// The dialer that opens WebSockets at a server over channels in memory.
struct MemoryDialer(TestClient);

impl Dialer for MemoryDialer {
    fn dial(&self, url: &Url, request: Request, limit: Duration) -> LocalFuture<Dialed> {
        let (request, fields, response) = match request.into_fields() {
            Ok(parts) => parts,
            Err(failure) => return Box::pin(ready(Err(DialError::Handshake(failure)))),
        };
        let mut sent = self.0.get(request.target()).secure(url.is_secure);
        sent = sent.header("host", request.host());
        sent = sent.header("connection", "Upgrade");
        for (name, value) in fields.iter() {
            sent = sent.header(name.clone(), value.clone());
        }
        Box::pin(async move {
            let exchange = sent.start().map_err(failed)?;
            let (status, headers) = within(limit, exchange.head())
                .await
                .ok_or(DialError::Timeout(limit))?
                .map_err(failed)?;
            match response.agree(status, headers) {
                Ok(agreed) => {
                    let channel = exchange.take_channel().ok_or(DialError::Ended)?;
                    channel.pause();
                    Ok((channel, agreed))
                }
                Err(HandshakeError::Status { status, headers }) => {
                    let mut refusal = Refusal::new(status, *headers);
                    let _ = within(BODY_TIMEOUT, read_content(&exchange, &mut refusal)).await;
                    Err(DialError::Refused(refusal.into()))
                }
                Err(failure) => Err(DialError::Handshake(failure)),
            }
        })
    }
}

/// Reads the body of a refusal, until it ends, fails, or no more is kept.
async fn read_content(exchange: &TestExchange, refusal: &mut Refusal) {
    while let Ok(Some(piece)) = exchange.piece().await {
        if !refusal.push(&piece) {
            return;
        }
    }
}

fn failed(error: TestError) -> DialError {
    match error {
        TestError::InvalidRequest { status, reason, .. } => {
            DialError::Refused(refused(status, reason))
        }
        TestError::ServerClosed { .. } => DialError::Connection(SocketError::Closed {
            object: "the server".into(),
        }),
        _ => DialError::Ended,
    }
}

/// Returns the response of a server to a request that it does not route.
fn refused(status: StatusCode, reason: &str) -> Box<Refusal> {
    let mut refusal = Refusal::new(status, HeaderMap::new());
    refusal.push(reason.as_bytes());
    refusal.into()
}

/// Waits for a future; returns `None` if it does not complete within the limit.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut timer) = (pin!(future), pin!(timeout(limit)));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}
