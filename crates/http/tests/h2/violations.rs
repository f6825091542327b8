//! Violations of RFC 9113 that end the connection.

use uptick_http::h2::{ErrorCode, Limits};

use crate::support::*;

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
const SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;

/// Checks that the last of these bytes closes the connection with this code, in one piece and byte by byte, and that GOAWAY is queued.
#[track_caller]
fn assert_closes(bytes: impl AsRef<[u8]>, code: ErrorCode) {
    for piece in [usize::MAX, 1] {
        let mut server = Server::new();
        let mut seen = Vec::new();
        for piece in bytes.as_ref().chunks(piece) {
            seen.extend(server.receive(piece));
        }
        assert_eq!(seen.last(), Some(&Seen::Closed(code)), "{seen:?}");
        let sent = server.sent();
        let go_away = sent.last().expect("GOAWAY is queued");
        assert_eq!((go_away.kind, go_away.word(4)), (GOAWAY, code.get()));
        assert!(go_away.payload.len() > 8, "there is no text");
        assert_eq!(server.receive(get(101)), []);
        assert!(server.sent().is_empty() && server.connection.is_closed());
    }
}

#[test]
fn a_connection_starts_with_the_preface_and_settings() {
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        PREFACE.iter().map(u8::to_ascii_lowercase).collect(),
        [PREFACE, &get(1)].concat(),
        [PREFACE, &frame(SETTINGS, ACK, 0, &[])].concat(),
        [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(),
        [PREFACE, &frame(DATA, 0, 1, &[])].concat(),
    ] {
        let mut server = Server::fresh(&Limits::default());
        assert_eq!(server.receive(bytes), [Seen::Closed(PROTOCOL)]);
    }
}

#[test]
fn a_frame_above_the_maximum_size_is_an_error() {
    for kind in [DATA, HEADERS, SETTINGS, PING, 0x77] {
        assert_closes([&[0, 0x40, 1, kind, 0][..], &[0, 0, 0, 1]].concat(), SIZE);
    }
    let mut server = Server::with(&Limits::default().frame_size(20_000));
    let bytes = [post(1), frame(DATA, END_STREAM, 1, &[b'x'; 20_000])].concat();
    assert_eq!(
        server.receive(bytes)[1],
        Seen::Data(1, vec![b'x'; 20_000], true)
    );
}

#[test]
fn frames_with_a_wrong_length_are_errors() {
    let open = post(1);
    for (kind, flags, stream, length) in [
        (SETTINGS, 0, 0, 5),
        (SETTINGS, ACK, 0, 6),
        (PING, 0, 0, 7),
        (PING, ACK, 0, 9),
        (RST_STREAM, 0, 1, 3),
        (RST_STREAM, 0, 1, 5),
        (WINDOW_UPDATE, 0, 0, 3),
        (WINDOW_UPDATE, 0, 1, 5),
        (GOAWAY, 0, 0, 7),
        (PRIORITY_UPDATE, 0, 0, 3),
        (DATA, PADDED, 1, 0),
        (HEADERS, PADDED | END_HEADERS, 3, 0),
        (HEADERS, WITH_PRIORITY | END_HEADERS, 3, 4),
        (PRIORITY, 0, 3, 4),
    ] {
        let payload = vec![0; length];
        assert_closes(
            [open.clone(), frame(kind, flags, stream, &payload)].concat(),
            SIZE,
        );
    }
}

#[test]
fn padding_longer_than_the_payload_is_an_error() {
    assert_closes(
        [post(1), frame(DATA, PADDED, 1, b"\x03ab")].concat(),
        PROTOCOL,
    );
    let padded = PADDED | END_HEADERS | END_STREAM;
    let mut payload = vec![200];
    payload.extend_from_slice(&block(&GET));
    assert_closes(frame(HEADERS, padded, 1, &payload), PROTOCOL);
    payload[0] = 0;
    let mut server = Server::new();
    assert_eq!(server.receive(frame(HEADERS, padded, 1, &payload)).len(), 1);
}

#[test]
fn frames_of_the_connection_are_not_for_a_stream() {
    for (kind, length) in [(SETTINGS, 0), (PING, 8), (GOAWAY, 8), (PRIORITY_UPDATE, 4)] {
        assert_closes(frame(kind, 0, 1, &vec![1; length]), PROTOCOL);
    }
}

#[test]
fn frames_of_a_stream_are_not_for_the_connection() {
    for (kind, length) in [(DATA, 1), (HEADERS, 1), (PRIORITY, 5), (RST_STREAM, 4)] {
        assert_closes(frame(kind, END_HEADERS, 0, &vec![1; length]), PROTOCOL);
    }
}

#[test]
fn frames_for_idle_streams_are_errors() {
    assert_closes(frame(DATA, 0, 1, b"x"), PROTOCOL);
    assert_closes(reset(1, ErrorCode::CANCEL), PROTOCOL);
    assert_closes(window_update(1, 1), PROTOCOL);
    assert_closes(window_update(2, 1), PROTOCOL);
    assert_closes([get(1), reset(3, ErrorCode::CANCEL)].concat(), PROTOCOL);
}

#[test]
fn stream_identifiers_of_clients_are_odd_and_increase() {
    assert_closes(get(2), PROTOCOL);
    assert_closes([get(5), get(3)].concat(), PROTOCOL);
}

#[test]
fn header_blocks_are_not_interrupted() {
    let open = frame(HEADERS, END_STREAM, 1, &block(&GET)[..2]);
    for other in [
        frame(PING, 0, 0, &[0; 8]),
        frame(DATA, 0, 1, b"x"),
        frame(0x77, 0, 0, b"x"),
        frame(PRIORITY, 0, 1, &[0; 5]),
        frame(CONTINUATION, END_HEADERS, 3, &block(&GET)[2..]),
        get(3),
    ] {
        assert_closes([open.clone(), other].concat(), PROTOCOL);
    }
    assert_closes(frame(CONTINUATION, END_HEADERS, 1, &[]), PROTOCOL);
    assert_closes(
        [get(1), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
        PROTOCOL,
    );
}

#[test]
fn a_client_does_not_push() {
    let payload = [&[0, 0, 0, 2][..], &block(&GET)].concat();
    assert_closes(
        [post(1), frame(PUSH_PROMISE, END_HEADERS, 1, &payload)].concat(),
        PROTOCOL,
    );
}

#[test]
fn an_invalid_header_block_is_an_error() {
    for block in [
        &b"\xff\xff\xff\xff\xff\xff"[..],
        b"\x80",
        b"\x40\x05ab",
        b"\xc5",
    ] {
        let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
        assert_closes(bytes, ErrorCode::COMPRESSION_ERROR);
    }
    // The blocks of trailers and of refused requests are decoded as well.
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80");
    assert_closes([post(1), trailers].concat(), ErrorCode::COMPRESSION_ERROR);
}

#[test]
fn invalid_settings_are_errors() {
    let settings = |id, value| frame(SETTINGS, 0, 0, &setting(id, value));
    assert_closes(settings(2, 2), PROTOCOL);
    assert_closes(settings(4, 0x8000_0000), ErrorCode::FLOW_CONTROL_ERROR);
    assert_closes(settings(5, 16_383), PROTOCOL);
    assert_closes(settings(5, 16_777_216), PROTOCOL);
    let mut server = Server::new();
    assert_eq!(server.receive(settings(0x1234, 7)), []);
    assert_eq!(server.sent(), frames(&frame(SETTINGS, ACK, 0, &[])));
}

#[test]
fn a_settings_acknowledgement_without_settings_is_ignored() {
    let mut server = Server::new();
    assert!(server.connection.is_settings_acknowledged());
    assert_eq!(server.receive(frame(SETTINGS, ACK, 0, &[])), []);
    assert!(server.sent().is_empty());
}

#[test]
fn unknown_frames_are_ignored() {
    let mut server = Server::new();
    let bytes = [
        frame(0x42, 0xff, 0, &[7; 100]),
        frame(0xff, 0, 9, &[]),
        get(1),
    ];
    assert_eq!(server.receive(bytes.concat()).len(), 1);
}

#[test]
fn the_reserved_bit_of_identifiers_and_unknown_flags_are_ignored() {
    let mut server = Server::new();
    let mut bytes = get(1);
    bytes[5] |= 0x80;
    bytes[4] |= 0xd2;
    assert_eq!(server.receive(bytes).len(), 1);
    assert_eq!(server.receive(frame(PING, 0xfe, 0, &[9; 8])), []);
    assert_eq!(server.sent(), frames(&frame(PING, ACK, 0, &[9; 8])));
}

#[test]
fn go_away_of_the_client_is_an_event() {
    let mut server = Server::new();
    let payload = [&5u32.to_be_bytes()[..], &2u32.to_be_bytes(), b"debug"].concat();
    let seen = server.receive(frame(GOAWAY, 0, 0, &payload));
    assert_eq!(seen, [Seen::GoAway(5, ErrorCode::INTERNAL_ERROR)]);
}
