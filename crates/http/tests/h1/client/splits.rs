//! The division of responses does not change the events.

use http::Method;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use uptick_http::h1::Limits;

use super::decode_split;

/// Parts of responses, which form valid responses in some orders.
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
    fn the_division_of_responses_does_not_matter(
        parts in prop::collection::vec(select(PARTS), 0..12),
        mutation in prop::option::of((any::<Index>(), any::<u8>())),
        methods in prop::collection::vec(select(&[Method::GET, Method::HEAD, Method::CONNECT][..]), 1..4),
        indexes in prop::collection::vec(any::<Index>(), 0..6),
        tight in any::<bool>(),
    ) {
        let mut input = parts.concat().into_bytes();
        if let Some((index, byte)) = mutation && !input.is_empty() {
            let index = index.index(input.len());
            input[index] = byte;
        }
        let limits = match tight {
            true => Limits::default().request_line(18).header_section(70).fields(2).trailer_section(20),
            false => Limits::default(),
        };
        let whole = decode_split(&methods, &input, &[], &limits);
        let mut ends: Vec<_> = indexes.iter().map(|index| index.index(input.len() + 1)).collect();
        ends.sort_unstable();
        prop_assert_eq!(&decode_split(&methods, &input, &ends, &limits), &whole);
        let ends: Vec<_> = (1..input.len()).collect();
        prop_assert_eq!(&decode_split(&methods, &input, &ends, &limits), &whole);
    }
}
