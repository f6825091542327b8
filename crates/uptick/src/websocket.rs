//! WebSockets, of servers and of clients.
//!
//! Re-exports [`uptick_websocket`], with a [`connect`] that supports `wss://` with the feature `tls`.

pub use uptick_websocket::*;

/// Returns a connector for `ws://` URLs, and with the feature `tls` for `wss://` URLs.
///
/// # Examples
/// ```no_run
/// use uptick::websocket;
///
/// let connector = websocket::connector().header("authorization", "Bearer 0123456789");
/// let ws = uptick::block_on(connector.connect("wss://example.com/chat"))??;
/// # let _ = ws;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connector() -> WebSocketConnector {
    #[cfg(feature = "tls")]
    let below = uptick_tls::connector();
    #[cfg(not(feature = "tls"))]
    let below = uptick_socket::Connector::new();
    WebSocketConnector::new(below)
}

/// Opens a WebSocket at a `ws://` URL, and with the feature `tls` at a `wss://` one, as [`connector`] does.
///
/// # Errors
/// See [`WebSocketConnector::connect`].
///
/// # Examples
/// ```no_run
/// use uptick::prelude::*;
/// use uptick::websocket;
///
/// let answer = uptick::block_on(async {
///     let ws = websocket::connect("wss://example.com/chat").await?;
///     ws.send("Hello!");
///     Ok::<_, websocket::Error>(ws.next(WebSocket::MESSAGE).await)
/// })??;
/// println!("{answer:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connect(url: impl AsRef<str>) -> Connecting {
    connector().connect(url)
}
