//! Request lines, targets, hosts and fields (RFC 9112, sections 2, 3 and 5).

use uptick_http::h1::{BodyLength, Decoder, Event, Limits, TargetForm, Version};

use crate::{accepted, assert_refused, decode, head_of};

#[test]
fn a_head_has_all_its_parts() {
    let head = head_of(
        "GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com:8080\r\nX-A: 1\r\nx-a:  2 \t\r\nEmpty:\r\n\r\n",
    );
    assert_eq!(head.method(), "GET");
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.form(), TargetForm::Origin);
    assert_eq!(
        (head.target(), head.raw_path(), head.query()),
        ("/a/b?c=d&e", "/a/b", Some("c=d&e"))
    );
    assert_eq!(head.host(), Some("example.com:8080"));
    assert_eq!(head.body(), BodyLength::None);
    assert!(head.keep_alive() && !head.expects_continue() && !head.is_upgrade());
    assert_eq!(head.field("X-a"), Some(&b"1"[..]));
    assert_eq!(head.fields_of("X-A").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.field("empty"), Some(&b""[..]));
    assert_eq!(head.field("x"), None);
    let names: Vec<_> = head.fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["Host", "X-A", "x-a", "Empty"]);
    let map = head.to_header_map();
    assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(map.len(), 4);
}

#[test]
fn a_request_in_one_piece_does_not_keep_the_read_buffer_alive() {
    let input = bytes::Bytes::from(
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /par".to_owned(),
    );
    let mut decoder = Decoder::new();
    decoder.push(input.clone());
    for _ in 0..2 {
        let Some(Event::Head(head)) = decoder.next(&Limits::default()) else {
            panic!()
        };
        assert!(head.as_bytes().starts_with(b"GET /") && head.as_bytes().ends_with(b"\r\n\r\n"));
        assert!(matches!(
            decoder.next(&Limits::default()),
            Some(Event::Complete)
        ));
    }
    assert!(decoder.next(&Limits::default()).is_none());
    assert_eq!(decoder.buffered(), 8);
    assert!(!decoder.is_idle());
    assert!(
        input.is_unique(),
        "the start of a head keeps its read buffer alive"
    );
}

#[test]
fn each_method_has_its_target_forms() {
    for (line, form, path, query, host) in [
        ("GET /", TargetForm::Origin, "/", None, "h"),
        ("GET //", TargetForm::Origin, "//", None, "h"),
        ("GET /?", TargetForm::Origin, "/", Some(""), "h"),
        ("GET /a?b?c", TargetForm::Origin, "/a", Some("b?c"), "h"),
        (
            "GET http://example.com/a?b",
            TargetForm::Absolute,
            "/a",
            Some("b"),
            "example.com",
        ),
        (
            "GET HTTPS://[::1]:80/a",
            TargetForm::Absolute,
            "/a",
            None,
            "[::1]:80",
        ),
        (
            "GET http://example.com",
            TargetForm::Absolute,
            "/",
            None,
            "example.com",
        ),
        (
            "GET http://example.com?b=c/d",
            TargetForm::Absolute,
            "/",
            Some("b=c/d"),
            "example.com",
        ),
        ("OPTIONS *", TargetForm::Asterisk, "*", None, "h"),
        ("OPTIONS /a", TargetForm::Origin, "/a", None, "h"),
        (
            "CONNECT example.com:443",
            TargetForm::Authority,
            "",
            None,
            "example.com:443",
        ),
        (
            "CONNECT [::1]:443",
            TargetForm::Authority,
            "",
            None,
            "[::1]:443",
        ),
        ("PURGE /a|b%zz", TargetForm::Origin, "/a|b%zz", None, "h"),
    ] {
        let head = head_of(&format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(
            (head.form(), head.raw_path(), head.query(), head.host()),
            (form, path, query, Some(host)),
            "{line}"
        );
        assert_eq!(head.target(), line.split_once(' ').unwrap().1);
    }
}

#[test]
fn malformed_targets_are_refused() {
    for line in [
        "GET *",
        "GET a",
        "GET example.com:80",
        "GET http:/a",
        "GET http://",
        "GET http:///a",
        "GET http://:80/",
        "GET http://user@example.com/",
        "GET http://user:word@example.com/",
        "GET ftp://example.com/",
        "GET ?a",
        "GET http://a b/",
        "GET http://a,b/",
        "GET http://a:99999/",
        "GET /a#b",
        "GET /?a#b",
        "GET #",
        "GET http://a#b",
        "OPTIONS **",
        "OPTIONS *?a",
        "CONNECT /",
        "CONNECT example.com",
        "CONNECT example.com:",
        "CONNECT :80",
        "CONNECT http://example.com:80/",
        "CONNECT *",
        "CONNECT a@b:80",
        "GET /\u{e4}",
        "GET /\u{7f}",
        "GET /\0",
        "GET /\t",
        "GET \\",
        "get:/ /",
        "G(T /",
        "GET\t/",
        "GET  /",
        " GET /",
        "GET",
        "GET ",
        "/ GET",
        "",
    ] {
        assert_refused(400, format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
}

#[test]
fn a_request_line_has_three_parts_and_a_known_version() {
    for end in [
        "",
        " ",
        " http/1.1",
        " HTTP/1.1 ",
        " HTTP/1.1\t",
        " HTTP/11",
        " HTTP/1,1",
        " HTTP/1.10",
        " HTTP/1.20",
        " HTTP/1.:",
        " HTTP/1./",
        " HTTP/01.1",
        " HTTP/1",
        " HTTP/1.",
        " HTTP/.1",
        " HTTPS/1.1",
        " HTTP/1.1 x",
        " HTTP 1.1",
        " x HTTP/1.1",
        " HTTP/a.b",
    ] {
        assert_refused(400, format!("GET /{end}\r\nHost: h\r\n\r\n"));
    }
    for version in ["0.9", "2.0", "2.1", "3.0", "9.9"] {
        assert_refused(505, format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n"));
    }
    assert_refused(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_refused(400, "\x16\x03\x01\x02\x00\x01\x00\x01");
}

#[test]
fn a_higher_minor_version_is_treated_as_1_1() {
    for version in 2..10 {
        let head = head_of(&format!("GET / HTTP/1.{version}\r\nHost: h\r\n\r\n"));
        assert_eq!(
            (head.version(), head.keep_alive()),
            (Version::Http11, true),
            "1.{version}"
        );
        assert_refused(400, format!("GET / HTTP/1.{version}\r\n\r\n"));
        let body = "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        let request = format!("POST / HTTP/1.{version}\r\nHost: h\r\n{body}");
        assert_eq!(accepted(request.repeat(2)), (2, b"ab".to_vec()));
    }
    let head =
        head_of("GET / HTTP/1.2\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(head.is_upgrade());
}

#[test]
fn a_malformed_request_line_is_refused_before_the_rest_is_received() {
    assert_refused(400, "GET /\r\n");
    assert_refused(505, "GET / HTTP/2.0\r\n");
    assert_refused(400, "GET /#x HTTP/1.1\r\n");
    assert_refused(400, "\u{1}");
}

#[test]
fn http_1_0_needs_no_host() {
    let head = head_of("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(
        (head.version(), head.host(), head.keep_alive()),
        (Version::Http10, None, false)
    );
    assert_eq!(head.fields().count(), 0);
    assert_eq!(
        head_of("GET / HTTP/1.0\r\nHost: a\r\n\r\n").host(),
        Some("a")
    );
}

#[test]
fn http_1_1_needs_exactly_one_valid_host() {
    assert_eq!(head_of("GET / HTTP/1.1\r\nHOST:\r\n\r\n").host(), Some(""));
    assert_refused(400, "GET / HTTP/1.1\r\n\r\n");
    assert_refused(400, "GET http://a/ HTTP/1.1\r\n\r\n");
    for version in ["1.0", "1.1"] {
        for hosts in [
            "Host: a\r\nHost: b",
            "Host: a\r\nhost: a",
            "Host:\r\nHost:",
            "Host: a\r\nX: y\r\nHost: a",
        ] {
            assert_refused(400, format!("GET / HTTP/{version}\r\n{hosts}\r\n\r\n"));
        }
        for host in [
            "a, b", "a,b", "a b", "user@a", "a/b", "a:b", "a:-1", "http://a", "a#", "a?", "[::1",
            "a\u{e4}",
        ] {
            assert_refused(400, format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n"));
        }
    }
}

#[test]
fn the_target_takes_precedence_over_the_host() {
    let head = head_of("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_eq!(head.host(), Some("a"));
    assert_refused(400, "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_refused(400, "GET http://a/ HTTP/1.1\r\nHost: b@c\r\n\r\n");
}

#[test]
fn fields_have_a_name_a_colon_and_a_value() {
    for field in [
        "X : y",
        "X\t: y",
        " X: y",
        "\tX: y",
        "X",
        ": y",
        "X y: z",
        "(X): y",
        "X\0: y",
        "X: y\0",
        "X: \u{1}",
        "X: \u{7f}",
        "X: \r y",
        "X: y\rz",
        "X\r: y",
        "X\u{e4}: y",
        "X: y\r\n z",
        "X: y\r\n\tz",
        "X: y\r\n : z",
        "X: y\n",
        "X: y\nZ: a",
        "X: \u{b}y",
    ] {
        assert_refused(400, format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n"));
        assert_refused(400, format!("GET / HTTP/1.1\r\n{field}\r\nHost: h\r\n\r\n"));
    }
    let head = head_of("GET / HTTP/1.1\r\nHost: h\r\n!#$%&'*+-.^_`|~9aA:\t\u{e4}:\"\t,; \r\n\r\n");
    assert_eq!(
        head.field("!#$%&'*+-.^_`|~9Aa"),
        Some("\u{e4}:\"\t,;".as_bytes())
    );
}

#[test]
fn lines_end_with_crlf() {
    for request in [
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\rHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        assert_refused(400, request);
    }
}

#[test]
fn some_empty_lines_before_a_request_are_skipped() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(accepted(format!("\r\n{request}\r\n\r\n{request}\r\n")).0, 2);
    assert_refused(400, format!("\r\n\r\n\r\n{request}"));
    let mut decoder = Decoder::new();
    decoder.push("\r\n".into());
    assert!(decoder.next(&Limits::default()).is_none() && decoder.is_idle());
}

#[test]
fn connection_is_a_list_of_tokens() {
    for (version, fields, keep_alive) in [
        ("1.1", "X: close", true),
        ("1.1", "Connection: close", false),
        ("1.1", "Connection: x, CLOSE ,y", false),
        ("1.1", "Connection: x\r\nConnection: close", false),
        ("1.1", "Connection: keep-alive, close", false),
        ("1.1", "Connection: closed", true),
        ("1.1", "Connection:", true),
        ("1.0", "Connection: x", false),
        ("1.0", "Connection: x,Keep-Alive", true),
        ("1.0", "Connection: keep-alive, close", false),
    ] {
        let head = head_of(&format!(
            "GET / HTTP/{version}\r\nHost: h\r\n{fields}\r\n\r\n"
        ));
        assert_eq!(head.keep_alive(), keep_alive, "{version} {fields}");
    }
}

#[test]
fn bytes_after_a_request_with_connection_close_are_not_decoded() {
    for head in [
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close",
        "GET / HTTP/1.0\r\nHost: h",
        "CONNECT h:1 HTTP/1.1\r\nHost: h",
    ] {
        let outcome = decode(format!(
            "{head}\r\n\r\nGET /canary HTTP/1.1\r\nHost: h\r\n\r\n"
        ));
        assert_eq!(
            (outcome.requests.len(), outcome.refused),
            (1, None),
            "{head}"
        );
        assert!(outcome.requests[0].complete);
    }
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    for (version, fields, upgrade) in [
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket", true),
        (
            "1.1",
            "Upgrade: websocket\r\nConnection: keep-alive, upgrade",
            true,
        ),
        ("1.1", "Connection: Upgrade", false),
        ("1.1", "Upgrade: websocket", false),
        ("1.0", "Connection: Upgrade\r\nUpgrade: websocket", false),
    ] {
        let head = head_of(&format!(
            "GET / HTTP/{version}\r\nHost: h\r\n{fields}\r\n\r\n"
        ));
        assert_eq!(head.is_upgrade(), upgrade, "{version} {fields}");
    }
}

#[test]
fn the_bytes_after_an_upgrade_can_be_taken() {
    let mut decoder = Decoder::new();
    decoder.push(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\x01\x02".into(),
    );
    assert!(
        matches!(decoder.next(&Limits::default()), Some(Event::Head(head)) if head.is_upgrade())
    );
    assert!(matches!(
        decoder.next(&Limits::default()),
        Some(Event::Complete)
    ));
    decoder.push("\x03".into());
    assert_eq!(decoder.take_rest(), "\x01\x02\x03");
    assert!(decoder.next(&Limits::default()).is_none());
}

#[test]
fn an_expectation_needs_http_1_1_and_a_body() {
    for (version, fields, expected) in [
        ("1.1", "Expect: 100-Continue\r\nContent-Length: 1", true),
        (
            "1.1",
            "Expect: 100-continue\r\nTransfer-Encoding: chunked",
            true,
        ),
        ("1.1", "Expect: 100-continue", false),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 1", false),
        ("1.0", "Expect: more", false),
    ] {
        let head = head_of(&format!(
            "POST / HTTP/{version}\r\nHost: h\r\n{fields}\r\n\r\n"
        ));
        assert_eq!(head.expects_continue(), expected, "{version} {fields}");
    }
    assert_refused(417, "POST / HTTP/1.1\r\nHost: h\r\nExpect: more\r\n\r\n");
}
