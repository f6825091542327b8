//! Duplex streams as `AsyncRead + AsyncWrite`: each side has its own end, and what is dropped is gone.
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
fn who_closes_first_still_reads_what_the_peer_sends() {
    let (stream, mut peer) = pair();
    let mut duplex = stream.into_async();
    duplex
        .write_all(b"question")
        .now_or_never()
        .unwrap()
        .unwrap();
    // Ready as soon as everything is sent, whatever the peer does.
    block_on(async move {
        duplex.close().await.unwrap();
        assert_eq!(arrived(&mut peer), (b"question".to_vec(), true));
        assert!(duplex.write(b"more").await.is_err());
        peer.write_all(b"answer").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        duplex.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        duplex.close().await.unwrap();
    })
    .unwrap();
    assert!(!stream.is_open());
}

#[test]
fn the_end_of_the_peer_leaves_the_writer_its_turn() {
    let (stream, mut peer) = pair();
    send(&mut peer, "question");
    peer.shutdown(Shutdown::Write).unwrap();
    block_on(async move {
        let mut duplex = stream.into_async();
        let mut question = String::new();
        duplex.read_to_string(&mut question).await.unwrap();
        turn_of_others().await;
        assert!(stream.is_open());
        duplex.write_all(b"answer").await.unwrap();
        duplex.close().await.unwrap();
        assert!(!stream.is_open(), "both sides have ended");
        question
    })
    .map(|question| assert_eq!(question, "question"))
    .unwrap();
    assert_eq!(arrived(&mut peer), (b"answer".to_vec(), true));
}

async fn turn_of_others() {
    uptick_event_loop::sleep(Duration::ZERO).await;
}

#[test]
fn a_close_that_waits_goes_on_when_there_is_room() {
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
    // The peer has said nothing yet.
    assert!(Pin::new(&mut duplex).poll_close(&mut context).is_ready());
    assert!(stream.is_open());
}

#[test]
fn a_task_that_closes_is_woken_when_everything_is_sent_or_lost() {
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
        // Everything is over: the loop has nothing left to wait for.
        run().unwrap();
        assert_eq!(closing.now_or_never().unwrap().unwrap(), !lost);
    }
}

#[test]
fn streams_whose_adapter_was_dropped_are_gone_at_whatever_stage() {
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
                // More than the adapter holds, so that the stream is paused.
                let _ = peer.write(&[0; 150_000]);
                turn();
            }
            5 => {
                fill(stream);
                assert!(duplex.close().now_or_never().is_none());
                // Who takes nothing would be waited for.
                peer.shutdown(Shutdown::Both).unwrap();
            }
            _ => {}
        }
        drop(duplex);
        peers.push(peer);
        streams.push(stream);
    }
    // It returns when no stream is left.
    run().unwrap();
    assert!(streams.iter().all(|stream| !stream.is_open()));
    assert_eq!(Rc::strong_count(&kept), 1);
}

#[test]
fn an_adapter_of_a_stream_without_a_peer_reads_what_it_has_written() {
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
    assert!(!dropped.is_open(), "what nobody reads keeps it");
}

/// A composite of two socket pairs, and the other ends: of what it reads, of what it writes.
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
fn a_composite_stream_has_two_ends_as_well() {
    let (stream, mut source, mut target) = composite();
    let log = Log::default();
    for event in ["end", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    block_on(async move {
        let mut duplex = stream.into_async();
        duplex.write_all(b"question").await.unwrap();
        duplex.close().await.unwrap();
        assert_eq!(text(&mut target), "question");
        assert!(!stream.is_writable() && stream.is_readable());
        source.write_all(b"answer").unwrap();
        drop(source);
        let mut answer = String::new();
        duplex.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    })
    .unwrap();
    assert_eq!(log.take(), "end,close");
}

#[test]
fn a_composite_stream_may_be_written_after_the_end_of_what_it_reads() {
    let (stream, source, mut target) = composite();
    drop(source);
    block_on(async move {
        let mut duplex = stream.into_async();
        assert_eq!(duplex.read(&mut [0]).await.unwrap(), 0);
        duplex.write_all(b"answer").await.unwrap();
        duplex.close().await.unwrap();
        assert!(!stream.is_open());
    })
    .unwrap();
    assert_eq!(arrived(&mut target), (b"answer".to_vec(), true));
}

#[test]
fn a_composite_stream_that_is_half_closed_ends_with_its_adapter() {
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
fn a_half_close_goes_through_streams_that_are_made_of_each_other() {
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
    stream.write("question");
    stream.shutdown_write();
    turn();
    assert_eq!(arrived(&mut peer), (b"question".to_vec(), true));
    send(&mut peer, "answer");
    drop(peer);
    run().unwrap();
    assert_eq!(log.take(), "answer,end,close");
}
