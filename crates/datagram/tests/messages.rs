//! Receiving.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::cell::{Cell, RefCell};
use std::net::UdpSocket;
use std::rc::Rc;

use bytes::Bytes;
use common::{Log, Message, address, pair, run, run_once, run_while};
use uptick_datagram::{DatagramOptions, DatagramSocket};
use uptick_emitter::Emitter;
use uptick_event_loop::{block_on, future_tick};

fn echoes(bind: &str, size: usize) {
    let data: Bytes = (0..size).map(|n| n as u8).collect();
    let server = DatagramSocket::bind(bind).unwrap();
    server.on("message", move |(data, peer): Message| {
        assert!(server.send_to(data, peer));
    });
    let client = DatagramSocket::connect(server.local_address().unwrap()).unwrap();
    let expected = data.clone();
    let from = address(server);
    client.on(DatagramSocket::MESSAGE, move |(data, peer)| {
        assert_eq!((data.len(), peer), (expected.len(), from));
        assert_eq!(data, expected);
        client.close();
        server.close();
    });
    assert!(client.send(data));
    run();
}

#[test]
fn a_datagram_is_echoed_over_ipv4() {
    echoes("127.0.0.1:0", 64);
}

#[test]
fn a_datagram_is_echoed_over_ipv6() {
    echoes("[::1]:0", 64);
}

#[test]
fn an_empty_datagram_is_a_message() {
    echoes("127.0.0.1:0", 0);
    echoes("[::1]:0", 0);
}

#[test]
fn datagrams_of_the_maximum_size_arrive_complete() {
    echoes("127.0.0.1:0", 65_507);
    echoes("[::1]:0", 65_527);
}

#[test]
fn a_thousand_datagrams_arrive_in_order() {
    const CHUNK: usize = 100;
    let (server, client) = pair();
    let received = Rc::new(RefCell::new(Vec::new()));
    let send_chunk = move |from: usize| {
        (from..from + CHUNK).for_each(|n| assert!(client.send(n.to_string())));
    };
    let numbers = Rc::clone(&received);
    server.on("message", move |(data, _): Message| {
        let mut numbers = numbers.borrow_mut();
        numbers.push(String::from_utf8(data.to_vec()).unwrap());
        match numbers.len() {
            1000 => {
                server.close();
                client.close();
            }
            n if n % CHUNK == 0 => send_chunk(n),
            _ => {}
        }
    });
    future_tick(move || send_chunk(0));
    run();
    let expected: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(*received.borrow(), expected);
}

#[test]
fn a_thousand_datagrams_sent_in_one_callback_are_all_passed_to_the_system() {
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = DatagramSocket::connect(plain.local_addr().unwrap()).unwrap();
    future_tick(move || {
        (0..1000).for_each(|n: u32| assert!(client.send(n.to_string())));
        assert_eq!(client.queued(), 1000);
    });
    client.on("close", move |()| {
        assert_eq!(client.counters().messages_sent, 1000)
    });
    future_tick(move || client.end());
    run();
    // The receiver's buffer keeps the first datagrams and drops those that do not fit.
    plain.set_nonblocking(true).unwrap();
    let mut buffer = [0; 16];
    let mut count = 0;
    while let Ok(size) = plain.recv(&mut buffer) {
        assert_eq!(
            std::str::from_utf8(&buffer[..size]).unwrap(),
            count.to_string()
        );
        count += 1;
    }
    assert!(count >= 100, "{count}");
}

#[test]
fn data_that_a_callback_keeps_does_not_change() {
    let (server, client) = pair();
    let kept = Rc::new(RefCell::new(Vec::new()));
    let count = 300;
    let send = move |n: usize| client.send(vec![n as u8; 1 + n * 7 % 1400]);
    let keep = Rc::clone(&kept);
    server.on("message", move |(data, _): Message| {
        let n = keep.borrow().len();
        // Every other datagram is dropped at once.
        keep.borrow_mut()
            .push(if n % 2 == 0 { data } else { Bytes::new() });
        if n + 1 < count {
            send(n + 1);
        } else {
            server.close();
            client.close();
        }
    });
    send(0);
    run();
    for (n, data) in kept.borrow().iter().enumerate().step_by(2) {
        assert_eq!(*data, vec![n as u8; 1 + n * 7 % 1400], "datagram {n}");
    }
}

#[test]
fn datagrams_without_a_listener_stay_in_the_system() {
    let (server, client) = pair();
    client.send("one");
    client.send("two");
    (0..5).for_each(|_| run_once());
    assert_eq!(server.counters().messages_received, 0);

    let log = Log::new();
    let messages = log.clone();
    server.on("message", move |(data, _): Message| {
        messages.add(String::from_utf8_lossy(&data));
        if messages.len() == 2 {
            server.close();
            client.close();
        }
    });
    run();
    assert_eq!(log.text(), "one,two");
}

#[test]
fn a_task_that_waits_for_one_message_at_a_time_misses_none() {
    let (server, client) = pair();
    for n in 0..50 {
        client.send(n.to_string());
    }
    let received = block_on(async move {
        let mut received = Vec::new();
        while received.len() < 50 {
            let (data, _) = server.next(DatagramSocket::MESSAGE).await.unwrap();
            received.push(String::from_utf8(data.to_vec()).unwrap());
        }
        received
    })
    .unwrap();
    assert_eq!(received, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    server.close();
    client.close();
}

#[test]
fn a_busy_socket_does_not_starve_another() {
    let busy = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let quiet = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..200 {
        plain.send_to(b"b", address(busy)).unwrap();
    }
    plain.send_to(b"q", address(quiet)).unwrap();

    let seen = Rc::new(Cell::new(0));
    let before_quiet = Rc::new(Cell::new(None));
    let count = Rc::clone(&seen);
    busy.on("message", move |_: Message| {
        count.set(count.get() + 1);
        if count.get() == 200 {
            busy.close();
        }
    });
    let (count, before) = (Rc::clone(&seen), Rc::clone(&before_quiet));
    quiet.on("message", move |_: Message| {
        before.set(Some(count.get()));
        quiet.close();
    });
    run();
    assert_eq!(seen.get(), 200);
    assert!(before_quiet.get().unwrap() <= 128, "{before_quiet:?}");
}

#[test]
fn pause_stops_messages_in_the_middle_of_a_batch_and_resume_delivers_the_rest() {
    let (server, client) = pair();
    for n in 0..40 {
        client.send(n.to_string());
    }
    let log = Log::new();
    let messages = log.clone();
    server.on("message", move |(data, _): Message| {
        messages.add(String::from_utf8_lossy(&data));
        if messages.len() == 3 {
            server.pause();
        }
        if messages.len() == 40 {
            server.close();
            client.close();
        }
    });
    let seen = log.clone();
    run_while(move || seen.len() < 3);
    (0..5).for_each(|_| run_once());
    assert_eq!(log.text(), "0,1,2");
    assert!(server.is_paused());

    server.resume();
    server.resume();
    assert!(!server.is_paused());
    run();
    let expected: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(log.text(), expected.join(","));
}

#[test]
fn a_paused_socket_keeps_sending() {
    let (server, client) = pair();
    client.pause();
    client.send("still here");
    server.on("message", move |(data, _): Message| {
        assert_eq!(data, "still here");
        server.close();
        client.close();
    });
    run();
}

#[test]
fn a_connected_socket_receives_from_its_peer_only() {
    let (server, client) = pair();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(b"stranger", address(client)).unwrap();
    server.send_to("peer", address(client));
    client.on("message", move |(data, peer): Message| {
        assert_eq!((data.as_ref(), peer), (b"peer".as_ref(), address(server)));
        server.close();
        client.close();
    });
    run();
}

#[test]
fn a_socket_on_all_addresses_also_receives_over_ipv4() {
    let server = DatagramOptions::new()
        .v6_only(false)
        .bind("[::]:0")
        .unwrap();
    let client = DatagramSocket::connect(address(server).port()).unwrap();
    client.send("over IPv4");
    server.on("message", move |(data, peer): Message| {
        assert!(
            peer.to_string().starts_with("[::ffff:127.0.0.1]:"),
            "{peer}"
        );
        server.send_to(data, peer);
    });
    client.on("message", move |(data, _): Message| {
        assert_eq!(data, "over IPv4");
        client.close();
        server.close();
    });
    run();
}

#[test]
fn messages_and_bytes_are_counted() {
    let (server, client) = pair();
    client.send("12345");
    client.send("678");
    server.on("message", move |_: Message| {
        if server.counters().messages_received == 2 {
            assert_eq!(server.counters().bytes_received, 8);
            let sent = client.counters();
            assert_eq!((sent.messages_sent, sent.bytes_sent), (2, 8));
            server.close();
            client.close();
        }
    });
    run();
    assert_eq!(server.counters(), Default::default());
}
