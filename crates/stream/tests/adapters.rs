//! Adapters between streams and the traits of `futures`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::channel::mpsc;
use futures::io::Cursor;
use futures::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, SinkExt,
    StreamExt,
};
use proptest::prelude::*;
use support::{Log, arrived, fill, pair, run_until, send, text, turn};
use uptick_emitter::Emitter;
use uptick_event_loop::{block_on, run, spawn};
use uptick_stream::{
    DuplexResourceStream, DuplexStream, Error, ReadableStream, ThroughStream, WritableStream,
    from_async, from_async_read, from_async_write, from_sink, from_stream,
};

fn duplexes() -> (DuplexResourceStream, DuplexResourceStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (
        DuplexResourceStream::new(ours).unwrap(),
        DuplexResourceStream::new(theirs).unwrap(),
    )
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 3 % 251) as u8).collect()
}

#[test]
fn data_written_on_one_side_is_read_on_the_other() {
    let (near, far) = duplexes();
    let sent = pattern(5_000_000);
    let expected = sent.clone();
    let received = block_on(async move {
        spawn(async move {
            let mut writer = near.into_async_write();
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        });
        let mut received = Vec::new();
        far.into_async_read()
            .read_to_end(&mut received)
            .await
            .unwrap();
        received
    });
    assert!(received.unwrap() == expected);
}

#[test]
fn a_late_reader_pauses_the_stream() {
    let (stream, mut peer) = pair();
    let reader = stream.into_async_read();
    let mut sent = 0;
    while let Ok(count) = io::Write::write(&mut peer, &[0; 4096]) {
        sent += count;
        turn();
        assert!(sent < 10 << 20, "the stream is read without bound");
    }
    assert!(stream.bytes_read() <= 2 * 64 * 1024);
    drop(reader);
    assert!(!stream.is_open());
}

#[test]
fn a_writer_waits_while_the_stream_is_full() {
    let (stream, mut peer) = pair();
    fill(stream);
    let mut writer = stream.into_async_write();
    let mut context = Context::from_waker(Waker::noop());
    let mut accepted = 0;
    while let Poll::Ready(count) = Pin::new(&mut writer).poll_write(&mut context, &[0; 30_000]) {
        accepted += count.unwrap();
        assert!(accepted < 10 << 20, "the writer never waits");
    }
    assert!(Pin::new(&mut writer).poll_flush(&mut context).is_pending());
    for _ in 0..10 {
        arrived(&mut peer);
        turn();
    }
    assert!(Pin::new(&mut writer).poll_flush(&mut context).is_ready());
    assert!(
        Pin::new(&mut writer)
            .poll_write(&mut context, b"x")
            .is_ready()
    );
    stream.close();
}

#[test]
fn lines_are_read_without_losing_the_rest() {
    let (stream, mut peer) = pair();
    send(&mut peer, "one\ntw");
    let late = peer.try_clone().unwrap();
    let lines = block_on(async move {
        let mut reader = stream.into_async_read();
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        io::Write::write_all(&mut &late, b"o\nrest").unwrap();
        late.shutdown(Shutdown::Write).unwrap();
        reader.read_line(&mut line).await.unwrap();
        reader.read_to_string(&mut line).await.unwrap();
        line
    });
    assert_eq!(lines.unwrap(), "one\ntwo\nrest");
}

#[test]
fn an_error_follows_the_data() {
    let source = ThroughStream::with(|chunk: Bytes| match &chunk[..] {
        b"bad" => Err("bad chunk".into()),
        _ => Ok(chunk),
    });
    let mut chunks = source.into_chunks();
    source.write("good");
    source.write("bad");
    let items = block_on(async move {
        let first = chunks.next().await.unwrap().unwrap();
        let second = chunks.next().await.unwrap().unwrap_err();
        (first, second.to_string(), chunks.next().await.is_none())
    })
    .unwrap();
    let expected = ("good".into(), "transforming failed: bad chunk".into(), true);
    assert_eq!(items, expected);
}

#[test]
fn a_close_without_an_end_is_an_error() {
    let (stream, mut peer) = pair();
    send(&mut peer, "a part");
    let error = block_on(async move {
        let mut reader = stream.into_async_read();
        let mut part = [0; 6];
        reader.read_exact(&mut part).await.unwrap();
        stream.close();
        reader.read(&mut part).await.unwrap_err()
    });
    assert_eq!(error.unwrap().kind(), io::ErrorKind::BrokenPipe);
    let (stale, _peer) = pair();
    stale.close();
    let mut reader = stale.into_async_read();
    let read = block_on(async move { reader.read(&mut [0; 8]).await });
    assert!(read.unwrap().is_err());
}

#[test]
fn closing_waits_until_everything_is_sent() {
    let (stream, mut peer) = pair();
    let filled = fill(stream);
    let closed = Rc::new(RefCell::new(None));
    let result = Rc::clone(&closed);
    spawn(async move {
        let mut duplex = stream.into_async();
        duplex.write_all(b"last bytes").await.unwrap();
        *result.borrow_mut() = Some(duplex.close().await.is_ok());
    });
    turn();
    assert_eq!(*closed.borrow(), None);
    let mut received = 0;
    run_until(|| {
        let (bytes, end) = arrived(&mut peer);
        received += bytes.len();
        end
    });
    assert_eq!(received, filled + 10);
    turn();
    assert_eq!(*closed.borrow(), Some(true));
}

#[test]
fn writing_to_a_failed_stream_returns_the_cause() {
    let (stream, peer) = pair();
    drop(peer);
    let error = block_on(async move {
        let mut writer = stream.into_async_write();
        loop {
            if let Err(error) = writer.write_all(&[0; 60_000]).await {
                return error;
            }
            uptick_event_loop::sleep(std::time::Duration::ZERO).await;
        }
    });
    assert_eq!(error.unwrap().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_dropped_duplex_sends_written_data() {
    let (stream, mut peer) = pair();
    let mut duplex = stream.into_async();
    duplex
        .write_all(b"farewell")
        .now_or_never()
        .unwrap()
        .unwrap();
    drop(duplex);
    turn();
    assert_eq!(arrived(&mut peer), (b"farewell".to_vec(), true));
    assert!(stream.listeners("data").is_empty());
}

#[test]
fn chunks_are_sent_to_a_sink_and_received_from_a_stream() {
    let (near, far) = duplexes();
    let words = block_on(async move {
        spawn(async move {
            let mut sink = near.into_sink();
            for word in ["one ", "two ", "three"] {
                sink.send(word).await.unwrap();
            }
            SinkExt::<&str>::close(&mut sink).await.unwrap();
        });
        let chunks: Vec<Bytes> = far.into_chunks().map(Result::unwrap).collect().await;
        chunks.concat()
    });
    assert_eq!(words.unwrap(), b"one two three");
}

#[test]
fn a_dropped_read_loses_nothing() {
    let (stream, mut peer) = pair();
    let mut reader = stream.into_async_read();
    let mut buffer = [0; 4];
    assert!(reader.read(&mut buffer).now_or_never().is_none());
    send(&mut peer, "data");
    turn();
    let count = reader.read(&mut buffer).now_or_never().unwrap().unwrap();
    assert_eq!(&buffer[..count], b"data");
}

#[test]
fn a_reader_becomes_a_stream() {
    let stream = from_async_read(Cursor::new(pattern(1_000_000)));
    assert!(!stream.is_writable() && !stream.write("x"));
    let (bytes, log) = (Rc::<RefCell<Vec<u8>>>::default(), Log::default());
    turn();
    assert!(
        stream.buffered() <= 2 * 64 * 1024,
        "read ahead without bound"
    );
    let all = Rc::clone(&bytes);
    stream.on("data", move |chunk: Bytes| {
        all.borrow_mut().extend_from_slice(&chunk)
    });
    for event in ["end", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    run().unwrap();
    assert!(*bytes.borrow() == pattern(1_000_000));
    assert_eq!(log.take(), "end,close");
}

/// A reader that returns some bytes, then an error.
struct Failing(Option<&'static [u8]>);

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(match self.0.take() {
            Some(bytes) => {
                buffer[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            }
            None => Err(io::ErrorKind::ConnectionReset.into()),
        })
    }
}

#[test]
fn an_error_of_the_reader_follows_its_data() {
    let stream = from_async_read(Failing(Some(b"some")));
    let log = Log::default();
    let error = log.clone();
    stream.on("error", move |failure: Error| {
        error.note(failure.to_string())
    });
    turn();
    assert_eq!(log.take(), "");
    let data = log.clone();
    stream.on("data", move |chunk: Bytes| {
        data.note(String::from_utf8_lossy(&chunk))
    });
    run().unwrap();
    let events = log.take();
    assert!(events.starts_with("some,reading failed: "), "{events}");
    assert!(events.ends_with("(ECONNRESET)"), "{events}");
}

#[test]
fn a_writer_becomes_a_stream_that_closes_when_everything_is_written() {
    let (near, far) = duplexes();
    let stream = from_async_write(near.into_async_write());
    assert!(!stream.is_readable());
    let log = Log::default();
    for event in ["drain", "close", "end"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    let chunk = pattern(50_000);
    assert!(stream.write(&chunk));
    assert!(!stream.write(&chunk));
    let received = Rc::<RefCell<Vec<u8>>>::default();
    let all = Rc::clone(&received);
    far.on("data", move |bytes: Bytes| {
        all.borrow_mut().extend_from_slice(&bytes)
    });
    run_until(|| received.borrow().len() == 100_000);
    assert!(stream.write("!"));
    stream.end();
    run().unwrap();
    assert_eq!(received.borrow().len(), 100_001);
    assert_eq!(log.take(), "drain,close");
}

#[test]
fn a_slow_writer_fills_the_stream() {
    let (near, mut peer) = pair();
    let stream = from_async_write(near.into_async_write());
    let mut written = 0;
    while stream.write(vec![0; 10_000]) || near.bytes_written() == 0 {
        written += 10_000;
        turn();
        assert!(written < 10 << 20, "it never fills up");
    }
    let log = Log::default();
    let drained = log.clone();
    stream.on("drain", move |()| drained.note("drain"));
    run_until(|| {
        arrived(&mut peer);
        stream.buffered() == 0
    });
    assert_eq!(log.take(), "drain");
    stream.close();
    turn();
    assert!(
        !near.is_writable(),
        "the writer was dropped with the stream"
    );
}

#[test]
fn an_async_duplex_becomes_an_event_stream() {
    let (near, mut peer) = pair();
    let stream = from_async(near.into_async());
    let log = Log::default();
    let data = log.clone();
    stream.on("data", move |chunk: Bytes| {
        data.note(String::from_utf8_lossy(&chunk));
        stream.write("reply");
    });
    for event in ["end", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    send(&mut peer, "request");
    turn();
    assert_eq!(text(&mut peer), "reply");
    peer.shutdown(Shutdown::Write).unwrap();
    run().unwrap();
    assert_eq!(log.take(), "request,end,close");
    assert!(arrived(&mut peer).1);
}

#[test]
fn a_channel_becomes_a_stream_and_a_stream_feeds_a_channel() {
    let (mut sender, receiver) = mpsc::channel::<Result<Bytes, io::Error>>(4);
    let (output, mut results) = mpsc::unbounded::<Bytes>();
    from_stream(receiver).pipe(from_sink(output));
    spawn(async move {
        for word in ["one", "two"] {
            sender.send(Ok(word.into())).await.unwrap();
        }
    });
    run().unwrap();
    let words: Vec<Bytes> = results.by_ref().collect().now_or_never().unwrap();
    assert_eq!(words.concat(), b"onetwo");
}

#[test]
fn a_failing_sink_fails_its_stream() {
    let (output, results) = mpsc::unbounded::<Bytes>();
    drop(results);
    let stream = from_sink(output);
    let log = Log::default();
    let error = log.clone();
    stream.on("error", move |failure: Error| {
        error.note(failure.to_string())
    });
    stream.write("x");
    run().unwrap();
    assert!(!log.take().is_empty());
    assert!(!stream.is_open());
}

#[test]
fn closing_a_stream_drops_its_pending_reader() {
    struct Never(#[expect(dead_code, reason = "counted")] Rc<()>);
    impl AsyncRead for Never {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }
    let kept = Rc::new(());
    let stream = from_async_read(Never(Rc::clone(&kept)));
    turn();
    assert_eq!(Rc::strong_count(&kept), 2);
    stream.close();
    run().unwrap();
    assert_eq!(Rc::strong_count(&kept), 1);
}

#[test]
fn bytes_survive_conversions_in_both_directions() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let chunks = prop::collection::vec(0_usize..20_000, 1..20);
    runner
        .run(&chunks, |lengths| {
            let (near, far) = duplexes();
            far.pipe(far);
            let expected: Vec<u8> = pattern(lengths.iter().sum());
            let sent = expected.clone();
            let received = block_on(async move {
                let stream = from_async(near.into_async());
                let (mut reader, mut writer) = stream.into_async().split();
                spawn(async move {
                    let mut at = 0;
                    for length in lengths {
                        writer.write_all(&sent[at..at + length]).await.unwrap();
                        at += length;
                    }
                });
                let mut received = vec![0; expected.len()];
                reader.read_exact(&mut received).await.unwrap();
                received == expected
            });
            prop_assert!(received.unwrap());
            far.close();
            run().unwrap();
            Ok(())
        })
        .unwrap();
}
