use super::*;

const PROXY: &str = "10.0.0.1";

fn proxies() -> TrustedProxies {
    TrustedProxies::parse("10.0.0.0/8, 2001:db8::/32").unwrap()
}

/// Returns the client information of a request for `inner:8080` from this peer.
fn received(peer: &str) -> ClientInfo {
    ClientInfo {
        ip: Some(peer.parse().unwrap()),
        port: Some(5000),
        secure: false,
        host: some("inner:8080"),
    }
}

/// Returns the client information of a request from this peer with these headers.
fn client_info(proxies: &TrustedProxies, peer: &str, headers: &[(&str, &str)]) -> ClientInfo {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    proxies.client_info(received(peer), headers)
}

/// Returns the scheme and the host of a request from a trusted proxy.
fn scheme_and_host(headers: &[(&str, &str)]) -> (bool, String) {
    let info = client_info(&proxies(), PROXY, headers);
    (info.secure, info.host.unwrap())
}

fn https(host: &str) -> (bool, String) {
    (true, host.to_owned())
}

fn http(host: &str) -> (bool, String) {
    (false, host.to_owned())
}

/// Returns the client address of a request from a trusted proxy.
fn client(fields: &[(&str, &str)]) -> Option<String> {
    client_info(&proxies(), PROXY, fields)
        .ip
        .map(|ip| ip.to_string())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_headers_of_a_peer_that_is_not_trusted_are_ignored() {
    let fields = [
        ("Forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
        ("X-Forwarded-For", "6.6.6.6"),
    ];
    let expected = received("192.0.2.1");
    assert_eq!(client_info(&proxies(), "192.0.2.1", &fields), expected);
    assert_eq!(
        client_info(&proxies(), "::ffff:192.0.2.1", &fields),
        expected
    );
    assert_eq!(
        client_info(&TrustedProxies::default(), "192.0.2.1", &fields),
        expected
    );
}

#[test]
fn the_rightmost_address_that_is_not_trusted_is_the_client() {
    let cases = [
        ("192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7, 10.0.0.2, 10.9.9.9", "192.0.2.7"),
        ("10.0.0.3, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("nonsense, 192.0.2.7", "192.0.2.7"),
        ("2001:db9::1, 2001:db8::9", "2001:db9::1"),
        ("192.0.2.7:1234", "192.0.2.7"),
    ];
    for (value, expected) in cases {
        let fields = [("x-forwarded-for", value)];
        assert_eq!(client(&fields), some(expected), "{value}");
    }
    let value = r#"for=6.6.6.6, for="192.0.2.7:99", for="[2001:db8::9]""#;
    assert_eq!(client(&[("Forwarded", value)]), some("192.0.2.7"));
}

#[test]
fn repeated_headers_are_one_list() {
    let fields = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("x-forwarded-for", "192.0.2.7, 10.0.0.2"),
    ];
    assert_eq!(client(&fields), some("192.0.2.7"));
    let fields = [("Forwarded", "for=6.6.6.6"), ("forwarded", "for=192.0.2.7")];
    assert_eq!(client(&fields), some("192.0.2.7"));
}

#[test]
fn without_headers_the_proxy_is_the_client() {
    assert_eq!(client(&[("accept", "*/*")]), some(PROXY));
    assert_eq!(client(&[("X-Forwarded-Proto", "https")]), some(PROXY));
}

#[test]
fn the_proxy_is_not_the_client_if_the_client_is_hidden() {
    for value in [
        "for=unknown",
        "for=_hidden",
        "for=6.6.6.6, for=_hidden",
        "for=6.6.6.6, proto=https",
    ] {
        assert_eq!(client(&[("Forwarded", value)]), None, "{value}");
    }
    assert_eq!(client(&[("X-Forwarded-For", "6.6.6.6, unknown")]), None);
}

#[test]
fn a_malformed_header_names_no_client() {
    let value = r#"for=6.6.6.6;by=", for=192.0.2.7"#;
    assert_eq!(client(&[("Forwarded", value)]), None);
    let fields = [("Forwarded", "for=192.0.2.7"), ("Forwarded", "for=")];
    assert_eq!(client(&fields), None);
}

#[test]
fn contradicting_headers_name_no_client() {
    let agreeing = [
        ("Forwarded", "for=192.0.2.7;proto=https"),
        ("X-Forwarded-For", "192.0.2.7"),
    ];
    assert_eq!(client(&agreeing), some("192.0.2.7"));
    let contradicting = [
        ("Forwarded", "for=6.6.6.6"),
        ("X-Forwarded-For", "192.0.2.7"),
    ];
    assert_eq!(client(&contradicting), None);
    for (fields, expected) in [
        (ForwardedHeaders::Forwarded, "6.6.6.6"),
        (ForwardedHeaders::XForwarded, "192.0.2.7"),
    ] {
        let proxies = proxies().fields(fields);
        let info = client_info(&proxies, PROXY, &contradicting);
        assert_eq!(info.ip.map(|ip| ip.to_string()), some(expected));
    }
}

#[test]
fn the_first_trusted_proxy_determines_scheme_and_host() {
    let value = "for=6.6.6.6;proto=http;host=evil.example, \
                 for=192.0.2.7:99;proto=https;host=a.example, for=10.0.0.2;proto=http;host=b.example";
    let info = client_info(&proxies(), PROXY, &[("Forwarded", value)]);
    let expected = ClientInfo {
        ip: Some("192.0.2.7".parse().unwrap()),
        port: Some(99),
        secure: true,
        host: some("a.example"),
    };
    assert_eq!(info, expected);
}

#[test]
fn the_x_forwarded_lists_have_one_member_per_client_or_one_for_all() {
    let clients = ("X-Forwarded-For", "6.6.6.6, 192.0.2.7, 10.0.0.2");
    let each = [
        clients,
        ("X-Forwarded-Proto", "http, https, http"),
        ("X-Forwarded-Host", "evil.example, a.example, b.example"),
    ];
    assert_eq!(scheme_and_host(&each), https("a.example"));
    let one = [
        clients,
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "a.example:8443"),
    ];
    assert_eq!(scheme_and_host(&one), https("a.example:8443"));
    let odd = [
        clients,
        ("X-Forwarded-Proto", "https, http"),
        ("X-Forwarded-Host", "a/b"),
    ];
    assert_eq!(scheme_and_host(&odd), http("inner:8080"));
}

#[test]
fn scheme_and_host_are_used_without_a_client() {
    assert_eq!(scheme_and_host(&[]), http("inner:8080"));
    let secure = ("X-Forwarded-Proto", "https");
    assert_eq!(scheme_and_host(&[secure]), https("inner:8080"));
    let host = ("X-Forwarded-Host", "a.example");
    assert_eq!(scheme_and_host(&[host]), http("a.example"));
    assert_eq!(scheme_and_host(&[secure, host]), https("a.example"));
    // The peer added the last one.
    let several = [
        ("X-Forwarded-Proto", "http, https"),
        ("X-Forwarded-Host", "evil.example, a.example"),
    ];
    assert_eq!(scheme_and_host(&several), https("a.example"));
    let hidden = [("Forwarded", "for=unknown;proto=https;host=a.example")];
    assert_eq!(scheme_and_host(&hidden), https("a.example"));
}

#[test]
fn missing_values_are_taken_from_the_received_request() {
    let value = "for=192.0.2.7, for=10.0.0.2;proto=https;host=a.example";
    assert_eq!(scheme_and_host(&[("Forwarded", value)]), https("a.example"));
    let malformed = [("Forwarded", "for=192.0.2.7;proto=https;host=a;")];
    assert_eq!(scheme_and_host(&malformed), http("inner:8080"));
    let info = client_info(&proxies(), PROXY, &[("X-Forwarded-For", "192.0.2.7")]);
    // The port of the peer is not the port of the client.
    assert_eq!((info.port, info.host), (None, some("inner:8080")));
}

#[test]
fn both_kinds_of_headers_are_merged_and_contradicting_values_are_ignored() {
    let forwarded = ("Forwarded", "for=192.0.2.7;proto=https");
    let clients = ("X-Forwarded-For", "192.0.2.7");
    let host = ("X-Forwarded-Host", "a.example");
    assert_eq!(
        scheme_and_host(&[forwarded, clients, host]),
        https("a.example")
    );
    assert_eq!(scheme_and_host(&[forwarded, host]), https("a.example"));
    let evil = ("Forwarded", "for=192.0.2.7;host=evil.example");
    assert_eq!(scheme_and_host(&[evil, clients, host]), http("inner:8080"));
    let other = ("X-Forwarded-For", "192.0.2.8");
    assert_eq!(
        scheme_and_host(&[forwarded, other, host]),
        http("inner:8080")
    );
}

#[test]
fn a_port_is_added_to_a_host_that_has_none() {
    let with = |host, scheme, port| {
        scheme_and_host(&[
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", scheme),
            ("X-Forwarded-Port", port),
        ])
    };
    assert_eq!(with("a.example", "https", "8443"), https("a.example:8443"));
    assert_eq!(with("a.example", "https", "443"), https("a.example"));
    assert_eq!(with("a.example", "http", "80"), http("a.example"));
    assert_eq!(with("a.example:1", "https", "8443"), https("a.example:1"));
    assert_eq!(with("[::1]", "https", "8443"), https("[::1]:8443"));
    assert_eq!(with("[::1]:1", "https", "8443"), https("[::1]:1"));
    for none in ["", "x", "+1", "65536", "_p"] {
        assert_eq!(with("a.example", "https", none), https("a.example"));
    }
}

#[test]
fn unix_sockets_are_trusted_only_if_that_is_enabled() {
    let fields = [("x-forwarded-for", b"192.0.2.7".as_slice())];
    let received = ClientInfo::default();
    assert_eq!(proxies().client_info(received.clone(), fields), received);
    let trusting = proxies().unix_sockets(true);
    let info = trusting.client_info(received, fields);
    assert_eq!(info.ip, Some("192.0.2.7".parse().unwrap()));
}

#[test]
fn the_error_for_a_list_of_proxies_names_the_malformed_element() {
    let error = TrustedProxies::parse("10.0.0.0/8, localhost").unwrap_err();
    assert!(error.to_string().contains("localhost"), "{error}");
}
