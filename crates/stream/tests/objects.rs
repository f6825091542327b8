//! Streams of values of any type.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::collections::VecDeque;

use bytes::Bytes;
use support::{Log, pair, text, turn};
use uptick_emitter::Emitter;
use uptick_stream::{
    Error, LineStream, ObjectStream, ObjectTransform, ThroughStream, TransformError,
};

fn listen<In: 'static, Out: Clone + std::fmt::Debug + 'static>(
    stream: ObjectStream<In, Out>,
) -> Log {
    let log = Log::default();
    let data = log.clone();
    stream.on(ObjectStream::DATA, move |value| {
        data.note(format!("{value:?}"))
    });
    for event in ["end", "drain", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    let error = log.clone();
    stream.on("error", move |failure: Error| {
        error.note(failure.to_string())
    });
    log
}

#[test]
fn values_are_emitted_before_write_returns() {
    let stream = ObjectStream::<u32>::new();
    let log = listen(stream);
    assert!(stream.write(1));
    assert_eq!(log.take(), "1");
    stream.end_with(2);
    assert_eq!(log.take(), "2,end,close");
    assert!(!stream.write(3));
}

/// A transform into sums of pairs, and the remainder.
struct Pairs(Option<u32>);

impl ObjectTransform<u32, u32> for Pairs {
    fn transform(&mut self, value: u32, output: &mut VecDeque<u32>) -> Result<(), TransformError> {
        match self.0.take() {
            Some(first) => output.push_back(first + value),
            None => self.0 = Some(value),
        }
        Ok(())
    }

    fn flush(&mut self, output: &mut VecDeque<u32>) -> Result<(), TransformError> {
        output.extend(self.0.take());
        Ok(())
    }
}

#[test]
fn a_transform_may_buffer_values_and_flush_them_at_the_end() {
    let stream = ObjectStream::with_transform(Pairs(None));
    let log = listen(stream);
    for value in 1..=5 {
        stream.write(value);
    }
    assert_eq!(log.take(), "3,7");
    stream.end();
    assert_eq!(log.take(), "5,end,close");
}

#[test]
fn sixteen_buffered_values_reach_the_soft_limit_until_drain() {
    let stream = ObjectStream::<u8>::new();
    let log = listen(stream);
    stream.pause();
    for value in 1..16 {
        assert!(stream.write(value));
    }
    assert!(!stream.write(16));
    assert_eq!((stream.buffered(), log.take().as_str()), (16, ""));
    stream.resume();
    assert_eq!(log.take(), "");
    turn();
    assert_eq!(log.take(), "1,drain,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16");
}

#[test]
fn the_number_of_buffered_values_has_a_limit() {
    let stream = ObjectStream::<()>::new();
    let log = listen(stream);
    stream.pause();
    for _ in 0..65_536 {
        stream.write(());
    }
    assert_eq!(stream.buffered(), 65_536);
    stream.write(());
    assert_eq!(
        log.take(),
        "writing failed: the stream is at its limit of 65536 values (ENOBUFS),close"
    );
}

#[test]
fn an_error_and_a_panic_of_the_transform_close_the_stream() {
    let stream = ObjectStream::<u8>::with(|_| Err("no such word".into()));
    let log = listen(stream);
    assert!(!stream.write(1));
    assert_eq!(log.take(), "transforming failed: no such word,close");
    let stream = ObjectStream::<u8>::with(|_| panic!("oops"));
    let log = listen(stream);
    assert!(!stream.write(1));
    assert_eq!(log.take(), "a callback panicked: oops,close");
}

#[test]
fn a_listener_that_writes_to_its_own_stream_does_not_stop_the_loop() {
    let stream = ObjectStream::<u32>::new();
    stream.on(ObjectStream::DATA, move |left| match left {
        0 => stream.end(),
        _ => drop(stream.write(left - 1)),
    });
    stream.write(1000);
    assert!(stream.is_open(), "all values were emitted in one go");
    support::run_until(|| !stream.is_open());
}

#[test]
fn values_are_piped_from_bytes_through_objects_to_a_connection() {
    let (input, output) = (ThroughStream::new(), pair());
    let double = ObjectStream::<u32>::with(|number| Ok(number * 2));
    uptick_stream::JsonStream::<u32>::new(input)
        .pipe_objects(double)
        .pipe_objects(ObjectStream::json_lines())
        .pipe(output.0);
    input.write("1\n2");
    input.end_with("1\n");
    let mut peer = output.1;
    turn();
    assert_eq!(text(&mut peer), "2\n42\n");
}

#[test]
fn a_full_object_stream_pauses_its_source() {
    let input = ThroughStream::new();
    let stream = LineStream::new(input).pipe_objects(ObjectStream::<Bytes>::new());
    stream.pause();
    input.write("x\n".repeat(100));
    assert_eq!(stream.buffered(), 16);
    assert!(!input.write("y\n"), "the source is paused");
    let log = listen(stream);
    input.end();
    stream.resume();
    support::run_until(|| !stream.is_open());
    let events = log.take().replace("drain,", "");
    assert_eq!(events, format!("{}b\"y\",end,close", "b\"x\",".repeat(100)));
}
