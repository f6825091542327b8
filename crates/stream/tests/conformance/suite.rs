//! The rules for all duplex streams.
//!
//! To test the streams of another crate, include this file as a module, implement [`Fixture`] and call [`conformance!`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::EventLoop;
use uptick_stream::{BaseStream, DuplexStream, ReadableStream, WritableStream};

/// A kind of duplex stream, and its peer.
pub(crate) trait Fixture {
    type Stream: DuplexStream + PartialEq + std::fmt::Debug;
    type Peer;

    fn open() -> (Self::Stream, Self::Peer);

    /// Sends `bytes` so that the stream emits them.
    fn send(peer: &mut Self::Peer, bytes: &[u8]);

    /// Ends the peer so that the stream emits `end`.
    fn finish(peer: &mut Self::Peer);

    /// Makes the stream fail.
    fn fail(stream: Self::Stream, peer: Self::Peer);

    /// Returns the bytes written to the stream since the last call. The peer reads nothing before the first call.
    fn receive(peer: &mut Self::Peer) -> Vec<u8>;
}

/// Defines a test of each rule for a [`Fixture`].
macro_rules! conformance {
    ($Fixture:ty: $($rule:ident)+) => {
        $( #[test] fn $rule() { $crate::suite::$rule::<$Fixture>(); } )+
    };
    ($Fixture:ty) => {
        $crate::suite::conformance! { $Fixture:
            data_then_end_then_close
            an_error_is_followed_by_close_and_never_by_end
            close_is_emitted_once
            no_data_is_emitted_without_a_data_listener
            pause_stops_data_and_end_at_once
            resume_without_a_listener_discards_data
            the_state_changes_before_the_listeners_run
            a_stream_is_not_writable_after_end_and_close
            an_empty_write_changes_nothing
            a_full_stream_accepts_more_and_drains_once
            end_sends_all_written_data_and_then_closes
            close_discards_unsent_data
            listeners_are_dropped_after_close
            a_stale_handle_does_nothing
            a_listener_may_close_its_own_stream
            a_panicking_callback_emits_an_error_and_close
            a_pipe_emits_the_pipe_event
            every_split_and_pause_yields_the_same_bytes
        }
    };
}
pub(crate) use conformance;

/// Runs several iterations of the loop without waiting.
pub(crate) fn turn() {
    for _ in 0..8 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn recording<S: DuplexStream>(stream: S) -> Log {
        let log = Log::without_data(stream);
        let data = log.clone();
        stream.on(S::DATA, move |chunk| {
            data.note(&String::from_utf8_lossy(&chunk))
        });
        log
    }

    fn without_data<S: DuplexStream>(stream: S) -> Log {
        let log = Log::default();
        for (event, name) in [
            (S::END, "end"),
            (S::DRAIN, "drain"),
            (S::PIPE, "pipe"),
            (S::CLOSE, "close"),
        ] {
            let log = log.clone();
            stream.on(event, move |()| log.note(name));
        }
        let error = log.clone();
        stream.on(S::ERROR, move |_| error.note("error"));
        log
    }

    fn note(&self, entry: &str) {
        self.0.borrow_mut().push(entry.to_owned());
    }

    fn take(&self) -> String {
        self.0.borrow_mut().drain(..).collect::<Vec<_>>().join(",")
    }
}

pub(crate) fn data_then_end_then_close<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::recording(stream);
    for text in ["a", "b"] {
        F::send(&mut peer, text.as_bytes());
        turn();
    }
    assert!(stream.is_readable());
    F::finish(&mut peer);
    turn();
    assert_eq!(log.take(), "a,b,end,close");
}

pub(crate) fn an_error_is_followed_by_close_and_never_by_end<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::recording(stream);
    F::send(&mut peer, b"a");
    turn();
    F::fail(stream, peer);
    turn();
    assert_eq!(log.take(), "a,error,close");
    assert!(!stream.is_readable() && !stream.is_writable());
}

pub(crate) fn close_is_emitted_once<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::recording(stream);
    stream.pause();
    F::send(&mut peer, b"never read");
    turn();
    stream.close();
    assert_eq!(log.take(), "close");
    stream.close();
    stream.end();
    stream.resume();
    turn();
    assert_eq!(log.take(), "");
}

pub(crate) fn no_data_is_emitted_without_a_data_listener<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::without_data(stream);
    F::send(&mut peer, b"early");
    turn();
    F::finish(&mut peer);
    turn();
    assert_eq!(log.take(), "");
    let late = log.clone();
    stream.on(F::Stream::DATA, move |chunk: Bytes| {
        late.note(&String::from_utf8_lossy(&chunk))
    });
    assert_eq!(log.take(), "", "data was emitted before the next iteration");
    turn();
    assert_eq!(log.take(), "early,end,close");
}

pub(crate) fn pause_stops_data_and_end_at_once<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::recording(stream);
    let pauses = stream.on(F::Stream::DATA, move |_| stream.pause());
    F::send(&mut peer, b"a");
    turn();
    F::send(&mut peer, b"b");
    turn();
    F::finish(&mut peer);
    turn();
    stream.pause();
    turn();
    assert_eq!(log.take(), "a");
    stream.off(pauses);
    stream.resume();
    stream.resume();
    assert_eq!(log.take(), "", "resume emitted an event");
    turn();
    let events = log.take();
    assert_eq!(events.replace("drain,", ""), "b,end,close");
}

pub(crate) fn resume_without_a_listener_discards_data<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::without_data(stream);
    stream.resume();
    F::send(&mut peer, b"lost");
    turn();
    F::finish(&mut peer);
    turn();
    assert_eq!(log.take(), "end,close");
}

pub(crate) fn the_state_changes_before_the_listeners_run<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::default();
    for (event, name) in [(F::Stream::END, "end"), (F::Stream::CLOSE, "close")] {
        let log = log.clone();
        stream.on(event, move |()| {
            log.note(&format!("{name} {}", stream.is_readable()));
            if name == "close" {
                log.note(&stream.is_writable().to_string());
            }
        });
    }
    F::finish(&mut peer);
    turn();
    assert_eq!(log.take(), "end false,close false,false");
}

pub(crate) fn a_stream_is_not_writable_after_end_and_close<F: Fixture>() {
    let (stream, _peer) = F::open();
    stream.pause();
    let log = Log::recording(stream);
    assert!(stream.is_writable());
    stream.end();
    assert!(!stream.is_writable());
    assert!(!stream.write("late"));
    stream.close();
    assert!(!stream.write("later"));
    assert!(!stream.write(""));
    turn();
    assert_eq!(log.take(), "close");
}

pub(crate) fn an_empty_write_changes_nothing<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::without_data(stream);
    assert!(stream.write(""));
    turn();
    assert_eq!(F::receive(&mut peer), b"");
    assert_eq!(log.take(), "");
    stream.close();
}

pub(crate) fn a_full_stream_accepts_more_and_drains_once<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::without_data(stream);
    let mut sent = Vec::new();
    let mut write = |byte: u8| {
        sent.extend(std::iter::repeat_n(byte, 50_000));
        stream.write(vec![byte; 50_000])
    };
    let mut byte = 0;
    while write(byte) {
        byte += 1;
        turn();
        assert!(byte < 100, "it is never full");
    }
    assert!(!write(200), "still full");
    assert!(stream.is_writable());
    assert_eq!(log.take(), "");
    let mut received = Vec::new();
    for _ in 0..200 {
        received.extend(F::receive(&mut peer));
        turn();
    }
    assert!(received == sent, "{} of {}", received.len(), sent.len());
    assert_eq!(log.take(), "drain");
    assert!(stream.write("there is room again"));
    stream.close();
}

pub(crate) fn end_sends_all_written_data_and_then_closes<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::without_data(stream);
    let text = vec![b'x'; 300_000];
    stream.write(&text[1..]);
    stream.end_with("x");
    assert!(!stream.is_writable());
    let mut received = Vec::new();
    for _ in 0..50 {
        received.extend(F::receive(&mut peer));
        turn();
    }
    assert!(received == text, "{} of {}", received.len(), text.len());
    F::finish(&mut peer);
    turn();
    let events = log.take();
    assert!(events == "close" || events == "end,close", "{events}");
}

pub(crate) fn close_discards_unsent_data<F: Fixture>() {
    let (stream, _peer) = F::open();
    let log = Log::without_data(stream);
    for _ in 0..40 {
        stream.write(vec![0; 50_000]);
    }
    stream.end();
    stream.close();
    turn();
    assert_eq!(log.take(), "close");
}

pub(crate) fn listeners_are_dropped_after_close<F: Fixture>() {
    let (stream, _peer) = F::open();
    let kept = Rc::new(());
    for event in [F::Stream::END, F::Stream::CLOSE, F::Stream::DRAIN] {
        let held = Rc::clone(&kept);
        stream.on(event, move |()| drop(Rc::clone(&held)));
    }
    let held = Rc::clone(&kept);
    stream.on(F::Stream::DATA, move |_| drop(Rc::clone(&held)));
    assert_eq!(Rc::strong_count(&kept), 5);
    stream.close();
    assert_eq!(Rc::strong_count(&kept), 1);
    assert_eq!(stream.on(F::Stream::DATA, |_| ()), ListenerId::NONE);
}

pub(crate) fn a_stale_handle_does_nothing<F: Fixture>() {
    let (old, _old_peer) = F::open();
    old.close();
    let (new, mut peer) = F::open();
    assert_ne!(old, new);
    let log = Log::recording(new);
    assert!(!old.write("x"));
    old.pause();
    old.resume();
    old.end();
    old.close();
    assert!(!old.is_readable() && !old.is_writable());
    old.pipe(new);
    new.pipe(old);
    new.resume();
    F::send(&mut peer, b"hello");
    turn();
    assert_eq!(log.take(), "hello");
    new.close();
}

pub(crate) fn a_listener_may_close_its_own_stream<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::recording(stream);
    stream.on(F::Stream::DATA, move |_| stream.close());
    F::send(&mut peer, b"a");
    turn();
    assert_eq!(log.take(), "a,close");
    let (stream, mut peer) = F::open();
    let log = Log::recording(stream);
    stream.on(F::Stream::END, move |()| stream.close());
    F::finish(&mut peer);
    turn();
    assert_eq!(log.take(), "end,close");
}

pub(crate) fn a_panicking_callback_emits_an_error_and_close<F: Fixture>() {
    let (stream, mut peer) = F::open();
    let log = Log::without_data(stream);
    stream.on(F::Stream::DATA, |_| panic!("oops"));
    let (text, seen) = (Rc::new(RefCell::new(String::new())), log.clone());
    let message = Rc::clone(&text);
    stream.on(F::Stream::ERROR, move |error| {
        *message.borrow_mut() = error.to_string();
        seen.note("message");
    });
    F::send(&mut peer, b"a");
    turn();
    assert_eq!(log.take(), "error,message,close");
    assert!(text.borrow().contains("oops"), "{}", text.borrow());
}

pub(crate) fn a_pipe_emits_the_pipe_event<F: Fixture>() {
    let (source, mut sender) = F::open();
    let (destination, mut receiver) = F::open();
    let log = Log::without_data(destination);
    assert_eq!(source.pipe(destination), destination);
    F::send(&mut sender, b"through the pipe");
    turn();
    assert_eq!(F::receive(&mut receiver), b"through the pipe");
    F::finish(&mut sender);
    turn();
    assert!(!destination.is_writable());
    F::receive(&mut receiver);
    F::finish(&mut receiver);
    turn();
    let events = log.take().replace("drain,", "");
    assert!(
        events == "pipe,close" || events == "pipe,end,close",
        "{events}"
    );
}

pub(crate) fn every_split_and_pause_yields_the_same_bytes<F: Fixture>() {
    let steps = prop::collection::vec((1_usize..3000, 0..4_u8), 1..20);
    TestRunner::new(ProptestConfig::with_cases(32))
        .run(&steps, |steps| {
            let (stream, mut peer) = F::open();
            let (received, ended) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
            let (bytes, end) = (Rc::clone(&received), Rc::clone(&ended));
            stream.on(F::Stream::DATA, move |chunk: Bytes| {
                assert!(!chunk.is_empty());
                bytes.borrow_mut().extend_from_slice(&chunk);
            });
            stream.on(F::Stream::END, move |()| end.set(true));
            let mut sent = Vec::new();
            for (length, call) in steps {
                match call {
                    0 => stream.pause(),
                    1 => stream.resume(),
                    _ => turn(),
                }
                let chunk: Vec<u8> = (0..length).map(|n| (n + sent.len()) as u8).collect();
                sent.extend_from_slice(&chunk);
                F::send(&mut peer, &chunk);
            }
            stream.resume();
            turn();
            F::finish(&mut peer);
            turn();
            prop_assert!(*received.borrow() == sent, "the bytes differ");
            prop_assert!(ended.get());
            Ok(())
        })
        .unwrap();
}
