//! WebSockets over TLS, for server and client.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use uptick::prelude::*;
use uptick::tls::{SelfSigned, self_signed};
use uptick::websocket::{self, Compression, WebSocketConnector};

/// Starts an echo server over TLS with its own certificate. Returns the server, its certificate and its URL.
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
fn messages_are_echoed_over_tls() {
    let (http, own, url) = echo();
    let secure = SecureConnector::new(Connector::new()).cafile_pem(own.cert_pem());
    let closed = uptick::block_on(async move {
        let options = WebSocketOptions::new().compression(Compression::Shared);
        let connector = WebSocketConnector::new(secure).options(options);
        let ws = connector.connect(url).await.unwrap();
        assert!(ws.connection().unwrap().is_secure());
        // Received together with the handshake response.
        assert_eq!(
            ws.next(WebSocket::MESSAGE).await,
            Some(Message::from("welcome"))
        );
        for length in [0, 1, 125, 126, 65_535, 65_536, 500_000] {
            let message = Message::from("ü".repeat(length / 2));
            assert!(ws.send(&message).is_taken());
            let echoed = ws.next(WebSocket::MESSAGE).await;
            assert!(echoed == Some(message), "{length} bytes");
        }
        ws.close(CloseCode::NORMAL, "bye");
        ws.next(WebSocket::CLOSE).await.unwrap()
    });
    let closed = closed.unwrap();
    assert!(closed.clean && closed.code == CloseCode::NORMAL && closed.reason == *"bye");
    http.close();
}

#[test]
fn an_untrusted_certificate_is_an_error() {
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

/// Sends messages until 4 MiB are queued in the process. Returns the number of messages.
fn flood(ws: WebSocket) -> usize {
    let message = Message::from(vec![b'x'; 64 * 1024]);
    let mut count = 0;
    while ws.buffered() < 4 << 20 {
        assert!(ws.send(&message).is_taken());
        count += 1;
    }
    count
}

/// Reads until a pong arrives. Returns the number of messages received before it.
async fn messages_before_pong(ws: WebSocket) -> usize {
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = std::rc::Rc::clone(&count);
    ws.on("message", move |_: Message| seen.set(seen.get() + 1));
    ws.resume();
    assert_eq!(ws.next(WebSocket::PONG).await.unwrap(), "here?");
    count.get()
}

#[test]
fn a_pong_is_sent_ahead_of_queued_messages_over_tls_by_both_peers() {
    let own = self_signed(["localhost", "127.0.0.1"]).unwrap();
    let secure = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), own.context());
    let url = secure.address().unwrap().replace("tls://", "wss://");
    let http = HttpServer::new().listen(secure);
    let options = WebSocketOptions::new().max_buffered(64 << 20);
    let server_ws = std::rc::Rc::new(std::cell::Cell::new(None));
    let accepted = std::rc::Rc::clone(&server_ws);
    http.websocket_with("/", options.clone(), move |_: Request| {
        let accepted = std::rc::Rc::clone(&accepted);
        Accept::new(move |ws: WebSocket| accepted.set(Some(ws)))
    });
    let connector = SecureConnector::new(Connector::new()).cafile_pem(own.cert_pem());
    let done = uptick::block_on(async move {
        let connector = WebSocketConnector::new(connector).options(options);
        let client = connector.connect(url).await.unwrap();
        client.next(WebSocket::OPEN).await;
        let server = server_ws.take().unwrap();
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
