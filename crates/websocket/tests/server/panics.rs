//! Panics in callbacks.

use std::io::Write;
use std::net::TcpStream;

use uptick_emitter::Emitter;
use uptick_http::Request;
use uptick_websocket::{
    Accept, Closed, Message, Reject, SubscriptionChange, WebSocket, WebSocketOptions,
    WebSocketRoutes,
};

use crate::support::{Client, Log, run_until, server, settle};

fn boom<T>(_: T) {
    panic!("test panic")
}

/// A function that prepares a WebSocket to panic on a message, or panics itself.
type Setup = fn(WebSocket);

/// Checks that a panic closes its own WebSocket and no other.
#[track_caller]
fn closes_only_its_own(setup: Setup, provoke: impl FnOnce(&mut Client)) {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/bad", move |ws: WebSocket| {
        let seen = seen.clone();
        ws.on("close", move |closed: Closed| seen.add(closed.code));
        setup(ws);
    });
    http.websocket("/good", |ws: WebSocket| {
        ws.on("message", move |message: Message| ws.send(message));
    });
    let mut good = Client::open(http, "/good");
    let mut bad = Client::open(http, "/bad");
    provoke(&mut bad);
    run_until(|| log.len() == 1);
    settle();
    assert_eq!(log.len(), 1, "{}", log.text());
    assert!(bad.is_closed());
    good.text("still here");
    assert_eq!(good.message(), "still here");
}

#[test]
fn a_panic_in_open_closes_only_its_own_websocket() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/{how}", move |ws: WebSocket| {
        seen.listen(ws);
        assert!(!seen.text().is_empty(), "test panic");
        ws.send("hello");
    });
    // The response is lost with the connection.
    let mut stream = TcpStream::connect(&http.address().unwrap()["tcp://".len()..]).unwrap();
    stream
        .write_all(
            b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .unwrap();
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "1006::unclean");
    assert_eq!(Client::open(http, "/b").message(), "hello");
}

#[test]
fn a_panic_in_message_closes_only_its_own_websocket() {
    let on_message: Setup = |ws| _ = ws.on(WebSocket::MESSAGE, boom);
    closes_only_its_own(on_message, |bad| bad.text("x"));
}

#[test]
fn a_panic_in_ping_or_pong_closes_only_its_own_websocket() {
    use uptick_websocket::protocol::frame::{Flags, Opcode};
    let on_ping: Setup = |ws| _ = ws.on(WebSocket::PING, boom);
    closes_only_its_own(on_ping, |bad| bad.frame(Opcode::Ping, Flags::FIN, "x"));
    let on_pong: Setup = |ws| _ = ws.on(WebSocket::PONG, boom);
    closes_only_its_own(on_pong, |bad| bad.frame(Opcode::Pong, Flags::FIN, "x"));
}

#[test]
fn a_panic_in_error_or_close_closes_only_its_own_websocket() {
    let on_error: Setup = |ws| _ = ws.on(WebSocket::ERROR, boom);
    closes_only_its_own(on_error, |bad| bad.write(b"\xff\xff\xff\xff"));
    let on_close: Setup = |ws| _ = ws.on(WebSocket::CLOSE, boom);
    closes_only_its_own(on_close, |bad| bad.close(None));
}

#[test]
fn a_panic_in_a_message_after_a_pause_closes_only_its_own_websocket() {
    let resuming: Setup = |ws| {
        ws.pause();
        ws.on(WebSocket::MESSAGE, boom);
        uptick_event_loop::future_tick(move || ws.resume());
    };
    closes_only_its_own(resuming, |bad| bad.text("x"));
}

#[test]
fn a_panic_in_a_gate_is_a_response_with_500() {
    let http = server();
    http.websocket_with("/now", WebSocketOptions::new(), |_: Request| -> Reject {
        panic!("test panic")
    });
    http.websocket_with("/later", WebSocketOptions::new(), |_: Request| async {
        settle_later().await;
        boom(());
        Accept::new(|_| ())
    });
    for path in ["/now", "/later"] {
        let client = Client::request(http, path, "");
        assert!(client.head.starts_with("HTTP/1.1 500 "), "{}", client.head);
    }
}

async fn settle_later() {
    uptick_event_loop::sleep(std::time::Duration::ZERO).await;
}

#[test]
fn a_panic_in_a_listener_of_topics_leaves_them_usable() {
    let http = server();
    let hub = http.hub();
    hub.on("subscription", |change: SubscriptionChange| {
        assert!(&*change.topic != "bad", "test panic");
    });
    http.websocket("/", |ws: WebSocket| {
        ws.on("message", move |message: Message| {
            ws.subscribe(message.as_text().unwrap());
        });
    });
    let mut bad = Client::open(http, "/");
    bad.text("bad");
    run_until(|| bad.is_closed());
    settle();
    let mut good = Client::open(http, "/");
    good.text("good");
    run_until(|| hub.subscribers("good") == 1);
    assert_eq!(http.publish("good", "hello"), 1);
    assert_eq!(good.message(), "hello");
    assert_eq!(http.publish("bad", "dropped"), 0);
}

#[test]
fn a_panic_in_an_eligibility_callback_leaves_topics_usable() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        ws.subscribe("news");
        let hub = ws.hub().unwrap();
        ws.on("message", move |_: Message| {
            hub.publish_where("news", "x", |_| panic!("test panic"))
        });
    });
    let mut bad = Client::open(http, "/");
    let mut good = Client::open(http, "/");
    bad.text("x");
    run_until(|| bad.is_closed());
    settle();
    assert_eq!(http.publish("news", "hello"), 1);
    assert_eq!(good.message(), "hello");
}
