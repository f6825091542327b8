//! However the bytes of responses are cut into pieces, the events are the same.

use http::Method;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use uptick_http::h1::Limits;

use super::decode_split;

/// Parts of responses, which in a good order are responses and in most others are not.
const PARTS: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 304\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 101 x\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "X: y\r\n",
    "\r\n",
    "5\r\nhello\r\n",
    "0\r\n",
    "hello",
    "\r",
    "\n",
    " ",
    "\0",
    ":",
];

proptest! {
    #[test]
    fn responses_are_the_same_in_any_pieces(
        parts in prop::collection::vec(select(PARTS), 0..12),
        mutation in prop::option::of((any::<Index>(), any::<u8>())),
        methods in prop::collection::vec(select(&[Method::GET, Method::HEAD, Method::CONNECT][..]), 1..4),
        places in prop::collection::vec(any::<Index>(), 0..6),
        tight in any::<bool>(),
    ) {
        let mut input = parts.concat().into_bytes();
        if let Some((place, byte)) = mutation && !input.is_empty() {
            let place = place.index(input.len());
            input[place] = byte;
        }
        let limits = match tight {
            true => Limits::default().request_line(18).header_section(70).fields(2).trailer_section(20),
            false => Limits::default(),
        };
        let whole = decode_split(&methods, &input, &[], &limits);
        let mut ends: Vec<_> = places.iter().map(|place| place.index(input.len() + 1)).collect();
        ends.sort_unstable();
        prop_assert_eq!(&decode_split(&methods, &input, &ends, &limits), &whole);
        let ends: Vec<_> = (1..input.len()).collect();
        prop_assert_eq!(&decode_split(&methods, &input, &ends, &limits), &whole);
    }
}
