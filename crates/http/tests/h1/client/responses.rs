//! Decoding of response heads, framing and limits.

use http::Method;
use uptick_http::h1::client::{self, BodyLength, Decoder, Event};
use uptick_http::h1::{Limits, Version};

use super::{assert_refused, body, decode, decode_split, response};

#[test]
fn a_head_has_a_version_a_status_and_a_reason() {
    let head = |line: &str| {
        let mut decoder = Decoder::new();
        decoder.expect(&Method::GET);
        decoder.push(format!("{line}\r\nX-A:  b \r\ncontent-length: 0\r\n\r\n").into());
        match decoder.next(&Limits::default()) {
            Some(Event::Head(head)) => Some(head),
            _ => None,
        }
    };
    for (line, version, status, reason) in [
        ("HTTP/1.1 200 OK", Version::Http11, 200, "OK"),
        (
            "HTTP/1.0 404 Not\tfound \u{e4}",
            Version::Http10,
            404,
            "Not\tfound \u{e4}",
        ),
        ("HTTP/1.1 204 ", Version::Http11, 204, ""),
        ("HTTP/1.1 200", Version::Http11, 200, ""),
        ("HTTP/1.9 599 x", Version::Http11, 599, "x"),
    ] {
        let head = head(line).unwrap();
        assert_eq!((head.version(), head.status().as_u16()), (version, status));
        assert_eq!(head.reason(), reason.as_bytes());
        assert_eq!(head.field("x-a"), Some(&b"b"[..]));
        assert_eq!(head.to_header_map()["x-a"], "b");
        assert!(head.as_bytes().ends_with(b"\r\n\r\n"));
    }
    for line in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 x",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 +20 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1. 200 OK",
        "HTTP/1.10 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 O\nK",
    ] {
        assert!(head(line).is_none(), "{line:?}");
        let outcome = decode(Method::GET, &format!("{line}\r\n"));
        if !line.contains(['\r', '\n']) {
            assert_eq!(outcome.error, Some(client::MALFORMED_LINE.reason()));
        }
    }
}

#[test]
fn fields_are_checked_as_strictly_as_in_requests() {
    for fields in [
        "no field\r\n",
        "X : y\r\n",
        ": y\r\n",
        " X: y\r\n",
        "X: y\r\n z\r\n",
        "X: y\0\r\n",
        "X: y\n",
        "X: y\rz\r\n",
        "X\u{e4}: y\r\n",
    ] {
        let outcome = decode(Method::GET, &response(fields, ""));
        assert!(
            outcome.error.is_some() && outcome.responses.is_empty(),
            "{fields:?}"
        );
    }
}

#[test]
fn a_body_ends_with_its_length_its_last_chunk_or_the_connection() {
    assert_eq!(
        body(Method::GET, &response("Content-Length: 2\r\n", "Hi")),
        "Hi"
    );
    assert_eq!(
        body(Method::GET, &response("Content-Length: 0\r\n", "")),
        ""
    );
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(
        body(
            Method::GET,
            &response(chunked, "2\r\nHi\r\n1;a=b\r\n!\r\n0\r\n\r\n")
        ),
        "Hi!"
    );
    assert_eq!(body(Method::GET, &response("", "Hi")), "Hi");
    assert_eq!(body(Method::GET, &response("", "")), "");
    assert_eq!(body(Method::GET, "HTTP/1.0 200 OK\r\n\r\nHi"), "Hi");
    let outcome = decode(Method::GET, &response(chunked, "0\r\nX: y\r\nZ: a\r\n\r\n"));
    assert_eq!(outcome.responses[0].trailers, 2);
}

#[test]
fn some_responses_have_no_body_regardless_of_their_fields() {
    for fields in [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "",
    ] {
        assert_eq!(body(Method::HEAD, &response(fields, "")), "");
        for status in [204, 304] {
            let input = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
            assert_eq!(body(Method::GET, &input), "");
        }
        for (method, status) in [
            (Method::CONNECT, 200),
            (Method::CONNECT, 299),
            (Method::GET, 101),
        ] {
            let input = format!("HTTP/1.1 {status} x\r\n{fields}\r\nother protocol");
            let outcome = decode(method, &input);
            assert_eq!((outcome.error, outcome.left), (None, 14));
            assert!(outcome.responses[0].complete && outcome.responses[0].body.is_empty());
        }
    }
    assert_eq!(
        body(
            Method::CONNECT,
            "HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno"
        ),
        "no"
    );
}

#[test]
fn an_ambiguous_end_is_refused() {
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        assert_refused(&response(fields, chunks), "both");
    }
    for (fields, reason) in [
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "more than one",
        ),
        (
            "Content-Length: 5\r\ncontent-length: 5\r\n",
            "more than one",
        ),
        ("Content-Length: 5, 5\r\n", "not a number"),
        ("Content-Length: +5\r\n", "not a number"),
        ("Content-Length: -5\r\n", "not a number"),
        ("Content-Length: 0x5\r\n", "not a number"),
        ("Content-Length:\r\n", "not a number"),
        ("Content-Length: 18446744073709551616\r\n", "too large"),
        ("Transfer-Encoding: gzip\r\n", "not supported"),
        ("Transfer-Encoding: gzip, chunked\r\n", "not supported"),
        ("Transfer-Encoding: chunked, chunked\r\n", "malformed"),
        ("Transfer-Encoding: chunked, gzip\r\n", "malformed"),
        ("Transfer-Encoding: xchunked;\r\n", "malformed"),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "more than one",
        ),
    ] {
        assert_refused(&response(fields, "hello"), reason);
    }
    assert_refused(
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0",
    );
}

#[test]
fn malformed_chunks_are_refused_at_their_start() {
    let chunked = |rest| response("Transfer-Encoding: chunked\r\n", rest);
    for (rest, reason) in [
        ("x\r\n", "size of a chunk"),
        ("\r\n", "size of a chunk"),
        ("-1\r\n", "size of a chunk"),
        ("0x1\r\n", "size of a chunk"),
        ("1\nx", "size of a chunk"),
        ("11111111111111111\r\n", "too large"),
        ("1\r\nxy\r\n", "longer than its size"),
        ("1\r\nx\n", "longer than its size"),
        ("1;=\r\n", "extension"),
        ("0\r\nContent-Length: 1\r\n\r\n", "not allowed in trailers"),
        (
            "0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "not allowed in trailers",
        ),
        ("0\r\nno field\r\n\r\n", "header name"),
    ] {
        assert_refused(&chunked(rest), reason);
    }
}

#[test]
fn a_truncated_response_is_an_error() {
    for input in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nX: y\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let outcome = decode(Method::GET, input);
        assert!(
            outcome.error.is_some_and(|reason| reason.contains("ended")),
            "{input:?}"
        );
    }
}

#[test]
fn up_to_20_interim_responses_precede_the_response() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n";
    let input = format!(
        "HTTP/1.1 100 Continue\r\n\r\n{early}{}",
        response("Content-Length: 1\r\n", "x")
    );
    let outcome = decode(Method::POST, &input);
    assert_eq!(outcome.interim, [100, 103]);
    assert_eq!((outcome.responses.len(), outcome.error), (1, None));
    let long = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
        "x".repeat(60_000)
    );
    for (count, is_taken) in [(20, true), (21, false)] {
        let input = format!(
            "{}{}",
            long.repeat(count),
            response("Content-Length: 0\r\n", "")
        );
        let outcome = decode_split(&[Method::GET], input.as_bytes(), &[], &Limits::default());
        assert_eq!(outcome.responses.len(), usize::from(is_taken));
        assert_eq!(outcome.interim.len(), 20);
    }
    assert_refused(&early.repeat(2000), "interim responses");
}

#[test]
fn a_malformed_head_is_refused_before_it_is_complete() {
    for (taken, refused) in [
        ("", "x"),
        ("HTTP/1.", "x"),
        ("HTTP/", "2"),
        ("HTTP/1.1", "1"),
        ("HTTP/1.1 ", "0"),
        ("HTTP/1.1 20", "x"),
        ("HTTP/1.1 200", "0"),
        ("", "\r"),
        ("HTTP/1.1 200 OK", "\n"),
        ("HTTP/1.1 200 O\0K\r", "\n"),
        ("HTTP/1.1 200 OK\r\n", " "),
        ("HTTP/1.1 200 OK\r\n", ":"),
        ("HTTP/1.1 200 OK\r\nName", " "),
        ("HTTP/1.1 200 OK\r\nName", "\r"),
        ("HTTP/1.1 200 OK\r\nName: value", "\0"),
        ("HTTP/1.1 200 OK\r\nName: value", "\n"),
        ("HTTP/1.1 200 OK\r\nName: value\r", "x"),
        ("HTTP/1.1 200 OK\r\nA: b\r\nName: value\r\n", "\t"),
    ] {
        let mut decoder = Decoder::new();
        let limits = Limits::default();
        decoder.expect(&Method::GET);
        decoder.push(taken.into());
        assert!(decoder.next(&limits).is_none(), "{taken:?}");
        assert_eq!(decoder.peek(), taken.as_bytes());
        decoder.push(refused.into());
        let error = decoder.next(&limits);
        assert!(
            matches!(error, Some(Event::Error(invalid)) if !invalid.exceeds_limit()),
            "{taken:?} {refused:?}: {error:?}"
        );
    }
}

#[test]
fn an_exceeded_limit_is_distinguished_from_a_malformed_response() {
    let limits = Limits::default()
        .request_line(100)
        .header_section(100)
        .fields(3)
        .chunk_extensions(20)
        .trailer_section(20);
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (input, exceeds) in [
        (format!("HTTP/1.1 200 {}", "x".repeat(100)), true),
        (response(&format!("X: {}", "y".repeat(100)), ""), true),
        (response("A: b\r\nA: b\r\nA: b\r\nA: b\r\n", ""), true),
        ("HTTP/1.1 100 \r\n\r\n".repeat(21), true),
        (response(chunked, &format!("1;{}", "x".repeat(30))), true),
        (
            response(chunked, &format!("0\r\nX: {}", "y".repeat(30))),
            true,
        ),
        (response("no colon\r\n", ""), false),
        (
            response("Content-Length: 1\r\nContent-Length: 2\r\n", ""),
            false,
        ),
        (response(chunked, "x"), false),
        (response(chunked, "0\r\nno colon\r\n\r\n"), false),
    ] {
        let mut decoder = Decoder::new();
        decoder.expect(&Method::GET);
        decoder.push(input.clone().into());
        let events = std::iter::from_fn(|| decoder.next(&limits));
        match events.last() {
            Some(Event::Error(invalid)) => {
                assert_eq!(invalid.exceeds_limit(), exceeds, "{input:?}")
            }
            other => panic!("{input:?}: {other:?}"),
        }
    }
}

#[test]
fn a_response_without_a_request_is_not_decoded() {
    let mut decoder = Decoder::new();
    let limits = Limits::default();
    let input = response("Content-Length: 0\r\n", "");
    decoder.push(input.clone().into());
    assert!(decoder.next(&limits).is_none() && decoder.is_idle());
    assert_eq!(decoder.buffered(), input.len());
    assert!(decoder.end().is_none());
    assert!(decoder.expect(&Method::GET) && !decoder.expect(&Method::GET));
    assert!(matches!(decoder.next(&limits), Some(Event::Head(_))));
    assert!(!decoder.is_idle() && !decoder.expect(&Method::GET));
    assert!(matches!(decoder.next(&limits), Some(Event::Complete)));
    assert!(decoder.is_idle() && decoder.expect(&Method::GET));
}

#[test]
fn the_bytes_after_an_upgrade_can_be_taken() {
    let mut decoder = Decoder::new();
    decoder.expect(&Method::GET);
    decoder.push("HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\nframes".into());
    let Some(Event::Head(head)) = decoder.next(&Limits::default()) else {
        panic!("no head")
    };
    assert!(head.is_upgrade() && !head.keep_alive());
    assert_eq!(head.body(), BodyLength::None);
    assert_eq!(decoder.take_rest(), "frames");
    assert!(!decoder.expect(&Method::GET));
}

#[test]
fn the_last_response_of_a_connection_is_marked() {
    for (input, is_last) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        (
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 204 OK\r\nConnection: close\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
    ] {
        let mut decoder = Decoder::new();
        decoder.expect(&Method::GET);
        decoder.push(input.into());
        let Some(Event::Head(head)) = decoder.next(&Limits::default()) else {
            panic!("no head")
        };
        assert_eq!(head.keep_alive(), !is_last, "{input:?}");
        assert!(matches!(
            decoder.next(&Limits::default()),
            Some(Event::Complete)
        ));
        assert_eq!(decoder.expect(&Method::GET), !is_last);
    }
}

#[test]
fn heads_have_limits() {
    let limits = Limits::default()
        .request_line(20)
        .header_section(56)
        .fields(2);
    for (input, is_taken) in [
        ("HTTP/1.1 200 12345678\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 1234567\r\nContent-Length: 0\r\n\r\n", true),
        (
            "HTTP/1.1 200 x\r\nContent-Length: 0\r\nX: 23456789012345\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 x\r\nContent-Length: 0\r\nX: 234567890123456789012\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 x\r\nA:\r\nContent-Length: 0\r\n\r\n", true),
        (
            "HTTP/1.1 200 x\r\nA:\r\nB:\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
    ] {
        for ends in [vec![], (1..input.len()).collect::<Vec<_>>()] {
            let outcome = decode_split(&[Method::GET], input.as_bytes(), &ends, &limits);
            assert_eq!(outcome.error.is_none(), is_taken, "{input:?} {outcome:?}");
        }
    }
}
