//! Properties of the server for valid, malformed and divided requests.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::server_invariants::check;

/// Parts of requests, which form valid requests in some orders.
const PARTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n",
    "HEAD /long HTTP/1.1\r\nHost: h\r\n",
    "POST /echo HTTP/1.1\r\nHost: h\r\n",
    "POST /listen HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 2000\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "\r\n",
    "5\r\nhello\r\n",
    "0\r\n",
    "hello",
    "\r",
    "\n",
    " ",
    "\0",
    ":",
    "\u{e4}",
];

const PATHS: &[&str] = &[
    "/",
    "/echo",
    "/text",
    "/later",
    "/long",
    "/stream",
    "/empty",
    "/listen",
    "/items/7",
    "/nothing",
    "/items/%zz",
    "*",
];

fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        4 => Just(None),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| Some((body, false))),
        2 => prop::collection::vec(any::<u8>(), 1..40).prop_map(|body| Some((body, true))),
        1 => (400..1200_usize, any::<bool>()).prop_map(|(length, chunks)| Some((vec![b'b'; length], chunks))),
    ];
    let fields = prop::collection::vec(
        select(vec![
            "Connection: close",
            "Connection: keep-alive",
            "Expect: 100-continue",
            "X: y",
        ]),
        0..2,
    );
    (
        select(vec!["GET", "HEAD", "POST", "PUT", "OPTIONS", "PURGE"]),
        select(PATHS),
        select(vec!["1.1", "1.1", "1.1", "1.0"]),
        fields,
        body,
    )
        .prop_map(|(method, path, version, fields, body)| {
            let mut request = format!("{method} {path} HTTP/{version}\r\nHost: h\r\n").into_bytes();
            for field in fields {
                request.extend_from_slice(field.as_bytes());
                request.extend_from_slice(b"\r\n");
            }
            match body {
                None => request.extend_from_slice(b"\r\n"),
                Some((body, false)) => {
                    request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                    request.extend(body);
                }
                Some((body, true)) => {
                    request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in body.chunks(17) {
                        request.extend(format!("{:x}\r\n", chunk.len()).bytes());
                        request.extend_from_slice(chunk);
                        request.extend_from_slice(b"\r\n");
                    }
                    request.extend_from_slice(b"0\r\n\r\n");
                }
            }
            request
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn requests_are_answered_in_order_for_any_division_of_the_input(
        requests in prop::collection::vec(request(), 1..6),
        size in 1..200_usize,
    ) {
        check(&requests.concat(), size);
    }

    #[test]
    fn bytes_after_a_malformed_request_get_no_response(
        requests in prop::collection::vec(request(), 1..4),
        mutations in prop::collection::vec((any::<Index>(), any::<Option<bool>>(), select(PARTS)), 1..4),
        size in 1..100_usize,
    ) {
        let mut input = requests.concat();
        for (index, cut, part) in mutations {
        let index = index.index(input.len() + 1);
            match cut {
                None => drop(input.splice(index..index, part.bytes())),
                Some(true) => drop(input.drain(index..(index + part.len()).min(input.len()))),
                Some(false) => input.truncate(index),
            }
        }
        check(&input, size);
    }

    #[test]
    fn any_sequence_of_request_parts_is_handled(
        parts in prop::collection::vec(select(PARTS), 0..12),
        size in 1..50_usize,
    ) {
        check(parts.concat().as_bytes(), size);
    }
}

#[test]
fn a_client_that_reads_late_causes_backpressure() {
    check(
        "GET /long HTTP/1.1\r\nHost: h\r\n\r\n"
            .repeat(40)
            .as_bytes(),
        700,
    );
}
