//! Reading, pausing and the end of stream.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use uptick_emitter::Emitter;
use uptick_stream::DuplexResourceStream;

use crate::support::{Log, arrived, pair, run_until, send, turn};
use bytes::Bytes;

#[test]
fn data_end_and_close_are_emitted_in_order() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    send(&mut peer, "a");
    turn();
    send(&mut peer, "b");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "a,b,end,close");
    assert!(!stream.is_open());
}

#[test]
fn no_data_is_read_or_lost_without_a_listener() {
    let (stream, mut peer) = pair();
    let log = Log::default();
    log.listen_without_data(stream, "");
    send(&mut peer, "early");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!((log.take().as_str(), stream.bytes_read()), ("", 0));
    let late = log.clone();
    stream.on("data", move |chunk: Bytes| {
        late.note(String::from_utf8_lossy(&chunk));
    });
    turn();
    assert_eq!(log.take(), "early,end,close");
}

#[test]
fn an_end_without_data_is_reported_without_a_data_listener() {
    let (stream, peer) = pair();
    let log = Log::default();
    log.listen_without_data(stream, "");
    drop(peer);
    turn();
    assert_eq!(log.take(), "end,close");
}

#[test]
fn resume_without_a_listener_discards_the_data() {
    let (stream, mut peer) = pair();
    let log = Log::default();
    log.listen_without_data(stream, "");
    stream.resume();
    send(&mut peer, "lost");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "end,close");
}

#[test]
fn pause_stops_data_and_end_at_once() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.on("data", move |_: Bytes| stream.pause());
    send(&mut peer, vec![b'x'; 100]);
    turn();
    send(&mut peer, "more");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "x".repeat(100));
    assert!(stream.is_readable());
    stream.pause();
    stream.resume();
    turn();
    assert_eq!(log.take(), "more");
    stream.resume();
    turn();
    assert_eq!(log.take(), "end,close");
}

#[test]
fn a_paused_stream_still_reports_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = DuplexResourceStream::new(listener.accept().unwrap().0).unwrap();
    let log = Log::recording(stream);
    stream.pause();
    turn();
    rustix::net::sockopt::set_socket_linger(&peer, Some(std::time::Duration::ZERO)).unwrap();
    drop(peer);
    turn();
    assert_eq!(log.take(), "error (ECONNRESET),close");
}

#[test]
fn the_stream_is_no_longer_readable_in_the_end_listener() {
    let (stream, peer) = pair();
    let log = Log::default();
    let seen = log.clone();
    stream.on("end", move |()| {
        seen.note(format!("{} {}", stream.is_readable(), stream.is_writable()));
    });
    drop(peer);
    turn();
    assert_eq!(log.take(), "false true");
}

#[test]
fn a_stream_closed_in_its_data_listener_reads_no_more() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.on("data", move |_: Bytes| stream.close());
    send(&mut peer, vec![b'y'; 10]);
    turn();
    assert_eq!(log.take(), format!("{},close", "y".repeat(10)));
}

#[test]
fn a_stream_with_endless_data_does_not_starve_others() {
    let (fast, mut peer) = pair();
    let (slow, mut other) = pair();
    let mut refill = move || {
        let chunk = [0; 64 * 1024];
        while peer.write(&chunk).is_ok() {}
    };
    refill();
    let log = Log::default();
    let order = log.clone();
    let mut chunks = 0;
    fast.on("data", move |_: Bytes| {
        order.note("fast");
        refill();
        chunks += 1;
        if chunks == 3 {
            send(&mut other, "x");
        }
        assert!(chunks < 10_000, "the other stream is starved");
    });
    let order = log.clone();
    slow.on("data", move |_: Bytes| {
        order.note("slow");
        fast.close();
        slow.close();
    });
    uptick_event_loop::run().unwrap();
    let order = log.take();
    let before = order
        .split(',')
        .take_while(|entry| *entry == "fast")
        .count();
    assert!(before <= 40, "{before} chunks were read before");
    assert!(order.ends_with("slow"));
}

#[test]
fn a_stream_of_single_bytes_arrives_completely() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    for byte in b"hello" {
        send(&mut peer, [*byte]);
        turn();
    }
    assert_eq!(log.take(), "h,e,l,l,o");
    for byte in b"world" {
        stream.write([*byte]);
        turn();
    }
    assert_eq!(arrived(&mut peer).0, b"world");
}

/// Sends bytes with a descriptor.
fn pass_descriptor(peer: &UnixStream, bytes: &[u8]) {
    let passed = [std::io::stdin()];
    let passed = passed.each_ref().map(|fd| fd.as_fd());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&passed)));
    let sent = sendmsg(
        peer,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::empty(),
    );
    assert_eq!(sent, Ok(bytes.len()));
}

#[test]
fn bytes_after_a_passed_descriptor_are_delivered_at_once() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    for round in 0..3 {
        send(&mut peer, "a");
        pass_descriptor(&peer, b"b");
        pass_descriptor(&peer, b"c");
        send(&mut peer, "d");
        turn();
        let received = log.take().replace(',', "");
        assert_eq!(received, "abcd", "in round {round}");
    }
}

#[test]
fn bytes_with_credentials_are_delivered_at_once() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    set_socket_passcred(&ours, true).unwrap();
    let stream = DuplexResourceStream::new(ours).unwrap();
    let log = Log::recording(stream);
    send(&mut peer, "a");
    pass_descriptor(&peer, b"b");
    send(&mut peer, "c");
    turn();
    assert_eq!(log.take().replace(',', ""), "abc");
}

/// Sends a byte out of band.
fn send_urgent(peer: impl AsFd) -> Result<(), Errno> {
    rustix::net::send(peer, b"!", SendFlags::OOB).map(drop)
}

fn tcp_pair() -> (DuplexResourceStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (DuplexResourceStream::new(ours).unwrap(), peer)
}

#[test]
fn bytes_after_urgent_data_are_delivered_at_once() {
    let (stream, mut peer) = tcp_pair();
    let log = Log::recording(stream);
    for round in 0..3 {
        peer.write_all(b"ab").unwrap();
        send_urgent(&peer).unwrap();
        peer.write_all(b"cd").unwrap();
        let mut received = String::new();
        run_until(|| {
            received += &log.take().replace(',', "");
            received.len() == 4
        });
        assert_eq!(received, "abcd", "in round {round}");
    }
}

#[test]
fn urgent_data_received_while_paused_hides_no_bytes() {
    let (stream, mut peer) = tcp_pair();
    let log = Log::recording(stream);
    stream.pause();
    peer.write_all(b"ab").unwrap();
    send_urgent(&peer).unwrap();
    peer.write_all(b"cd").unwrap();
    turn();
    stream.resume();
    let mut received = String::new();
    run_until(|| {
        received += &log.take().replace(',', "");
        received.len() == 4
    });
    assert_eq!(received, "abcd");
    send_urgent(&peer).unwrap();
    drop(peer);
    run_until(|| !stream.is_open());
    assert_eq!(log.take(), "end,close");
}

#[test]
fn bytes_after_out_of_band_data_of_a_unix_socket_are_delivered_at_once() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    send(&mut peer, "ab");
    if send_urgent(&peer).is_err() {
        // Not supported by every kernel.
        return;
    }
    send(&mut peer, "cd");
    turn();
    assert_eq!(log.take().replace(',', ""), "abcd");
}
