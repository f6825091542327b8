//! Errors that occur while the loop runs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::net::UdpSocket;

use common::{Log, Message, address, pair, run, run_once, run_while};
use uptick_datagram::{DatagramOptions, DatagramSocket, Error};
use uptick_emitter::Emitter;

/// Returns an address on which no socket is bound.
fn unbound_address() -> std::net::SocketAddr {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn a_refusal_is_an_error_and_the_socket_survives() {
    let peer = unbound_address();
    let socket = DatagramSocket::connect(peer).unwrap();
    let log = Log::new();
    let errors = log.clone();
    socket.on("error", move |error: Error| errors.add(error));
    socket.on("message", |_: Message| {});
    socket.send("hello");
    let seen = log.clone();
    run_while(move || seen.len() == 0);
    assert_eq!(
        log.text(),
        format!("receiving from udp://{peer} failed: Connection refused (ECONNREFUSED)")
    );

    assert!(socket.is_open());
    let server = DatagramSocket::bind(peer).unwrap();
    server.on("message", move |(data, peer): Message| {
        server.send_to(data, peer)
    });
    socket.on("message", move |(data, _): Message| {
        assert_eq!(data, "now?");
        socket.close();
        server.close();
    });
    socket.send("now?");
    run();
    assert_eq!(log.len(), 1);
}

#[test]
fn a_refusal_is_reported_to_a_socket_that_does_not_receive() {
    for pause in [true, false] {
        let socket = DatagramSocket::connect(unbound_address()).unwrap();
        if pause {
            socket.on("message", |_: Message| {});
            socket.pause();
        }
        socket.on("error", move |error: Error| {
            assert!(error.to_string().contains("ECONNREFUSED"), "{error}");
            socket.close();
        });
        socket.send("hello");
        run();
    }
}

#[test]
fn a_refusal_does_not_lose_the_datagrams_after_it() {
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = plain.local_addr().unwrap();
    let socket = DatagramSocket::connect(peer).unwrap();
    drop(plain);
    let log = Log::new();
    let errors = log.clone();
    socket.on("error", move |error: Error| errors.add(error));
    socket.send("lost");
    run_once();
    // The refusal is now pending in the socket, and would fail the next send.
    let plain = UdpSocket::bind(peer).unwrap();
    for n in 0..10 {
        socket.send(n.to_string());
    }
    socket.end();
    run();
    let mut buffer = [0; 8];
    for n in 0..10 {
        let size = plain.recv(&mut buffer).unwrap();
        assert_eq!(std::str::from_utf8(&buffer[..size]).unwrap(), n.to_string());
    }
    assert!(log.len() <= 1, "{}", log.text());
}

#[test]
fn a_thousand_refused_datagrams_cause_errors_but_no_spin() {
    let socket = DatagramSocket::connect(unbound_address()).unwrap();
    let log = Log::new();
    let errors = log.clone();
    socket.on("error", move |error: Error| errors.add(error));
    (0..1000).for_each(|_| assert!(socket.send("hello")));
    let before = uptick_event_loop::EventLoop::current();
    for _ in 0..20 {
        before.run_once(Some(std::time::Duration::ZERO)).unwrap();
    }
    assert_eq!((socket.queued(), socket.is_open()), (0, true));
    assert!((1..=2000).contains(&log.len()), "{}", log.len());
    let reported = log.len();
    (0..5).for_each(|_| run_once());
    assert_eq!(log.len(), reported);
    socket.close();
}

#[test]
fn a_datagram_over_the_limit_is_dropped_with_an_error() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let server = DatagramOptions::new()
            .max_datagram_size(10)
            .bind(bind)
            .unwrap();
        let client = DatagramSocket::connect(server.local_address().unwrap()).unwrap();
        let log = Log::new();
        let errors = log.clone();
        server.on("error", move |error: Error| errors.add(error));
        let messages = log.clone();
        server.on("message", move |(data, _): Message| {
            messages.add(data.len());
            if data.is_empty() {
                assert_eq!(server.counters().messages_received, 2);
                server.close();
                client.close();
            }
        });
        let from = client.local_address().unwrap();
        for size in [10, 11, 9000, 0] {
            client.send(vec![0; size]);
        }
        run();
        let error = format!(
            "receiving from {from} failed: the datagram is larger than 10 bytes (EMSGSIZE)"
        );
        assert_eq!(log.text(), format!("10,{error},{error},0"));
    }
}

#[test]
fn a_panicking_callback_closes_its_socket_and_no_other() {
    let (server, client) = pair();
    let uri = server.local_address().unwrap();
    let log = Log::new();
    let events = log.clone();
    server.on("message", |_: Message| panic!("in message"));
    server.on("error", move |error: Error| events.add(error));
    let events = log.clone();
    server.on("close", move |()| events.add("close"));
    client.send("1");
    client.send("2");
    let seen = log.clone();
    run_while(move || seen.len() < 2);
    assert_eq!(
        log.text(),
        format!("a callback of {uri} panicked: in message,close")
    );
    assert_eq!(server.local_address(), None);
    assert!(client.is_open());
    client.close();
    run();
}

#[test]
fn panics_in_error_and_close_listeners_do_not_keep_a_socket_open() {
    let (server, client) = pair();
    let uri = server.local_address().unwrap();
    let log = Log::new();
    server.on("message", |_: Message| panic!("first"));
    server.on("error", |_: Error| panic!("second"));
    let events = log.clone();
    server.on("close", move |()| events.add("close"));
    server.on("close", |()| panic!("third"));
    client.send("x");
    client.on("close", |()| panic!("fourth"));
    run_while(move || server.is_open());
    assert_eq!(log.text(), "close");
    client.close();
    run();
    DatagramSocket::bind(uri).unwrap().close();
}

#[test]
fn a_panicking_close_listener_does_not_affect_the_caller_of_close() {
    let (server, client) = pair();
    let log = Log::new();
    let events = log.clone();
    client.on("close", |()| panic!("in close"));
    client.on("error", move |error: Error| events.add(error));
    let uri = client.local_address().unwrap();
    let events = log.clone();
    server.on("message", move |_: Message| {
        client.close();
        events.add("after close");
        server.close();
    });
    client.send("x");
    run();
    assert_eq!(
        log.text(),
        format!("a callback of {uri} panicked: in close,after close")
    );
}

#[test]
fn a_pending_error_is_emitted_before_the_socket_closes() {
    for end in [true, false] {
        let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
        let log = Log::new();
        let events = log.clone();
        socket.on("error", move |_: Error| events.add("error"));
        let events = log.clone();
        socket.on("close", move |()| events.add("close"));
        socket.send("no destination");
        match end {
            true => socket.end(),
            false => socket.close(),
        }
        run();
        assert_eq!(log.text(), "error,close");
    }
}

#[test]
fn sending_to_a_closed_server_closes_no_socket() {
    let (server, client) = pair();
    let target = address(server);
    server.close();
    run_once();
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    assert!(socket.send_to("unconnected sockets get no refusal", target));
    assert!(client.send("x"));
    (0..5).for_each(|_| run_once());
    assert!(socket.is_open() && client.is_open());
    socket.close();
    client.close();
}
