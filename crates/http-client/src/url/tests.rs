use std::net::IpAddr;

use proptest::prelude::*;

use super::{Scheme, Url};
use crate::ErrorKind;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn kind(text: &str) -> ErrorKind {
    Url::parse(text).unwrap_err().kind()
}

#[test]
fn the_components_of_a_url_are_returned() {
    let url = url("HTTPS://us%65r:p%40ss@Example.COM:8443/a/b?c=d?e#f?g");
    assert_eq!(url.scheme(), Scheme::Https);
    assert_eq!(url.user_info(), Some(("us%65r", "p%40ss")));
    assert_eq!(url.host(), "example.com");
    assert_eq!(url.port(), 8443);
    assert_eq!(url.authority(), "example.com:8443");
    assert_eq!(url.path_and_query(), "/a/b?c=d?e");
    assert_eq!(url.path(), "/a/b");
    assert_eq!(url.query(), Some("c=d?e"));
    assert_eq!(url.fragment(), Some("f?g"));
    assert_eq!(url.as_str(), "https://example.com:8443/a/b?c=d?e#f?g");
    assert_eq!(url.without_fragment(), "https://example.com:8443/a/b?c=d?e");
    assert_eq!(url.basic_authorization().unwrap(), "Basic dXNlcjpwQHNz");
}

#[test]
fn default_ports_and_empty_paths_are_normalized() {
    assert_eq!(url("http://a").as_str(), "http://a/");
    assert_eq!(url("http://a?b").as_str(), "http://a/?b");
    assert_eq!(url("http://a#b").as_str(), "http://a/#b");
    assert_eq!(url("http://a?b").path_and_query(), "/?b");
    assert_eq!(url("http://a:80/").authority(), "a");
    assert_eq!(url("http://a:/").authority(), "a");
    assert_eq!(url("http://a:00080/").authority(), "a");
    assert_eq!(url("http://a:443/").authority(), "a:443");
    assert_eq!(url("https://a:443/").authority(), "a");
    assert_eq!(url("https://a/").port(), 443);
    assert_eq!(url("http://a:0/").port(), 0);
    assert_eq!(url("http://a/").fragment(), None);
    assert_eq!(url("http://a/#").fragment(), Some(""));
    assert_eq!(url("http://a/?").path_and_query(), "/?");
}

#[test]
fn addresses_are_recognized() {
    let address = url("http://[::0001]:8080/x");
    assert_eq!(address.host(), "::1");
    assert_eq!(address.authority(), "[::1]:8080");
    assert_eq!(address.ip(), Some("::1".parse::<IpAddr>().unwrap()));
    assert_eq!(url("http://[::1]/").authority(), "[::1]");
    assert_eq!(url("http://[::1]:80/").as_str(), "http://[::1]/");
    assert_eq!(
        url("http://127.0.0.1/").ip(),
        Some("127.0.0.1".parse::<IpAddr>().unwrap())
    );
    assert_eq!(url("http://127.0.0.1.example/").ip(), None);
    assert_eq!(url("http://1e100.net/").ip(), None);
}

#[test]
fn malformed_and_relative_urls_are_invalid() {
    for text in [
        "",
        "/x",
        "x",
        "example.com/x",
        "//host/x",
        "?q",
        "#f",
        "://host/",
        "1http://host/",
        " http://host/",
        "http:",
        "http:x",
        "http:/x",
        "http://",
        "http:///path",
        "http://?q",
        "http://#f",
        "http://:80/",
        "http://@/",
        "http://user@/",
        "http://user:pass@:80/",
        "http://host:65536/",
        "http://host:999999999999/",
        "http://host:-1/",
        "http://host:+80/",
        "http://host:8a/",
        "http://host: 80/",
        "http://a b/",
        "http://a\tb/",
        "http://a\r\nb/",
        "http://a\0b/",
        "http://a\u{7f}b/",
        "http://host\\/",
        "http://evil\\@host/",
        "http:\\\\host\\",
        "http://a@b@c/",
        "http://us er@host/",
        "http://a<b/",
        "http://a|b/",
        "http://a^b/",
        "http://[::1",
        "http://::1/",
        "http://::1]/",
        "http://[::1]x/",
        "http://[::1]x:80/",
        "http://[]/",
        "http://[x]/",
        "http://[v1.x]/",
        "http://[127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://a%2/",
        "http://a%2fb/",
        "http://a%40b/",
        "http://a%00b/",
        "http://%/",
    ] {
        assert_eq!(kind(text), ErrorKind::InvalidUrl, "{text:?}");
    }
}

#[test]
fn other_schemes_are_not_supported() {
    for text in [
        "ftp://x",
        "mailto:x",
        "ws://host/",
        "httpx://host/",
        "javascript:alert(1)",
        "localhost:8080/",
        "file:///x",
        "data:,x",
        "a+b-c.d:x",
    ] {
        assert_eq!(kind(text), ErrorKind::UnsupportedScheme, "{text:?}");
        let joined = url("http://a/").join(text).unwrap_err();
        assert_eq!(joined.kind(), ErrorKind::UnsupportedScheme, "{text:?}");
    }
}

#[test]
fn bytes_outside_of_the_syntax_are_percent_encoded() {
    let encoded = |text: &str| url(&format!("http://a{text}")).path_and_query().to_owned();
    assert_eq!(
        encoded("/a b\"<>\\^`{|}[]"),
        "/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D%5B%5D"
    );
    assert_eq!(encoded("/ä?ö=€"), "/%C3%A4?%C3%B6=%E2%82%AC");
    assert_eq!(
        encoded("/%C3%a4%2F%zz%2?100%"),
        "/%C3%a4%2F%25zz%252?100%25"
    );
    assert_eq!(
        encoded("/-._~!$&'()*+,;=:@/?-._~!$&'()*+,;=:@/?"),
        "/-._~!$&'()*+,;=:@/?-._~!$&'()*+,;=:@/?"
    );
    assert_eq!(encoded("/a\r\nX: y\t\0\u{7f}"), "/a%0D%0AX:%20y%09%00%7F");
    assert_eq!(encoded("/a/../b/./c"), "/a/../b/./c");
    assert_eq!(encoded("//x//y"), "//x//y");
    assert_eq!(url("http://a/#ä b").fragment(), Some("%C3%A4%20b"));
}

#[test]
fn names_are_decoded_and_converted_to_lower_case() {
    assert_eq!(url("http://ex%41mple.com/").host(), "example.com");
    assert_eq!(url("http://a_b.example./").host(), "a_b.example.");
}

#[cfg(feature = "idna")]
#[test]
fn international_names_become_a_labels() {
    assert_eq!(
        url("http://Bücher.example/").host(),
        "xn--bcher-kva.example"
    );
    assert_eq!(
        url("http://b%C3%BCcher.example/").host(),
        "xn--bcher-kva.example"
    );
    assert_eq!(
        url("http://bücher.example:81/ü").as_str(),
        "http://xn--bcher-kva.example:81/%C3%BC"
    );
    assert_eq!(
        url("http://１２７.0.0.1/").ip(),
        Some("127.0.0.1".parse::<IpAddr>().unwrap())
    );
    for text in [
        "http://\u{ad}/",
        "http://a\u{2028}b/",
        "http://a／b/",
        "http://a％2fb/",
        "http://a＠b/",
    ] {
        assert_eq!(kind(text), ErrorKind::InvalidUrl, "{text:?}");
    }
}

#[test]
fn user_information_is_kept_apart() {
    assert_eq!(url("http://user@a/").user_info(), Some(("user", "")));
    assert_eq!(url("http://:pass@a/").user_info(), Some(("", "pass")));
    assert_eq!(url("http://a:b:c@a/").user_info(), Some(("a", "b:c")));
    assert_eq!(url("http://@a/").user_info(), None);
    assert_eq!(url("http://:@a/").user_info(), None);
    let secret = url("http://user:secret@a/");
    assert!(!format!("{secret:?} {secret}").contains("secret"));
    assert_ne!(secret, url("http://a/"));
    let error = Url::parse("http://user:secret@a:x/").unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn errors_state_the_url_and_the_cause() {
    assert_eq!(
        Url::parse("http:///x").unwrap_err().to_string(),
        "parsing the URL \"http:///x\" failed: it has no host"
    );
    let error = Url::parse(&format!("http://a\n/{}", "x".repeat(1000)))
        .unwrap_err()
        .to_string();
    assert!(
        error.len() < 200 && error.contains("its host contains the character '\\n'"),
        "{error}"
    );
}

#[test]
fn long_urls_are_refused() {
    let longest = format!("http://a/{}", "x".repeat(65_536 - 9));
    assert_eq!(url(&longest).as_str(), longest);
    assert_eq!(kind(&format!("{longest}x")), ErrorKind::InvalidUrl);
    assert_eq!(
        kind(&format!("http://a/{}", " ".repeat(30_000))),
        ErrorKind::InvalidUrl
    );
    assert!(url("http://a/").join(&"x".repeat(70_000)).is_err());
    assert!(url(&longest).with_query([("a", "b")]).is_err());
}

/// Sections 5.4.1 and 5.4.2 of RFC 3986.
#[test]
fn references_are_resolved_as_in_the_examples_of_the_rfc() {
    let base = url("http://a/b/c/d;p?q");
    for (reference, expected) in [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http://h/a/../b", "http://h/b"),
        ("https://h", "https://h/"),
        ("//h:8080/x", "http://h:8080/x"),
        ("/a//../b", "http://a/a/b"),
    ] {
        assert_eq!(
            base.join(reference).unwrap().as_str(),
            expected,
            "{reference:?}"
        );
    }
    assert_eq!(
        base.join("http:g").unwrap_err().kind(),
        ErrorKind::InvalidUrl
    );
    assert_eq!(base.join("///g").unwrap_err().kind(), ErrorKind::InvalidUrl);
}

#[test]
fn references_inherit_the_fragment_and_lose_user_information() {
    let base = url("http://user:pass@a/b?c#d");
    assert_eq!(base.join("/e").unwrap().as_str(), "http://a/e#d");
    assert_eq!(base.join("/e#").unwrap().as_str(), "http://a/e#");
    assert_eq!(base.join("/e#f").unwrap().as_str(), "http://a/e#f");
    assert_eq!(base.join("/e").unwrap().user_info(), Some(("user", "pass")));
    assert_eq!(base.join("//x:y@b/e").unwrap().user_info(), None);
    assert_eq!(base.join("http://x:y@a/e").unwrap().user_info(), None);
}

#[test]
fn references_may_contain_any_bytes() {
    let base = url("http://a/b");
    assert_eq!(
        base.join_bytes("/ü".as_bytes()).unwrap().as_str(),
        "http://a/%C3%BC"
    );
    assert_eq!(
        base.join_bytes(b"/\xfc \xff").unwrap().as_str(),
        "http://a/%FC%20%FF"
    );
    assert!(base.join_bytes(b"http://\xfc/").is_err());
    assert!(base.join_bytes(b"http://a:\xfc/").is_err());
}

#[test]
fn the_url_of_a_request_may_be_relative_to_a_base() {
    let base = url("http://u:p@a/v1/");
    assert_eq!(
        Url::of_request("users?x", Some(&base)).unwrap().as_str(),
        "http://a/v1/users?x"
    );
    let other = Url::of_request("http://x:y@b/", Some(&base)).unwrap();
    assert_eq!(other.user_info(), Some(("x", "y")));
    assert_eq!(
        Url::of_request("/x", None).unwrap_err().kind(),
        ErrorKind::InvalidUrl
    );
}

#[test]
fn origins_are_compared_by_scheme_host_and_port() {
    let a = url("http://a/");
    assert!(a.is_same_origin(&url("http://x@A:80/b?c")));
    assert!(!a.is_same_origin(&url("https://a/")));
    assert!(!a.is_same_origin(&url("http://a:443/")));
    assert!(!url("http://a:443/").is_same_origin(&url("https://a/")));
    assert!(!a.is_same_origin(&url("http://a.b/")));
}

#[test]
fn query_parameters_are_appended() {
    let pairs = [("a b", "&=+#"), ("ü", "")];
    assert_eq!(
        url("http://a/#f").with_query(pairs).unwrap().as_str(),
        "http://a/?a%20b=%26%3D%2B%23&%C3%BC=#f"
    );
    assert_eq!(
        url("http://a/?").with_query([("a", "1")]).unwrap().as_str(),
        "http://a/?a=1"
    );
    assert_eq!(
        url("http://a/?x")
            .with_query([("a", "1")])
            .unwrap()
            .as_str(),
        "http://a/?x&a=1"
    );
    let none: [(&str, &str); 0] = [];
    assert_eq!(
        url("http://u@a/").with_query(none).unwrap(),
        url("http://u@a/")
    );
}

proptest! {
    #[test]
    fn parsing_accepts_its_own_output(text in "https?://[a-z0-9.\\[\\]:@%-]{0,12}[/?#]?\\PC{0,30}") {
        if let Ok(url) = Url::parse(&text) {
            prop_assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            let again = Url::parse(url.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), url.as_str());
            prop_assert_eq!(again.host(), url.host());
            prop_assert!(url.path_and_query().starts_with('/'));
        }
    }

    #[test]
    fn any_bytes_can_be_resolved(reference in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(url) = url("http://a/b/c?d#e").join_bytes(&reference) {
            prop_assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            let again = Url::parse(url.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), url.as_str());
        }
    }
}

#[test]
fn a_sibling_is_parsed_like_any_other_url() {
    for first in [
        "http://example.com/",
        "http://user:password@Example.com:80",
        "https://[::1]:8443/x?y#z",
    ] {
        let first = Url::parse(first).unwrap();
        let origin = format!("{}://{}", first.scheme(), first.authority());
        for rest in [
            "/",
            "/a/b;c=d",
            "/a?b=c&d=/?:@",
            "/?",
            "",
            "?a",
            "/a#b",
            "/a%20b",
            "/a b",
            "/\u{e9}",
            ":81/a",
            ".net/a",
            "@b/",
            "//x",
        ] {
            let text = format!("{origin}{rest}");
            let Some(sibling) = first.parse_sibling(&text) else {
                continue;
            };
            let url = Url::parse(&text).unwrap();
            assert_eq!(sibling.as_str(), url.as_str());
            assert_eq!(sibling.authority(), url.authority());
            assert_eq!(sibling.host(), url.host());
            assert_eq!(sibling.path_and_query(), url.path_and_query());
            assert_eq!(sibling.fragment(), None);
            assert_eq!(sibling.user_info(), url.user_info());
            assert!(sibling.is_same_origin(&url));
        }
        let simple = format!("{origin}/a?b");
        assert!(first.parse_sibling(&simple).is_some(), "{simple}");
        for other in ["", "?a", "/a#b", "/a%20b", ":81/a", ".net/a", "@b/"] {
            let other = format!("{origin}{other}");
            assert!(first.parse_sibling(&other).is_none(), "{other}");
        }
    }
}
