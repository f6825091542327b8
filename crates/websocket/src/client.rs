//! WebSockets that this side opens.

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

use crate::compression::Deflation;
use crate::protocol::Role;
use crate::protocol::handshake::client::{Failure, Request};
use crate::socket::serving::{Opening, begin, open};
use crate::socket::state::Route;
use crate::{Error, Hub, WebSocket, WebSocketOptions};

use dial::{DialError, Dialer};
use handshake::ConnectionDialer;
use url::Url;

pub use refusal::Refusal;

/// How long a server may take to answer the request for a WebSocket.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a WebSocket at a `ws://` URL, as [`WebSocketConnector`] does with its defaults over a [`Connector`].
///
/// `wss://` needs a connector that knows TLS: `uptick::websocket::connect` has it where TLS is there, and
/// [`WebSocketConnector::new`] takes any.
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

/// Opens WebSockets, as a client.
///
/// Clones have the same options. Redirects are not followed; they are errors, as all answers are that open no WebSocket.
///
/// # Limits
/// 10 s for the answer of the server, besides the time limit of the connector below ([`timeout`](Self::timeout)); 16 KiB
/// and 100 fields in its head. Those of the WebSocket are in [`WebSocketOptions`].
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
///     // opening a WebSocket at ws://example.com/chat failed: the server answers with 401 Unauthorized
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
    /// Makes one that has `inner` make the connections. It is asked for `tcp://` addresses, and for `tls://` ones where the
    /// URL begins with `wss://`.
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

    /// Sets how the WebSockets behave. Compression is offered where they say so, and so are their subprotocols. Default:
    /// [`WebSocketOptions::new`].
    #[must_use]
    pub fn options(mut self, options: WebSocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds a subprotocol that the server may choose, behind those that are preferred. Default: none but those of the
    /// options.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Adds a field to the request, such as `Authorization`, `Cookie` or `Origin`. One that cannot be sent makes connecting
    /// fail. Default: none but those of the handshake.
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
            _ => {
                self.failure =
                    Some("a field that was added has a name or a value that it cannot have")
            }
        }
        self
    }

    /// Sets how long a server may take to answer the request, once there is a connection. Default: 10 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Opens a WebSocket at a URL that begins with `ws://` or `wss://`. It begins when the future is first polled.
    ///
    /// What the server sends waits until the iteration of the loop after the one in which the future gives the WebSocket:
    /// then `open` comes, and messages behind it.
    ///
    /// # Errors
    /// The future gives [`Error::InvalidUrl`] for another URL, [`Error::Connection`] when there is no connection with the
    /// server, [`Error::Refused`] for an answer with another status than 101, [`Error::Handshake`] for one that is not that of
    /// a WebSocket server, or not to the request, [`Error::Ended`] and [`Error::Timeout`] when there is none.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub fn connect(&self, url: impl AsRef<str>) -> Connecting {
        match Url::parse(url.as_ref()) {
            Ok(url) => Connecting(Box::pin(self.clone().dial(url))),
            Err(error) => Connecting(Box::pin(ready(Err(error)))),
        }
    }

    /// Opens a WebSocket, for those who do not await: begins in the loop's next iteration and calls `callback` with what
    /// came of it.
    ///
    /// [`cancel`](JoinHandle::cancel) gives the attempt up, and the callback is not called; dropping the handle does not. When
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

    fn request(&self, url: &Url) -> Result<Request, Failure> {
        if let Some(reason) = self.failure {
            return Err(Failure::Request(reason));
        }
        let mut request = Request::new(&*url.host, &*url.target);
        for protocol in self.options.protocols.iter().chain(&self.protocols) {
            request = request.protocol(protocol);
        }
        if let Some(wants) = self.options.compression.wants() {
            request = request.deflate(wants);
        }
        for (name, value) in &self.headers {
            request = request.header(name.clone(), value.clone());
        }
        Ok(request)
    }

    async fn dial(self, url: Url) -> Result<WebSocket, Error> {
        let shown = url.shown.clone();
        let failed = |error| match error {
            DialError::Connection(error) => Error::Connection(error),
            DialError::Ended => Error::Ended { url: shown.clone() },
            DialError::Late(after) => Error::Timeout {
                url: shown.clone(),
                after,
            },
            DialError::Refused(refusal) => Error::Refused {
                url: shown.clone(),
                refusal: Arc::from(refusal),
            },
            DialError::Failure(source) => Error::Handshake {
                url: shown.clone(),
                source,
            },
        };
        let request = self.request(&url).map_err(DialError::Failure);
        let dialing = request.map(|request| self.dialer.dial(&url, request, self.timeout));
        let (channel, agreed) = dialing.map_err(failed)?.await.map_err(failed)?;
        let opening = Opening {
            channel,
            role: Role::Client,
            route: Rc::new(Route {
                options: self.options,
                hub: Hub::of_thread(),
                counts: None,
                close_timeout: Rc::default(),
            }),
            protocol: agreed.protocol.map(String::into_boxed_str),
            deflation: agreed.deflate.as_ref().map(Deflation::of_client),
            slot: None,
        };
        let ws = open(opening).ok_or(Error::Ended { url: url.shown })?;
        // Who awaits a task that awaits this gets it an iteration later.
        future_tick(move || future_tick(move || opened(ws)));
        Ok(ws)
    }
}

/// Tells that a WebSocket is open, and lets it read.
fn opened(ws: WebSocket) {
    if begin(ws) {
        emit(&ws, WebSocket::OPEN, ());
    }
}

/// A WebSocket in the making, to be awaited.
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
        // Fields may be secrets.
        f.debug_struct("WebSocketConnector")
            .field("options", &self.options)
            .field("protocols", &self.protocols)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
