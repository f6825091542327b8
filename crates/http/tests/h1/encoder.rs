//! Encoding of responses, checked by a strict parser.

use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;
use uptick_http::h1::{
    CONTINUE, EncodeError, Encoder, Persistence, RESPONSE_START, ResponseBody, ResponseHead,
    Version,
};

fn head(status: u16, body: ResponseBody) -> ResponseHead<'static> {
    ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        reason: None,
        content_type: None,
        date: None,
        fields: None,
        body,
        version: Version::Http11,
        to_head: false,
        persistence: Persistence::KeepAlive,
    }
}

/// Encodes a response. Returns the bytes and the persistence of the connection.
fn encode(head: &ResponseHead<'_>, pieces: &[&str]) -> (String, Persistence) {
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(&mut out, head).unwrap();
    for piece in pieces {
        encoder.body(&mut out, piece.as_bytes()).unwrap();
    }
    let persistence = encoder.finish(&mut out, None).unwrap();
    (String::from_utf8(out).unwrap(), persistence)
}

#[test]
fn a_plain_response_has_its_fields_in_a_fixed_order() {
    let head = ResponseHead {
        content_type: Some("text/plain"),
        date: Some("Sun, 06 Nov 1994 08:49:37 GMT"),
        ..head(200, ResponseBody::Bytes(5))
    };
    assert_eq!(
        encode(&head, &["he", "", "llo"]),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\
             date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello"
                .to_owned(),
            Persistence::KeepAlive
        )
    );
}

#[test]
fn connection_close_among_the_headers_ends_the_connection() {
    for (value, follows) in [
        ("close", Persistence::Close),
        ("x-hop, CLOSE", Persistence::Close),
        ("closed", Persistence::KeepAlive),
        ("keep-alive", Persistence::KeepAlive),
    ] {
        let mut fields = HeaderMap::new();
        fields.insert("connection", HeaderValue::from_static(value));
        let head = ResponseHead {
            fields: Some(&fields),
            ..head(200, ResponseBody::Bytes(1))
        };
        let (text, persistence) = encode(&head, &["x"]);
        assert_eq!(persistence, follows, "{value}");
        let closes = text.contains("connection: close\r\n");
        assert_eq!(closes, follows == Persistence::Close, "{text}");
        assert!(!text.contains(value) || value == "close", "{text}");
    }
}

#[test]
fn bytes_that_are_sent_early_do_not_change_the_response() {
    let mut out = Vec::new();
    let head = head(200, ResponseBody::Stream);
    let mut encoder = Encoder::begin(&mut out, &head).unwrap();
    assert!(out.starts_with(RESPONSE_START));
    let zero = encoder.leading_byte().unwrap();
    for piece in ["a", "bc"] {
        out.push(zero);
        encoder.body(&mut out, piece.as_bytes()).unwrap();
    }
    out.push(zero);
    encoder.finish(&mut out, None).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.ends_with("\r\n\r\n01\r\na\r\n02\r\nbc\r\n00\r\n\r\n"),
        "{text}"
    );
    let whole = ResponseHead {
        body: ResponseBody::Bytes(3),
        ..head
    };
    let encoder = Encoder::begin(&mut Vec::new(), &whole).unwrap();
    assert_eq!(encoder.leading_byte(), None);
}

#[test]
fn framing_follows_status_version_and_method() {
    use Persistence::{Close, KeepAlive, Upgrade};
    use ResponseBody::{Bytes, Empty, Stream};
    use Version::{Http10, Http11};
    for (status, body, version, to_head, wanted, expected, follows) in [
        (
            200,
            Empty,
            Http11,
            false,
            KeepAlive,
            "200 OK\r\ncontent-length: 0\r\n\r\n",
            KeepAlive,
        ),
        (
            200,
            Bytes(2),
            Http11,
            false,
            KeepAlive,
            "200 OK\r\ncontent-length: 2\r\n\r\nab",
            KeepAlive,
        ),
        (
            200,
            Bytes(2),
            Http11,
            false,
            Close,
            "200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab",
            Close,
        ),
        (
            200,
            Bytes(2),
            Http10,
            false,
            KeepAlive,
            "200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nab",
            KeepAlive,
        ),
        (
            200,
            Stream,
            Http11,
            false,
            KeepAlive,
            "200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
            KeepAlive,
        ),
        (
            200,
            Stream,
            Http10,
            false,
            KeepAlive,
            "200 OK\r\nconnection: close\r\n\r\nab",
            Close,
        ),
        (
            200,
            Bytes(2),
            Http11,
            true,
            KeepAlive,
            "200 OK\r\ncontent-length: 2\r\n\r\n",
            KeepAlive,
        ),
        (
            200,
            Stream,
            Http11,
            true,
            KeepAlive,
            "200 OK\r\n\r\n",
            KeepAlive,
        ),
        (
            200,
            Stream,
            Http10,
            true,
            KeepAlive,
            "200 OK\r\nconnection: keep-alive\r\n\r\n",
            KeepAlive,
        ),
        (
            200,
            Empty,
            Http11,
            true,
            KeepAlive,
            "200 OK\r\n\r\n",
            KeepAlive,
        ),
        (
            204,
            Bytes(2),
            Http11,
            false,
            KeepAlive,
            "204 No Content\r\n\r\n",
            KeepAlive,
        ),
        (
            204,
            Stream,
            Http11,
            false,
            Close,
            "204 No Content\r\nconnection: close\r\n\r\n",
            Close,
        ),
        (
            205,
            Stream,
            Http11,
            false,
            KeepAlive,
            "205 Reset Content\r\ncontent-length: 0\r\n\r\n",
            KeepAlive,
        ),
        // The same as for GET.
        (
            205,
            Bytes(2),
            Http11,
            true,
            KeepAlive,
            "205 Reset Content\r\ncontent-length: 0\r\n\r\n",
            KeepAlive,
        ),
        (
            304,
            Empty,
            Http11,
            false,
            KeepAlive,
            "304 Not Modified\r\n\r\n",
            KeepAlive,
        ),
        (
            304,
            Bytes(2),
            Http11,
            false,
            KeepAlive,
            "304 Not Modified\r\ncontent-length: 2\r\n\r\n",
            KeepAlive,
        ),
        (
            304,
            Stream,
            Http11,
            false,
            KeepAlive,
            "304 Not Modified\r\n\r\n",
            KeepAlive,
        ),
        (
            103,
            Stream,
            Http11,
            false,
            Close,
            "103 Early Hints\r\n\r\n",
            KeepAlive,
        ),
        (
            101,
            Stream,
            Http11,
            false,
            KeepAlive,
            "101 Switching Protocols\r\nconnection: Upgrade\r\n\r\n",
            Upgrade,
        ),
        (
            599,
            Empty,
            Http11,
            false,
            KeepAlive,
            "599 \r\ncontent-length: 0\r\n\r\n",
            KeepAlive,
        ),
    ] {
        let head = ResponseHead {
            version,
            to_head,
            persistence: wanted,
            ..head(status, body)
        };
        let pieces: &[&str] = if body == Empty { &[] } else { &["a", "b"] };
        assert_eq!(
            encode(&head, pieces),
            (format!("HTTP/1.1 {expected}"), follows),
            "{head:?}"
        );
    }
}

#[test]
fn the_encoder_owns_the_framing_fields() {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("content-length", "99"),
        ("transfer-encoding", "gzip"),
        ("connection", "x"),
        ("keep-alive", "timeout=5"),
        ("x-a", "1"),
        ("content-type", "text/html"),
        ("date", "today"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields.append("x-a", HeaderValue::from_static("2"));
    let head = ResponseHead {
        fields: Some(&fields),
        content_type: Some("text/plain"),
        date: Some("never"),
        ..head(200, ResponseBody::Bytes(1))
    };
    let (response, _) = encode(&head, &["a"]);
    assert_eq!(
        response,
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nx-a: 1\r\nx-a: 2\r\ncontent-type: text/html\r\ndate: today\r\n\r\na"
    );
    for (status, to_head) in [(200, true), (304, false)] {
        let head = ResponseHead {
            status: StatusCode::from_u16(status).unwrap(),
            to_head,
            body: ResponseBody::Empty,
            ..head
        };
        assert!(
            encode(&head, &[]).0.contains("\r\ncontent-length: 99\r\n"),
            "the length is sent with {status}"
        );
    }
    fields.insert("content-length", HeaderValue::from_static("9, 9"));
    let head = ResponseHead {
        fields: Some(&fields),
        to_head: true,
        ..self::head(200, ResponseBody::Empty)
    };
    assert!(
        !encode(&head, &[])
            .0
            .to_lowercase()
            .contains("content-length")
    );
}

#[test]
fn header_and_trailer_names_are_in_lower_case() {
    let mut fields = HeaderMap::new();
    for name in [
        "ETag",
        "WWW-Authenticate",
        "Sec-WebSocket-Accept",
        "X-UPPER",
        "Upgrade",
    ] {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        fields.insert(name, HeaderValue::from_static("A-Value"));
    }
    for (status, body) in [
        (101, ResponseBody::Empty),
        (103, ResponseBody::Empty),
        (200, ResponseBody::Bytes(1)),
        (200, ResponseBody::Stream),
        (304, ResponseBody::Empty),
        (400, ResponseBody::Bytes(1)),
    ] {
        for (version, persistence) in [
            (Version::Http10, Persistence::KeepAlive),
            (Version::Http11, Persistence::Close),
        ] {
            let head = ResponseHead {
                content_type: Some("Text/Plain"),
                date: Some("Sun, 06 Nov 1994 08:49:37 GMT"),
                fields: Some(&fields),
                version,
                persistence,
                ..head(status, body)
            };
            let mut out = Vec::new();
            let mut encoder = Encoder::begin(&mut out, &head).unwrap();
            encoder.body(&mut out, b"1").unwrap();
            encoder.finish(&mut out, Some(&fields)).unwrap();
            let text = String::from_utf8(out).unwrap();
            let names: Vec<_> = text
                .lines()
                .filter_map(|line| line.split_once(": "))
                .collect();
            assert!(names.len() >= fields.len(), "{text}");
            for (name, _) in names {
                assert_eq!(name, name.to_lowercase(), "{text}");
            }
            assert!(text.contains("etag: A-Value\r\n"), "{text}");
        }
    }
}

#[test]
fn text_that_would_end_its_line_is_refused_without_output() {
    for text in ["a\r\nX: y", "a\n", "a\rb", "\0", "a\u{7f}", "\u{1b}"] {
        let plain = head(200, ResponseBody::Empty);
        for (part, head) in [
            (
                "reason",
                ResponseHead {
                    reason: Some(text),
                    ..plain
                },
            ),
            (
                "content type",
                ResponseHead {
                    content_type: Some(text),
                    ..plain
                },
            ),
            (
                "date",
                ResponseHead {
                    date: Some(text),
                    ..plain
                },
            ),
        ] {
            let mut out = b"before".to_vec();
            assert_eq!(
                Encoder::begin(&mut out, &head),
                Err(EncodeError::InvalidText(part)),
                "{text:?}"
            );
            assert_eq!(out, b"before");
        }
    }
    let head = ResponseHead {
        reason: Some("Fine\tor \u{e4}"),
        ..head(200, ResponseBody::Empty)
    };
    assert!(
        encode(&head, &[])
            .0
            .starts_with("HTTP/1.1 200 Fine\tor \u{e4}\r\n")
    );
}

#[test]
fn a_body_must_have_the_announced_length() {
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(&mut out, &head(200, ResponseBody::Bytes(3))).unwrap();
    let length = out.len();
    assert_eq!(
        encoder.body(&mut out, b"abcd"),
        Err(EncodeError::BodyTooLong)
    );
    assert_eq!(out.len(), length);
    encoder.body(&mut out, b"ab").unwrap();
    assert_eq!(
        encoder.finish(&mut out, None),
        Err(EncodeError::BodyTooShort)
    );
    encoder.body(&mut out, b"c").unwrap();
    assert_eq!(encoder.finish(&mut out, None), Ok(Persistence::KeepAlive));
    let mut empty = Encoder::begin(&mut out, &head(200, ResponseBody::Empty)).unwrap();
    assert_eq!(empty.body(&mut out, b"a"), Err(EncodeError::BodyTooLong));
}

#[test]
fn pieces_can_be_sent_without_the_encoder() {
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(&mut out, &head(200, ResponseBody::Stream)).unwrap();
    assert!(encoder.sends_body());
    for length in [0x1, 0xf, 0x10, 0xabcdef, usize::MAX] {
        out.clear();
        assert_eq!(encoder.open_piece(&mut out, length), Ok(true));
        assert_eq!(out, format!("{length:x}\r\n").as_bytes());
        out.clear();
        encoder.close_piece(&mut out);
        assert_eq!(out, b"\r\n");
    }
    assert_eq!(
        encoder.open_piece(&mut out, 0),
        Ok(false),
        "an empty chunk would end the body"
    );
    let silent = ResponseHead {
        to_head: true,
        ..head(200, ResponseBody::Bytes(5))
    };
    let mut encoder = Encoder::begin(&mut out, &silent).unwrap();
    assert!(!encoder.sends_body());
    assert_eq!(encoder.open_piece(&mut out, 5), Ok(false));
}

#[test]
fn trailers_follow_only_the_last_chunk() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("5"));
    trailers.insert("content-length", HeaderValue::from_static("5"));
    for (body, expected) in [
        (ResponseBody::Stream, "0\r\nx-sum: 5\r\n\r\n"),
        (ResponseBody::Empty, ""),
    ] {
        let mut out = Vec::new();
        let encoder = Encoder::begin(&mut out, &head(200, body)).unwrap();
        out.clear();
        encoder.finish(&mut out, Some(&trailers)).unwrap();
        assert_eq!(out, expected.as_bytes());
    }
}

#[test]
fn the_interim_response_is_valid() {
    let (written, follows) = encode(&head(100, ResponseBody::Empty), &[]);
    assert_eq!(
        (written.as_bytes(), follows),
        (CONTINUE, Persistence::KeepAlive)
    );
}

proptest! {
    /// A strict parser decodes any encoded response to one response with the same body.
    #[test]
    fn any_response_is_valid_for_a_strict_parser(
        status in 200u16..600,
        reason in prop::option::of("[ -~\t]{0,10}"),
        content_type in prop::option::of("[!-~]{1,20}"),
        fields in prop::collection::vec(("[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,17}", "[ -~\t\u{80}-\u{ff}]{0,20}"), 0..5),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
        (streamed, to_head, old, close) in any::<(bool, bool, bool, bool)>(),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in &fields {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let body = pieces.concat();
        let head = ResponseHead {
            reason: reason.as_deref(),
            content_type: content_type.as_deref(),
            fields: Some(&map),
            version: if old { Version::Http10 } else { Version::Http11 },
            to_head,
            persistence: if close { Persistence::Close } else { Persistence::KeepAlive },
            ..head(status, if streamed { ResponseBody::Stream } else { ResponseBody::Bytes(body.len() as u64) })
        };
        let mut out = Vec::new();
        let mut encoder = Encoder::begin(&mut out, &head).unwrap();
        for piece in &pieces {
            encoder.body(&mut out, piece).unwrap();
        }
        let follows = encoder.finish(&mut out, None).unwrap();
        let without = to_head || [204, 205, 304].contains(&status);
        strict::check(&out, status, to_head, follows == Persistence::Close, if without { b"" } else { &body });
    }
}

mod strict {
    //! A strict response parser for the grammar of RFC 9112.

    fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let line = &rest[..end];
        assert!(
            !line.iter().any(|byte| b"\r\n\0".contains(byte)),
            "{}",
            line.escape_ascii()
        );
        *rest = &rest[end + 2..];
        line
    }

    fn is_token(name: &[u8]) -> bool {
        let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        !name.is_empty() && name.iter().all(known)
    }

    pub(super) fn check(mut rest: &[u8], status: u16, to_head: bool, closes: bool, body: &[u8]) {
        let first = line(&mut rest);
        assert!(
            first.starts_with(format!("HTTP/1.1 {status} ").as_bytes()),
            "{}",
            first.escape_ascii()
        );
        let (mut length, mut chunked, mut close) = (None, false, false);
        loop {
            let field = line(&mut rest);
            if field.is_empty() {
                break;
            }
            let colon = field.iter().position(|&byte| byte == b':').unwrap();
            assert!(is_token(&field[..colon]), "{}", field.escape_ascii());
            let value = field[colon + 1..].trim_ascii();
            assert!(
                value
                    .iter()
                    .all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
            );
            let name = field[..colon].to_ascii_lowercase();
            if name == b"content-length" {
                let number = str::from_utf8(value).unwrap().parse::<usize>().unwrap();
                assert_eq!(length.replace(number), None);
            } else if name == b"transfer-encoding" {
                assert!(value == b"chunked" && !chunked);
                chunked = true;
            } else if name == b"connection" {
                close = value == b"close";
            }
        }
        assert!(close == closes && !(chunked && length.is_some()));
        if to_head || status == 204 || status == 304 {
            assert!(rest.is_empty() && !chunked);
        } else if chunked {
            let mut found = Vec::new();
            loop {
                let size =
                    usize::from_str_radix(str::from_utf8(line(&mut rest)).unwrap(), 16).unwrap();
                if size == 0 {
                    break assert_eq!(rest, b"\r\n");
                }
                found.extend_from_slice(&rest[..size]);
                rest = &rest[size..];
                assert_eq!(line(&mut rest), b"");
            }
            assert_eq!(found, body);
        } else {
            assert_eq!(rest, body);
            assert!(length.map_or(close, |length| length == body.len()));
        }
    }
}
