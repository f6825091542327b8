//! Through streams: transforms, errors, backpressure.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use bytes::{Bytes, BytesMut};
use support::{Log, turn};
use uptick_emitter::Emitter;
use uptick_stream::transport::HARD_LIMIT;
use uptick_stream::{CompositeStream, Error, ThroughStream, Transform, TransformError};

fn listen(stream: ThroughStream) -> Log {
    let log = Log::default();
    for event in ["end", "drain", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    let data = log.clone();
    stream.on("data", move |chunk: Bytes| {
        data.note(String::from_utf8_lossy(&chunk))
    });
    let error = log.clone();
    stream.on("error", move |failure: Error| {
        error.note(failure.to_string())
    });
    log
}

#[test]
fn data_is_emitted_before_write_returns() {
    let stream = ThroughStream::new();
    let log = listen(stream);
    assert!(stream.write("x"));
    assert_eq!(log.take(), "x");
}

#[test]
fn a_paused_stream_returns_false_and_drains_when_it_is_resumed() {
    let stream = ThroughStream::new();
    let log = listen(stream);
    stream.pause();
    assert!(!stream.write("a"));
    assert!(!stream.write("b"));
    stream.resume();
    turn();
    assert_eq!(log.take(), "a,b,drain");
    assert!(stream.write("c"));
}

#[test]
fn an_error_of_the_transform_is_emitted_and_closes_the_stream() {
    let stream = ThroughStream::with(|_| Err("no such word".into()));
    let log = listen(stream);
    assert!(!stream.write("x"));
    assert_eq!(log.take(), "transforming failed: no such word,close");
}

#[test]
fn a_panic_in_the_transform_is_an_error() {
    let stream = ThroughStream::with(|_| panic!("oops"));
    let log = listen(stream);
    assert!(!stream.write("x"));
    assert_eq!(log.take(), "a callback panicked: oops,close");
}

/// A transform into whole lines, and the remainder at the end.
#[derive(Default)]
struct Lines(BytesMut);

impl Transform for Lines {
    fn transform(&mut self, chunk: Bytes) -> Result<Bytes, TransformError> {
        self.0.extend_from_slice(&chunk);
        match self.0.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => Ok(self.0.split_to(at + 1).freeze()),
            None => Ok(Bytes::new()),
        }
    }

    fn flush(&mut self) -> Result<Bytes, TransformError> {
        Ok(self.0.split().freeze())
    }
}

#[test]
fn a_transform_may_produce_output_at_the_end() {
    let stream = ThroughStream::with_transform(Lines::default());
    let log = listen(stream);
    stream.write("a\nb");
    stream.write("c");
    stream.write("d\ne");
    stream.end();
    assert_eq!(log.take(), "a\n,bcd\n,e,end,close");
}

#[test]
fn a_stream_with_flush_emits_the_remainder_at_the_end() {
    let stream = ThroughStream::with_flush(
        BytesMut::new(),
        |buffer, chunk| {
            buffer.extend_from_slice(&chunk);
            Ok(buffer.split_to(buffer.len() / 2 * 2).freeze())
        },
        |buffer| Ok(buffer.split().freeze()),
    );
    let log = listen(stream);
    stream.write("a");
    stream.write("bcde");
    assert_eq!(log.take(), "abcd");
    stream.end();
    assert_eq!(log.take(), "e,end,close");
    let stream = ThroughStream::with_flush((), |_, chunk| Ok(chunk), |_| Err("no rest".into()));
    let log = listen(stream);
    stream.end_with("x");
    assert_eq!(log.take(), "x,transforming failed: no rest,close");
}

#[test]
fn the_end_follows_buffered_data() {
    let stream = ThroughStream::new();
    let log = listen(stream);
    stream.pause();
    stream.write("a");
    stream.end();
    turn();
    assert_eq!(log.take(), "");
    stream.resume();
    turn();
    assert_eq!(log.take(), "a,end,close");
}

#[test]
fn buffered_data_has_a_limit() {
    let stream = ThroughStream::new();
    let log = listen(stream);
    stream.pause();
    let chunk = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..HARD_LIMIT >> 20 {
        stream.write(chunk.clone());
    }
    assert_eq!(stream.buffered(), HARD_LIMIT);
    assert_eq!(log.take(), "");
    stream.write("one more");
    assert!(log.take().ends_with("(ENOBUFS),close"));
    assert_eq!(stream.buffered(), 0);
}

#[test]
fn a_listener_that_writes_to_its_own_stream_does_not_stop_the_loop() {
    let stream = ThroughStream::new();
    let mut left = 1000;
    stream.on("data", move |chunk: Bytes| {
        left -= 1;
        if left > 0 {
            stream.write(chunk);
        } else {
            stream.end();
        }
    });
    stream.write("round");
    assert!(stream.is_open(), "all chunks were emitted in one go");
    support::run_until(|| !stream.is_open());
}

#[test]
fn data_that_a_transform_writes_to_its_own_stream_follows_in_order() {
    use std::cell::Cell;
    use std::rc::Rc;
    let own = Rc::new(Cell::new(None::<ThroughStream>));
    let inner = Rc::clone(&own);
    let stream = ThroughStream::with(move |chunk| {
        if chunk == "a"
            && let Some(stream) = inner.get()
        {
            stream.write("b");
        }
        Ok(chunk)
    });
    own.set(Some(stream));
    let log = listen(stream);
    stream.write("a");
    stream.write("c");
    assert_eq!(log.take().replace("drain,", ""), "a,b,c");
}

struct AtExit;

impl Drop for AtExit {
    fn drop(&mut self) {
        let stream = ThroughStream::new();
        assert!(!stream.is_open() && !stream.write("x"));
        let both = CompositeStream::new(stream, stream);
        assert!(!both.is_open() && !both.write("x"));
    }
}

thread_local! {
    static FIRST: AtExit = const { AtExit };
}

#[test]
fn streams_created_while_the_thread_ends_are_closed() {
    let thread = std::thread::spawn(|| {
        // Thread-local values are destroyed in the reverse order of their first use.
        FIRST.with(|_| ());
        CompositeStream::new(ThroughStream::new(), ThroughStream::new()).is_open()
    });
    assert!(thread.join().unwrap());
}
