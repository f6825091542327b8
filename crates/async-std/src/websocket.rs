//! WebSockets of [async-tungstenite](https://docs.rs/async-tungstenite) over Uptick's connections, with the feature
//! `async-tungstenite`.
//!
//! The module is meant for programs that already use async-tungstenite. Uptick's own WebSockets, with compression and
//! backpressure, are in the crate `uptick-websocket`.

use std::io;

use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::error::UrlError;
use async_tungstenite::{accept_async, client_async};
use uptick_socket::{Connection, Connector, ConnectorInterface};
use uptick_stream::{AsyncDuplex, DuplexStream};

pub use async_tungstenite::WebSocketStream;
pub use async_tungstenite::tungstenite::{Error, Message};

use crate::handshake::run_handshake;

/// Accepts a WebSocket over a connection: reads the upgrade request and sends the response.
///
/// Over TLS, call `async_tungstenite::accept_async` with the session.
///
/// # Errors
/// An error if the handshake fails, for example because the request is not a WebSocket upgrade; the connection is ended.
///
/// # Limits
/// The handshake may take [`HANDSHAKE_TIMEOUT`](crate::HANDSHAKE_TIMEOUT), 10 s; after that it fails (`ETIMEDOUT`).
/// Tungstenite limits messages to 64 MiB.
pub async fn accept<S: DuplexStream>(conn: S) -> Result<WebSocketStream<AsyncDuplex<S>>, Error> {
    let handshake = accept_async(conn.into_async());
    run_handshake(conn, "WebSocket handshake", handshake).await
}

/// Connects to a WebSocket server: `ws://example.com/path`.
///
/// For `wss://`, call `async_tungstenite::client_async` with the session that `tls::connect` returns.
///
/// # Errors
/// An error if the scheme of the URL is not `ws`, or if connecting or the handshake fails.
///
/// # Limits
/// The limits of [`Connector`] and of [`accept`].
pub async fn connect(url: &str) -> Result<WebSocketStream<AsyncDuplex<Connection>>, Error> {
    let request = url.into_client_request()?;
    let uri = request.uri();
    if uri.scheme_str() != Some("ws") {
        return Err(UrlError::UnsupportedUrlScheme.into());
    }
    let host = uri.host().ok_or(UrlError::NoHostName)?;
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let connecting = Connector::new().connect(address);
    let conn = connecting.await.map_err(io::Error::from)?;
    let handshake = async { Ok(client_async(request, conn.into_async()).await?.0) };
    run_handshake(conn, "WebSocket handshake", handshake).await
}
