//! The side of a client: responses out of bytes, and requests as bytes.

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use uptick_http::h1::client::{self, BodyLength, Decoder, Event, Request, RequestBody};
use uptick_http::h1::{self, EncodeError, Limits, Persistence, Version};

/// What a decoder makes of the bytes of a connection, with the pieces of a body put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    interim: Vec<u16>,
    responses: Vec<Decoded>,
    error: Option<&'static str>,
    left: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Decoded {
    status: u16,
    head: String,
    body: Vec<u8>,
    trailers: usize,
    complete: bool,
}

/// Decodes the responses to requests, of bytes that come in pieces which end at some places, and after which the connection ends.
fn decode_split(methods: &[Method], input: &[u8], ends: &[usize], limits: &Limits) -> Outcome {
    let (mut decoder, mut outcome) = (Decoder::new(), Outcome::default());
    let mut methods = methods.iter();
    let mut start = 0;
    for &end in ends.iter().chain([&input.len()]) {
        decoder.push(input[start..end].to_vec().into());
        start = end;
        loop {
            if decoder.is_idle()
                && let Some(method) = methods.next()
            {
                assert!(decoder.expect(method));
            }
            let Some(event) = decoder.next(limits) else {
                break;
            };
            take(&mut outcome, event);
        }
    }
    outcome.left = decoder.buffered();
    if let Some(event) = decoder.end() {
        take(&mut outcome, event);
    }
    assert!(decoder.end().is_none() && decoder.next(limits).is_none());
    outcome
}

fn take(outcome: &mut Outcome, event: Event) {
    assert_eq!(outcome.error, None, "after an error, {event:?}");
    let last = outcome.responses.last_mut();
    match event {
        Event::Interim(head) => {
            assert!(last.is_none_or(|response| response.complete));
            outcome.interim.push(head.status().as_u16());
        }
        Event::Head(head) => {
            assert!(last.is_none_or(|response| response.complete));
            outcome.responses.push(Decoded {
                status: head.status().as_u16(),
                head: format!("{head:?} {:?}", head.fields().collect::<Vec<_>>()),
                ..Decoded::default()
            });
        }
        Event::Body(piece) => {
            let response = last.unwrap();
            assert!(!piece.is_empty() && !response.complete && response.trailers == 0);
            response.body.extend_from_slice(&piece);
        }
        Event::Trailers(trailers) => last.unwrap().trailers = trailers.fields().count(),
        Event::Complete => last.unwrap().complete = true,
        Event::Error(invalid) => {
            assert_eq!(invalid.status(), 502);
            outcome.error = Some(invalid.reason());
        }
    }
}

fn decode(method: Method, input: &str) -> Outcome {
    let limits = Limits::default();
    let bytes = input.as_bytes();
    let whole = decode_split(std::slice::from_ref(&method), bytes, &[], &limits);
    let ends: Vec<_> = (1..input.len()).collect();
    let bytewise = decode_split(&[method], bytes, &ends, &limits);
    assert_eq!(bytewise, whole, "{input:?}");
    whole
}

/// The body of the only response, which is complete.
#[track_caller]
fn body(method: Method, input: &str) -> String {
    let outcome = decode(method, input);
    assert_eq!((outcome.error, outcome.left), (None, 0), "{input:?}");
    let [response] = &outcome.responses[..] else {
        panic!("{outcome:?}")
    };
    assert!(response.complete);
    String::from_utf8(response.body.clone()).unwrap()
}

#[track_caller]
fn assert_refused(input: &str, reason: &str) {
    let error = decode(Method::GET, input).error.unwrap_or("no error");
    assert!(error.contains(reason), "{input:?}: {error}");
}

fn response(fields: &str, rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{rest}")
}

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
fn fields_are_as_strict_as_those_of_requests() {
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
fn a_body_is_delimited_by_its_length_its_chunks_or_the_end() {
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
fn some_responses_have_no_body_whatever_their_fields_say() {
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
fn an_end_that_is_not_certain_is_refused() {
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
fn malformed_chunks_are_refused_where_they_begin() {
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
        ("0\r\nContent-Length: 1\r\n\r\n", "before it"),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", "before it"),
        ("0\r\nno field\r\n\r\n", "name of a field"),
    ] {
        assert_refused(&chunked(rest), reason);
    }
}

#[test]
fn a_response_that_is_cut_off_is_an_error() {
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
fn interim_responses_come_before_the_response_and_have_its_limit() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n";
    let input = format!(
        "HTTP/1.1 100 Continue\r\n\r\n{early}{}",
        response("Content-Length: 1\r\n", "x")
    );
    let outcome = decode(Method::POST, &input);
    assert_eq!(outcome.interim, [100, 103]);
    assert_eq!((outcome.responses.len(), outcome.error), (1, None));
    assert_refused(&early.repeat(2000), "too long");
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
fn what_follows_an_upgrade_can_be_taken() {
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
fn the_last_response_of_a_connection_says_so() {
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

fn get() -> Request<'static> {
    Request {
        method: &Method::GET,
        target: "/a?b",
        host: "example.com:8080",
        fields: None,
        body: RequestBody::None,
        close: false,
    }
}

fn encode(request: &Request<'_>, pieces: &[&str]) -> Result<(String, Persistence), EncodeError> {
    let mut out = Vec::new();
    let mut encoder = client::begin(&mut out, request)?;
    for piece in pieces {
        encoder.body(&mut out, piece.as_bytes())?;
    }
    let persistence = encoder.finish(&mut out, None)?;
    Ok((String::from_utf8(out).unwrap(), persistence))
}

#[test]
fn a_request_has_its_framing() {
    let post = Request {
        method: &Method::POST,
        ..get()
    };
    for (request, pieces, expected) in [
        (get(), &[][..], "\r\n"),
        (post, &[], "content-length: 0\r\n\r\n"),
        (
            Request {
                body: RequestBody::Bytes(2),
                ..post
            },
            &["H", "i"],
            "content-length: 2\r\n\r\nHi",
        ),
        (
            Request {
                body: RequestBody::Stream,
                ..get()
            },
            &["Hi"],
            "transfer-encoding: chunked\r\n\r\n2\r\nHi\r\n0\r\n\r\n",
        ),
        (
            Request {
                close: true,
                ..get()
            },
            &[],
            "connection: close\r\n\r\n",
        ),
    ] {
        let start = format!(
            "{} /a?b HTTP/1.1\r\nhost: example.com:8080\r\n",
            request.method
        );
        let (text, persistence) = encode(&request, pieces).unwrap();
        assert_eq!(text, start + expected);
        assert_eq!(persistence == Persistence::Close, request.close);
    }
    assert_eq!(encode(&get(), &["x"]), Err(EncodeError::BodyTooLong));
    let counted = Request {
        body: RequestBody::Bytes(2),
        ..post
    };
    assert_eq!(encode(&counted, &["x"]), Err(EncodeError::BodyTooShort));
}

#[test]
fn what_would_make_another_request_is_not_written() {
    for target in [
        "",
        "a",
        "/a b",
        "/a\r\nX: y",
        "/ HTTP/1.1\r\nX:",
        "/\u{e4}",
        "/a#b",
        "*",
        "example.com:80",
        "ftp://h/",
        "/\0",
        "/\t",
    ] {
        let request = Request { target, ..get() };
        let mut out = b"before".to_vec();
        let result = client::begin(&mut out, &request);
        assert_eq!(
            result,
            Err(EncodeError::InvalidRequest("target")),
            "{target:?}"
        );
        assert_eq!(out, b"before");
    }
    for host in [
        "a b",
        "a\r\nX: y",
        "a@b",
        "a/b",
        "a:b",
        "\u{e4}",
        "a,b",
        "[::1",
    ] {
        let result = encode(&Request { host, ..get() }, &[]);
        assert_eq!(result, Err(EncodeError::InvalidRequest("host")), "{host:?}");
    }
    for (method, target, is_valid) in [
        (Method::CONNECT, "h:80", true),
        (Method::CONNECT, "/", false),
        (Method::CONNECT, "h", false),
        (Method::OPTIONS, "*", true),
        (Method::GET, "http://h/a", true),
    ] {
        let request = Request {
            method: &method,
            target,
            ..get()
        };
        assert_eq!(encode(&request, &[]).is_ok(), is_valid, "{method} {target}");
    }
    let connect = Request {
        method: &Method::CONNECT,
        target: "h:80",
        body: RequestBody::Stream,
        ..get()
    };
    assert_eq!(
        encode(&connect, &[]),
        Err(EncodeError::InvalidRequest("body"))
    );
}

#[test]
fn fields_of_connection_and_framing_are_the_encoders() {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("host", "evil"),
        ("connection", "x-hop"),
        ("content-length", "99"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "1"),
        ("x-a", "b"),
        ("upgrade", "websocket"),
    ] {
        fields.append(name, HeaderValue::from_static(value));
    }
    let request = Request {
        fields: Some(&fields),
        ..get()
    };
    let (text, persistence) = encode(&request, &[]).unwrap();
    assert_eq!(
        text,
        "GET /a?b HTTP/1.1\r\nhost: example.com:8080\r\nconnection: Upgrade\r\nx-a: b\r\nupgrade: websocket\r\n\r\n"
    );
    assert_eq!(persistence, Persistence::Upgrade);
}

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

    #[test]
    fn what_a_client_writes_is_one_request_to_a_server(
        target in "(/[!-~]{0,12}|http://h/[!-~]{0,5}|[ -~\r\n]{0,12})",
        host in "([a-z.]{0,8}(:[0-9]{1,5})?|[ -~\r\n]{0,8})",
        fields in prop::collection::vec(("[a-z-]{1,12}", "[!-~]{0,9}"), 0..4),
        body in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        counted in any::<bool>(),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in &fields {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map.remove("expect");
        let request = Request {
            method: &Method::POST,
            target: &target,
            host: &host,
            fields: Some(&map),
            body: match &body {
                None => RequestBody::None,
                Some(body) if counted => RequestBody::Bytes(body.len() as u64),
                Some(_) => RequestBody::Stream,
            },
            close: false,
        };
        let mut out = Vec::new();
        let Ok(mut encoder) = client::begin(&mut out, &request) else { return Ok(()) };
        let body = body.unwrap_or_default();
        encoder.body(&mut out, &body).unwrap();
        encoder.finish(&mut out, None).unwrap();
        let mut decoder = h1::Decoder::new();
        decoder.push(out.into());
        let limits = Limits::default();
        let Some(h1::Event::Head(head)) = decoder.next(&limits) else { panic!("no head") };
        prop_assert_eq!(head.target(), target);
        prop_assert_eq!(head.field("host"), Some(host.as_bytes()));
        let mut got = Vec::new();
        while let Some(event) = decoder.next(&limits) {
            match event {
                h1::Event::Body(piece) => got.extend_from_slice(&piece),
                h1::Event::Complete => break,
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(got, body);
        prop_assert_eq!(decoder.buffered(), 0);
    }
}
