//! Requests and their responses.

use uptick_http::h2::ErrorCode;

use crate::support::*;

#[test]
fn a_request_is_received_and_answered() {
    let mut server = Server::fresh(&uptick_http::h2::Limits::default());
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &get(1)].concat();
    let text = "GET / HTTP/2\r\nhost: a.example\r\n\r\n".to_owned();
    assert_eq!(server.receive(bytes), [Seen::Request(1, text, true)]);
    let control = server.sent();
    let kinds: Vec<_> = control
        .iter()
        .map(|frame| (frame.kind, frame.flags))
        .collect();
    assert_eq!(kinds, [(SETTINGS, 0), (WINDOW_UPDATE, 0), (SETTINGS, ACK)]);
    let sent = server.respond(1, b"hello");
    assert_eq!((sent[0].kind, sent[0].flags), (HEADERS, END_HEADERS));
    assert_eq!(sent[0].payload[0], 0x88);
    assert_eq!((sent[1].kind, sent[1].flags), (DATA, END_STREAM));
    assert_eq!(sent[1].payload, b"hello");
    assert!(server.sent().is_empty() && server.connection.is_empty());
}

#[test]
fn a_request_body_and_its_trailers_are_received() {
    let mut server = Server::new();
    let bytes = [
        post(1),
        frame(DATA, 0, 1, b"ab"),
        frame(DATA, PADDED, 1, b"\x03cd\0\0\0"),
        headers(1, END_STREAM, &[("x-sum", "4")]),
    ];
    let seen = server.receive(bytes.concat());
    assert_eq!(seen[1], Seen::Data(1, b"ab".to_vec(), false));
    assert_eq!(seen[2], Seen::Data(1, b"cd".to_vec(), false));
    let trailers = vec![("x-sum".to_owned(), b"4".to_vec())];
    assert_eq!(seen[3], Seen::Trailers(1, trailers));
    assert_eq!(server.respond(1, b"").len(), 1);
    assert!(server.sent().is_empty());
}

#[test]
fn a_reset_by_the_client_is_an_event() {
    let mut server = Server::new();
    let seen = server.receive([post(1), reset(1, ErrorCode::CANCEL)].concat());
    assert_eq!(seen[1], Seen::Reset(1, ErrorCode::CANCEL));
    let key = server.key(1);
    assert_eq!(server.connection.remove(key), Some(1));
    assert!(server.sent().is_empty());
}
