//! WebSockets over TLS, on both sides.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use uptick::prelude::*;
use uptick::tls::{SelfSigned, self_signed};
use uptick::websocket::{self, Compression, WebSocketConnector};

/// A server that echoes over TLS with its own certificate, and its URL.
fn echo() -> (HttpServer, SelfSigned, String) {
    let own = self_signed(["localhost", "127.0.0.1"]).unwrap();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let secure = SecureServer::new(server, own.context());
    let address = secure.address().unwrap();
    let http = HttpServer::new().listen(secure);
    let options = WebSocketOptions::new().compression(Compression::Shared);
    http.websocket_with("/echo", options, |_: Request| {
        Accept::new(|ws: WebSocket| {
            ws.send("welcome");
            ws.on("message", move |message: Message| ws.send(message));
        })
    });
    let (_, host) = address.split_once("://").unwrap();
    (http, own, format!("wss://{host}/echo"))
}

#[test]
fn messages_go_there_and_back_over_tls() {
    let (http, own, url) = echo();
    let secure = SecureConnector::new(Connector::new()).cafile_pem(own.cert_pem());
    let closed = uptick::block_on(async move {
        let options = WebSocketOptions::new().compression(Compression::Shared);
        let connector = WebSocketConnector::new(secure).options(options);
        let ws = connector.connect(url).await.unwrap();
        assert!(ws.connection().unwrap().is_secure());
        // It came with the answer to the handshake.
        assert_eq!(
            ws.next(WebSocket::MESSAGE).await,
            Some(Message::from("welcome"))
        );
        for length in [0, 1, 125, 126, 65_535, 65_536, 500_000] {
            let message = Message::from("ü".repeat(length / 2));
            assert!(ws.send(&message).is_taken());
            let echoed = ws.next(WebSocket::MESSAGE).await;
            assert!(echoed == Some(message), "of {length} bytes");
        }
        ws.close(CloseCode::NORMAL, "bye");
        ws.next(WebSocket::CLOSE).await.unwrap()
    });
    let closed = closed.unwrap();
    assert!(closed.clean && closed.code == CloseCode::NORMAL && closed.reason == *"bye");
    http.close();
}

#[test]
fn a_certificate_that_nobody_trusts_is_the_error() {
    let (http, _, url) = echo();
    let error = uptick::block_on(async move { websocket::connect(url).await.unwrap_err() });
    let error = error.unwrap().to_string();
    assert!(error.contains("connecting to tls://127.0.0.1:"), "{error}");
    assert!(error.contains("TLS handshake"), "{error}");
    http.close();
}

#[test]
fn a_plain_websocket_needs_no_other_connector() {
    let http = HttpServer::bind("127.0.0.1:0").unwrap();
    http.websocket("/", |ws: WebSocket| {
        ws.send("hello");
        ws.close(CloseCode::NORMAL, "");
    });
    let url = http.address().unwrap().replace("tcp://", "ws://");
    let hello = uptick::block_on(async move {
        let ws = websocket::connect(url).await.unwrap();
        ws.next(WebSocket::MESSAGE).await
    });
    assert_eq!(hello.unwrap(), Some(Message::from("hello")));
    http.close();
}
