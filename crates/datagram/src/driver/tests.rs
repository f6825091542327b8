//! Tests with a system that accepts no datagrams, which never happens on loopback UDP. A pair of Unix sockets stands in
//! for it.

use std::cell::RefCell;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller};

use crate::{DatagramOptions, DatagramSocket, Error, sockets};

/// A socket, and its peer, which reads only on request.
fn slow_peer(options: &DatagramOptions) -> (DatagramSocket, UnixDatagram) {
    let (ours, peer) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    // The smallest possible buffer, which holds a few datagrams.
    SockRef::from(&ours).set_send_buffer_size(1).unwrap();
    peer.set_nonblocking(true).unwrap();
    let ours = UdpSocket::from(OwnedFd::from(ours));
    let local = ([127, 0, 0, 1], 1).into();
    let remote = ([127, 0, 0, 1], 2).into();
    let socket = sockets::add_with(ours, local, Some(remote), options).unwrap();
    (socket, peer)
}

fn run_once() {
    EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
}

fn read(peer: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 16];
    let size = peer.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..size]).into_owned())
}

#[test]
fn datagrams_that_the_system_does_not_accept_are_sent_later_in_order() {
    let (socket, peer) = slow_peer(&DatagramOptions::new());
    for n in 0..100 {
        assert!(socket.send(n.to_string()));
    }
    run_once();
    assert!(socket.queued() > 0);
    let mut received = Vec::new();
    for _ in 0..200 {
        received.extend(read(&peer));
        run_once();
    }
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(received, expected);
    assert_eq!((socket.queued(), socket.counters().messages_sent), (0, 100));

    socket.send("at once again");
    run_once();
    assert_eq!(read(&peer).as_deref(), Some("at once again"));
    socket.close();
}

#[test]
fn a_system_that_accepts_nothing_does_not_make_the_loop_spin() {
    let (socket, _peer) = slow_peer(&DatagramOptions::new());
    (0..100).for_each(|_| assert!(socket.send("x")));
    (0..3).for_each(|_| run_once());
    assert!(socket.queued() > 0);
    assert!(socket.send("queued behind"));
    assert_eq!(EventLoop::current().timeout(), None);
    socket.close();
}

#[test]
fn drain_is_emitted_when_the_peer_has_made_room() {
    let (socket, peer) = slow_peer(&DatagramOptions::new().max_queued(50));
    let drained_at = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&drained_at);
    socket.on("drain", move |()| log.borrow_mut().push(socket.queued()));
    for _ in 0..10 {
        while socket.send("x") {}
        run_once();
    }
    assert!(drained_at.borrow().iter().all(|queued| *queued <= 25));
    drained_at.borrow_mut().clear();
    assert!(!socket.send("x"));
    let mut read_before = 0;
    while drained_at.borrow().is_empty() {
        assert!(read(&peer).is_some() && read_before < 50);
        read_before += 1;
        run_once();
    }
    assert!(drained_at.borrow()[0] <= 25);
    while read(&peer).is_some() {
        run_once();
    }
    assert_eq!(drained_at.borrow().len(), 1);
    socket.close();
}

#[test]
fn end_waits_for_the_system_and_closes_when_everything_is_sent() {
    let (socket, peer) = slow_peer(&DatagramOptions::new());
    (0..50).for_each(|n: u32| assert!(socket.send(n.to_string())));
    run_once();
    socket.end();
    let mut received = 0;
    while socket.local_address().is_some() {
        received += usize::from(read(&peer).is_some());
        run_once();
    }
    received += std::iter::from_fn(|| read(&peer)).count();
    assert_eq!(received, 50);
}

#[test]
fn end_times_out_after_the_linger_time_with_an_error() {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    for blocked_first in [true, false] {
        let options = DatagramOptions::new().linger(Duration::from_secs(3));
        let (socket, _peer) = slow_peer(&options);
        let log = Rc::new(RefCell::new(Vec::new()));
        let events = Rc::clone(&log);
        socket.on("error", move |error: Error| {
            events.borrow_mut().push(error.to_string())
        });
        let events = Rc::clone(&log);
        socket.on("close", move |()| {
            events.borrow_mut().push("close".to_owned())
        });
        (0..1000).for_each(|_| assert!(socket.send("x")));
        if blocked_first {
            run_once();
            socket.end();
        } else {
            socket.end();
            run_once();
        }
        let left = socket.queued();
        assert!(left > 0);
        clock.advance(Duration::from_millis(2_900));
        run_once();
        assert_eq!(log.borrow().len(), 0);
        clock.advance(Duration::from_millis(300));
        run_once();
        let timeout = format!(
            "sending {left} queued datagrams from udp://127.0.0.1:1 timed out after 3s (ETIMEDOUT)"
        );
        assert_eq!(*log.borrow(), [timeout, "close".to_owned()]);
        assert!(!EventLoop::current().is_alive());
    }
}

#[test]
fn a_peer_that_is_gone_ends_the_wait() {
    let (socket, peer) = slow_peer(&DatagramOptions::new());
    (0..100).for_each(|_| assert!(socket.send("x")));
    run_once();
    socket.end();
    drop(peer);
    for _ in 0..10 {
        run_once();
    }
    assert_eq!(socket.local_address(), None);
}
