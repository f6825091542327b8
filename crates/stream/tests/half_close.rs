//! Duplex streams as `AsyncRead + AsyncWrite`: half-close, and release of dropped adapters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt};
use support::{Log, arrived, fill, pair, run_until, send, text, turn};
use uptick_emitter::Emitter;
use uptick_event_loop::{block_on, run};
use uptick_stream::{
    CompositeStream, DuplexStream, ReadableResourceStream, ThroughStream, WritableResourceStream,
    from_async,
};

#[test]
fn the_side_that_closes_first_still_reads_data_of_the_peer() {
    let (stream, mut peer) = pair();
    let mut duplex = stream.into_async();
    duplex
        .write_all(b"request")
        .now_or_never()
        .unwrap()
        .unwrap();
    // Ready as soon as everything is sent, regardless of the peer.
    block_on(async move {
        duplex.close().await.unwrap();
        assert_eq!(arrived(&mut peer), (b"request".to_vec(), true));
        assert!(duplex.write(b"more").await.is_err());
        peer.write_all(b"response").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut response = String::new();
        duplex.read_to_string(&mut response).await.unwrap();
        assert_eq!(response, "response");
        duplex.close().await.unwrap();
    })
    .unwrap();
    assert!(!stream.is_open());
}

#[test]
fn writing_continues_after_the_peers_end() {
    let (stream, mut peer) = pair();
    send(&mut peer, "request");
    peer.shutdown(Shutdown::Write).unwrap();
    block_on(async move {
        let mut duplex = stream.into_async();
        let mut request = String::new();
        duplex.read_to_string(&mut request).await.unwrap();
        turn_of_others().await;
        assert!(stream.is_open());
        duplex.write_all(b"response").await.unwrap();
        duplex.close().await.unwrap();
        assert!(!stream.is_open(), "both sides have ended");
        request
    })
    .map(|request| assert_eq!(request, "request"))
    .unwrap();
    assert_eq!(arrived(&mut peer), (b"response".to_vec(), true));
}

async fn turn_of_others() {
    uptick_event_loop::sleep(Duration::ZERO).await;
}

#[test]
fn a_pending_close_completes_when_there_is_room() {
    let (stream, mut peer) = pair();
    let filled = fill(stream);
    let mut duplex = stream.into_async();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut duplex).poll_close(&mut context).is_pending());
    let mut received = 0;
    run_until(|| {
        let (bytes, end) = arrived(&mut peer);
        received += bytes.len();
        end
    });
    assert_eq!(received, filled);
    // The peer has neither sent nor ended yet.
    assert!(Pin::new(&mut duplex).poll_close(&mut context).is_ready());
    assert!(stream.is_open());
}

#[test]
fn a_closing_task_is_woken_when_everything_is_sent_or_lost() {
    for lost in [false, true] {
        let (stream, mut peer) = pair();
        fill(stream);
        let closing = uptick_event_loop::spawn(async move {
            let mut duplex = stream.into_async();
            let closed = duplex.close().await;
            drop(duplex);
            closed.is_ok()
        });
        turn();
        if lost {
            drop(peer);
        } else {
            run_until(|| arrived(&mut peer).1);
            drop(peer);
        }
        // The loop has nothing left to wait for.
        run().unwrap();
        assert_eq!(closing.now_or_never().unwrap().unwrap(), !lost);
    }
}

#[test]
fn streams_close_when_their_adapter_is_dropped_at_any_stage() {
    let kept = Rc::new(());
    let mut peers: Vec<UnixStream> = Vec::new();
    let mut streams = Vec::new();
    for stage in 0..60 {
        let (stream, mut peer) = pair();
        stream.set_linger(Duration::from_millis(1));
        let count = Rc::clone(&kept);
        stream.on("close", move |()| drop(Rc::clone(&count)));
        let mut duplex = stream.into_async();
        match stage % 6 {
            1 => drop(duplex.write(b"never read").now_or_never()),
            2 => {
                turn();
                assert!(duplex.close().now_or_never().unwrap().is_ok());
            }
            3 => {
                peer.shutdown(Shutdown::Write).unwrap();
                turn();
                assert_eq!(duplex.read(&mut [0]).now_or_never().unwrap().unwrap(), 0);
            }
            4 => {
                // More than the adapter buffers, so that the stream is paused.
                let _ = peer.write(&[0; 150_000]);
                turn();
            }
            5 => {
                fill(stream);
                assert!(duplex.close().now_or_never().is_none());
                // Without this, the stream would wait for a peer that reads nothing.
                peer.shutdown(Shutdown::Both).unwrap();
            }
            _ => {}
        }
        drop(duplex);
        peers.push(peer);
        streams.push(stream);
    }
    // `run` returns when no stream is left.
    run().unwrap();
    assert!(streams.iter().all(|stream| !stream.is_open()));
    assert_eq!(Rc::strong_count(&kept), 1);
}

#[test]
fn an_adapter_of_a_stream_without_a_peer_reads_its_own_writes() {
    let through = ThroughStream::new();
    let mut duplex = through.into_async();
    let back = block_on(async move {
        duplex.write_all(b"echo").await.unwrap();
        duplex.close().await.unwrap();
        let mut back = String::new();
        duplex.read_to_string(&mut back).await.unwrap();
        back
    });
    assert_eq!(back.unwrap(), "echo");
    let dropped = ThroughStream::new();
    let mut duplex = dropped.into_async();
    duplex
        .write_all(&[0; 100_000])
        .now_or_never()
        .unwrap()
        .unwrap();
    drop(duplex);
    turn();
    assert!(!dropped.is_open(), "unread data keeps the stream open");
}

/// Returns a composite of two socket pairs, the peer that it reads from and the peer that it writes to.
fn composite() -> (CompositeStream, UnixStream, UnixStream) {
    let (input, source) = UnixStream::pair().unwrap();
    let (output, target) = UnixStream::pair().unwrap();
    target.set_nonblocking(true).unwrap();
    let stream = CompositeStream::new(
        ReadableResourceStream::new(input).unwrap(),
        WritableResourceStream::new(output).unwrap(),
    );
    (stream, source, target)
}

#[test]
fn a_composite_stream_supports_half_close() {
    let (stream, mut source, mut target) = composite();
    let log = Log::default();
    for event in ["end", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    block_on(async move {
        let mut duplex = stream.into_async();
        duplex.write_all(b"request").await.unwrap();
        duplex.close().await.unwrap();
        assert_eq!(text(&mut target), "request");
        assert!(!stream.is_writable() && stream.is_readable());
        source.write_all(b"response").unwrap();
        drop(source);
        let mut response = String::new();
        duplex.read_to_string(&mut response).await.unwrap();
        assert_eq!(response, "response");
    })
    .unwrap();
    assert_eq!(log.take(), "end,close");
}

#[test]
fn a_composite_stream_is_writable_after_the_end_of_its_readable_stream() {
    let (stream, source, mut target) = composite();
    drop(source);
    block_on(async move {
        let mut duplex = stream.into_async();
        assert_eq!(duplex.read(&mut [0]).await.unwrap(), 0);
        duplex.write_all(b"response").await.unwrap();
        duplex.close().await.unwrap();
        assert!(!stream.is_open());
    })
    .unwrap();
    assert_eq!(arrived(&mut target), (b"response".to_vec(), true));
}

#[test]
fn a_half_closed_composite_stream_closes_with_its_adapter() {
    let (stream, _source, _target) = composite();
    block_on(async move {
        let mut duplex = stream.into_async();
        duplex.close().await.unwrap();
        assert!(stream.is_open());
    })
    .unwrap();
    run().unwrap();
    assert!(!stream.is_open());
}

#[test]
fn a_half_close_passes_through_nested_adapters() {
    let (near, mut peer) = pair();
    let stream: CompositeStream = from_async(near.into_async());
    let log = Log::default();
    let data = log.clone();
    stream.on("data", move |chunk: Bytes| {
        data.note(String::from_utf8_lossy(&chunk));
    });
    for event in ["end", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    stream.write("request");
    stream.shutdown_write();
    turn();
    assert_eq!(arrived(&mut peer), (b"request".to_vec(), true));
    send(&mut peer, "response");
    drop(peer);
    run().unwrap();
    assert_eq!(log.take(), "response,end,close");
}
