//! Sending: accepted and refused datagrams.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::net::UdpSocket;

use common::{Log, Message, address, pair, run, run_once};
use uptick_datagram::{DatagramOptions, DatagramSocket, Error};
use uptick_emitter::Emitter;
use uptick_event_loop::future_tick;

#[test]
fn datagrams_are_sent_at_the_end_of_the_iteration() {
    let (server, client) = pair();
    future_tick(move || {
        client.send("a");
        assert_eq!((client.queued(), client.queued_bytes()), (1, 1));
        assert_eq!(client.counters().messages_sent, 0);
    });
    run_once();
    assert_eq!((client.queued(), client.queued_bytes()), (0, 0));
    assert_eq!(client.counters().messages_sent, 1);
    server.close();
    client.close();
}

#[test]
fn a_full_queue_refuses_and_drains_once() {
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = DatagramOptions::new()
        .max_queued(4)
        .connect(plain.local_addr().unwrap())
        .unwrap();
    let log = Log::new();
    let drains = log.clone();
    client.on("drain", move |()| {
        drains.add("drain");
        // The first drain fills the queue again, without a refusal.
        for _ in 0..4 {
            client.send("again");
        }
    });
    future_tick(move || {
        let taken = (0..6).map(|_| client.send("x")).collect::<Vec<_>>();
        assert_eq!(taken, [true, true, true, true, false, false]);
    });
    (0..4).for_each(|_| run_once());
    assert_eq!(log.text(), "drain");
    assert_eq!(client.counters().messages_sent, 8);
    client.close();
}

#[test]
fn a_queue_is_full_by_its_bytes_too() {
    let (server, client) = pair();
    let small = DatagramOptions::new()
        .max_queued_bytes(100)
        .connect(server.local_address().unwrap())
        .unwrap();
    assert!(small.send(vec![0; 200]), "one datagram of any size");
    assert!(!small.send("x"));
    run_once();
    assert!(small.send(vec![0; 60]) && !small.send(vec![0; 60]));
    // The default limit is 4 MiB.
    assert!((0..60).all(|_| client.send(vec![0; 65_000])));
    assert!(!(0..60).all(|_| client.send(vec![0; 65_000])));
    for socket in [server, client, small] {
        socket.close();
    }
}

#[test]
fn by_default_1024_datagrams_are_queued() {
    let (server, client) = pair();
    assert_eq!((0..2000).filter(|_| client.send("")).count(), 1024);
    server.close();
    client.close();
}

/// Returns the error that follows a refused `send`, and checks that the socket stays open.
fn refusal(socket: DatagramSocket, send: impl FnOnce() -> bool) -> Error {
    let log = Log::new();
    let errors = log.clone();
    let next_error = socket.next(DatagramSocket::ERROR);
    socket.on("error", move |error: Error| errors.add(error));
    assert!(!send());
    assert_eq!(log.len(), 0, "the error comes from the loop");
    let error = uptick_event_loop::block_on(next_error).unwrap().unwrap();
    assert_eq!(log.text(), error.to_string());
    assert!(socket.is_open());
    error
}

#[test]
fn a_datagram_that_is_too_large_is_refused_with_an_error() {
    let (server, client) = pair();
    let uri = server.local_address().unwrap();
    let error = refusal(client, || client.send(vec![0; 65_508]));
    assert_eq!(
        error.to_string(),
        format!("sending 65508 bytes to {uri} failed: a datagram holds at most 65507 (EMSGSIZE)")
    );
    let v6 = DatagramSocket::connect("[::1]:9").unwrap();
    let error = refusal(v6, || v6.send(vec![0; 65_528]));
    assert!(
        matches!(error, Error::TooLarge { limit: 65_527, .. }),
        "{error}"
    );
    for socket in [server, client, v6] {
        socket.close();
    }
}

#[test]
fn the_other_address_family_is_refused_with_an_error() {
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let peer = "[::1]:9".parse().unwrap();
    let error = refusal(socket, || socket.send_to("x", peer));
    let uri = socket.local_address().unwrap();
    assert_eq!(
        error.to_string(),
        format!("sending to udp://[::1]:9 failed: the socket is bound to {uri} (EAFNOSUPPORT)")
    );
    socket.close();
}

#[test]
fn a_bound_socket_needs_a_destination() {
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let error = refusal(socket, || socket.send("x"));
    assert!(
        error.to_string().ends_with("use `send_to` (EDESTADDRREQ)"),
        "{error}"
    );
    socket.close();
}

#[test]
fn a_connected_socket_sends_to_its_peer_only() {
    let (server, client) = pair();
    let other = "127.0.0.1:9".parse().unwrap();
    let error = refusal(client, || client.send_to("x", other));
    assert!(error.to_string().ends_with("(EISCONN)"), "{error}");

    assert!(client.send_to("to the peer", address(server)));
    server.on("message", move |(data, _): Message| {
        assert_eq!(data, "to the peer");
        server.close();
        client.close();
    });
    run();
}

#[test]
fn a_datagram_that_the_system_refuses_is_an_error_and_the_rest_is_sent() {
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    let good = plain.local_addr().unwrap();
    let log = Log::new();
    let errors = log.clone();
    socket.on("error", move |error: Error| errors.add(error));
    // The system refuses a broadcast address without `SO_BROADCAST`, and port 0.
    assert!(socket.send_to("1", good));
    assert!(socket.send_to("x", "255.255.255.255:9".parse().unwrap()));
    assert!(socket.send_to("2", good));
    assert!(socket.send_to("x", "127.0.0.1:0".parse().unwrap()));
    assert!(socket.send_to("3", good));
    socket.end();
    run();
    assert_eq!(
        log.text(),
        "sending to udp://255.255.255.255:9 failed: Permission denied (EACCES),\
         sending to udp://127.0.0.1:0 failed: Invalid argument (EINVAL)"
    );
    let mut buffer = [0; 8];
    let received = [(); 3].map(|()| {
        plain.recv(&mut buffer).unwrap();
        buffer[0]
    });
    assert_eq!(received, *b"123");
}

#[test]
fn errors_of_send_are_bounded() {
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let log = Log::new();
    let errors = log.clone();
    socket.on("error", move |error: Error| errors.add(error));
    (0..10_000).for_each(|_| assert!(!socket.send("x")));
    run_once();
    assert_eq!(log.len(), 64);
    socket.close();
}

#[test]
fn an_error_listener_that_causes_another_error_does_not_block_the_loop() {
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let log = Log::new();
    let errors = log.clone();
    socket.on("error", move |error: Error| {
        errors.add(error);
        socket.send("x");
    });
    socket.send("x");
    (0..3).for_each(|_| run_once());
    assert!((1..=6).contains(&log.len()), "{}", log.len());
    socket.close();
}
