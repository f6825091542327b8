use proptest::prelude::*;

use super::*;
use crate::h1::Limits;

const RULES: HeadRules = HeadRules {
    connect_protocol: true,
    request_line: 16 * 1024,
};

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/a?b=c"),
];

/// Returns the index of a name in the static table, for the names with special rules.
fn static_name(name: &str) -> u8 {
    match name {
        ":authority" => 1,
        ":method" => 2,
        ":path" => 5,
        ":scheme" => 7,
        "content-length" => 28,
        "cookie" => 32,
        "expect" => 35,
        "host" => 38,
        "transfer-encoding" => 57,
        "user-agent" => 58,
        _ => 0,
    }
}

fn build_with(
    rules: HeadRules,
    fields: &[(&str, &str)],
    end: bool,
    has_indexes: bool,
) -> Result<RequestHead, InvalidMessage> {
    let mut head = RequestHead::new();
    // The memory of the previous request is reused.
    head.bytes.extend_from_slice(b"PUT /other HTTP/1.1\r\n\r\n");
    head.parts.upgrade = true;
    let mut builder = HeadBuilder::new(&mut head, rules);
    for (name, value) in fields {
        let index = if has_indexes { static_name(name) } else { 0 };
        builder.field(name.as_bytes(), value.as_bytes(), index);
    }
    builder.finish(end).map(|()| head)
}

fn build(fields: &[(&str, &str)], end: bool) -> Result<RequestHead, InvalidMessage> {
    let head = build_with(RULES, fields, end, false);
    let indexed = build_with(RULES, fields, end, true);
    let text = |head: &Result<RequestHead, InvalidMessage>| match head {
        Ok(head) => Ok(head.bytes.clone()),
        Err(error) => Err(*error),
    };
    assert_eq!(text(&head), text(&indexed), "{fields:?}");
    head
}

/// Builds a GET request with further fields.
fn get(fields: &[(&str, &str)]) -> Result<RequestHead, InvalidMessage> {
    build(&[&GET, fields].concat(), true)
}

fn text(head: &RequestHead) -> &str {
    str::from_utf8(head.as_bytes()).unwrap()
}

fn status(result: Result<RequestHead, InvalidMessage>) -> Option<u16> {
    result.err().map(|error| error.status().as_u16())
}

#[test]
fn a_head_has_the_form_of_http_1() {
    let head = get(&[("user-agent", "curl/8"), ("accept", "*/*"), ("x-y", "")]).unwrap();
    assert_eq!(
        text(&head),
        "GET /a?b=c HTTP/2\r\nhost: example.com\r\nuser-agent: curl/8\r\naccept: */*\r\nx-y: \r\n\r\n"
    );
    assert_eq!(head.method(), Method::GET);
    assert_eq!(
        (head.version(), head.form()),
        (Version::Http2, TargetForm::Origin)
    );
    assert_eq!((head.target(), head.raw_path()), ("/a?b=c", "/a"));
    assert_eq!(
        (head.query(), head.host()),
        (Some("b=c"), Some("example.com"))
    );
    assert_eq!((head.body(), head.keep_alive()), (BodyLength::None, true));
    assert!(!head.is_upgrade() && !head.expects_continue());
    assert_eq!(head.protocol(), None);
    assert_eq!(head.field("User-Agent"), Some(&b"curl/8"[..]));
    assert_eq!(head.fields().count(), 4);
    assert_eq!(head.to_header_map()["host"], "example.com");
}

#[test]
fn pseudo_headers_are_accepted_in_any_order() {
    let expected = "GET /a?b=c HTTP/2\r\nhost: example.com\r\na: b\r\n\r\n";
    for first in 0..4 {
        for second in 0..3 {
            for third in 0..2 {
                let mut left = GET.to_vec();
                let mut fields = Vec::new();
                for place in [first, second, third, 0] {
                    fields.push(left.remove(place));
                }
                fields.push(("a", "b"));
                let head = build(&fields, true).unwrap();
                assert_eq!(text(&head), expected, "{fields:?}");
                assert_eq!((head.raw_path(), head.query()), ("/a", Some("b=c")));
                assert_eq!(head.host(), Some("example.com"));
            }
        }
    }
}

#[test]
fn each_pseudo_header_is_needed_once() {
    for (place, field) in GET.into_iter().enumerate() {
        let mut fields = GET.to_vec();
        fields.push(field);
        assert_eq!(status(build(&fields, true)), Some(400), "{fields:?}");
        let mut fields = GET.to_vec();
        fields.remove(place);
        assert_eq!(status(build(&fields, true)), Some(400), "{fields:?}");
    }
    assert_eq!(status(build(&[], true)), Some(400));
    assert_eq!(status(build(&[("a", "b")], true)), Some(400));
}

#[test]
fn pseudo_headers_precede_headers() {
    for place in 0..GET.len() {
        let mut fields = GET.to_vec();
        let late = fields.remove(place);
        fields.extend([("a", "b"), late]);
        assert_eq!(status(build(&fields, true)), Some(400), "{fields:?}");
    }
}

#[test]
fn unknown_pseudo_headers_are_refused() {
    for name in [":status", ":other", ":", ":Path", ":method "] {
        let fields = [&[(name, "200")], &GET[..]].concat();
        assert_eq!(status(build(&fields, true)), Some(400), "{name:?}");
    }
}

#[test]
fn paths_follow_the_rules_of_http_1() {
    let build_path = |method, path| {
        let fields = [(":method", method), (":path", path), GET[1], GET[2]];
        build(&fields, true)
    };
    for path in ["/", "//", "/a", "/%41", "/a?", "/?a?b", "/a{}|\\^`\"<>"] {
        let head = build_path("GET", path).unwrap();
        assert_eq!(head.target(), path);
        assert_eq!(head.form(), TargetForm::Origin);
    }
    for path in [
        "",
        "a",
        "*",
        "?a",
        "http://example.com/",
        "/a b",
        "/a\tb",
        "/a#b",
        "/a?b#c",
        "/a\0",
        "/\r\nHost: x",
        "/\x7f",
        "/ä",
        "/a?\u{a0}",
    ] {
        assert_eq!(status(build_path("GET", path)), Some(400), "{path:?}");
    }
    let head = build_path("OPTIONS", "*").unwrap();
    assert_eq!((head.raw_path(), head.form()), ("*", TargetForm::Asterisk));
    assert_eq!(text(&head), "OPTIONS * HTTP/2\r\nhost: example.com\r\n\r\n");
    assert_eq!(build_path("OPTIONS", "/a").unwrap().raw_path(), "/a");
}

#[test]
fn long_first_lines_are_refused_with_414() {
    let rules = HeadRules {
        request_line: 20,
        ..RULES
    };
    let of_length = |length: usize| {
        let path = "/".repeat(length);
        build_with(
            rules,
            &[GET[0], GET[1], GET[2], (":path", &path)],
            true,
            true,
        )
    };
    assert_eq!(of_length(9).unwrap().target().len(), 9);
    assert_eq!(status(of_length(10)), Some(414));
}

#[test]
fn methods_are_tokens() {
    for method in [
        "GET",
        "HEAD",
        "POST",
        "get",
        "A-LONG-METHOD-THAT-IS-NOT-REGISTERED",
        "!",
    ] {
        let fields = [(":method", method), GET[1], GET[2], GET[3]];
        let head = build(&fields, true).unwrap();
        assert_eq!(head.method().as_str(), method);
        assert!(text(&head).starts_with(&format!("{method} /a?b=c HTTP/2\r\n")));
        assert_eq!((head.raw_path(), head.host()), ("/a", Some("example.com")));
    }
    for method in ["", "A B", "A\r\n", "Ä", "G\0", "a:b"] {
        let fields = [(":method", method), GET[1], GET[2], GET[3]];
        assert_eq!(status(build(&fields, true)), Some(400), "{method:?}");
    }
}

#[test]
fn schemes_follow_rfc_3986() {
    for (scheme, is_valid) in [
        ("http", true),
        ("https", true),
        ("HTTPS", true),
        ("coap+tcp", true),
        ("", false),
        ("1http", false),
        ("http:", false),
        ("http://x/?", false),
        ("ht tp", false),
        ("h\u{e4}", false),
    ] {
        let fields = [GET[0], (":scheme", scheme), GET[2], GET[3]];
        assert_eq!(build(&fields, true).is_ok(), is_valid, "{scheme:?}");
    }
}

#[test]
fn an_authority_is_a_host_with_an_optional_port() {
    for (authority, is_valid) in [
        ("example.com", true),
        ("example.com:8443", true),
        ("[::1]:80", true),
        ("127.0.0.1", true),
        ("", false),
        ("user@example.com", false),
        ("user:secret@example.com", false),
        ("example.com/", false),
        ("example.com:99999", false),
        ("exa mple.com", false),
        ("example.com\r\nx: y", false),
        ("a,b", false),
    ] {
        let fields = [GET[0], GET[1], (":authority", authority), GET[3]];
        assert_eq!(build(&fields, true).is_ok(), is_valid, "{authority:?}");
        let fields = [GET[0], GET[1], GET[3], ("host", authority)];
        let head = build(&fields, true);
        assert_eq!(head.is_ok(), is_valid, "{authority:?}");
        if let Ok(head) = head {
            assert_eq!(head.host(), Some(authority));
        }
    }
}

#[test]
fn a_host_equal_to_the_authority_is_left_out() {
    let with = |scheme, authority, host| {
        let fields = [
            GET[0],
            (":scheme", scheme),
            (":authority", authority),
            GET[3],
            ("a", "b"),
            ("host", host),
        ];
        build(&fields, true)
    };
    for (scheme, authority, host) in [
        ("https", "example.com", "example.com"),
        ("https", "example.com", "EXAMPLE.com"),
        ("https", "example.com", "example.com:443"),
        ("https", "example.com:443", "example.com"),
        ("http", "example.com:80", "example.com:"),
        ("http", "example.com:8080", "example.com:8080"),
    ] {
        let head = with(scheme, authority, host).unwrap();
        assert_eq!(head.host(), Some(authority));
        assert_eq!(head.fields_of("host").count(), 1);
    }
    for (scheme, authority, host) in [
        ("https", "example.com", "example.org"),
        ("https", "example.com", "example.com:80"),
        ("http", "example.com", "example.com:443"),
        ("http", "example.com", ""),
        ("http", "example.com", "example.com, example.com"),
        ("other", "example.com", "example.com:80"),
    ] {
        let refused = status(with(scheme, authority, host));
        assert_eq!(refused, Some(400), "{scheme} {authority} {host}");
    }
    let two = [("host", "example.com"), ("host", "example.com")];
    assert_eq!(status(get(&two)), Some(400));
    assert_eq!(
        status(build(&[&[GET[0], GET[1], GET[3]], &two[..]].concat(), true)),
        Some(400)
    );
}

#[test]
fn headers_of_http_1_connections_are_refused() {
    for (name, value) in [
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("te", ""),
    ] {
        assert_eq!(status(get(&[(name, value)])), Some(400), "{name}");
    }
    let head = get(&[("te", "Trailers")]).unwrap();
    assert!(head.accepts_trailers());
}

#[test]
fn names_and_values_follow_the_rules_of_http_1() {
    for name in [
        "",
        "A",
        "user-Agent",
        "a b",
        "a:",
        "a\r\n",
        "\u{e4}",
        "a\0",
        "Content-length",
    ] {
        assert_eq!(status(get(&[(name, "x")])), Some(400), "{name:?}");
    }
    for value in [
        " a",
        "a ",
        "\ta",
        "a\t",
        "a\r",
        "a\nb",
        "a\0b",
        "\x01",
        "\x7f",
        "a long value with a line end\r\nx: y",
    ] {
        for name in ["a", "cookie", "user-agent"] {
            assert_eq!(status(get(&[(name, value)])), Some(400), "{value:?}");
        }
    }
    let head = get(&[("a", "b\tc"), ("d_!#$%&'*+.^`|~9", "\u{e4}")]).unwrap();
    assert_eq!(head.field("a"), Some(&b"b\tc"[..]));
    assert_eq!(head.field("d_!#$%&'*+.^`|~9"), Some("\u{e4}".as_bytes()));
}

#[test]
fn the_length_of_a_body_is_that_of_its_content_length() {
    let post = |fields: &[(&str, &str)], end| {
        build(&[&[(":method", "POST")], &GET[1..], fields].concat(), end)
    };
    let body = |fields: &[(&str, &str)], end| post(fields, end).unwrap().body();
    assert_eq!(body(&[], true), BodyLength::None);
    assert_eq!(body(&[], false), BodyLength::Chunked);
    assert_eq!(body(&[("content-length", "0")], true), BodyLength::Bytes(0));
    assert_eq!(
        body(&[("content-length", "0")], false),
        BodyLength::Bytes(0)
    );
    assert_eq!(
        body(&[("content-length", "007")], false),
        BodyLength::Bytes(7)
    );
    assert_eq!(status(post(&[("content-length", "7")], true)), Some(400));
    for second in ["7", "8"] {
        let several = [("content-length", "7"), ("content-length", second)];
        assert_eq!(status(post(&several, false)), Some(400));
    }
    for length in ["", "-1", "+1", "1, 1", "0x1", "1 1", "1_0"] {
        let refused = status(post(&[("content-length", length)], false));
        assert_eq!(refused, Some(400), "{length:?}");
    }
    let huge = [("content-length", "18446744073709551616")];
    assert_eq!(status(post(&huge, false)), Some(413));
}

#[test]
fn only_the_expectation_100_continue_is_supported() {
    let expects = |value, end| {
        let head = build(&[&GET[..], &[("expect", value)]].concat(), end);
        head.map(|head| head.expects_continue())
    };
    assert_eq!(expects("100-Continue", false), Ok(true));
    assert_eq!(expects("100-continue", true), Ok(false));
    let error = expects("200-ok", true).unwrap_err();
    assert_eq!(error.status(), StatusCode::EXPECTATION_FAILED);
}

#[test]
fn cookies_become_one_line() {
    let head = get(&[("cookie", "a=1"), ("cookie", "b=2"), ("x", "y"), ("z", "")]).unwrap();
    let expected =
        "GET /a?b=c HTTP/2\r\nhost: example.com\r\ncookie: a=1; b=2\r\nx: y\r\nz: \r\n\r\n";
    assert_eq!(text(&head), expected);
    let apart = [
        ("cookie", "a=1"),
        ("x", "y"),
        ("cookie", "b=2"),
        ("cookie", "c=3"),
        ("z", "cookie: no"),
        ("cookie", "d=4"),
    ];
    let head = get(&apart).unwrap();
    assert_eq!(
        text(&head),
        "GET /a?b=c HTTP/2\r\nhost: example.com\r\nx: y\r\nz: cookie: no\r\ncookie: a=1; b=2; c=3; d=4\r\n\r\n"
    );
    assert_eq!(head.host(), Some("example.com"));
    // The host line may follow a cookie line.
    let fields = [&[GET[0], GET[1], GET[3]], &apart[..], &[("host", "a.b")]].concat();
    let head = build(&fields, true).unwrap();
    assert_eq!((head.host(), head.fields().count()), (Some("a.b"), 4));
}

#[test]
fn a_connect_request_has_only_a_method_and_an_authority() {
    let connect =
        |fields: &[(&str, &str)], end| build(&[&[(":method", "CONNECT")], fields].concat(), end);
    let head = connect(&[(":authority", "example.com:443"), ("a", "b")], false).unwrap();
    let expected = "CONNECT example.com:443 HTTP/2\r\nhost: example.com:443\r\na: b\r\n\r\n";
    assert_eq!(text(&head), expected);
    assert_eq!((head.form(), head.raw_path()), (TargetForm::Authority, ""));
    assert_eq!(head.target(), "example.com:443");
    assert_eq!(head.host(), Some("example.com:443"));
    assert!(!head.is_upgrade());
    for fields in [
        &[][..],
        &[(":authority", "example.com")],
        &[GET[1], (":authority", "example.com:443")],
        &[GET[3], (":authority", "example.com:443")],
        &[(":authority", "example.com:443"), ("content-length", "5")],
    ] {
        assert_eq!(status(connect(fields, false)), Some(400), "{fields:?}");
    }
}

#[test]
fn an_extended_connect_request_is_an_upgrade() {
    let connect = [(":method", "CONNECT"), (":protocol", "websocket")];
    let fields = [
        &connect,
        &GET[1..],
        &[("a", "b"), ("sec-websocket-version", "13")],
    ]
    .concat();
    let head = build(&fields, false).unwrap();
    let expected =
        "GET /a?b=c HTTP/2\r\nhost: example.com\r\na: b\r\nsec-websocket-version: 13\r\n\r\n";
    assert_eq!(text(&head), expected);
    assert_eq!(
        (head.method(), head.form()),
        (&Method::GET, TargetForm::Origin)
    );
    assert_eq!(
        (head.protocol(), head.body()),
        (Some("websocket"), BodyLength::None)
    );
    assert_eq!((head.fields().count(), head.field("websocket")), (3, None));
    assert_eq!(head.to_header_map().len(), 3);
    assert!(head.is_upgrade() && head.lists_upgrades(b"WebSocket"));
    assert!(!head.lists_upgrades(b"websocket, other") && !head.lists_upgrades(b""));
    assert!(!head.lists_upgrades(b"websocket/13"));
    // The method may follow the protocol.
    let reversed: Vec<_> = fields[..5].iter().rev().copied().collect();
    let head = build(&reversed, false).unwrap();
    assert_eq!(
        (head.method(), head.protocol()),
        (&Method::GET, Some("websocket"))
    );
}

#[test]
fn malformed_extended_connect_requests_are_refused() {
    let connect = [(":method", "CONNECT"), (":protocol", "websocket")];
    let all = [&connect, &GET[1..]].concat();
    for place in 1..all.len() {
        // Without the protocol, it is a CONNECT request with a path.
        let mut fields = all.clone();
        fields.remove(place);
        assert_eq!(status(build(&fields, false)), Some(400), "{fields:?}");
    }
    for method in ["GET", "OPTIONS"] {
        let fields = [&[(":method", method), connect[1]], &GET[1..]].concat();
        assert_eq!(status(build(&fields, false)), Some(400), "{method}");
    }
    for protocol in ["", "web socket", "a,b", "/1", "a/", "a/b/c", "\r\n"] {
        let fields = [&[connect[0], (":protocol", protocol)], &GET[1..]].concat();
        assert_eq!(status(build(&fields, false)), Some(400), "{protocol:?}");
    }
    let asterisk = [connect[0], connect[1], GET[1], GET[2], (":path", "*")];
    assert_eq!(status(build(&asterisk, false)), Some(400));
    let body = [&all[..], &[("content-length", "5")]].concat();
    assert_eq!(status(build(&body, false)), Some(400));
    let rules = HeadRules {
        connect_protocol: false,
        ..RULES
    };
    assert_eq!(status(build_with(rules, &all, false, false)), Some(400));
}

#[test]
fn the_first_error_is_returned() {
    let fields = [&GET[..], &[("upgrade", "a"), ("content-length", "x")]].concat();
    assert_eq!(build(&fields, true).unwrap_err(), CONNECTION_SPECIFIC);
}

/// Pieces of first lines and fields, some of which are malformed.
const TARGETS: &[&str] = &[
    "/",
    "/a",
    "/a?b",
    "/a/b?c=d&e",
    "/%zz",
    "/?",
    "/a b",
    "/a#b",
    "*",
    "a",
    "/a\u{e4}",
    "//x",
];
const METHODS: &[&str] = &["GET", "HEAD", "POST", "OPTIONS", "CONNECT", "get", "PURGE"];
const HOSTS: &[&str] = &[
    "example.com",
    "a:80",
    "a:",
    "[::1]:8080",
    "a b",
    "u@a",
    "a/b",
];
const NAMES: &[&str] = &[
    "a",
    "cookie2",
    "x-header",
    "a-very-long-name-of-a-header",
    "content-length",
    "expect",
    "te",
    "a_b",
    "a b",
    "",
];
const VALUES: &[&str] = &[
    "",
    "5",
    "0",
    "100-continue",
    "trailers",
    "a, b",
    "a\tb",
    "a long value of more than a block",
    "a\0",
    "\u{e4}",
    "x: y",
];

proptest! {
    /// Requests that both versions can express have the same head, and are refused by both otherwise.
    #[test]
    fn a_head_is_the_same_as_in_http_1(
        method in prop::sample::select(METHODS),
        target in prop::sample::select(TARGETS),
        host in prop::sample::select(HOSTS),
        fields in prop::collection::vec(
            (prop::sample::select(NAMES), prop::sample::select(VALUES)), 0..5),
        host_place in 0..5_usize,
        has_authority in any::<bool>(),
    ) {
        let mut lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        lines.insert(host_place.min(lines.len()), format!("Host: {host}\r\n"));
        let message = format!("{method} {target} HTTP/1.1\r\n{}\r\n", lines.concat());
        let mut expected = RequestHead::new();
        let accepted = expected.read(message.as_bytes(), &Limits::default()) == Some(message.len());

        let mut list = vec![(":method", method), (":scheme", "http"), (":path", target)];
        if has_authority {
            list.insert(host_place % 4, (":authority", host));
        }
        let start = list.len();
        list.extend(&fields);
        if !has_authority {
            list.insert(start + host_place.min(fields.len()), ("host", host));
        }
        let length = fields.iter().find(|(name, _)| *name == "content-length");
        let end = length.is_none_or(|(_, value)| *value == "0");
        let te = fields.iter().any(|(name, value)| *name == "te" && *value != "trailers");
        let built = build(&list, end);

        if method == "CONNECT" || te {
            // The versions have different rules.
            return Ok(());
        }
        prop_assert_eq!(accepted, built.is_ok(), "{:?} {:?}", message, built);
        let Ok(built) = built else { return Ok(()) };
        prop_assert_eq!(built.method(), expected.method());
        prop_assert_eq!(built.target(), expected.target());
        prop_assert_eq!(built.raw_path(), expected.raw_path());
        prop_assert_eq!(built.query(), expected.query());
        prop_assert_eq!(built.host(), expected.host());
        prop_assert_eq!(built.form(), expected.form());
        prop_assert_eq!(built.body(), expected.body());
        prop_assert_eq!(built.expects_continue(), expected.expects_continue());
        let without_host = |head: &RequestHead| -> Vec<(String, Vec<u8>)> {
            let fields = head.fields().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
            fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        prop_assert_eq!(without_host(&built), without_host(&expected));
    }

    /// No input causes a panic, and an accepted head is a valid HTTP/1 head with the same fields.
    #[test]
    fn an_accepted_head_has_no_further_lines(
        list in prop::collection::vec(
            (prop_oneof![
                prop::sample::select(NAMES).prop_map(|name| name.as_bytes().to_vec()),
                prop::sample::select(&[":method", ":path", ":scheme", ":authority", ":protocol", "cookie", "host"][..])
                    .prop_map(|name| name.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..20),
            ], prop_oneof![
                prop::sample::select(VALUES).prop_map(|value| value.as_bytes().to_vec()),
                prop::sample::select(TARGETS).prop_map(|value| value.as_bytes().to_vec()),
                prop::sample::select(HOSTS).prop_map(|value| value.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..40),
            ]), 0..8),
        has_start in any::<bool>(),
        end in any::<bool>(),
    ) {
        let mut head = RequestHead::new();
        let mut builder = HeadBuilder::new(&mut head, RULES);
        if has_start {
            for (name, value) in GET {
                builder.field(name.as_bytes(), value.as_bytes(), 0);
            }
        }
        for (name, value) in &list {
            builder.field(name, value, 0);
        }
        if builder.finish(end).is_ok() {
            let bytes = head.as_bytes().to_vec();
            let line_end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
            let line = str::from_utf8(&bytes[..line_end - 1]).unwrap();
            let message = [line.replace("HTTP/2", "HTTP/1.1").as_bytes(), &bytes[line_end - 1..]].concat();
            let mut parsed = RequestHead::new();
            prop_assert_eq!(parsed.read(&message, &Limits::default()), Some(message.len()));
            prop_assert!(parsed.fields().eq(head.fields()));
            let names = list.iter().filter(|(name, _)| !name.starts_with(b":"));
            prop_assert!(head.fields().count() <= names.count() + 1);
        }
    }
}
