//! Responses in pieces of any size.

use super::support::*;
use crate::error::ErrorKind;

/// Returns the frames of two responses: with an interim response, a body with padding and trailers, and without a body.
fn responses() -> Vec<u8> {
    let value = "~".repeat(100);
    let large = block(&[(":status", "200"), ("x-large", &value)]);
    let padded = [&[4u8][..], b"hello", &[0; 4]].concat();
    [
        frame(PING, 0, 0, &[1; 8]),
        head(1, 0, "103", &[("link", "</a>")]),
        frame(HEADERS, 0, 1, &large[..50]),
        frame(CONTINUATION, END_HEADERS, 1, &large[50..]),
        frame(DATA, 8, 1, &padded),
        head(3, END_STREAM, "204", &[]),
        data(1, 0, " world"),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &block(&[("x-sum", "11")]),
        ),
    ]
    .concat()
}

#[test]
fn responses_may_be_split_at_every_byte() {
    let bytes = responses();
    for split in 0..bytes.len() {
        let mut fixture = Fixture::new();
        let (first, second) = (fixture.get(), fixture.get());
        fixture.peer.events();
        fixture.peer.send(&bytes[..split]);
        fixture.peer.send(&bytes[split..]);
        assert_eq!(first.informational(), [103], "{split}");
        assert_eq!(outcome(&first), ok(200, "hello world"), "{split}");
        assert!(first.take_trailers().is_some());
        assert_eq!(outcome(&second), ok(204, ""), "{split}");
    }
}

#[test]
fn responses_may_arrive_in_single_bytes() {
    let mut fixture = Fixture::new();
    let (first, second) = (fixture.get(), fixture.get());
    fixture.peer.events();
    for byte in responses() {
        fixture.peer.send([byte]);
    }
    assert_eq!(outcome(&first), ok(200, "hello world"));
    assert_eq!(outcome(&second), ok(204, ""));
}

#[test]
fn a_connection_may_close_after_every_byte() {
    let bytes = responses();
    for cut in 0..bytes.len() {
        let mut fixture = Fixture::new();
        let (first, second) = (fixture.get(), fixture.get());
        fixture.peer.events();
        fixture.peer.send(&bytes[..cut]);
        fixture.peer.close();
        let kind = failure(&first).kind;
        let expected = [
            ErrorKind::ClosedBeforeResponse,
            ErrorKind::ClosedInHead,
            ErrorKind::ClosedInBody,
        ];
        assert!(expected.contains(&kind), "{kind} after {cut}");
        assert!(second.is_done());
        if cut < 17 {
            assert_eq!(kind, ErrorKind::ClosedBeforeResponse, "{cut}");
        }
    }
}
