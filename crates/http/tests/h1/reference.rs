//! Comparison with another, more lenient parser: accepted heads have the same meaning.

use proptest::prelude::*;
use uptick_http::h1::{Decoder, Event, Limits, Version};

fn assert_same(input: &[u8]) {
    let mut decoder = Decoder::new();
    decoder.push(input.to_vec().into());
    let Some(Event::Head(head)) = decoder.next(&Limits::default()) else {
        return;
    };
    // The other parser does not support minor versions above 1.
    let mut bytes = head.as_bytes().to_vec();
    let line_end = bytes.iter().position(|&byte| byte == b'\r').unwrap();
    bytes[line_end - 1] = bytes[line_end - 1].min(b'1');
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(&bytes);
    assert_eq!(
        parsed,
        Ok(httparse::Status::Complete(head.as_bytes().len())),
        "{}",
        input.escape_ascii()
    );
    assert_eq!(request.method, Some(head.method().as_str()));
    assert_eq!(request.path, Some(head.target()));
    assert_eq!(
        request.version,
        Some(u8::from(head.version() == Version::Http11))
    );
    let expected = request
        .headers
        .iter()
        .map(|field| (field.name, field.value));
    assert!(expected.eq(head.fields()), "{}", input.escape_ascii());
}

proptest! {
    #[test]
    fn accepted_heads_mean_the_same_to_another_parser(
        target in "/[!-~]{0,12}",
        fields in prop::collection::vec(("[!-9A-~]{1,12}", "[ -~\t\u{80}-\u{ff}]{0,30}"), 0..6),
        mutation in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut input = format!("GET {target} HTTP/1.1\r\nHost: h\r\n");
        for (name, value) in fields {
            input += &format!("{name}:{value}\r\n");
        }
        let mut input = (input + "\r\n").into_bytes();
        if let Some((index, byte)) = mutation {
            let index = index.index(input.len());
            input[index] = byte;
        }
        assert_same(&input);
    }
}
