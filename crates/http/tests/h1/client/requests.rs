//! Encoding of requests, checked by a strict parser.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use uptick_http::h1::client::{self, Request, RequestBody};
use uptick_http::h1::{self, EncodeError, Limits, Persistence, RequestFields};

fn get() -> Request<'static> {
    Request {
        method: &Method::GET,
        target: "/a?b",
        host: "example.com:8080",
        fields: RequestFields::default(),
        body: RequestBody::None,
        close: false,
    }
}

fn encode(request: &Request<'_>, pieces: &[&str]) -> Result<(String, Persistence), EncodeError> {
    let mut out = Vec::new();
    let mut encoder = client::encode_request(&mut out, request)?;
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
fn text_that_would_change_the_request_is_refused() {
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
        let result = client::encode_request(&mut out, &request);
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
fn the_encoder_owns_the_connection_and_framing_fields() {
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
        fields: RequestFields::from(&fields),
        ..get()
    };
    let (text, persistence) = encode(&request, &[]).unwrap();
    assert_eq!(
        text,
        "GET /a?b HTTP/1.1\r\nhost: example.com:8080\r\nconnection: Upgrade\r\nx-a: b\r\nupgrade: websocket\r\n\r\n"
    );
    assert_eq!(persistence, Persistence::Upgrade);
}

proptest! {
    #[test]
    fn the_server_decodes_one_request_per_encoded_request(
        target in "(/[!-~]{0,12}|http://h/[!-~]{0,5}|[ -~\r\n]{0,12})",
        host in "([a-z.]{0,8}(:[0-9]{1,5})?|[ -~\r\n]{0,8})",
        fields in prop::collection::vec(("[a-z-]{1,12}", "[!-~]{0,9}"), 0..4),
        body in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        counted in any::<bool>(),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in &fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map.remove("expect");
        let request = Request {
            method: &Method::POST,
            target: &target,
            host: &host,
            fields: RequestFields::from(&map),
            body: match &body {
                None => RequestBody::None,
                Some(body) if counted => RequestBody::Bytes(body.len() as u64),
                Some(_) => RequestBody::Stream,
            },
            close: false,
        };
        let mut out = Vec::new();
        let Ok(mut encoder) = client::encode_request(&mut out, &request) else { return Ok(()) };
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

#[test]
fn a_list_of_headers_is_sent_in_its_order_with_duplicates() {
    let list = [
        ("x-b", "1"),
        ("te", "trailers"),
        ("connection", "x"),
        ("x-b", "3"),
    ]
    .map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    let request = Request {
        fields: RequestFields::from(&list[..]),
        ..get()
    };
    let (text, _) = encode(&request, &[]).unwrap();
    assert_eq!(
        text,
        "GET /a?b HTTP/1.1\r\nhost: example.com:8080\r\nconnection: TE\r\nx-b: 1\r\nte: trailers\r\nx-b: 3\r\n\r\n"
    );
}
