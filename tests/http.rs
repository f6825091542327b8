//! HTTP over TLS, with clients on the same event loop.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use uptick::prelude::*;
use uptick::tls::self_signed;

type Gate = oneshot::Sender<&'static str>;

/// A server whose handler sends a gate and waits until it is opened.
struct Gated {
    http: HttpServer,
    connector: SecureConnector,
    address: String,
    gates: Rc<RefCell<Option<oneshot::Sender<Gate>>>>,
}

fn gated() -> Gated {
    let own = self_signed(["localhost", "127.0.0.1"]).unwrap();
    let connector = SecureConnector::new(Connector::new()).cafile_pem(own.cert_pem());
    let secure = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), own);
    let address = secure.address().unwrap();
    let (_, address) = address.split_once("://").unwrap();
    let address = address.to_owned();
    let http = HttpServer::new().listen(secure);
    http.disconnect_grace(Duration::from_millis(100));
    let gates: Rc<RefCell<Option<oneshot::Sender<Gate>>>> = Rc::default();
    let handed = Rc::clone(&gates);
    http.get("/", move |_: Request| {
        let (gate, opened) = oneshot::channel();
        handed.borrow_mut().take().unwrap().send(gate).unwrap();
        async move { opened.await.unwrap() }
    });
    Gated {
        http,
        connector,
        address,
        gates,
    }
}

impl Gated {
    /// Sends a request. Returns when its handler is waiting.
    async fn request(&self) -> (Connection, Gate) {
        let (sender, gate) = oneshot::channel();
        *self.gates.borrow_mut() = Some(sender);
        let conn = self.connector.connect(&*self.address).await.unwrap();
        conn.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        (conn, gate.await.unwrap())
    }
}

#[test]
fn a_handler_is_cancelled_when_its_client_closes_the_tls_connection() {
    let server = gated();
    let http = server.http;
    uptick::block_on(async move {
        let (conn, mut gate) = server.request().await;
        conn.close();
        // The future of the handler is dropped, together with the gate.
        gate.cancellation().await;
    })
    .unwrap();
    http.close();
}

#[test]
fn a_client_that_only_sends_close_notify_receives_its_response() {
    let server = gated();
    let http = server.http;
    let text = uptick::block_on(async move {
        let (conn, gate) = server.request().await;
        conn.shutdown_write();
        let mut text = conn.next(Connection::DATA).await.unwrap().to_vec();
        assert_eq!(text, b"H");
        gate.send("late").unwrap();
        while let Some(more) = conn.next(Connection::DATA).await {
            text.extend_from_slice(&more);
        }
        String::from_utf8(text).unwrap()
    })
    .unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nlate"), "{text}");
    http.close();
}

#[test]
fn an_http_server_offers_its_protocols_to_tls_clients() {
    let server = gated();
    uptick::block_on(async move {
        let connector = server
            .connector
            .clone()
            .alpn_protocols(["imap", "http/1.1"]);
        let conn = connector.connect(&*server.address).await.unwrap();
        assert_eq!(conn.alpn().as_deref(), Some(&b"http/1.1"[..]));
        conn.close();
        let connector = server.connector.clone().alpn_protocols(["imap"]);
        let error = connector.connect(&*server.address).await.unwrap_err();
        assert!(error.to_string().contains("ALPN"), "{error}");
        // A client without ALPN is served.
        let (conn, gate) = server.request().await;
        assert_eq!(conn.alpn(), None);
        gate.send("hello").unwrap();
        let response = conn.next(Connection::DATA).await.unwrap();
        assert!(response.ends_with(b"hello"));
        conn.close();
        server.http.close();
    })
    .unwrap();
}

#[test]
fn the_preface_of_http_2_is_refused_where_http_2_is_not_served() {
    for (http, offered) in [
        (HttpServer::new(), ["http/1.1"]),
        (HttpServer::new().http2(false), ["h2"]),
    ] {
        let own = self_signed(["localhost", "127.0.0.1"]).unwrap();
        let connector = SecureConnector::new(Connector::new())
            .cafile_pem(own.cert_pem())
            .alpn_protocols(offered);
        let server = Server::bind("127.0.0.1:0").unwrap();
        let address = server.address().unwrap();
        let (_, address) = address.split_once("://").unwrap();
        let address = address.to_owned();
        let context = TlsContext::from(own).alpn_protocols(offered);
        http.listen(SecureServer::new(server, context));
        let text = uptick::block_on(async move {
            let conn = connector.connect(&*address).await.unwrap();
            assert_eq!(conn.alpn().as_deref(), Some(offered[0].as_bytes()));
            conn.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            let response = conn.next(Connection::DATA).await.unwrap();
            conn.close();
            String::from_utf8_lossy(&response).into_owned()
        })
        .unwrap();
        assert!(text.starts_with("HTTP/1.1 505 "), "{text}");
        http.close();
    }
}
