//! The end of the writing side, half-open streams and the close.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uptick_emitter::{Emitter, ListenerId};

use crate::support::{Log, arrived, fill, manual_clock, pair, run_until, send, text, turn};
use uptick_stream::DuplexResourceStream;

#[test]
fn end_sends_the_queue_then_waits_for_the_peers_end() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.write("hello ");
    stream.end_with("world");
    assert!(!stream.is_readable());
    turn();
    assert_eq!(arrived(&mut peer), (b"hello world".to_vec(), true));
    assert_eq!(log.take(), "");
    drop(peer);
    turn();
    assert_eq!(log.take(), "close");
}

#[test]
fn data_received_after_end_is_discarded_so_that_the_response_is_not_lost() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = DuplexResourceStream::new(listener.accept().unwrap().0).unwrap();
    let log = Log::recording(stream);
    stream.end_with("413");
    for _ in 0..10 {
        std::io::Write::write_all(&mut client, &[b'u'; 10_000]).unwrap();
        turn();
    }
    let mut response = String::new();
    std::io::Read::read_to_string(&mut client, &mut response).unwrap();
    assert_eq!(response, "413");
    assert_eq!(log.take(), "");
    drop(client);
    run_until(|| !stream.is_open());
    assert_eq!(log.take(), "close");
}

#[test]
fn the_stream_closes_after_the_linger_time_if_the_peer_never_ends() {
    let (clock, _poller) = manual_clock();
    let (stream, _peer) = pair();
    let log = Log::recording(stream);
    let seen = log.clone();
    let started = clock.clone();
    stream.on("close", move |()| {
        let waited = started.elapsed();
        assert!(waited >= Duration::from_secs(1), "{waited:?}");
        assert!(waited < Duration::from_millis(1300), "{waited:?}");
        seen.note("lingered");
    });
    stream.end();
    uptick_event_loop::run().unwrap();
    assert_eq!(log.take(), "close,lingered");
}

#[test]
fn the_linger_time_can_be_set() {
    let (clock, _poller) = manual_clock();
    let (stream, _peer) = pair();
    stream.set_linger(Duration::from_secs(5));
    stream.end();
    uptick_event_loop::run().unwrap();
    let waited = clock.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_millis(5300));
}

#[test]
fn the_stream_closes_after_the_peers_end_once_the_queue_is_flushed() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    let filled = fill(stream);
    stream.write("last");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "end");
    assert!(!stream.is_writable());
    let (mut received, mut ended) = (Vec::new(), false);
    run_until(|| {
        let (bytes, end) = arrived(&mut peer);
        received.extend(bytes);
        ended |= end;
        ended
    });
    assert_eq!(received.len(), filled + 4);
    turn();
    assert_eq!(log.take(), "close");
}

#[test]
fn a_half_open_stream_stays_writable_after_the_peers_end() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.set_allow_half_open(true);
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "end");
    assert!(stream.write("still here"));
    turn();
    assert_eq!(text(&mut peer), "still here");
    stream.end();
    turn();
    assert_eq!(log.take(), "close");
    assert!(arrived(&mut peer).1);
}

#[test]
fn shutdown_write_ends_the_writing_side_and_reading_continues() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.write("request");
    stream.shutdown_write();
    assert!(!stream.write("more"));
    turn();
    assert_eq!(arrived(&mut peer), (b"request".to_vec(), true));
    send(&mut peer, "response");
    turn();
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "response,end,close");
}

#[test]
fn close_discards_and_is_idempotent() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.write("lost");
    stream.close();
    assert_eq!(log.take(), "close");
    stream.close();
    stream.end();
    turn();
    assert_eq!(log.take(), "");
    assert_eq!(arrived(&mut peer), (vec![], true));
}

#[test]
fn listeners_are_dropped_when_the_stream_has_closed() {
    let (stream, _peer) = pair();
    let kept = std::rc::Rc::new(());
    let held = std::rc::Rc::clone(&kept);
    stream.on("data", move |_: Bytes| drop(std::rc::Rc::clone(&held)));
    let held = std::rc::Rc::clone(&kept);
    stream.on("close", move |()| drop(std::rc::Rc::clone(&held)));
    assert_eq!(std::rc::Rc::strong_count(&kept), 3);
    stream.close();
    assert_eq!(std::rc::Rc::strong_count(&kept), 1);
}

#[test]
fn a_stale_handle_does_nothing_even_if_its_slot_is_reused() {
    let (old, peer) = pair();
    old.close();
    drop(peer);
    let (new, mut peer) = pair();
    let log = Log::recording(new);
    assert_ne!(old, new);
    assert!(!old.write("x"));
    assert_eq!(old.on("data", |_: Bytes| ()), ListenerId::NONE);
    old.end();
    old.pause();
    old.shutdown_write();
    old.set_write_limits(1, 1);
    old.close();
    assert_eq!((old.buffered(), old.bytes_read()), (0, 0));
    send(&mut peer, "hello");
    new.write("response");
    turn();
    assert_eq!(log.take(), "hello");
    assert_eq!(text(&mut peer), "response");
    new.close();
}

#[test]
fn the_loop_returns_when_the_last_stream_has_closed() {
    let (stream, peer) = pair();
    stream.on("end", |()| ());
    drop(peer);
    let start = Instant::now();
    uptick_event_loop::run().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!stream.is_open());
}
