//! Isolation of streams: a panic in a callback or the close of a stream does not affect other streams.

use bytes::Bytes;
use uptick_emitter::Emitter;

use crate::support::{Log, open_descriptors, pair, send, text, turn};

#[test]
fn a_panicking_callback_closes_only_its_stream() {
    let (bad, mut peer) = pair();
    let (good, mut other) = pair();
    let log = Log::default();
    log.listen_without_data(bad, "bad ");
    log.listen(good, "good ");
    bad.on("data", |_: Bytes| panic!("oops"));
    send(&mut peer, "x");
    send(&mut other, "hello");
    turn();
    let events = log.take();
    let bad_events: Vec<_> = events.split(',').filter(|e| e.starts_with("bad")).collect();
    assert_eq!(bad_events, ["bad error oops", "bad close"]);
    assert!(events.contains("good hello"));
    assert!(!bad.is_open() && good.is_open());
    good.write("still here");
    turn();
    assert_eq!(text(&mut other), "still here");
}

#[test]
fn a_stream_closes_even_if_all_its_listeners_panic() {
    for event in ["end", "close"] {
        let (stream, peer) = pair();
        let log = Log::default();
        let seen = log.clone();
        stream.on("close", move |()| seen.note("close"));
        stream.on(event, |()| panic!("oops"));
        drop(peer);
        turn();
        assert_eq!(log.take(), "close", "{event}");
        assert!(!stream.is_open());
    }
    let (stream, mut peer) = pair();
    let log = Log::default();
    log.listen_without_data(stream, "");
    stream.on("data", |_: Bytes| panic!("first"));
    stream.on("error", |_: uptick_stream::Error| panic!("second"));
    send(&mut peer, "x");
    turn();
    assert_eq!(log.take(), "error first,close");
}

#[test]
fn a_callback_may_close_another_stream_that_is_ready_too() {
    let (first, mut peer) = pair();
    let (second, mut other) = pair();
    let log = Log::default();
    log.listen(first, "1 ");
    log.listen(second, "2 ");
    first.on("data", move |_: Bytes| second.close());
    second.on("data", move |_: Bytes| first.close());
    send(&mut peer, "x");
    send(&mut other, "y");
    turn();
    let events = log.take();
    assert!(
        events == "1 x,2 close" || events == "2 y,1 close",
        "{events}"
    );
}

#[test]
fn a_stream_in_a_reused_slot_receives_no_events_of_the_previous_stream() {
    let (first, mut peer) = pair();
    let (second, mut other) = pair();
    let log = Log::default();
    let seen = log.clone();
    let mut kept = Vec::new();
    let mut replace = move || {
        let (new, peer) = pair();
        seen.listen(new, "new ");
        kept.push((new, peer));
    };
    first.on("data", move |_: Bytes| {
        second.close();
        replace();
    });
    second.on("data", move |_: Bytes| first.close());
    send(&mut peer, "x");
    send(&mut other, "y");
    turn();
    assert_eq!(log.take(), "");
}

#[test]
fn a_thousand_streams_release_their_descriptors() {
    let (stream, peer) = pair();
    stream.close();
    drop(peer);
    let before = open_descriptors();
    for n in 0..1000 {
        let (stream, mut peer) = pair();
        stream.on("data", move |chunk: Bytes| stream.write(chunk));
        send(&mut peer, "x");
        match n % 3 {
            0 => stream.close(),
            1 => {
                turn();
                stream.end();
            }
            _ => turn(),
        }
        drop(peer);
        turn();
        assert!(!stream.is_open());
    }
    // Other tests run at the same time and have open descriptors.
    let after = open_descriptors();
    assert!(after < before + 100, "{before} before, {after} after");
}
