//! The limit of WebSockets per client.

use std::cell::Cell;
use std::rc::Rc;

use uptick_event_loop::sleep;
use uptick_http::{HttpServer, Request, StatusCode, TrustedProxies};
use uptick_websocket::{Accept, WebSocketOptions, WebSocketRoutes};

use crate::support::{Client, run_until, server};

/// A server behind a proxy on this machine, whose route `/` allows two WebSockets per client.
fn limited() -> HttpServer {
    let http = server().trusted_proxies(TrustedProxies::parse("127.0.0.0/8").unwrap());
    let options = WebSocketOptions::new().max_per_client(2);
    http.websocket_with("/", options, |_: Request| Accept::new(|_| ()))
}

/// Sends a handshake request for a client of the proxy; returns the status of the response.
fn request(http: HttpServer, path: &str, ip: &str) -> (Client, u16) {
    let client = Client::request(http, path, &format!("X-Forwarded-For: {ip}\r\n"));
    let status = client.head[9..12].parse().unwrap();
    (client, status)
}

#[test]
fn a_client_cannot_exceed_its_limit_of_websockets() {
    let http = limited();
    let (first, status) = request(http, "/", "192.0.2.7");
    let (_second, also) = request(http, "/", "192.0.2.7");
    assert_eq!((status, also), (101, 101));
    assert_eq!(request(http, "/", "192.0.2.7").1, 429);
    // An IPv6 client is a /64 network.
    let others = ["192.0.2.8", "2001:db8::1", "2001:db8::2"].map(|ip| request(http, "/", ip));
    assert!(others.iter().all(|(_, status)| *status == 101));
    assert_eq!(request(http, "/", "2001:db8::3").1, 429);
    assert_eq!(http.websockets().open, 5);
    drop(first);
    run_until(|| http.websockets().open == 4);
    assert_eq!(request(http, "/", "192.0.2.7").1, 101);
}

#[test]
fn routes_with_a_limit_share_the_count() {
    let http = limited();
    let options = WebSocketOptions::new().max_per_client(3);
    http.websocket_with("/more", options, |_: Request| Accept::new(|_| ()))
        .websocket("/free", |_| ());
    let open = ["/free", "/", "/free", "/"].map(|path| request(http, path, "192.0.2.7"));
    assert!(open.iter().all(|(_, status)| *status == 101));
    assert_eq!(request(http, "/", "192.0.2.7").1, 429);
    let (_more, status) = request(http, "/more", "192.0.2.7");
    assert_eq!(status, 101);
    assert_eq!(request(http, "/more", "192.0.2.7").1, 429);
    assert_eq!(request(http, "/free", "192.0.2.7").1, 101);
}

#[test]
fn a_request_counts_while_its_gate_decides_but_not_after_a_rejection() {
    let http = server();
    let calls = Rc::new(Cell::new(0));
    let called = Rc::clone(&calls);
    let options = WebSocketOptions::new().max_per_client(1);
    http.websocket_with("/", options, move |req: Request| {
        called.set(called.get() + 1);
        let wait = sleep(std::time::Duration::from_millis(1));
        async move {
            // Requests in the meantime are refused without a call of the gate.
            wait.await;
            match req.query_string() {
                Some(_) => Ok(Accept::new(|_| ())),
                None => Err(StatusCode::FORBIDDEN),
            }
        }
    });
    let status =
        |path: &str| -> u16 { Client::request(http, path, "").head[9..12].parse().unwrap() };
    assert_eq!((status("/"), status("/")), (403, 403));
    let _open = Client::open(http, "/?in");
    assert_eq!(calls.get(), 3);
    assert_eq!(status("/?in"), 429);
    assert_eq!(calls.get(), 3);
}
