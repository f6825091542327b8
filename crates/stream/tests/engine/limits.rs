//! Timeouts for writes and idle streams, and the soft limit.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::net::{AddressFamily, SocketType, connect, socket};
use uptick_event_loop::{Readiness, ScriptedWait, add_timer};
use uptick_stream::DuplexResourceStream;
use uptick_stream::transport::acknowledged;

use crate::support::{Log, arrived, fill, manual_clock, pair, run_until, send, turn};

#[test]
fn a_peer_that_never_reads_times_out_after_30_seconds() {
    let (clock, _poller) = manual_clock();
    let (stream, _peer) = pair();
    let log = Log::recording(stream);
    clock.advance(Duration::from_secs(1000));
    fill(stream);
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    let waited = clock.elapsed() - began;
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    assert!(waited >= Duration::from_secs(30), "{waited:?}");
    assert!(waited < Duration::from_millis(30_400), "{waited:?}");
}

#[test]
fn a_peer_that_reads_a_little_from_time_to_time_does_not_stall() {
    use std::os::fd::AsRawFd;
    let (clock, poller) = manual_clock();
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    fill(stream);
    stream.write(vec![0; 4 << 20]);
    let descriptor = poller.watched()[0];
    assert_ne!(descriptor, peer.as_raw_fd());
    for _ in 0..5 {
        turn_for(&clock, Duration::from_secs(20));
        arrived(&mut peer);
        poller.push(ScriptedWait::Ready(vec![(descriptor, Readiness::WRITABLE)]));
        turn();
        assert_eq!(log.take(), "");
    }
    uptick_event_loop::run().unwrap();
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
}

#[test]
fn a_peer_that_has_read_ahead_may_pause_as_long_as_a_slow_peer_would_have_needed() {
    let (clock, poller) = manual_clock();
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.write(vec![0; 8 << 20]);
    turn();
    let descriptor = poller.watched()[0];
    let mut taken = 0;
    while taken < 3 << 20 {
        taken += arrived(&mut peer).0.len();
        poller.push(ScriptedWait::Ready(vec![(descriptor, Readiness::WRITABLE)]));
        turn();
    }
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    // The pause is limited to 20 write timeouts.
    let waited = (clock.elapsed() - began).as_secs();
    assert!((600..608).contains(&waited), "{waited} s");
}

/// Runs the loop until `time` has passed on the clock.
fn turn_for(clock: &uptick_event_loop::ManualClock, time: Duration) {
    let until = clock.elapsed() + time;
    add_timer(time, || ());
    while clock.elapsed() < until {
        uptick_event_loop::EventLoop::current()
            .run_once(None)
            .unwrap();
    }
}

#[test]
fn the_write_timeout_starts_when_the_descriptor_is_full_not_with_the_stream() {
    let (clock, _poller) = manual_clock();
    let (stream, _peer) = pair();
    let log = Log::recording(stream);
    // Arms a deadline of another kind.
    stream.set_idle_timeout(Some(Duration::from_secs(500)));
    turn_for(&clock, Duration::from_secs(100));
    fill(stream);
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    let waited = clock.elapsed() - began;
    assert!(waited >= Duration::from_secs(30), "{waited:?}");
}

#[test]
fn the_stall_limit_can_be_switched_off() {
    let (clock, _poller) = manual_clock();
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.set_write_timeout(None);
    fill(stream);
    turn_for(&clock, Duration::from_secs(3600));
    assert_eq!(log.take(), "");
    arrived(&mut peer);
    stream.close();
}

#[test]
fn an_idle_stream_is_closed_and_activity_prevents_it() {
    let (clock, poller) = manual_clock();
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.set_idle_timeout(Some(Duration::from_secs(10)));
    let descriptor = poller.watched()[0];
    for _ in 0..3 {
        turn_for(&clock, Duration::from_secs(8));
        send(&mut peer, "x");
        poller.push(ScriptedWait::Ready(vec![(descriptor, Readiness::READABLE)]));
        turn();
        turn_for(&clock, Duration::from_secs(8));
        stream.write("y");
        turn();
        arrived(&mut peer);
    }
    assert_eq!(log.take(), "x,x,x");
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    let waited = clock.elapsed() - began;
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    assert!(waited >= Duration::from_secs(9) && waited < Duration::from_millis(10_400));
}

/// Returns a stream over TCP with small buffers, and its peer.
fn small_tcp_pair() -> (DuplexResourceStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Accepted sockets inherit the option.
    set_socket_send_buffer_size(&listener, 64 << 10).unwrap();
    let peer = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    // Otherwise the peer's kernel acknowledges in steps of 64 KiB, a segment of the loopback interface.
    set_socket_recv_buffer_size(&peer, 4 << 10).unwrap();
    connect(&peer, &listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    let peer = TcpStream::from(peer);
    peer.set_nonblocking(true).unwrap();
    (DuplexResourceStream::new(ours).unwrap(), peer)
}

/// Reads until the peer has acknowledged more bytes.
fn take_a_little(stream: DuplexResourceStream, peer: &mut TcpStream) {
    let before = acknowledged(stream);
    run_until(|| {
        let mut buffer = [0; 1024];
        match peer.read(&mut buffer) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            Ok(count) => assert!(count > 0, "the stream has ended"),
        }
        acknowledged(stream) != before
    });
}

/// Waits until the peer's kernel accepts no more.
fn wait_until_quiet(stream: DuplexResourceStream) {
    let mut calm = 0;
    let mut before = acknowledged(stream);
    run_until(|| {
        let now = acknowledged(stream);
        calm = if now == before { calm + 1 } else { 0 };
        before = now;
        calm > 50
    });
}

#[test]
fn a_peer_that_acknowledges_bytes_within_each_write_timeout_does_not_stall() {
    let (clock, _poller) = manual_clock();
    let (stream, mut peer) = small_tcp_pair();
    let log = Log::recording(stream);
    fill(stream);
    wait_until_quiet(stream);
    stream.write(vec![0; 1 << 20]);
    let written = stream.bytes_written();
    for _ in 0..6 {
        turn_for(&clock, Duration::from_secs(20));
        take_a_little(stream, &mut peer);
        assert_eq!(log.take(), "");
    }
    assert_eq!(
        stream.bytes_written(),
        written,
        "the kernel accepts no more"
    );
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    let waited = clock.elapsed() - began;
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    assert!(waited >= Duration::from_secs(30), "{waited:?}");
    assert!(waited < Duration::from_secs(38), "{waited:?}");
}

#[test]
fn a_stream_is_not_idle_while_its_peer_acknowledges_bytes_of_the_kernel() {
    let (clock, _poller) = manual_clock();
    let (stream, mut peer) = small_tcp_pair();
    let log = Log::recording(stream);
    stream.set_idle_timeout(Some(Duration::from_secs(10)));
    stream.write(vec![0; 40 << 10]);
    turn();
    wait_until_quiet(stream);
    assert_eq!(stream.buffered(), 0, "the kernel has all of it");
    for _ in 0..4 {
        turn_for(&clock, Duration::from_secs(8));
        take_a_little(stream, &mut peer);
        assert_eq!(log.take(), "");
    }
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    let waited = clock.elapsed() - began;
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    assert!(waited >= Duration::from_secs(10), "{waited:?}");
    assert!(waited < Duration::from_millis(20_400), "{waited:?}");
}

#[test]
fn a_soft_limit_of_zero_still_drains() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.set_write_limits(0, 1 << 20);
    stream.write("x");
    fill(stream);
    for _ in 0..4 {
        arrived(&mut peer);
        turn();
    }
    assert!(log.take().ends_with("drain"));
    assert!(stream.write("sent at once"));
}
