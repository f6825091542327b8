//! Bodies in both directions: windows, backpressure, lengths, pauses and early responses.

use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use uptick_http::h2::Limits;

use super::support::*;
use crate::error::ErrorKind;
use crate::transport::OutgoingBody;

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

#[test]
fn a_short_body_is_sent_with_the_head() {
    let mut fixture = Fixture::new();
    let exchange = fixture.post(OutgoingBody::Bytes(Bytes::from_static(b"hello")));
    assert_eq!(
        fixture.peer.events(),
        "1 POST /path HTTP/2 | host: a.example | content-length: 5, 1 data hello end"
    );
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&exchange), ok(200, ""));
}

#[test]
fn an_empty_body_ends_the_head() {
    let mut fixture = Fixture::new();
    fixture.post(OutgoingBody::Empty);
    fixture.post(OutgoingBody::Bytes(Bytes::new()));
    fixture.get();
    assert_eq!(
        fixture.peer.events(),
        "1 POST /path HTTP/2 | host: a.example | content-length: 0 end, \
         3 POST /path HTTP/2 | host: a.example | content-length: 0 end, \
         5 GET /path HTTP/2 | host: a.example end"
    );
}

#[test]
fn a_large_body_waits_for_the_windows() {
    let mut fixture = Fixture::with(&Limits::default().stream_window(10_000));
    fixture.peer.credits = false;
    let exchange = fixture.post(OutgoingBody::Bytes(bytes(1_000_000)));
    fixture.peer.events();
    assert_eq!(fixture.peer.received, 10_000);
    fixture.peer.open_windows();
    let peer = &mut fixture.peer;
    run_until(|| {
        peer.events();
        peer.received == 1_000_000
    });
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&exchange), ok(200, ""));
}

#[test]
fn a_body_larger_than_the_initial_windows_is_sent_before_the_settings_arrive() {
    let mut fixture = Fixture::silent(&Limits::default());
    let exchange = fixture.post(OutgoingBody::Bytes(bytes(100_000)));
    fixture.peer.credits = false;
    fixture.peer.events();
    fixture.peer.events();
    assert_eq!(fixture.peer.received, 100_000);
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&exchange), ok(200, ""));
}

#[test]
fn the_writer_of_a_streamed_body_waits_while_its_queue_is_full() {
    let mut fixture = Fixture::with(&Limits::default().stream_window(1024));
    fixture.peer.credits = false;
    let exchange = fixture.post(OutgoingBody::Stream);
    let mut written = 0;
    while exchange.poll_writable(&context()).is_ready() {
        exchange.write(bytes(1000));
        written += 1000;
        assert!(written < 100_000);
    }
    assert!(written >= 64 * 1024, "{written}");
    fixture.peer.events();
    assert!(exchange.poll_writable(&context()).is_pending());
    fixture.peer.open_windows();
    let peer = &mut fixture.peer;
    run_until(|| {
        peer.events();
        exchange.poll_writable(&context()).is_ready()
    });
    assert!(peer.received < written);
    exchange.end(None);
    run_until(|| peer.events().ends_with(" end"));
    assert_eq!(fixture.peer.received, written);
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&exchange), ok(200, ""));
}

#[test]
fn request_trailers_follow_the_body() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("5"));
    let mut fixture = Fixture::new();
    let exchange = fixture.post(OutgoingBody::Stream);
    exchange.write(Bytes::from_static(b"hello"));
    exchange.end(Some(&trailers));
    assert_eq!(
        fixture.peer.events(),
        "1 POST /path HTTP/2 | host: a.example, 1 data hello, 1 trailers x-sum: 5"
    );
    let exchange = fixture.post(OutgoingBody::Stream);
    exchange.end(Some(&HeaderMap::new()));
    assert_eq!(
        fixture.peer.events(),
        "3 POST /path HTTP/2 | host: a.example, 3 data  end"
    );
}

#[test]
fn a_body_of_another_length_than_announced_is_an_invalid_request() {
    for (pieces, is_valid) in [
        (&["12345"][..], true),
        (&["12", "345"], true),
        (&["123456"], false),
        (&["123", "456"], false),
        (&["1234"], false),
        (&[], false),
    ] {
        let mut fixture = Fixture::new();
        let exchange = fixture.post(OutgoingBody::Sized(5));
        for piece in pieces {
            exchange.write(Bytes::from_static(piece.as_bytes()));
        }
        exchange.end(None);
        let events = fixture.peer.events();
        if is_valid {
            assert!(events.ends_with(" end"), "{events}");
            continue;
        }
        assert_eq!(outcome(&exchange), Err(ErrorKind::InvalidRequest));
        assert!(events.ends_with("1 reset CANCEL"), "{events}");
        assert_eq!(
            (fixture.owner.calls().as_str(), fixture.session.active()),
            ("available", 0)
        );
    }
}

#[test]
fn streams_share_the_connection_in_turns() {
    let mut fixture = Fixture::with(&Limits::default().connection_window(65_535));
    fixture.peer.credits = false;
    for _ in 0..2 {
        fixture.post(OutgoingBody::Bytes(bytes(200_000)));
    }
    fixture.peer.events();
    fixture.peer.open_windows();
    let mut places = Vec::new();
    while fixture.peer.received < 300_000 {
        let events = fixture.peer.events();
        let data = events.split(", ").filter(|event| event.contains("data"));
        places.extend(data.map(|event| event[..1].to_owned()));
    }
    // The first stream has sent the whole initial window before the second one was opened.
    let start = places.iter().position(|place| place == "3").unwrap();
    let turns: String = places[start..start + 6].concat();
    assert!(turns.contains("313") && turns.contains("131"), "{places:?}");
}

#[test]
fn a_paused_response_stays_with_the_server_and_does_not_stop_others() {
    let mut fixture = Fixture::new();
    let mut small = settings();
    small.read_ahead = 10_000;
    let paused = fixture.begin(&http::Method::GET, OutgoingBody::Empty, small);
    fixture.peer.events();
    fixture.peer.send(head(1, 0, "200", &[]));
    // The window of the stream is 256 KiB.
    for _ in 0..16 {
        fixture.peer.send(data(1, 0, bytes(16_384)));
    }
    fixture.peer.events();
    for id in 1..30 {
        let exchange = fixture.get();
        fixture.peer.events();
        let id = 2 * id + 1;
        fixture.peer.send(head(id, 0, "200", &[]));
        for _ in 0..10 {
            fixture.peer.send(data(id, 0, bytes(16_384)));
            let _ = exchange.poll_body(&context());
        }
        fixture.peer.send(data(id, END_STREAM, ""));
        assert!(exchange.is_done());
    }
    assert!(!paused.is_done());
    // Consumed bytes open the window of the stream again.
    assert_eq!(response_head(&paused).status(), 200);
    let Poll::Ready(Some(Ok(piece))) = paused.poll_body(&context()) else {
        panic!("no body");
    };
    assert_eq!(piece.len(), 262_144);
    for _ in 0..8 {
        fixture.peer.send(data(1, 0, bytes(16_384)));
        assert!(paused.poll_body(&context()).is_ready());
    }
    fixture.peer.send(data(1, END_STREAM, "end"));
    assert_eq!(outcome(&paused), ok(0, "end"));
}

#[test]
fn a_server_that_exceeds_the_window_of_a_stream_fails_it() {
    let mut fixture = Fixture::new();
    let mut small = settings();
    small.read_ahead = 10_000;
    let exchange = fixture.begin(&http::Method::GET, OutgoingBody::Empty, small);
    fixture.peer.events();
    fixture.peer.send(head(1, 0, "200", &[]));
    for _ in 0..17 {
        fixture.peer.send(data(1, 0, bytes(16_384)));
    }
    assert!(exchange.is_done());
    assert_eq!(failure_after_body(&exchange), ErrorKind::Http2);
    assert_eq!(fixture.peer.events(), "1 reset FLOW_CONTROL_ERROR");
}

fn failure_after_body(exchange: &crate::transport::Exchange) -> ErrorKind {
    loop {
        match exchange.poll_body(&context()) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(failure))) => return failure.kind,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_collected_body_is_received_beyond_the_windows() {
    let mut fixture = Fixture::new();
    let exchange = fixture.get();
    assert!(exchange.poll_collected(&context()).is_pending());
    fixture.peer.events();
    fixture.peer.send(head(1, 0, "200", &[]));
    for _ in 0..200 {
        fixture.peer.send(data(1, 0, bytes(16_384)));
    }
    fixture.peer.send(data(1, END_STREAM, ""));
    assert_eq!(outcome(&exchange).unwrap().1.len(), 200 * 16_384);
}

#[test]
fn a_body_above_its_limit_stops_the_stream() {
    let mut fixture = Fixture::new();
    let mut small = settings();
    small.max_body = Some(10);
    let exchange = fixture.begin(&http::Method::GET, OutgoingBody::Empty, small);
    fixture.peer.events();
    fixture.peer.send(
        [
            head(1, 0, "200", &[]),
            data(1, 0, "12345"),
            data(1, 0, "678901"),
        ]
        .concat(),
    );
    assert_eq!(outcome(&exchange), Err(ErrorKind::TooLarge));
    assert_eq!(fixture.peer.events(), "1 reset CANCEL");
    assert_eq!(fixture.owner.calls(), "available");
}

#[test]
fn an_early_response_is_delivered_and_ends_the_request() {
    for status in ["200", "413"] {
        let mut fixture = Fixture::with(&Limits::default().stream_window(1024));
        fixture.peer.credits = false;
        let exchange = fixture.post(OutgoingBody::Bytes(bytes(100_000)));
        fixture.peer.events();
        fixture
            .peer
            .send([head(1, 0, status, &[]), data(1, END_STREAM, "early")].concat());
        assert_eq!(outcome(&exchange).unwrap().1, "early");
        assert_eq!(fixture.peer.events(), "1 reset CANCEL");
        assert_eq!((fixture.session.active(), fixture.peer.received), (0, 1024));
    }
}

#[test]
fn a_request_that_was_refused_sends_no_more_of_its_body() {
    let mut fixture = Fixture::with(&Limits::default().stream_window(1024));
    let exchange = fixture.post(OutgoingBody::Stream);
    fixture.peer.events();
    fixture.peer.send(head(1, 0, "403", &[]));
    exchange.write(bytes(500));
    exchange.write(bytes(100_000));
    assert!(exchange.poll_writable(&context()).is_ready());
    exchange.end(None);
    assert_eq!(fixture.peer.events(), "");
    fixture.peer.send(data(1, END_STREAM, "no"));
    assert_eq!(outcome(&exchange), ok(403, "no"));
    assert_eq!(fixture.peer.events(), "1 reset CANCEL");
}

#[test]
fn an_accepted_request_continues_after_the_head_of_the_response() {
    let mut fixture = Fixture::with(&Limits::default().stream_window(1024));
    let exchange = fixture.post(OutgoingBody::Bytes(bytes(5000)));
    // The response begins before the windows have opened.
    fixture.peer.send(head(1, 0, "200", &[]));
    let peer = &mut fixture.peer;
    run_until(|| {
        peer.events();
        peer.received == 5000
    });
    fixture.peer.send(data(1, END_STREAM, "echo"));
    assert_eq!(outcome(&exchange), ok(200, "echo"));
    assert_eq!(fixture.peer.events(), "");
}

#[test]
fn an_early_response_is_delivered_although_the_server_resets_the_connection() {
    let mut fixture = Fixture::new();
    fixture.peer.credits = false;
    let exchange = fixture.post(OutgoingBody::Stream);
    exchange.write(bytes(300_000));
    // The server reads nothing, so its close resets the connection.
    settle();
    fixture.peer.send_raw(
        [
            frame(SETTINGS, 0, 0, &[]),
            head(1, 0, "413", &[]),
            data(1, END_STREAM, "early"),
        ]
        .concat(),
    );
    fixture.peer.close();
    exchange.write(bytes(1000));
    run_until(|| exchange.is_done());
    assert_eq!(outcome(&exchange), ok(413, "early"));
    run_until(|| !fixture.conn.is_open());
}
