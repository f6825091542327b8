//! Limits of heads and streams, and floods.

use http::Method;
use uptick_http::h2::Limits;

use super::support::*;
use crate::error::ErrorKind;
use crate::transport::OutgoingBody;

#[test]
fn the_settings_of_the_server_limit_the_room() {
    let mut fixture = Fixture::with(&Limits::default().concurrent_streams(2));
    assert_eq!(fixture.session.room(), 2);
    let first = fixture.get();
    let _second = fixture.get();
    assert_eq!((fixture.session.room(), fixture.session.active()), (0, 2));
    let refused = fixture
        .session
        .begin(request(&Method::GET, OutgoingBody::Empty, settings()));
    assert!(refused.err().unwrap().unprocessed);
    fixture.peer.events();
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&first), ok(200, ""));
    assert_eq!(
        (fixture.session.room(), fixture.owner.calls().as_str()),
        (1, "available")
    );
}

#[test]
fn a_server_that_allows_more_streams_later_is_available_again() {
    let mut fixture = Fixture::with(&Limits::default().concurrent_streams(1));
    let _first = fixture.get();
    assert_eq!(fixture.session.room(), 0);
    fixture.peer.events();
    fixture
        .peer
        .send(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 5]));
    assert_eq!(
        (fixture.session.room(), fixture.owner.calls().as_str()),
        (4, "available")
    );
}

#[test]
fn the_number_of_streams_has_a_limit_of_its_own() {
    let mut fixture = Fixture::new();
    fixture
        .peer
        .send(frame(SETTINGS, 0, 0, &[0, 3, 0xff, 0xff, 0xff, 0xff]));
    assert_eq!(fixture.session.room(), 1000);
}

/// Returns the head of a response whose text has this length, in frames of 16 KiB.
fn large_head(length: usize) -> Vec<u8> {
    // "HTTP/2 200 \r\n", "x-large: …\r\n", "\r\n".
    let value = "~".repeat(length - 13 - 11 - 2);
    let block = block(&[(":status", "200"), ("x-large", &value)]);
    let mut pieces = block.chunks(16_384).peekable();
    let mut frames = Vec::new();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let mut flags = if kind == HEADERS { END_STREAM } else { 0 };
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        frames.extend(frame(kind, flags, 1, piece));
        kind = CONTINUATION;
    }
    frames
}

#[test]
fn a_head_up_to_the_limit_is_accepted() {
    for (limit, length, is_accepted) in [
        (65_536, 65_536, true),
        (65_536, 65_537, false),
        (1000, 1000, true),
        (1000, 1001, false),
        (400_000, 400_000, true),
        (400_000, 500_000, false),
    ] {
        let mut fixture = Fixture::new();
        let mut own = settings();
        own.max_head = limit;
        let exchange = fixture.begin(&Method::GET, OutgoingBody::Empty, own);
        fixture.peer.events();
        fixture.peer.send(large_head(length));
        match is_accepted {
            true => assert_eq!(outcome(&exchange), ok(200, ""), "{length}"),
            false => assert_eq!(outcome(&exchange), Err(ErrorKind::TooLarge), "{length}"),
        }
        // The connection is still usable.
        let second = fixture.get();
        fixture.peer.events();
        fixture.peer.send(head(3, END_STREAM, "200", &[]));
        assert_eq!(outcome(&second), ok(200, ""));
    }
}

#[test]
fn the_number_of_headers_is_limited() {
    for (count, is_accepted) in [(256, true), (257, false)] {
        let list: Vec<_> = (0..count).map(|_| ("x-a", "b")).collect();
        let (_fixture, exchange) = Fixture::answered(head(1, END_STREAM, "200", &list));
        match is_accepted {
            true => assert_eq!(outcome(&exchange), ok(200, "")),
            false => assert_eq!(outcome(&exchange), Err(ErrorKind::TooLarge)),
        }
    }
}

#[test]
fn trailers_have_the_limit_of_a_head() {
    let value = "~".repeat(2000);
    let trailers = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &block(&[("x-large", &value)]),
    );
    for (limit, is_accepted) in [(1000, false), (5000, true)] {
        let mut fixture = Fixture::new();
        let mut own = settings();
        own.max_head = limit;
        let exchange = fixture.begin(&Method::GET, OutgoingBody::Empty, own);
        fixture.peer.events();
        fixture
            .peer
            .send([head(1, 0, "200", &[]), trailers.clone()].concat());
        match is_accepted {
            true => assert_eq!(outcome(&exchange), ok(200, "")),
            false => assert_eq!(outcome(&exchange), Err(ErrorKind::TooLarge)),
        }
    }
}

#[test]
fn an_endless_head_fails_with_its_limit_and_ends_the_connection() {
    let mut fixture = Fixture::new();
    let (first, second) = (fixture.get(), fixture.get());
    fixture.peer.events();
    fixture
        .peer
        .send(frame(HEADERS, 0, 1, &block(&[(":status", "200")])));
    let sent = fixture
        .peer
        .send_until_closed(&frame(CONTINUATION, 0, 1, &[0; 16_384]));
    assert!(sent < 1 << 20, "{sent}");
    assert_eq!(outcome(&first), Err(ErrorKind::TooLarge));
    assert_eq!(outcome(&second), Err(ErrorKind::Http2));
}

#[test]
fn floods_end_the_connection() {
    let empty_data = [head(1, 0, "200", &[]), Vec::new()].concat();
    for (start, flood) in [
        (vec![], frame(PING, 0, 0, &[7; 8])),
        (vec![], frame(SETTINGS, 0, 0, &[])),
        (empty_data, data(1, 0, "")),
        (vec![], frame(8, 0, 0, &[0, 0, 0, 1])),
        (vec![], frame(0x42, 0, 0, b"unknown")),
    ] {
        let mut fixture = Fixture::new();
        let exchange = fixture.get();
        fixture.peer.events();
        fixture.peer.send(start);
        fixture.peer.send_until_closed(&flood.repeat(100));
        assert!(matches!(outcome(&exchange), Err(ErrorKind::Http2)));
    }
}

#[test]
fn acknowledgements_that_the_server_does_not_read_pause_the_connection() {
    let mut fixture = Fixture::new();
    let exchange = fixture.get();
    fixture.peer.events();
    let mut sent = 0;
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(100);
    // 20,000 at once would exceed the budget. The buffers of the kernel hold the rest.
    while sent < 15_000 {
        fixture.peer.send(&pings);
        sent += 100;
    }
    assert!(!exchange.is_done());
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    run_until(|| {
        fixture.peer.events();
        exchange.is_done()
    });
    assert_eq!(outcome(&exchange), ok(200, ""));
}
