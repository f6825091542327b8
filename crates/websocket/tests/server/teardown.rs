//! Pauses, panics and shutdowns while WebSockets close.

use std::cell::Cell;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::future_tick;
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::{
    Accept, Closed, Message, SubscriptionChange, WebSocket, WebSocketOptions, WebSocketRoutes,
};

use crate::support::{Client, Log, framed, manual_clock, pass, run_until, server, settle};

#[test]
fn messages_held_by_a_pause_are_not_lost_when_the_peer_ends() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let slot = Rc::new(Cell::new(None));
    let shared = Rc::clone(&slot);
    http.websocket("/", move |ws: WebSocket| {
        seen.listen(ws);
        ws.once("message", move |_: Message| ws.pause());
        shared.set(Some(ws));
    });
    let mut client = Client::open(http, "/");
    let frames = ["one", "two", "three"].map(|text| framed(Opcode::Text, Flags::FIN, text));
    client.write(frames.concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    run_until(|| log.len() == 1);
    settle();
    assert_eq!(log.text(), "one");
    slot.get().unwrap().resume();
    run_until(|| log.text().contains("unclean"));
    assert_eq!(log.text(), "one two three 1006::unclean");
}

#[test]
fn a_pause_after_a_close_does_not_prevent_the_timeout() {
    let clock = manual_clock();
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        seen.listen(ws);
        ws.close(1000, "");
        ws.pause();
    });
    let mut client = Client::open(http, "/");
    assert_eq!(client.closed(), 1000);
    pass(&clock, Duration::from_secs(6));
    assert_eq!(log.text(), "1006::unclean");
}

#[test]
fn nothing_is_sent_after_the_close_frame_of_a_protocol_error() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        ws.on(WebSocket::ERROR, move |_| {
            assert!(!ws.is_open());
            ws.send("late");
            ws.ping("late");
            ws.close(4000, "twice");
        });
    });
    let mut client = Client::open(http, "/");
    client.write(b"\x81\x05hello");
    let mut raw = Vec::new();
    run_until(|| {
        let mut buffer = [0; 1000];
        match client.stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => raw.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        false
    });
    let [0x88, length, 0x03, 0xea, ..] = raw[..] else {
        panic!("{raw:?}")
    };
    assert_eq!(raw.len(), 2 + usize::from(length), "{raw:?}");
}

#[test]
fn a_panicking_close_listener_leaks_nothing() {
    let http = server();
    let data = Rc::new(());
    let kept = Rc::clone(&data);
    let closed = Rc::new(Cell::new(0));
    let count = Rc::clone(&closed);
    http.websocket("/", move |ws: WebSocket| {
        ws.set_extension(Rc::clone(&kept));
        let count = Rc::clone(&count);
        ws.on("close", move |_: Closed| {
            count.set(count.get() + 1);
            panic!("test panic");
        });
    });
    let mut client = Client::open(http, "/");
    client.close(None);
    client.closed();
    drop(Client::open(http, "/"));
    run_until(|| closed.get() == 2);
    settle();
    assert_eq!(Rc::strong_count(&data), 2);
}

#[test]
fn a_panicking_subscription_listener_does_not_prevent_close() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        ws.subscribe("news");
        seen.listen(ws);
    });
    http.hub().on("subscription", |change: SubscriptionChange| {
        assert!(change.count > change.previous_count, "test panic");
    });
    let mut client = Client::open(http, "/");
    client.close(None);
    assert_eq!(client.closed(), 1005);
    settle();
    assert_eq!(log.text(), "1005::clean");
}

#[test]
fn a_client_accepted_by_a_gate_during_a_shutdown_gets_503() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket_with("/", WebSocketOptions::new(), move |_| {
        let seen = seen.clone();
        async move {
            drop(http.shutdown(Duration::from_secs(10)));
            Accept::new(move |_| seen.add("open"))
        }
    });
    let client = Client::request(http, "/", "");
    assert!(client.head.starts_with("HTTP/1.1 503 "), "{}", client.head);
    assert_eq!(log.text(), "");
}

#[test]
fn a_panic_during_delivery_after_a_pause_is_reported() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        seen.listen(ws);
        ws.on("message", move |message: Message| {
            assert!(message.as_bytes() == b"first", "test panic");
            ws.pause();
            future_tick(move || ws.resume());
        });
    });
    let mut client = Client::open(http, "/");
    let frames = ["first", "second"].map(|text| framed(Opcode::Text, Flags::FIN, text));
    client.write(frames.concat());
    run_until(|| log.text().contains("1006"));
    let text = log.text();
    assert!(
        text.starts_with("first second error(") && text.contains("test panic"),
        "{text}"
    );
    assert!(client.is_closed());
}
