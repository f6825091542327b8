//! The division of the input does not change the events.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use uptick_http::h1::Limits;

use crate::{decode, decode_split};

/// Parts of messages, which form valid messages in some orders.
const PARTS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.0\r\n",
    "GET http://a/ HTTP/1.1\r\n",
    "Host: h\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\n",
    "X:\r\n",
    "\r\n",
    "5\r\nhello\r\n",
    "0\r\n",
    "0;a=b\r\n",
    "hello",
    "\r",
    "\n",
    " ",
    "\0",
    ":",
    "HTTP/2.0\r\n",
    "\u{e4}",
    ";",
    "ffffffffffffffff",
    "#",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::collection::vec(("[A-Za-z!-]{1,12}", "[ -~]{0,20}"), 0..4);
    let body = prop_oneof![
        Just(None),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| Some(vec![body])),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..5).prop_map(Some),
    ];
    (
        "(GET|POST|PURGE)",
        "/[a-z/?&=%]{0,20}",
        fields,
        body,
        any::<bool>(),
    )
        .prop_map(|(method, target, fields, body, chunks)| {
            let mut message =
                format!("{method} {target} HTTP/1.1\r\nHost: example.com\r\n").into_bytes();
            for (name, value) in &fields {
                message.extend(format!("X-{name}: {value}\r\n").bytes());
            }
            match body {
                None => message.extend(b"\r\n"),
                Some(body) if chunks => {
                    message.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                    for piece in body.iter().filter(|piece| !piece.is_empty()) {
                        message.extend(format!("{:x};ext\r\n", piece.len()).bytes());
                        message.extend(piece);
                        message.extend(b"\r\n");
                    }
                    message.extend(b"0\r\n");
                    message.extend(
                        fields
                            .iter()
                            .flat_map(|(name, value)| format!("X-{name}:{value}\r\n").into_bytes()),
                    );
                    message.extend(b"\r\n");
                }
                Some(body) => {
                    let body = body.concat();
                    message.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                    message.extend(body);
                }
            }
            message
        })
}

/// Limits that some messages exceed.
fn limits() -> impl Strategy<Value = Limits> {
    (0..60usize, 0..90usize, 0..6usize, 0..20usize, 0..40usize).prop_map(
        |(line, section, fields, extensions, trailers)| {
            let limits = Limits::default()
                .request_line(line)
                .header_section(section)
                .fields(fields);
            limits
                .chunk_extensions(extensions)
                .trailer_section(trailers)
        },
    )
}

fn ends(length: usize, indexes: &[Index]) -> Vec<usize> {
    let mut ends: Vec<_> = indexes
        .iter()
        .map(|index| index.index(length + 1))
        .collect();
    ends.sort_unstable();
    ends
}

fn assert_splits(input: &[u8], indexes: &[Index], limits: &Limits) {
    let whole = decode_split(input, &[], limits);
    assert_eq!(
        decode_split(input, &ends(input.len(), indexes), limits),
        whole
    );
    assert_eq!(
        decode_split(input, &(1..input.len()).collect::<Vec<_>>(), limits),
        whole
    );
}

proptest! {
    #[test]
    fn the_division_of_valid_messages_does_not_matter(
        messages in prop::collection::vec(message(), 1..4),
        indexes in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let input = messages.concat();
        let outcome = decode(&input);
        prop_assert_eq!(outcome.refused, None);
        prop_assert_eq!(outcome.requests.iter().filter(|request| request.complete).count(), messages.len());
        prop_assert_eq!(outcome.left, 0);
        assert_splits(&input, &indexes, &Limits::default());
    }

    #[test]
    fn the_division_of_mutated_messages_does_not_matter(
        messages in prop::collection::vec(message(), 1..3),
        mutations in prop::collection::vec((any::<Index>(), any::<Option<bool>>(), select(PARTS)), 1..4),
        indexes in prop::collection::vec(any::<Index>(), 0..6),
        limits in prop_oneof![Just(Limits::default()), limits()],
    ) {
        let mut input = messages.concat();
        for (index, cut, part) in mutations {
            let index = index.index(input.len() + 1);
            match cut {
                None => drop(input.splice(index..index, part.bytes())),
                Some(true) => drop(input.drain(index..(index + part.len()).min(input.len()))),
                Some(false) => input.iter_mut().skip(index).take(1).for_each(|byte| *byte = part.as_bytes()[0]),
            }
        }
        assert_splits(&input, &indexes, &limits);
    }

    #[test]
    fn the_division_of_message_parts_does_not_matter(
        parts in prop::collection::vec(select(PARTS), 0..12),
        indexes in prop::collection::vec(any::<Index>(), 0..6),
        limits in prop_oneof![Just(Limits::default()), limits()],
    ) {
        assert_splits(parts.concat().as_bytes(), &indexes, &limits);
    }
}
