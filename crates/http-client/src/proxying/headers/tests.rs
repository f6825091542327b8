use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

fn client(is_trusted: bool) -> ProxiedClient {
    ProxiedClient {
        peer: Some([10, 0, 0, 1].into()),
        client: Some(match is_trusted {
            true => [192, 0, 2, 7].into(),
            false => [10, 0, 0, 1].into(),
        }),
        is_trusted,
        scheme: "https",
        host: Some("example.com:8443".to_owned()),
    }
}

fn forwarded(
    sent: &[(&'static str, &str)],
    client: &ProxiedClient,
    mode: ForwardedMode,
    kinds: ForwardedHeaders,
) -> Vec<String> {
    let mut headers = headers(sent);
    prepare_request(&mut headers, client, mode, kinds);
    lines(&headers)
}

const FORGED: &[(&str, &str)] = &[
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-for", "192.0.2.7"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-port", "1"),
    ("forwarded", "for=6.6.6.6"),
];

#[test]
fn the_headers_of_a_connection_are_removed() {
    let mut headers = headers(&[
        ("connection", "close, X-One ,upgrade"),
        ("connection", "x-two, , bad name"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic YTpi"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("trailer", "x-sum"),
    ]);
    remove_connection_headers(&mut headers);
    assert_eq!(lines(&headers), ["trailer: x-sum", "x-three: 3"]);
}

#[test]
fn the_headers_of_an_untrusted_client_are_replaced() {
    let expected = [
        "x-forwarded-for: 10.0.0.1",
        "x-forwarded-host: example.com:8443",
        "x-forwarded-proto: https",
    ];
    let kinds = ForwardedHeaders::XForwarded;
    for mode in [ForwardedMode::ExtendTrusted, ForwardedMode::Replace] {
        assert_eq!(forwarded(FORGED, &client(false), mode, kinds), expected);
        assert_eq!(forwarded(&[], &client(false), mode, kinds), expected);
    }
    let replaced = forwarded(FORGED, &client(true), ForwardedMode::Replace, kinds);
    assert_eq!(replaced, expected);
    let removed = forwarded(FORGED, &client(true), ForwardedMode::Remove, kinds);
    assert!(removed.is_empty());
    assert_eq!(
        forwarded(
            FORGED,
            &client(false),
            ForwardedMode::ExtendTrusted,
            ForwardedHeaders::Forwarded
        ),
        ["forwarded: for=10.0.0.1;host=\"example.com:8443\";proto=https"]
    );
}

#[test]
fn the_headers_of_a_trusted_proxy_are_extended() {
    let mode = ForwardedMode::ExtendTrusted;
    assert_eq!(
        forwarded(FORGED, &client(true), mode, ForwardedHeaders::XForwarded),
        [
            "forwarded: for=6.6.6.6, for=10.0.0.1;host=\"example.com:8443\";proto=https",
            "x-forwarded-for: 6.6.6.6, 192.0.2.7, 10.0.0.1",
            "x-forwarded-host: evil.example",
            "x-forwarded-port: 1",
            "x-forwarded-proto: http",
        ]
    );
    // The proxy has sent the other kind of header.
    let sent = &[("forwarded", "for=192.0.2.7")];
    let extended = forwarded(sent, &client(true), mode, ForwardedHeaders::XForwarded);
    assert!(extended.contains(&"x-forwarded-for: 192.0.2.7, 10.0.0.1".to_owned()));
    let sent = &[("x-forwarded-for", "192.0.2.7")];
    let extended = forwarded(sent, &client(true), mode, ForwardedHeaders::Forwarded);
    let expected = "forwarded: for=192.0.2.7;host=\"example.com:8443\";proto=https, \
                    for=10.0.0.1;host=\"example.com:8443\";proto=https";
    assert!(extended.contains(&expected.to_owned()), "{extended:?}");
}

#[test]
fn addresses_and_hosts_of_forwarded_are_quoted() {
    let mut client = client(false);
    client.host = Some("a\"b\\c".to_owned());
    client.peer = Some("::1".parse().unwrap());
    assert_eq!(
        element(client.peer, &client),
        "for=\"[::1]\";host=\"a\\\"b\\\\c\";proto=https"
    );
    client.peer = None;
    let lines = forwarded(
        FORGED,
        &client,
        ForwardedMode::Replace,
        ForwardedHeaders::Either,
    );
    assert!(lines[0].starts_with("forwarded: for=unknown;"), "{lines:?}");
    // There is no address for X-Forwarded-For on a Unix socket.
    assert_eq!(lines.len(), 3);
}

#[test]
fn headers_of_the_framing_are_left_to_the_client() {
    let sent = &[
        ("host", "example.com"),
        ("content-length", "5"),
        ("expect", "100-continue"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("accept", "*/*"),
    ];
    let kinds = ForwardedHeaders::Either;
    let lines = forwarded(sent, &client(false), ForwardedMode::Remove, kinds);
    assert_eq!(lines, ["accept: */*", "cookie: a=1; b=2"]);
}

#[test]
fn via_is_appended() {
    let mut headers = headers(&[("via", "1.0 first")]);
    add_via(&mut headers, "1.1", "uptick");
    assert_eq!(lines(&headers), ["via: 1.0 first", "via: 1.1 uptick"]);
}
