//! Client WebSockets.

pub(crate) mod dial;
mod handshake;
pub(crate) mod refusal;
pub(crate) mod url;

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use uptick_emitter::emit;
use uptick_event_loop::{JoinHandle, catch, future_tick, spawn};
use uptick_http::{HeaderMap, HeaderName, HeaderValue};
use uptick_socket::{Connector, ConnectorInterface};

use crate::compression::PerMessageDeflate;
use crate::protocol::Role;
use crate::protocol::handshake::client::{HandshakeError, Request};
use crate::socket::serving::{UpgradedChannel, open, start_reading};
use crate::socket::state::RouteContext;
use crate::{Error, Hub, WebSocket, WebSocketOptions};

use dial::{DialError, Dialer};
use handshake::ConnectionDialer;
use url::Url;

pub use refusal::Refusal;

/// Default timeout of the handshake response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a WebSocket at a `ws://` URL, with a [`WebSocketConnector`] that has the default options and uses a [`Connector`].
///
/// `wss://` needs a connector with TLS: `uptick::websocket::connect` has one if the feature is enabled, and
/// [`WebSocketConnector::new`] takes any connector.
///
/// # Errors
/// See [`WebSocketConnector::connect`].
///
/// # Examples
/// ```
/// use uptick_emitter::Emitter;
/// use uptick_http::HttpServer;
/// use uptick_websocket::{CloseCode, Message, WebSocket, WebSocketRoutes, connect};
///
/// let http = HttpServer::bind("127.0.0.1:0")?;
/// http.websocket("/echo", |ws: WebSocket| {
///     ws.on("message", move |message: Message| ws.send(message));
/// });
/// let url = format!("ws://{}/echo", &http.address().unwrap()["tcp://".len()..]);
/// let echoed = uptick_event_loop::block_on(async move {
///     let ws = connect(url).await?;
///     ws.send("Hello!");
///     let echoed = ws.next(WebSocket::MESSAGE).await;
///     ws.close(CloseCode::NORMAL, "");
///     Ok::<_, uptick_websocket::Error>(echoed)
/// })??;
/// assert_eq!(echoed, Some(Message::from("Hello!")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connect(url: impl AsRef<str>) -> Connecting {
    WebSocketConnector::default().connect(url)
}

/// A client that opens WebSockets.
///
/// A clone has the same options. Redirects are not followed; they are errors, as is every response other than 101.
///
/// # Limits
/// 10 s for the response of the server, in addition to the timeout of the inner connector ([`timeout`](Self::timeout)); 16 KiB
/// and 100 headers in the response head. [`WebSocketOptions`] has the limits of the WebSocket.
///
/// # Examples
/// ```no_run
/// use uptick_emitter::Emitter;
/// use uptick_socket::Connector;
/// use uptick_websocket::{Message, WebSocket, WebSocketConnector};
///
/// let connector = WebSocketConnector::new(Connector::new())
///     .protocol("chat")
///     .header("authorization", "Bearer 0123456789");
/// connector.connect_then("ws://example.com/chat", |result| match result {
///     Ok(ws) => {
///         ws.on("open", move |()| ws.send("Hello!"));
///         ws.on("message", |message: Message| println!("{message:?}"));
///     }
///     // opening a WebSocket at ws://example.com/chat failed: the server responded with 401 Unauthorized
///     Err(error) => eprintln!("{error}"),
/// });
/// uptick_event_loop::run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
#[derive(Clone)]
pub struct WebSocketConnector {
    dialer: Rc<dyn Dialer>,
    options: WebSocketOptions,
    protocols: Vec<String>,
    headers: HeaderMap,
    timeout: Duration,
    failure: Option<&'static str>,
}

impl Default for WebSocketConnector {
    fn default() -> Self {
        WebSocketConnector::new(Connector::new())
    }
}

impl WebSocketConnector {
    /// Creates a connector that uses `inner` to connect to `tcp://` addresses, and to `tls://` addresses for URLs that start
    /// with `wss://`.
    pub fn new(inner: impl ConnectorInterface + 'static) -> Self {
        WebSocketConnector::over(ConnectionDialer::new(inner))
    }

    pub(crate) fn over(dialer: impl Dialer + 'static) -> Self {
        WebSocketConnector {
            dialer: Rc::new(dialer),
            options: WebSocketOptions::new(),
            protocols: Vec::new(),
            headers: HeaderMap::new(),
            timeout: TIMEOUT,
            failure: None,
        }
    }

    /// Sets the options of the WebSockets, including the offered compression and subprotocols. Default:
    /// [`WebSocketOptions::new`].
    #[must_use]
    pub fn options(mut self, options: WebSocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds a subprotocol that the server may choose, after the preferred ones. Default: only the subprotocols of the
    /// options.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Adds a header to the request, such as `Authorization`, `Cookie` or `Origin`. If it is invalid, connecting
    /// fails. Default: only the headers of the handshake.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        HeaderName: TryFrom<N>,
        HeaderValue: TryFrom<V>,
    {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => self.failure = Some("a header added to the request has an invalid name or value"),
        }
        self
    }

    /// Sets the timeout for the response, from the time the connection is established. Default: 10 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Opens a WebSocket at a URL that starts with `ws://` or `wss://`. The attempt starts when the future is first polled.
    ///
    /// Events are emitted from the iteration of the loop after the one in which the future completes: first
    /// `open`, then `message`.
    ///
    /// # Errors
    /// The future returns [`Error::InvalidUrl`] for other URLs, [`Error::Connection`] if the connection to the
    /// server fails, [`Error::Refused`] for a response with a status other than 101, [`Error::Handshake`] for a response that is not a valid
    /// WebSocket handshake or does not match the request, and [`Error::NoResponse`] or [`Error::Timeout`] if there is no response.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub fn connect(&self, url: impl AsRef<str>) -> Connecting {
        match Url::parse(url.as_ref()) {
            Ok(url) => Connecting(Box::pin(self.clone().dial(url))),
            Err(error) => Connecting(Box::pin(ready(Err(error)))),
        }
    }

    /// Opens a WebSocket and calls `callback` with the result, as an alternative to awaiting [`connect`](Self::connect). The attempt starts
    /// in the loop's next iteration.
    ///
    /// [`cancel`](JoinHandle::cancel) aborts the attempt, and the callback is not called; dropping the handle does not. If
    /// the callback panics, the WebSocket is terminated.
    pub fn connect_then<R>(
        &self,
        url: impl AsRef<str>,
        callback: impl FnOnce(Result<WebSocket, Error>) -> R + 'static,
    ) -> JoinHandle<()> {
        let connecting = self.connect(url);
        spawn(async move {
            let result = connecting.await;
            let ws = result.as_ref().ok().copied();
            let called = catch(|| {
                callback(result);
            });
            if let Err(message) = called {
                tracing::error!("a callback of a WebSocket connector panicked: {message}");
                if let Some(ws) = ws {
                    ws.terminate();
                }
            }
        })
    }

    fn request(&self, url: &Url) -> Result<Request, HandshakeError> {
        if let Some(reason) = self.failure {
            return Err(HandshakeError::Request(reason));
        }
        let mut request = Request::new(&*url.host, &*url.target);
        for protocol in self.options.protocols.iter().chain(&self.protocols) {
            request = request.protocol(protocol);
        }
        if let Some(config) = self.options.compression.requested() {
            request = request.deflate(config);
        }
        for (name, value) in &self.headers {
            request = request.header(name.clone(), value.clone());
        }
        Ok(request)
    }

    async fn dial(self, url: Url) -> Result<WebSocket, Error> {
        let redacted = url.redacted.clone();
        let failed = |error| match error {
            DialError::Connection(error) => Error::Connection(error),
            DialError::Ended => Error::NoResponse {
                url: redacted.clone(),
            },
            DialError::Timeout(after) => Error::Timeout {
                url: redacted.clone(),
                after,
            },
            DialError::Refused(refusal) => Error::Refused {
                url: redacted.clone(),
                refusal: Arc::from(refusal),
            },
            DialError::Handshake(source) => Error::Handshake {
                url: redacted.clone(),
                source,
            },
        };
        let request = self.request(&url).map_err(DialError::Handshake);
        let dialing = request.map(|request| self.dialer.dial(&url, request, self.timeout));
        let (channel, agreed) = dialing.map_err(failed)?.await.map_err(failed)?;
        let upgraded = UpgradedChannel {
            channel,
            role: Role::Client,
            route: Rc::new(RouteContext {
                options: self.options,
                hub: Hub::of_thread(),
                counts: None,
                close_timeout: Rc::default(),
            }),
            protocol: agreed.protocol.map(String::into_boxed_str),
            deflation: agreed.deflate.as_ref().map(PerMessageDeflate::of_client),
            slot: None,
        };
        let ws = open(upgraded).ok_or(Error::NoResponse { url: url.redacted })?;
        // A task that awaits another task resumes one iteration later, so `open` is emitted after that.
        future_tick(move || future_tick(move || opened(ws)));
        Ok(ws)
    }
}

/// Starts reading from a WebSocket and emits `open`.
fn opened(ws: WebSocket) {
    if start_reading(ws) {
        emit(&ws, WebSocket::OPEN, ());
    }
}

/// A future that opens a WebSocket, returned by [`WebSocketConnector::connect`].
///
/// # Cancel safety
/// Dropping it closes the connection and cancels its timers.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Connecting(Pin<Box<dyn Future<Output = Result<WebSocket, Error>>>>);

impl Future for Connecting {
    type Output = Result<WebSocket, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

impl fmt::Debug for WebSocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may contain secrets.
        f.debug_struct("WebSocketConnector")
            .field("options", &self.options)
            .field("protocols", &self.protocols)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
