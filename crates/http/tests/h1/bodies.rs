//! Bodies with a length and chunked bodies (RFC 9112, sections 6 and 7).

use uptick_http::h1::{Decoder, Event, Limits};

use crate::{Outcome, accepted, decode, decode_split};

fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// Decodes a chunked body in one piece and byte by byte, which must have the same result. The head is accepted.
#[track_caller]
fn outcome_of(body: &str) -> Outcome {
    let input = chunked(body);
    let whole = decode(&input);
    let bytewise = decode_split(
        input.as_bytes(),
        &(1..input.len()).collect::<Vec<_>>(),
        &Limits::default(),
    );
    assert_eq!(whole, bytewise, "{body:?}");
    assert_eq!(whole.requests.len(), 1, "{body:?}");
    whole
}

#[test]
fn a_body_has_its_content_length() {
    let next = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let first = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(
        accepted(format!("{first}{next}{first}")),
        (3, b"hello".to_vec())
    );
}

#[test]
fn chunks_are_concatenated() {
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        "0000000000000005\r\nhello\r\n00\r\n\r\n",
        "5;a\r\nhello\r\n0;b=c\r\n\r\n",
        "5;a=b;c=\"d \t e\";f\r\nhello\r\n0\r\n\r\n",
    ] {
        let outcome = outcome_of(body);
        assert_eq!(
            (&outcome.requests[0].body[..], outcome.refused),
            (&b"hello"[..], None),
            "{body:?}"
        );
        assert!(outcome.requests[0].complete && outcome.requests[0].trailers.is_none());
    }
    let outcome = outcome_of(&format!(
        "A\r\n{0}\r\nff\r\n{1}\r\n0\r\n\r\n",
        "x".repeat(10),
        "y".repeat(255)
    ));
    assert_eq!(outcome.requests[0].body.len(), 265);
}

#[test]
fn chunk_sizes_are_hexadecimal_digits() {
    for size in [
        "", " ", " 5", "5 ", "\t5", "5\t", "+5", "-5", "-0", "0x5", "5h", "x", "5.0", "5,",
        "\u{b}5", "5\0", "\u{ff15}", "5 5",
    ] {
        let outcome = outcome_of(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
        assert_eq!(
            outcome.refused.map(|(status, _)| status),
            Some(400),
            "{size:?}"
        );
        assert!(outcome.requests[0].body.is_empty() && !outcome.requests[0].complete);
    }
    for size in [
        "10000000000000005",
        "00000000000000005",
        "ffffffffffffffff5",
    ] {
        let outcome = outcome_of(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
        assert_eq!(
            outcome.refused.map(|(status, _)| status),
            Some(413),
            "{size:?}"
        );
    }
    assert_eq!(outcome_of("ffffffffffffffff\r\nhello").refused, None);
}

#[test]
fn chunk_extensions_follow_rfc_9112() {
    for extensions in [
        ";a",
        ";a=b",
        ";a=\"b\"",
        ";a=\"\"",
        ";a;b;c=d",
        " ;a",
        "\t;\ta",
        " \t ; \t a \t = \t b \t ; \t c",
        ";a =b",
        ";a= b",
        ";a= \"b\" ;c",
        ";a ;b",
        ";!#$%&'*+-.^_`|~9=!#$%&'*+-.^_`|~9",
        ";a=\"b;c=d,(e) \t\u{e4}\"",
        ";a=\"\\\"\"",
        ";a=\"\\\\\";b",
        ";a=\"\\\t\\ \\\u{e4}\"",
    ] {
        for size in ["5", "0005"] {
            let body = format!("{size}{extensions}\r\nhello\r\n0{extensions}\r\n\r\n");
            let outcome = outcome_of(&body);
            assert_eq!(outcome.refused, None, "{body:?}");
            assert_eq!(outcome.requests[0].body, b"hello", "{body:?}");
            assert!(outcome.requests[0].complete, "{body:?}");
        }
    }
}

#[test]
fn malformed_chunk_extensions_are_refused() {
    for extensions in [
        ";",
        "; ",
        " ;",
        ";;",
        ";;a",
        ";a;",
        ";a; ",
        ";a;;b",
        ";=",
        ";=a",
        ";a=",
        ";a= ",
        ";a=;b",
        ";a==b",
        ";a=b=c",
        ";a=b c",
        ";a b",
        ";a ",
        ";a=b ",
        ";a=\"b\" ",
        " a",
        " =b",
        " \"a\"",
        ";a=(",
        ";a=b(",
        ";(",
        ";a(",
        ";\"a\"",
        ";\"a\"=b",
        ";a=\"",
        ";a=\"b",
        ";a=\"b\\\"",
        ";a=\"b\"c",
        ";a=\"b\"\"c\"",
        ";a=b\"c\"",
        ";a=\"\n\"",
        ";a=\"\r\n\"",
        ";a=\"\\\r\"",
        ";a=\"\\\n\"",
        ";a=\"\0\"",
        ";a=\"\\\0\"",
        ";a=\"\u{7f}\"",
        ";a\0",
        ";\u{e4}",
        ";a=\u{e4}",
        ";a\u{b}=b",
        ",a",
    ] {
        for body in [
            format!("5{extensions}\r\nhello\r\n0\r\n\r\n"),
            format!("0{extensions}\r\n\r\n"),
        ] {
            let outcome = outcome_of(&body);
            assert_eq!(
                outcome.refused.map(|(status, _)| status),
                Some(400),
                "{body:?}"
            );
            assert!(!outcome.requests[0].complete && outcome.requests[0].body.is_empty());
        }
    }
}

#[test]
fn a_decoder_reports_the_announced_length_of_a_body() {
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    let push = |decoder: &mut Decoder, text: &str| {
        decoder.push(text.to_owned().into());
        while decoder.next(&limits).is_some() {}
        decoder.announced()
    };
    assert_eq!(push(&mut decoder, &chunked("")), 0);
    for (text, announced) in [
        ("ff", 0),
        (";a=\"b", 0),
        ("\"\r", 0),
        ("\n", 255),
        ("hello", 250),
        (&"x".repeat(250), 0),
        ("\r\nffffffffffffffff\r\n", u64::MAX),
        ("x", u64::MAX - 1),
    ] {
        assert_eq!(push(&mut decoder, text), announced, "{text:?}");
    }
    let mut decoder = Decoder::new();
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n";
    for (text, announced) in [(head, 9), ("hello", 4), ("1234", 0), (head, 9)] {
        assert_eq!(push(&mut decoder, text), announced, "{text:?}");
    }
}

#[test]
fn chunk_lines_end_with_crlf() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhel\r\n0\r\n\r\n",
    ] {
        assert_eq!(
            outcome_of(body).refused.map(|(status, _)| status),
            Some(400),
            "{body:?}"
        );
    }
}

#[test]
fn trailers_are_separate_from_headers() {
    let outcome = outcome_of("1\r\na\r\n0\r\nX-Sum: 5 \r\nx-sum:6\r\nEmpty:\r\n\r\n");
    let expected = [("X-Sum", "5"), ("x-sum", "6"), ("Empty", "")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    assert_eq!(outcome.requests[0].trailers.as_deref(), Some(&expected[..]));
    assert!(outcome.requests[0].complete && outcome.refused.is_none());

    let mut decoder = Decoder::new();
    decoder.push(chunked("0\r\nX-Sum: 5\r\n\r\n").into());
    let events: Vec<_> = std::iter::from_fn(|| decoder.next(&Limits::default())).collect();
    let [
        Event::Head(head),
        Event::Trailers(trailers),
        Event::Complete,
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (head.field("x-sum"), trailers.field("x-sum")),
        (None, Some(&b"5"[..]))
    );
    assert_eq!(trailers.to_header_map()["x-sum"], "5");
}

#[test]
fn malformed_trailers_are_refused() {
    for trailers in [
        "X : y",
        " X: y",
        "X",
        ": y",
        "X: y\n",
        "X: \0",
        "X: a\rb",
        "X: y\r\n z",
        "Content-Length: 5",
        "HOST: a",
        "X: y\r\nTransfer-Encoding: chunked",
    ] {
        let outcome = outcome_of(&format!("1\r\na\r\n0\r\n{trailers}\r\n\r\n"));
        assert_eq!(
            outcome.refused.map(|(status, _)| status),
            Some(400),
            "{trailers:?}"
        );
        assert!(!outcome.requests[0].complete);
    }
}

#[test]
fn a_request_can_follow_any_kind_of_body() {
    let chunks = chunked("5\r\nhello\r\n0\r\nA: b\r\n\r\n");
    let counted = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    let outcome = decode(format!("{chunks}{counted}\r\n{chunks}{counted}"));
    assert!(outcome.refused.is_none() && outcome.left == 0);
    assert!(
        outcome.requests.len() == 4
            && outcome
                .requests
                .iter()
                .all(|request| request.body == b"hello")
    );
}

#[test]
fn a_body_is_passed_on_as_received_and_without_a_copy() {
    let mut decoder = Decoder::new();
    decoder.push("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n".into());
    assert!(matches!(
        decoder.next(&Limits::default()),
        Some(Event::Head(_))
    ));
    assert!(decoder.next(&Limits::default()).is_none() && !decoder.is_idle());
    let piece = bytes::Bytes::from("hello".to_owned());
    decoder.push(piece.clone());
    let Some(Event::Body(body)) = decoder.next(&Limits::default()) else {
        panic!()
    };
    assert_eq!(body.as_ptr(), piece.as_ptr());
    assert!(decoder.next(&Limits::default()).is_none() && decoder.buffered() == 0);
}
