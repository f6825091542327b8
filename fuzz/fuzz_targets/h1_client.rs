//! HTTP/1.1 responses: decoding does not depend on how the bytes are split, and there are no events after an error. An encoded
//! request decodes to exactly one request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uptick_http::h1::client::{self, Decoder, Event, Request, RequestBody};
use uptick_http::h1::{self, Limits, RequestFields};
use uptick_http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Returns all events as text, with the pieces of each body joined.
fn decode<'a>(
    method: &Method,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
) -> String {
    let mut decoder = Decoder::new();
    let (mut found, mut body) = (String::new(), Vec::new());
    let mut take = |event: Event, found: &mut String| {
        assert!(!found.ends_with(")!"), "{event:?} after {found}");
        match event {
            Event::Body(piece) => {
                assert!(!piece.is_empty());
                body.extend_from_slice(&piece);
            }
            Event::Head(head) | Event::Interim(head) => {
                let fields: Vec<_> = head.fields().collect();
                assert_eq!(fields.len(), head.to_header_map().len());
                assert!(fields.iter().all(|(name, _)| head.field(name).is_some()));
                *found += &format!("{head:?} {fields:?}");
            }
            Event::Trailers(trailers) => *found += &format!("{trailers:?}"),
            Event::Complete => *found += &format!("{:?}.", std::mem::take(&mut body)),
            Event::Error(invalid) => *found += &format!("{body:?}({invalid:?})!"),
        }
    };
    decoder.expect(method);
    for piece in pieces {
        decoder.push(piece.to_vec().into());
        loop {
            decoder.expect(method);
            let Some(event) = decoder.next(limits) else {
                break;
            };
            take(event, &mut found);
        }
    }
    let left = decoder.buffered();
    if let Some(event) = decoder.end() {
        take(event, &mut found);
    }
    format!("{found} {left}")
}

fn encode(target: &str, host: &str, name: &[u8], value: &[u8], body: &[u8]) {
    let mut fields = HeaderMap::new();
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        && name != "expect"
    {
        fields.append(name, value);
    }
    let request = Request {
        method: &Method::PUT,
        target,
        host,
        fields: RequestFields::from(&fields),
        body: RequestBody::Stream,
        close: false,
    };
    let mut out = Vec::new();
    let Ok(mut encoder) = client::encode_request(&mut out, &request) else {
        assert!(out.is_empty());
        return;
    };
    encoder
        .body(&mut out, body)
        .expect("a stream has no length");
    encoder
        .finish(&mut out, None)
        .expect("a stream has no length");
    let mut decoder = h1::Decoder::new();
    decoder.push(out.into());
    let limits = Limits::default()
        .request_line(1 << 20)
        .header_section(1 << 20);
    let Some(h1::Event::Head(head)) = decoder.next(&limits) else {
        panic!("the encoded request has no head");
    };
    assert_eq!(
        (head.target(), head.field("host")),
        (target, Some(host.as_bytes()))
    );
    while let Some(event) = decoder.next(&limits) {
        assert!(!matches!(event, h1::Event::Error(_) | h1::Event::Head(_)));
    }
    assert_eq!(decoder.buffered(), 0);
}

fuzz_target!(|input: (u8, u8, bool, &[u8], &str, &str, &[u8], &[u8])| {
    let (size, method, tight, bytes, target, host, name, value) = input;
    let method = [Method::GET, Method::HEAD, Method::CONNECT][usize::from(method % 3)].clone();
    let mut limits = Limits::default();
    if tight {
        limits = limits
            .request_line(20)
            .header_section(60)
            .fields(3)
            .chunk_extensions(8)
            .trailer_section(30);
    }
    let whole = decode(&method, [bytes], &limits);
    let pieces = bytes.chunks(usize::from(size).max(1));
    assert_eq!(decode(&method, pieces, &limits), whole);
    assert_eq!(decode(&method, bytes.chunks(1), &limits), whole);
    encode(target, host, name, value, bytes);
});
