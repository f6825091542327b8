use super::*;

const PROXY: &str = "10.0.0.1";

fn proxies() -> TrustedProxies {
    TrustedProxies::parse("10.0.0.0/8, 2001:db8::/32").unwrap()
}

/// The origin of a request that comes from the peer with these fields.
fn origin(proxies: &TrustedProxies, peer: &str, fields: &[(&str, &str)]) -> Origin {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    proxies.origin(Some(peer.parse().unwrap()), fields)
}

/// The client of a request that comes from a trusted proxy.
fn client(fields: &[(&str, &str)]) -> Option<String> {
    origin(&proxies(), PROXY, fields)
        .ip
        .map(|ip| ip.to_string())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
    let fields = [
        ("Forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
        ("X-Forwarded-For", "6.6.6.6"),
    ];
    let expected = Origin {
        ip: Some("192.0.2.1".parse().unwrap()),
        ..Origin::default()
    };
    assert_eq!(origin(&proxies(), "192.0.2.1", &fields), expected);
    assert_eq!(origin(&proxies(), "::ffff:192.0.2.1", &fields), expected);
    assert_eq!(
        origin(&TrustedProxies::default(), "192.0.2.1", &fields),
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
fn fields_on_several_lines_are_one_list() {
    let fields = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("x-forwarded-for", "192.0.2.7, 10.0.0.2"),
    ];
    assert_eq!(client(&fields), some("192.0.2.7"));
    let fields = [("Forwarded", "for=6.6.6.6"), ("forwarded", "for=192.0.2.7")];
    assert_eq!(client(&fields), some("192.0.2.7"));
}

#[test]
fn without_fields_the_proxy_itself_is_the_client() {
    assert_eq!(client(&[("accept", "*/*")]), some(PROXY));
    assert_eq!(client(&[("X-Forwarded-Proto", "https")]), some(PROXY));
}

#[test]
fn a_client_that_is_hidden_is_not_taken_for_the_proxy() {
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
fn a_malformed_field_names_nobody() {
    let value = r#"for=6.6.6.6;by=", for=192.0.2.7"#;
    assert_eq!(client(&[("Forwarded", value)]), None);
    let fields = [("Forwarded", "for=192.0.2.7"), ("Forwarded", "for=")];
    assert_eq!(client(&fields), None);
}

#[test]
fn fields_that_contradict_each_other_name_nobody() {
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
    for (which, expected) in [
        (ForwardedFields::Forwarded, "6.6.6.6"),
        (ForwardedFields::XForwarded, "192.0.2.7"),
    ] {
        let proxies = proxies().fields(which);
        let origin = origin(&proxies, PROXY, &contradicting);
        assert_eq!(origin.ip.map(|ip| ip.to_string()), some(expected));
    }
}

#[test]
fn scheme_and_host_are_those_that_the_first_trusted_proxy_has_seen() {
    let value = "for=6.6.6.6;proto=http;host=evil.example, \
                 for=192.0.2.7:99;proto=https;host=a.example, for=10.0.0.2;proto=http;host=b.example";
    let origin = origin(&proxies(), PROXY, &[("Forwarded", value)]);
    let expected = Origin {
        ip: Some("192.0.2.7".parse().unwrap()),
        port: Some(99),
        secure: Some(true),
        host: some("a.example"),
    };
    assert_eq!(origin, expected);
}

#[test]
fn the_lists_of_x_forwarded_belong_together_or_have_one_member_for_all() {
    let origin = |fields: &[(&str, &str)]| {
        let origin = origin(&proxies(), PROXY, fields);
        (origin.secure, origin.host)
    };
    let clients = ("X-Forwarded-For", "6.6.6.6, 192.0.2.7, 10.0.0.2");
    let each = [
        clients,
        ("X-Forwarded-Proto", "http, https, http"),
        ("X-Forwarded-Host", "evil.example, a.example, b.example"),
    ];
    assert_eq!(origin(&each), (Some(true), some("a.example")));
    let one = [
        clients,
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "a.example:8443"),
    ];
    assert_eq!(origin(&one), (Some(true), some("a.example:8443")));
    let odd = [
        clients,
        ("X-Forwarded-Proto", "https, http"),
        ("X-Forwarded-Host", "a/b"),
    ];
    assert_eq!(origin(&odd), (Some(false), None));
}

#[test]
fn a_unix_socket_is_trusted_only_when_it_is_said_so() {
    let fields = [("x-forwarded-for", b"192.0.2.7".as_slice())];
    assert_eq!(proxies().origin(None, fields), Origin::default());
    let trusting = proxies().unix_sockets(true);
    let origin = trusting.origin(None, fields);
    assert_eq!(origin.ip, Some("192.0.2.7".parse().unwrap()));
}

#[test]
fn a_list_of_proxies_names_what_is_wrong_in_it() {
    let error = TrustedProxies::parse("10.0.0.0/8, localhost").unwrap_err();
    assert!(error.to_string().contains("localhost"), "{error}");
}
