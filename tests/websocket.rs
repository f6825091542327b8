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

/// Sends until 4 MiB wait above the kernel; returns how many messages.
fn flood(ws: WebSocket) -> usize {
    let message = Message::from(vec![b'x'; 64 * 1024]);
    let mut count = 0;
    while ws.buffered() < 4 << 20 {
        assert!(ws.send(&message).is_taken());
        count += 1;
    }
    count
}

/// Reads until a pong has come, and returns how many messages came before it.
async fn messages_before_pong(ws: WebSocket) -> usize {
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = std::rc::Rc::clone(&count);
    ws.on("message", move |_: Message| seen.set(seen.get() + 1));
    ws.resume();
    assert_eq!(ws.next(WebSocket::PONG).await.unwrap(), "here?");
    count.get()
}

#[test]
fn a_pong_goes_ahead_of_the_messages_that_wait_over_tls_on_both_sides() {
    let own = self_signed(["localhost", "127.0.0.1"]).unwrap();
    let secure = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), own.context());
    let url = secure.address().unwrap().replace("tls://", "wss://");
    let http = HttpServer::new().listen(secure);
    let options = WebSocketOptions::new().max_buffered(64 << 20);
    let place = std::rc::Rc::new(std::cell::Cell::new(None));
    let there = std::rc::Rc::clone(&place);
    http.websocket_with("/", options.clone(), move |_: Request| {
        let there = std::rc::Rc::clone(&there);
        Accept::new(move |ws: WebSocket| there.set(Some(ws)))
    });
    let connector = SecureConnector::new(Connector::new()).cafile_pem(own.cert_pem());
    let done = uptick::block_on(async move {
        let connector = WebSocketConnector::new(connector).options(options);
        let client = connector.connect(url).await.unwrap();
        client.next(WebSocket::OPEN).await;
        let server = place.take().unwrap();
        for (sender, reader) in [(server, client), (client, server)] {
            reader.pause();
            let count = flood(sender);
            reader.ping("here?");
            assert_eq!(sender.next(WebSocket::PING).await.unwrap(), "here?");
            let before = messages_before_pong(reader).await;
            assert!(before + 20 < count, "{before} of {count}");
            while sender.buffered() > 0 {
                reader.next(WebSocket::MESSAGE).await;
            }
        }
    });
    done.unwrap();
    http.close();
}
