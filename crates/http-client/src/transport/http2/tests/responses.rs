//! Responses: heads, bodies, trailers, interim responses, and malformed messages.

use http::Method;
use uptick_http::h2::ErrorCode;

use super::support::*;
use crate::error::ErrorKind;
use crate::transport::OutgoingBody;

#[test]
fn a_request_has_pseudo_headers_and_the_headers_in_order() {
    let mut fixture = Fixture::new();
    let list = fields(&[
        ("x-b", "1"),
        ("connection", "x-own"),
        ("x-a", "2"),
        ("te", "gzip"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("transfer-encoding", "chunked"),
        ("host", "other.example"),
        ("cookie", "a=1; b=2"),
        ("x-b", "3"),
    ]);
    let mut request = request(&Method::GET, OutgoingBody::Empty, settings());
    request.fields = &list;
    let exchange = fixture.session.begin(request).unwrap();
    assert_eq!(
        fixture.peer.events(),
        "1 GET /path HTTP/2 | host: a.example | x-b: 1 | x-a: 2 | te: trailers | cookie: a=1; b=2 | x-b: 3 end"
    );
    fixture
        .peer
        .send(head(1, END_STREAM, "200", &[("x-c", "4"), ("x-c", "5")]));
    let head = response_head(&exchange);
    let fields: Vec<_> = head.fields().collect();
    assert_eq!(fields, [("x-c", &b"4"[..]), ("x-c", b"5")]);
    assert_eq!(outcome(&exchange), ok(0, ""));
    assert_eq!(fixture.owner.calls(), "available");
    assert_eq!(
        (fixture.session.active(), fixture.peer.events().as_str()),
        (0, "")
    );
}

#[test]
fn the_owner_is_informed_before_the_response_is_complete() {
    let mut fixture = Fixture::new();
    let exchange = fixture.get();
    fixture.owner.watched.borrow_mut().push(exchange.clone());
    fixture.peer.events();
    fixture
        .peer
        .send([head(1, 0, "200", &[]), data(1, END_STREAM, "hello")].concat());
    assert_eq!(outcome(&exchange), ok(200, "hello"));
    assert_eq!(fixture.owner.calls(), "available");
}

#[test]
fn many_requests_run_at_the_same_time_and_end_in_any_order() {
    let mut fixture = Fixture::new();
    let exchanges: Vec<_> = (0..50).map(|_| fixture.get()).collect();
    fixture.peer.events();
    assert_eq!(fixture.session.active(), 50);
    for id in (0..50).rev() {
        let id = 2 * id + 1;
        fixture.peer.send(
            [
                head(id, 0, "200", &[]),
                data(id, END_STREAM, id.to_string()),
            ]
            .concat(),
        );
    }
    for (index, exchange) in exchanges.iter().enumerate() {
        assert_eq!(outcome(exchange).unwrap().1, (2 * index + 1).to_string());
    }
    assert_eq!(fixture.session.active(), 0);
}

#[test]
fn trailers_end_a_response() {
    let trailers = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &block(&[("x-sum", "5")]),
    );
    let bytes = [head(1, 0, "200", &[]), data(1, 0, "hello"), trailers].concat();
    let (_fixture, exchange) = Fixture::answered(bytes);
    assert_eq!(outcome(&exchange), ok(200, "hello"));
    let trailers = exchange.take_trailers().unwrap();
    assert_eq!(trailers.field("x-sum"), Some(&b"5"[..]));
}

#[test]
fn interim_responses_are_recorded() {
    let bytes = [
        head(1, 0, "103", &[("link", "</a>")]),
        head(1, 0, "100", &[]),
        head(1, 0, "199", &[]),
        head(1, END_STREAM, "204", &[]),
    ];
    let (_fixture, exchange) = Fixture::answered(bytes.concat());
    assert_eq!(exchange.informational(), [103, 100, 199]);
    assert_eq!(outcome(&exchange), ok(204, ""));
}

#[test]
fn twenty_interim_responses_are_accepted_and_more_are_too_many() {
    for count in [20, 21] {
        let mut bytes = head(1, 0, "103", &[]).repeat(count);
        bytes.extend(head(1, END_STREAM, "200", &[]));
        let (mut fixture, exchange) = Fixture::answered(bytes);
        if count == 20 {
            assert_eq!(outcome(&exchange), ok(200, ""));
            assert_eq!(exchange.informational().len(), 20);
        } else {
            assert_eq!(outcome(&exchange), Err(ErrorKind::TooLarge));
            assert_eq!(fixture.peer.events(), "1 reset CANCEL");
            // The connection can be used further.
            assert_eq!(fixture.owner.calls(), "available");
        }
    }
}

#[test]
fn a_response_to_head_has_no_body_whatever_its_length() {
    let mut fixture = Fixture::new();
    let first = fixture.begin(&Method::HEAD, OutgoingBody::Empty, settings());
    let second = fixture.begin(&Method::HEAD, OutgoingBody::Empty, settings());
    fixture.peer.events();
    fixture
        .peer
        .send(head(1, END_STREAM, "200", &[("content-length", "42")]));
    assert_eq!(outcome(&first), ok(200, ""));
    let bytes = [
        head(3, 0, "200", &[("content-length", "42")]),
        data(3, END_STREAM, ""),
    ];
    fixture.peer.send(bytes.concat());
    assert_eq!(outcome(&second), ok(200, ""));
    let third = fixture.begin(&Method::HEAD, OutgoingBody::Empty, settings());
    fixture.peer.events();
    fixture
        .peer
        .send([head(5, 0, "200", &[]), data(5, END_STREAM, "body")].concat());
    assert_eq!(outcome(&third), Err(ErrorKind::Malformed));
}

#[test]
fn statuses_without_a_body_accept_none() {
    for status in ["204", "304"] {
        let bytes = [
            head(1, 0, status, &[("content-length", "5")]),
            data(1, END_STREAM, ""),
        ];
        let (_fixture, exchange) = Fixture::answered(bytes.concat());
        assert_eq!(outcome(&exchange).unwrap().1, "");
        let bytes = [head(1, 0, status, &[]), data(1, END_STREAM, "hello")];
        let (_fixture, exchange) = Fixture::answered(bytes.concat());
        assert_eq!(outcome(&exchange), Err(ErrorKind::Malformed));
    }
}

#[test]
fn a_malformed_response_fails_its_stream_only() {
    let status = |value: &'static str| vec![(":status", value)];
    let with = |name, value| vec![(":status", "200"), (name, value)];
    for fields in [
        vec![],
        vec![("x-a", "b")],
        vec![("x-a", "b"), (":status", "200")],
        vec![(":status", "200"), (":status", "200")],
        status("20"),
        status("0200"),
        status("abc"),
        status("099"),
        status("101"),
        status(""),
        with(":path", "/"),
        with("X-Upper", "1"),
        with("", "1"),
        with("x a", "1"),
        with("x-a", "b\nc"),
        with("x-a", "b\0"),
        with("connection", "close"),
        with("keep-alive", "timeout=5"),
        with("proxy-connection", "close"),
        with("transfer-encoding", "chunked"),
        with("upgrade", "h2c"),
        with("content-length", "x"),
        with("content-length", "-1"),
        vec![
            (":status", "200"),
            ("content-length", "1"),
            ("content-length", "2"),
        ],
    ] {
        let mut fixture = Fixture::new();
        let (first, second) = (fixture.get(), fixture.get());
        fixture.peer.events();
        fixture
            .peer
            .send(frame(HEADERS, END_HEADERS, 1, &block(&fields)));
        assert_eq!(outcome(&first), Err(ErrorKind::Malformed), "{fields:?}");
        assert_eq!(
            fixture.peer.events(),
            "1 reset PROTOCOL_ERROR",
            "{fields:?}"
        );
        fixture.peer.send(head(3, END_STREAM, "200", &[]));
        assert_eq!(outcome(&second), ok(200, ""));
    }
}

#[test]
fn a_body_of_another_length_than_announced_is_malformed() {
    let five = || head(1, 0, "200", &[("content-length", "5")]);
    for (bytes, is_complete) in [
        (
            vec![head(1, END_STREAM, "200", &[("content-length", "5")])],
            false,
        ),
        (vec![five(), data(1, END_STREAM, "1234")], false),
        (vec![five(), data(1, 0, "123456")], false),
        (
            vec![five(), data(1, 0, "12345"), data(1, END_STREAM, "6")],
            false,
        ),
        (
            vec![five(), data(1, 0, "1"), data(1, END_STREAM, "2345")],
            true,
        ),
        (
            vec![five(), data(1, 0, "12345"), data(1, END_STREAM, "")],
            true,
        ),
        (
            vec![head(1, END_STREAM, "200", &[("content-length", "0")])],
            true,
        ),
    ] {
        let (_fixture, exchange) = Fixture::answered(bytes.concat());
        match is_complete {
            true => assert!(outcome(&exchange).is_ok()),
            false => assert_eq!(outcome(&exchange), Err(ErrorKind::Malformed)),
        }
    }
}

#[test]
fn malformed_trailers_and_frames_out_of_order_are_malformed() {
    let ok_head = || head(1, 0, "200", &[]);
    let trailers =
        |flags, fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS | flags, 1, &block(fields));
    for bytes in [
        vec![ok_head(), trailers(END_STREAM, &[(":status", "200")])],
        vec![ok_head(), trailers(END_STREAM, &[("connection", "close")])],
        vec![ok_head(), trailers(END_STREAM, &[("X-A", "b")])],
        vec![ok_head(), trailers(0, &[("x-a", "b")])],
        vec![ok_head(), head(1, END_STREAM, "200", &[])],
        vec![
            head(1, 0, "200", &[("content-length", "5")]),
            trailers(END_STREAM, &[("x-a", "b")]),
        ],
        vec![data(1, 0, "body")],
        vec![head(1, END_STREAM, "103", &[])],
    ] {
        let (_fixture, exchange) = Fixture::answered(bytes.concat());
        assert_eq!(outcome(&exchange), Err(ErrorKind::Malformed), "{bytes:?}");
    }
}

#[test]
fn a_reset_stream_fails_with_the_name_of_the_code() {
    let (fixture, exchange) = Fixture::answered(reset(1, ErrorCode::INTERNAL_ERROR));
    let failed = failure(&exchange);
    assert_eq!((failed.kind, failed.unprocessed), (ErrorKind::Http2, false));
    assert_eq!(
        failed.reason,
        "the server reset the HTTP/2 stream (INTERNAL_ERROR)"
    );
    assert_eq!(fixture.owner.calls(), "available");
    let bytes = [
        head(1, 0, "200", &[]),
        data(1, 0, "half"),
        reset(1, ErrorCode::NO_ERROR),
    ];
    let (_fixture, exchange) = Fixture::answered(bytes.concat());
    assert_eq!(outcome(&exchange), Err(ErrorKind::Http2));
}

#[test]
fn a_refused_stream_was_not_processed_unless_a_response_began() {
    let refused = reset(1, ErrorCode::REFUSED_STREAM);
    let (_fixture, exchange) = Fixture::answered(&refused);
    assert!(failure(&exchange).unprocessed);
    let (_fixture, exchange) = Fixture::answered([head(1, 0, "103", &[]), refused].concat());
    let failed = failure(&exchange);
    assert_eq!((failed.kind, failed.unprocessed), (ErrorKind::Http2, false));
}

#[test]
fn a_reset_after_a_complete_response_is_ignored() {
    let bytes = [
        head(1, END_STREAM, "200", &[]),
        reset(1, ErrorCode::NO_ERROR),
    ];
    let (mut fixture, exchange) = Fixture::answered(bytes.concat());
    assert_eq!(outcome(&exchange), ok(200, ""));
    let second = fixture.get();
    fixture.peer.events();
    fixture.peer.send(head(3, END_STREAM, "200", &[]));
    assert_eq!(outcome(&second), ok(200, ""));
}

#[test]
fn a_cancelled_request_resets_its_stream_and_frees_its_room() {
    let mut fixture = Fixture::new();
    let (first, second) = (fixture.get(), fixture.get());
    fixture.peer.events();
    first.cancel();
    assert_eq!(fixture.session.active(), 1);
    assert_eq!(fixture.peer.events(), "1 reset CANCEL");
    assert_eq!(fixture.owner.calls(), "available");
    assert!(!first.is_done());
    // Frames that were in flight are ignored.
    fixture
        .peer
        .send([head(1, 0, "200", &[]), data(1, END_STREAM, "late")].concat());
    fixture.peer.send(head(3, END_STREAM, "200", &[]));
    assert_eq!(outcome(&second), ok(200, ""));
}

#[test]
fn a_request_that_is_not_valid_is_not_sent() {
    let mut fixture = Fixture::new();
    for (target, host) in [
        ("path", "a.example"),
        ("/a b", "a.example"),
        ("/", ""),
        ("/", "a b"),
    ] {
        let mut request = request(&Method::GET, OutgoingBody::Empty, settings());
        (request.target, request.host) = (target, host);
        let failed = fixture.session.begin(request).err().unwrap();
        assert_eq!(failed.kind, ErrorKind::InvalidRequest, "{target} {host}");
    }
    let mut upgrade = request(&Method::GET, OutgoingBody::Empty, settings());
    upgrade.upgrade = true;
    assert!(fixture.session.begin(upgrade).is_err());
    assert_eq!(
        (fixture.peer.events().as_str(), fixture.session.active()),
        ("", 0)
    );
}
