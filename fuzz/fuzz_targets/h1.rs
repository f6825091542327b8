//! HTTP/1.1 requests: decoding does not depend on how the bytes are split, and there are no events after an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uptick_http::h1::{Decoder, Event, Limits};

/// Returns all events as text, with the pieces of each body joined.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> String {
    let mut decoder = Decoder::new();
    let (mut found, mut body) = (String::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece.to_vec().into());
        while let Some(event) = decoder.next(limits) {
            assert!(!found.ends_with(")!"), "{event:?} after {found}");
            match event {
                Event::Body(piece) => {
                    assert!(!piece.is_empty());
                    body.extend_from_slice(&piece);
                    continue;
                }
                Event::Head(head) => {
                    let fields: Vec<_> = head.fields().collect();
                    assert_eq!(fields.len(), head.to_header_map().len());
                    assert!(fields.iter().all(|(name, _)| head.field(name).is_some()));
                    let parts = (head.target(), head.raw_path(), head.query(), head.host());
                    found += &format!("{head:?} {fields:?} {parts:?}");
                }
                Event::Trailers(trailers) => found += &format!("{trailers:?}"),
                Event::Complete => found += &format!("{:?}.", std::mem::take(&mut body)),
                Event::Error(invalid) => found += &format!("({invalid:?})!"),
            }
        }
    }
    found + &format!("{body:?} {}", decoder.buffered())
}

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (size, tight, bytes) = input;
    let mut limits = Limits::default();
    if tight {
        limits = limits
            .request_line(20)
            .header_section(60)
            .fields(3)
            .chunk_extensions(8)
            .trailer_section(30);
    }
    let whole = decode([bytes], &limits);
    assert_eq!(
        decode(bytes.chunks(usize::from(size).max(1)), &limits),
        whole
    );
    assert_eq!(decode(bytes.chunks(1), &limits), whole);
});
