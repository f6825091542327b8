//! Ending, closing, and handles that outlive their socket.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::net::UdpSocket;
use std::rc::Rc;

use bytes::Bytes;
use common::{Log, Message, address, pair, run};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use uptick_datagram::DatagramSocket;
use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::EventLoop;

#[test]
fn a_handle_takes_eight_bytes() {
    assert_eq!(size_of::<DatagramSocket>(), 8);
    assert_eq!(size_of::<Option<DatagramSocket>>(), 8);
}

#[test]
fn end_sends_the_queued_datagrams_and_then_closes() {
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = DatagramSocket::connect(plain.local_addr().unwrap()).unwrap();
    let log = Log::new();
    let events = log.clone();
    client.on("close", move |()| {
        events.add(format!("close after {}", client.counters().messages_sent));
    });
    for n in 0..100 {
        client.send(n.to_string());
    }
    client.end();
    assert!(!client.send("too late"));
    assert!(!client.is_open());
    assert_eq!(log.text(), "");
    run();
    assert_eq!(log.text(), "close after 100");
    let mut buffer = [0; 8];
    for n in 0..100 {
        let size = plain.recv(&mut buffer).unwrap();
        assert_eq!(std::str::from_utf8(&buffer[..size]).unwrap(), n.to_string());
    }
}

#[test]
fn end_with_nothing_queued_closes_at_once() {
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let log = Log::new();
    let events = log.clone();
    socket.on("close", move |()| events.add("close"));
    socket.end();
    socket.end();
    assert_eq!(log.text(), "close");
    assert_eq!(socket.local_address(), None);
    run();
}

#[test]
fn close_discards_the_queued_datagrams() {
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    plain.set_nonblocking(true).unwrap();
    let client = DatagramSocket::connect(plain.local_addr().unwrap()).unwrap();
    client.send("never sent");
    client.end();
    client.close();
    run();
    assert!(plain.recv(&mut [0; 8]).is_err());
}

#[test]
fn close_listeners_see_the_addresses_and_run_once() {
    let (server, client) = pair();
    let log = Log::new();
    let events = log.clone();
    client.on("close", move |()| {
        assert!(client.local_address().is_some() && client.remote_address().is_some());
        assert!(!client.is_open() && !client.send("x"));
        client.close();
        client.end();
        events.add("close");
    });
    client.close();
    client.close();
    assert_eq!(log.text(), "close");
    server.close();
    run();
}

#[test]
fn a_stale_handle_does_nothing_even_if_its_slot_is_reused() {
    let stale = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let peer = address(stale);
    stale.close();
    run();
    let fresh = DatagramSocket::bind("127.0.0.1:0").unwrap();
    assert_ne!(stale, fresh);

    assert!(!stale.send("x") && !stale.send_to("x", peer));
    assert_eq!(
        (stale.local_address(), stale.remote_address(), stale.id()),
        (None, None, None)
    );
    assert_eq!(
        (stale.queued(), stale.queued_bytes(), stale.is_paused()),
        (0, 0, false)
    );
    assert_eq!(stale.on("message", |_: Message| {}), ListenerId::NONE);
    assert_eq!(stale.to_string(), "a closed datagram socket");
    stale.pause();
    stale.resume();
    stale.end();
    stale.close();
    assert!(fresh.is_open() && !fresh.is_paused());
    assert!(!format!("{stale:?} {fresh:?}").is_empty());
    fresh.close();
    run();
}

#[test]
fn a_socket_closed_in_its_callback_receives_no_more_of_the_batch() {
    let (server, client) = pair();
    let log = Log::new();
    let messages = log.clone();
    server.on("message", move |(data, _): Message| {
        messages.add(String::from_utf8_lossy(&data));
        server.close();
        client.close();
    });
    for n in 0..10 {
        client.send(n.to_string());
    }
    run();
    assert_eq!(log.text(), "0");
}

#[test]
fn a_socket_closed_by_another_in_the_same_iteration_receives_nothing() {
    let first = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let second = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let log = Log::new();
    for (socket, other) in [(first, second), (second, first)] {
        let messages = log.clone();
        socket.on("message", move |_: Message| {
            messages.add("message");
            other.close();
        });
        let closings = log.clone();
        socket.on("close", move |()| {
            closings.add("close");
            other.close();
        });
    }
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    plain.send_to(b"x", address(first)).unwrap();
    plain.send_to(b"x", address(second)).unwrap();
    run();
    assert_eq!(log.text(), "message,close,close");
    assert!(!first.is_open() && !second.is_open());
}

#[test]
fn a_socket_that_ends_receives_until_its_queue_is_sent() {
    let first = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let second = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let log = Log::new();
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = plain.local_addr().unwrap();
    for (socket, other) in [(first, second), (second, first)] {
        let messages = log.clone();
        socket.on("message", move |_: Message| {
            messages.add("message");
            other.send_to("bye", peer);
            other.end();
            socket.end();
        });
        let closings = log.clone();
        socket.on("close", move |()| closings.add("close"));
    }
    plain.send_to(b"x", address(first)).unwrap();
    plain.send_to(b"x", address(second)).unwrap();
    run();
    // The first socket to receive has nothing to send, so it closes at once. The second one was ending when it
    // received.
    assert_eq!(log.text(), "message,close,message,close");
}

#[test]
fn captures_of_the_callbacks_are_dropped_with_the_socket() {
    let (server, client) = pair();
    let captured = Rc::new(());
    for socket in [server, client] {
        let capture = Rc::clone(&captured);
        socket.on("message", move |_: Message| drop(Rc::clone(&capture)));
        let capture = Rc::clone(&captured);
        socket.on("close", move |()| drop(Rc::clone(&capture)));
        socket.close();
    }
    assert_eq!(Rc::strong_count(&captured), 1);
    run();
}

#[test]
fn dropping_a_capture_or_a_payload_may_use_sockets() {
    struct Capture(DatagramSocket);
    impl Drop for Capture {
        fn drop(&mut self) {
            self.0.send("from a destructor");
            self.0.close();
        }
    }
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            DatagramSocket::bind(0).unwrap().close();
        }
    }
    impl AsRef<[u8]> for Payload {
        fn as_ref(&self) -> &[u8] {
            b"owned"
        }
    }
    let (server, client) = pair();
    let capture = Capture(client);
    server.on("message", move |(data, _): Message| {
        assert_eq!(data, "owned");
        let whole = &capture;
        assert!(whole.0.is_open());
        server.close();
    });
    client.send(Bytes::from_owner(Payload));
    run();
    assert!(!client.is_open());

    let (server, client) = pair();
    client.send(Bytes::from_owner(Payload));
    client.close();
    assert!(!client.send(Bytes::from_owner(Payload)));
    server.close();
    run();
}

#[test]
fn an_open_socket_keeps_the_loop_running_and_a_closed_one_does_not() {
    let event_loop = EventLoop::current();
    assert!(!event_loop.is_alive());
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    assert!(event_loop.is_alive());
    socket.pause();
    assert!(event_loop.is_alive());
    socket.close();
    run();
    assert!(!event_loop.is_alive());
}

#[test]
fn a_closed_socket_does_not_keep_its_duplicates_watched() {
    let kept = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..2 {
        // In the second round the socket reuses the number of the closed descriptor.
        let socket = DatagramSocket::adopt(kept.try_clone().unwrap()).unwrap();
        let log = Log::new();
        let events = log.clone();
        socket.on("message", move |_: Message| {
            events.add("message");
            socket.close();
        });
        kept.send_to(b"x", kept.local_addr().unwrap()).unwrap();
        run();
        assert_eq!(log.text(), "message", "in round {round}");
    }
    kept.send_to(b"x", kept.local_addr().unwrap()).unwrap();
    let event_loop = EventLoop::current();
    let descriptor = event_loop.descriptor().unwrap();
    let mut descriptors = [PollFd::new(&descriptor, PollFlags::IN)];
    assert_eq!(poll(&mut descriptors, Some(&Timespec::default())), Ok(0));
}
