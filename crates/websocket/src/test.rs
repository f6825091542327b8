//! Tests of WebSockets without a port.
//!
//! The server side is opened by the routes of a server as any other: request, gate, subprotocol, compression and options are those of
//! real clients. Both ends run on the loop of the thread, and a channel in memory carries them: no socket, no descriptor. The clock may be a
//! [manual one](uptick_event_loop::ManualClock), and the poller a [scripted one](uptick_event_loop::ScriptedPoller).
//!
//! As over a connection, a peer takes 64 KiB that it has not delivered, and the rest waits in the write queue. There is no
//! [`WebSocket::connection`](crate::WebSocket::connection); [`TestClient::connector`](uptick_http::test::TestClient::connector) makes real
//! connections to the server for a [`WebSocketConnector`].
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
use crate::client::refusal::{CONTENT_TIME, Refusal};
use crate::client::url::Url;
use crate::protocol::handshake::client::{Failure, Request};
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
    WebSocketConnector::over(MemoryDialer(http.test()))
}

/// Opens WebSockets at a server over channels in memory.
struct MemoryDialer(TestClient);

impl Dialer for MemoryDialer {
    fn dial(&self, url: &Url, request: Request, limit: Duration) -> LocalFuture<Dialed> {
        let (request, fields, answer) = match request.into_fields() {
            Ok(parts) => parts,
            Err(failure) => return Box::pin(ready(Err(DialError::Failure(failure)))),
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
                .ok_or(DialError::Late(limit))?
                .map_err(failed)?;
            match answer.agree(status, headers) {
                Ok(agreed) => {
                    let channel = exchange.take_channel().ok_or(DialError::Ended)?;
                    channel.pause();
                    Ok((channel, agreed))
                }
                Err(Failure::Status { status, headers }) => {
                    let mut refusal = Refusal::new(status, *headers);
                    let _ = within(CONTENT_TIME, read_content(&exchange, &mut refusal)).await;
                    Err(DialError::Refused(refusal.into()))
                }
                Err(failure) => Err(DialError::Failure(failure)),
            }
        })
    }
}

/// Reads the content of a response that refuses, until it is over or broken off, or no more is kept.
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
            what: "the server".into(),
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

/// Waits for a future until a limit is over; then returns `None`.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut timer) = (pin!(future), pin!(timeout(limit)));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}
