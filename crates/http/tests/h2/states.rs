//! Stream states, and errors that reset a stream.

use uptick_http::h2::{ErrorCode, Limits};

use crate::support::*;

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
const STREAM_CLOSED: ErrorCode = ErrorCode::STREAM_CLOSED;

/// Checks that the stream was reset with this code, and that the connection still works.
#[track_caller]
fn assert_resets(server: &mut Server, bytes: impl AsRef<[u8]>, code: ErrorCode) -> Vec<Seen> {
    let seen = server.receive(bytes);
    let sent = server.sent();
    let resets: Vec<_> = sent
        .iter()
        .filter(|frame| frame.kind == RST_STREAM)
        .collect();
    assert_eq!(resets.len(), 1, "{sent:?} {seen:?}");
    assert_eq!((resets[0].stream, resets[0].word(0)), (1, code.get()));
    assert_eq!(server.receive(get(101)).len(), 1);
    seen
}

#[test]
fn a_half_closed_stream_receives_no_data_and_no_headers() {
    for bytes in [frame(DATA, 0, 1, b"x"), get(1)] {
        let mut server = Server::new();
        assert_eq!(server.receive(get(1)).len(), 1);
        let seen = assert_resets(&mut server, bytes, STREAM_CLOSED);
        assert_eq!(seen, [Seen::Reset(1, STREAM_CLOSED)]);
    }
}

#[test]
fn frames_for_a_stream_that_both_sides_ended_close_the_connection() {
    for bytes in [frame(DATA, END_STREAM, 1, b"x"), get(1)] {
        let mut server = Server::new();
        server.receive(get(1));
        server.respond(1, b"x");
        assert_eq!(server.receive(bytes), [Seen::Closed(STREAM_CLOSED)]);
    }
}

#[test]
fn frames_for_a_stream_that_the_client_has_reset_close_the_connection() {
    for bytes in [frame(DATA, 0, 1, b"x"), headers(1, END_STREAM, &[])] {
        for removed in [false, true] {
            let mut server = Server::new();
            server.receive([post(1), reset(1, ErrorCode::CANCEL)].concat());
            if removed {
                let key = server.key(1);
                server.connection.remove(key);
            }
            assert_eq!(server.receive(&bytes), [Seen::Closed(STREAM_CLOSED)]);
        }
    }
}

#[test]
fn frames_in_flight_are_tolerated_after_a_reset_by_the_server() {
    let mut server = Server::new();
    server.receive(post(1));
    let key = server.key(1);
    server.connection.reset(key, ErrorCode::CANCEL);
    for removed in [false, true] {
        let bytes = [
            frame(DATA, 0, 1, &[0; 1000]),
            frame(DATA, PADDED, 1, &[0; 1000]),
            window_update(1, 100),
            frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]),
        ];
        assert_eq!(server.receive(bytes.concat()), []);
        if !removed {
            assert_eq!(server.connection.remove(key), Some(1));
        }
    }
    let end = [
        headers(1, END_STREAM, &[("a", "b")]),
        reset(1, ErrorCode::CANCEL),
    ];
    assert_eq!(server.receive(end.concat()), []);
    let sent = server.sent();
    assert_eq!((sent.len(), sent[0].kind), (1, RST_STREAM));
    assert_eq!(server.receive(get(3)).len(), 1);
}

#[test]
fn the_credit_of_ignored_data_returns_to_the_connection() {
    let mut server = Server::new();
    server.receive(post(1));
    let key = server.key(1);
    server.connection.reset(key, ErrorCode::CANCEL);
    server.connection.remove(key);
    let mut credited = 0;
    for _ in 0..200 {
        assert_eq!(server.receive(frame(DATA, 0, 1, &[0; 16_384])), []);
        let sent = server.sent();
        let updates = sent.iter().filter(|frame| frame.kind == WINDOW_UPDATE);
        credited += updates.map(|frame| frame.word(0)).sum::<u32>();
    }
    assert!(credited >= 200 * 16_384 - (1 << 20), "{credited}");
}

#[test]
fn window_updates_and_resets_are_ignored_on_closed_streams() {
    let mut server = Server::new();
    server.receive(get(1));
    server.respond(1, b"x");
    let bytes = [
        window_update(1, 5),
        reset(1, ErrorCode::NO_ERROR),
        window_update(1, 0),
    ];
    assert_eq!(server.receive(bytes.concat()), []);
    assert!(server.sent().is_empty());
}

#[test]
fn a_content_length_that_differs_from_the_data_resets_the_stream() {
    let length = |length| {
        let mut fields = POST.to_vec();
        fields.push(("content-length", length));
        headers(1, 0, &fields)
    };
    for rest in [
        frame(DATA, END_STREAM, 1, b"abcd"),
        frame(DATA, 0, 1, b"abcd"),
        frame(DATA, END_STREAM, 1, b"ab"),
        frame(DATA, END_STREAM | PADDED, 1, b"\x01ab\0"),
        frame(DATA, END_STREAM, 1, b""),
        headers(1, END_STREAM, &[("a", "b")]),
    ] {
        let mut server = Server::new();
        let seen = assert_resets(&mut server, [length("3"), rest].concat(), PROTOCOL);
        assert_eq!(seen[1..], [Seen::Reset(1, PROTOCOL)]);
    }
    for rest in [
        [frame(DATA, 0, 1, b"ab"), frame(DATA, END_STREAM, 1, b"c")],
        [frame(DATA, 0, 1, b"abc"), frame(DATA, END_STREAM, 1, b"")],
        [
            frame(DATA, 0, 1, b"abc"),
            headers(1, END_STREAM, &[("a", "b")]),
        ],
    ] {
        let mut server = Server::new();
        assert_eq!(
            server.receive([length("3"), rest.concat()].concat()).len(),
            3
        );
    }
    // The end of the request contradicts its head.
    let mut server = Server::new();
    let mut fields = GET.to_vec();
    fields.push(("content-length", "3"));
    assert_resets(&mut server, headers(1, END_STREAM, &fields), PROTOCOL);
    assert!(server.connection.keys().all(|key| key.id() != 1));
}

#[test]
fn malformed_trailers_reset_the_stream() {
    for trailers in [
        headers(1, 0, &[("a", "b")]),
        headers(1, END_STREAM, &[(":path", "/")]),
        headers(1, END_STREAM, &[("A", "b")]),
        headers(1, END_STREAM, &[("", "b")]),
        headers(1, END_STREAM, &[("a", "b\n")]),
        headers(1, END_STREAM, &[("connection", "close")]),
        headers(1, END_STREAM, &[("content-length", "1")]),
    ] {
        let mut server = Server::new();
        let bytes = [post(1), frame(DATA, 0, 1, b"ab"), trailers].concat();
        let seen = assert_resets(&mut server, bytes, PROTOCOL);
        assert_eq!(seen[2..], [Seen::Reset(1, PROTOCOL)]);
    }
}

#[test]
fn malformed_requests_are_reset_and_do_not_open_a_stream() {
    let with = |name, value| {
        let mut fields = GET.to_vec();
        fields.push((name, value));
        fields
    };
    for fields in [
        GET[1..].to_vec(),
        [&GET[..2], &GET[3..]].concat(),
        [&GET[..1], &GET[2..]].concat(),
        with(":path", "/"),
        with(":status", "200"),
        with(":unknown", "x"),
        with("Upper", "x"),
        with("", "x"),
        with("a b", "x"),
        with("a", "x\r\ny: z"),
        with("connection", "keep-alive"),
        with("keep-alive", "1"),
        with("proxy-connection", "x"),
        with("transfer-encoding", "chunked"),
        with("upgrade", "h2c"),
        with("te", "gzip"),
        with("host", "other.example"),
        with("content-length", "x"),
        [&[("a", "b")][..], &GET].concat(),
        with(":protocol", "websocket"),
    ] {
        for end in [END_STREAM, 0] {
            let mut server = Server::new();
            let seen = assert_resets(&mut server, headers(1, end, &fields), PROTOCOL);
            assert_eq!(seen, [Seen::Malformed(1)], "{fields:?}");
            assert!(server.connection.keys().all(|key| key.id() != 1));
            // Its body may be in flight.
            if end == 0 {
                assert_eq!(server.receive(frame(DATA, END_STREAM, 1, b"x")), []);
            }
        }
    }
}

#[test]
fn a_stream_that_depends_on_itself_is_reset() {
    let mut server = Server::new();
    let payload = [&[0, 0, 0, 1, 7][..], &block(&GET)].concat();
    let flags = END_HEADERS | END_STREAM | WITH_PRIORITY;
    assert_resets(&mut server, frame(HEADERS, flags, 1, &payload), PROTOCOL);
    let mut server = Server::new();
    let bytes = [post(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 7])].concat();
    assert_resets(&mut server, bytes, PROTOCOL);
    let mut server = Server::new();
    let bytes = [post(1), frame(PRIORITY, 0, 1, &[0; 4])].concat();
    assert_resets(&mut server, bytes, ErrorCode::FRAME_SIZE_ERROR);
    let mut server = Server::new();
    let bytes = frame(PRIORITY, 0, 7, &[0, 0, 0, 1, 7]);
    assert_eq!(server.receive(bytes), []);
}

#[test]
fn a_removed_stream_is_reset_if_it_has_not_ended() {
    let mut server = Server::new();
    server.receive([post(1), post(3), get(5)].concat());
    let key = server.key(1);
    server.connection.remove(key);
    server.respond(3, b"early");
    let key = server.key(5);
    server.connection.remove(key);
    let sent: Vec<_> = server
        .sent()
        .iter()
        .map(|frame| (frame.kind, frame.stream, frame.word(0)))
        .collect();
    let [cancel, none] = [ErrorCode::CANCEL, ErrorCode::NO_ERROR].map(ErrorCode::get);
    let expected = [
        (RST_STREAM, 1, cancel),
        (RST_STREAM, 3, none),
        (RST_STREAM, 5, cancel),
    ];
    assert_eq!(sent, expected);
    assert!(server.connection.is_empty());
}

#[test]
fn a_stream_counts_until_it_is_removed_and_more_are_refused() {
    let mut server = Server::with(&Limits::default().concurrent_streams(2));
    assert_eq!(server.receive([get(1), get(3)].concat()).len(), 2);
    let reset_one = reset(1, ErrorCode::CANCEL);
    assert_eq!(
        server.receive([reset_one, get(5)].concat()),
        [Seen::Reset(1, ErrorCode::CANCEL)]
    );
    let sent = server.sent();
    assert_eq!((sent[0].kind, sent[0].stream), (RST_STREAM, 5));
    assert_eq!(sent[0].word(0), ErrorCode::REFUSED_STREAM.get());
    let key = server.key(1);
    server.connection.remove(key);
    assert_eq!(server.receive(get(7)).len(), 1);
    server.respond(3, b"");
    assert_eq!(server.receive(get(9)).len(), 1);
}

#[test]
fn requests_after_go_away_are_refused() {
    let mut server = Server::new();
    server.receive(get(1));
    server.connection.announce_go_away();
    assert_eq!(server.receive(get(3)).len(), 1);
    server.connection.go_away(ErrorCode::NO_ERROR);
    let sent = server.sent();
    assert_eq!((sent[0].kind, sent[0].word(0)), (GOAWAY, 0x7fff_ffff));
    assert_eq!((sent[1].kind, sent[1].word(0)), (GOAWAY, 3));
    let bytes = [
        post(5),
        frame(DATA, END_STREAM, 5, b"x"),
        frame(PING, 0, 0, &[1; 8]),
    ];
    assert_eq!(server.receive(bytes.concat()), []);
    let sent = server.sent();
    assert_eq!((sent[0].kind, sent[0].stream), (RST_STREAM, 5));
    assert_eq!((sent[1].kind, sent[1].flags), (PING, ACK));
    server.respond(1, b"x");
    server.respond(3, b"x");
    assert!(server.connection.is_empty() && !server.connection.is_closed());
}

#[test]
fn a_request_beyond_a_limit_is_answered_by_the_program() {
    let long = "x".repeat(70_000);
    let path = format!("/{}", "x".repeat(17_000));
    let many: Vec<_> = std::iter::repeat_n(("a", "b"), 101).collect();
    for (fields, status) in [
        ([&POST[..], &[("a", long.as_str())]].concat(), 431),
        ([&POST[..], &many].concat(), 431),
        (
            [&POST[..2], &[(":path", path.as_str())], &POST[3..]].concat(),
            414,
        ),
        ([&POST[..], &[("expect", "the unexpected")]].concat(), 417),
    ] {
        let mut server = Server::new();
        let block = block(&fields);
        let mut pieces = block.chunks(16_384).peekable();
        let mut bytes = Vec::new();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            bytes.extend_from_slice(&frame(kind, flags, 1, piece));
            kind = CONTINUATION;
        }
        assert_eq!(server.receive(bytes), [Seen::TooLarge(1, status)]);
        // The body is discarded.
        assert_eq!(server.receive(frame(DATA, 0, 1, &[0; 10_000])), []);
        assert_eq!(server.respond(1, b"").len(), 1);
        assert_eq!(server.receive(get(3)).len(), 1);
    }
}
