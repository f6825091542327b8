//! Pipes between streams.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use support::{Log, arrived, fill, pair, run_until, send, text, turn};
use uptick_emitter::Emitter;
use uptick_stream::{PipeOptions, ThroughStream};

fn note(log: &Log, stream: ThroughStream, prefix: &'static str) {
    for event in ["end", "drain", "pipe", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(format!("{prefix}{event}")));
    }
}

#[test]
fn the_source_is_paused_while_the_destination_is_full() {
    let (source, mut sender) = pair();
    let (destination, mut receiver) = pair();
    let mut expected = fill(destination);
    destination.set_write_limits(destination.buffered() + 1, 1 << 20);
    assert_eq!(source.pipe(destination), destination);
    let mut sent = 0;
    // The socket in between buffers data that the paused source does not read, until it is full.
    while let Ok(count) = std::io::Write::write(&mut sender, &[b'!'; 4096]) {
        sent += count;
        turn();
        assert!(sent < 10 << 20, "the source never pauses");
    }
    assert!(destination.buffered() < 200_000);
    expected += sent;
    let mut received = 0;
    run_until(|| {
        received += arrived(&mut receiver).0.len();
        received == expected
    });
    send(&mut sender, "and on");
    turn();
    assert_eq!(text(&mut receiver), "and on");
}

#[test]
fn the_end_is_passed_on_unless_the_option_is_off() {
    for end in [true, false] {
        let (source, destination) = (ThroughStream::new(), ThroughStream::new());
        let options = PipeOptions {
            end,
            ..PipeOptions::default()
        };
        destination.resume();
        source.pipe_with(destination, options);
        source.end_with("x");
        assert_eq!(destination.is_writable(), !end);
    }
}

#[test]
fn a_failure_of_the_source_leaves_the_destination_open_unless_the_option_is_on() {
    for close_on_error in [false, true] {
        let source = ThroughStream::with(|_| Err("on purpose".into()));
        let destination = ThroughStream::new();
        let options = PipeOptions {
            close_on_error,
            ..PipeOptions::default()
        };
        source.pipe_with(destination, options);
        source.write("x");
        assert!(!source.is_open());
        assert_eq!(destination.is_writable(), !close_on_error);
        assert_eq!(destination.is_open(), !close_on_error);
    }
}

#[test]
fn a_clean_end_is_no_failure() {
    let (source, destination) = (ThroughStream::new(), ThroughStream::new());
    let options = PipeOptions {
        end: false,
        close_on_error: true,
    };
    source.pipe_with(destination, options);
    source.end();
    assert!(!source.is_open() && destination.is_writable());
}

#[test]
fn a_closed_destination_is_detached_and_pauses_the_source() {
    let (source, destination) = (ThroughStream::new(), ThroughStream::new());
    source.pipe(destination);
    destination.close();
    assert!(!source.write("held"));
    assert_eq!(source.buffered(), 4);
    assert!(source.listeners("data").is_empty());
    assert!(source.listeners("end").is_empty());
    assert!(source.listeners("close").is_empty());
}

#[test]
fn a_closed_source_is_detached_from_the_destination() {
    let (source, destination) = (ThroughStream::new(), ThroughStream::new());
    let log = Log::default();
    note(&log, destination, "");
    let before = destination.listeners("drain").len();
    source.pipe(destination);
    assert_eq!(destination.listeners("drain").len(), before + 1);
    source.close();
    assert_eq!(destination.listeners("drain").len(), before);
    assert_eq!(destination.listeners("close").len(), before);
    assert_eq!(log.take(), "pipe");
}

#[test]
fn a_source_that_is_not_readable_is_not_piped() {
    let (source, destination) = (ThroughStream::new(), ThroughStream::new());
    let log = Log::default();
    note(&log, destination, "");
    source.close();
    source.pipe(destination);
    assert_eq!(log.take(), "");
    assert!(destination.is_writable());
}

#[test]
fn a_destination_that_is_not_writable_pauses_the_source() {
    let (source, destination) = (ThroughStream::new(), ThroughStream::new());
    destination.pause();
    destination.end();
    source.pipe(destination);
    source.on("data", |_: Bytes| panic!("it is paused"));
    assert!(!source.write("x"));
    turn();
    assert!(source.is_open());
}

#[test]
fn an_unrelated_drain_does_not_resume_a_paused_source() {
    let (source, destination) = (ThroughStream::new(), ThroughStream::new());
    source.pipe(destination);
    source.pause();
    assert!(!destination.write("from elsewhere"));
    destination.on("data", |_: Bytes| ());
    turn();
    assert!(!source.write("held"));
    turn();
    assert_eq!(source.buffered(), 4);
}

#[test]
fn a_chain_carries_everything_and_ends_in_order() {
    let shout = ThroughStream::with(|chunk| Ok(chunk.to_ascii_uppercase().into()));
    let (first, last) = (ThroughStream::new(), ThroughStream::new());
    let log = Log::default();
    note(&log, first, "first ");
    note(&log, last, "last ");
    let data = log.clone();
    first.pipe(shout).pipe(last);
    last.on("data", move |chunk: Bytes| {
        data.note(String::from_utf8_lossy(&chunk))
    });
    for word in ["one", "two"] {
        assert!(first.write(word));
    }
    first.end();
    let events = log.take();
    assert!(
        events.starts_with("last pipe,ONE,TWO,first end,"),
        "{events}"
    );
    assert!(
        events.ends_with("last end,last close,first close"),
        "{events}"
    );
}

#[test]
fn a_duplex_piped_into_itself_is_an_echo_that_ends_itself() {
    let (stream, mut peer) = pair();
    let log = Log::default();
    log.listen_without_data(stream, "");
    stream.pipe(stream);
    send(&mut peer, "hello");
    turn();
    assert_eq!(text(&mut peer), "hello");
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "end,close");
    assert!(arrived(&mut peer).1);
}

#[test]
fn one_source_may_be_piped_to_two_destinations() {
    let (source, mut sender) = pair();
    let (first, mut one) = pair();
    let (second, mut two) = pair();
    source.pipe(first);
    source.pipe(second);
    send(&mut sender, "both");
    turn();
    assert_eq!(
        (text(&mut one), text(&mut two)),
        ("both".into(), "both".into())
    );
    first.close();
    // The source must be resumed for the remaining pipe, as the detached pipe has paused it.
    source.resume();
    send(&mut sender, "one");
    turn();
    assert_eq!(text(&mut two), "one");
}
