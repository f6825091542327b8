use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::CookieStore;
use super::parse::SetCookie;
use crate::Url;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn sent(store: &CookieStore, text: &str) -> String {
    let header = store.header(&url(text));
    header.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

/// Stores one cookie from `from` and returns the header of a request to `to`.
fn exchanged(from: &str, set_cookie: &str, to: &str) -> String {
    let store = CookieStore::new();
    store.insert(&url(from), set_cookie);
    sent(&store, to)
}

#[test]
fn name_and_value_are_kept_as_received() {
    for (set_cookie, expected) in [
        ("a=b", "a=b"),
        (" a = b ; Path=/", "a=b"),
        ("a=\"b c\"", "a=\"b c\""),
        ("a=b=c", "a=b=c"),
        ("a=", "a="),
        ("A=b,c", "A=b,c"),
        ("a=%41", "a=%41"),
        ("a=ü", "a=ü"),
        ("a=b;;=x;unknown;Other=1", "a=b"),
        ("", ""),
        ("a", ""),
        ("=b", ""),
        (";a=b", ""),
        ("a=b\u{1}", ""),
        ("a=b; Path=/\u{7f}", ""),
    ] {
        let store = CookieStore::new();
        store.insert(&url("http://a.test/"), set_cookie);
        let header = store.header(&url("http://a.test/"));
        assert_eq!(
            header.as_ref().map_or(&b""[..], |value| value.as_bytes()),
            expected.as_bytes(),
            "{set_cookie:?}"
        );
    }
    let store = CookieStore::new();
    store.store(&url("http://a.test/"), [&b"a=\xff"[..], b"b=c"]);
    assert_eq!(sent(&store, "http://a.test/"), "b=c");
}

#[test]
fn a_cookie_without_a_domain_is_sent_to_its_host_only() {
    assert_eq!(
        exchanged(
            "http://www.example.com/",
            "a=b",
            "http://WWW.example.com:8080/"
        ),
        "a=b"
    );
    for other in [
        "http://example.com/",
        "http://x.www.example.com/",
        "http://www.example.org/",
    ] {
        assert_eq!(
            exchanged("http://www.example.com/", "a=b", other),
            "",
            "{other}"
        );
    }
}

#[test]
fn a_cookie_with_a_domain_is_sent_to_subdomains() {
    for domain in ["example.com", ".example.com", "EXAMPLE.com"] {
        let set_cookie = format!("a=b; Domain={domain}");
        for (host, expected) in [
            ("example.com", "a=b"),
            ("www.example.com", "a=b"),
            ("x.y.example.com", "a=b"),
            ("notexample.com", ""),
            ("com", ""),
            ("example.com.evil.test", ""),
        ] {
            let to = format!("http://{host}/");
            assert_eq!(
                exchanged("http://www.example.com/", &set_cookie, &to),
                expected,
                "{domain} {host}"
            );
        }
    }
    assert_eq!(
        exchanged("http://a.test/", "a=b; Domain=", "http://a.test/"),
        "a=b"
    );
    assert_eq!(
        exchanged(
            "http://a.b.test/",
            "a=b; Domain=b.test; Domain=",
            "http://b.test/"
        ),
        "a=b"
    );
}

#[test]
fn domains_of_other_hosts_are_refused() {
    for (from, domain) in [
        ("http://www.example.com/", "example.org"),
        ("http://www.example.com/", "x.www.example.com"),
        ("http://www.example.com/", "ample.com"),
        ("http://www.example.com/", "..example.com"),
        ("http://www.example.com/", "example.com."),
        ("http://www.example.com/", "example.com:80"),
        ("http://www.example.com/", "com"),
        ("http://www.example.co.uk/", "co.uk"),
        ("http://user.github.io/", "github.io"),
        ("http://a.unknown/", "unknown"),
        ("http://127.0.0.1/", "0.0.1"),
        ("http://127.0.0.1/", "1"),
        ("http://127.0.0.1/", "127.0.0.2"),
        ("http://[::1]/", "1"),
    ] {
        let store = CookieStore::new();
        assert!(
            !store.insert(&url(from), &format!("a=b; Domain={domain}")),
            "{from} {domain}"
        );
        assert!(store.is_empty());
    }
}

#[test]
fn a_public_suffix_sets_cookies_for_itself_only() {
    for suffix in ["github.io", "localhost", "co.uk"] {
        let from = format!("http://{suffix}/");
        let set_cookie = format!("a=b; Domain={suffix}");
        assert_eq!(exchanged(&from, &set_cookie, &from), "a=b", "{suffix}");
        assert_eq!(
            exchanged(&from, &set_cookie, &format!("http://x.{suffix}/")),
            "",
            "{suffix}"
        );
    }
}

#[cfg(feature = "idna")]
#[test]
fn international_suffixes_and_domains_are_recognized() {
    let from = url("http://www.食狮.公司.cn/");
    let store = CookieStore::new();
    assert!(!store.insert(&from, "a=b; Domain=公司.cn"));
    assert!(!store.insert(&from, "a=b; Domain=xn--55qx5d.cn"));
    assert!(store.insert(&from, "a=b; Domain=食狮.公司.cn"));
    assert_eq!(sent(&store, "http://食狮.公司.cn/"), "a=b");
}

#[test]
fn addresses_have_cookies_of_their_own() {
    assert_eq!(
        exchanged("http://127.0.0.1/", "a=b", "http://127.0.0.1:81/"),
        "a=b"
    );
    assert_eq!(
        exchanged(
            "http://127.0.0.1/",
            "a=b; Domain=127.0.0.1",
            "http://127.0.0.1/"
        ),
        "a=b"
    );
    assert_eq!(
        exchanged("http://127.0.0.1/", "a=b", "http://127.0.0.2/"),
        ""
    );
    assert_eq!(exchanged("http://[::1]/", "a=b", "http://[::1]:81/"), "a=b");
}

#[test]
fn paths_limit_the_requests() {
    for (from, attribute, path, is_sent) in [
        ("/", "/", "/anything", true),
        ("/", "/a", "/a", true),
        ("/", "/a", "/a/", true),
        ("/", "/a", "/a/b", true),
        ("/", "/a", "/a?b", true),
        ("/", "/a", "/ab", false),
        ("/", "/a", "/", false),
        ("/", "/a/", "/a", false),
        ("/", "/a/", "/a/b", true),
        ("/", "/A", "/a", false),
        ("/x/y", "a", "/x/z", true),
        ("/x/y", "a", "/z", false),
        ("/x/y", "", "/x", true),
        ("/x/y", "/a; Path=", "/x/z", true),
    ] {
        let from = format!("http://a.test{from}");
        let to = format!("http://a.test{path}");
        let set_cookie = format!("a=b; Path={attribute}");
        assert_eq!(
            exchanged(&from, &set_cookie, &to) == "a=b",
            is_sent,
            "{set_cookie} {to}"
        );
    }
}

#[test]
fn the_default_path_is_the_directory_of_the_url() {
    for (from, expected) in [
        ("/", "/"),
        ("/a", "/"),
        ("/a/", "/a"),
        ("/a/b", "/a"),
        ("/a/b/?c/d", "/a/b"),
        ("", "/"),
    ] {
        let store = CookieStore::new();
        store.insert(&url(&format!("http://a.test{from}")), "a=b");
        assert_eq!(store.iter().next().unwrap().path(), expected, "{from}");
    }
}

#[test]
fn secure_cookies_are_set_and_sent_over_tls_only() {
    assert_eq!(
        exchanged("https://a.test/", "a=b; Secure", "https://a.test/"),
        "a=b"
    );
    assert_eq!(
        exchanged("https://a.test/", "a=b; secure=0", "http://a.test/"),
        ""
    );
    assert_eq!(exchanged("https://a.test/", "a=b", "http://a.test/"), "a=b");
    assert_eq!(
        exchanged("http://a.test/", "a=b; Secure", "https://a.test/"),
        ""
    );
}

#[test]
fn secure_cookies_are_not_replaced_over_plain_text() {
    let store = CookieStore::new();
    store.insert(
        &url("https://www.b.test/"),
        "a=1; Secure; Domain=b.test; Path=/x",
    );
    for (from, set_cookie) in [
        ("http://b.test/", "a=2; Path=/x"),
        ("http://www.b.test/", "a=2; Domain=b.test; Path=/x/y"),
        ("http://www.b.test/", "a=2; Path=/x"),
        ("http://www.b.test/", "a=2; Path=/x; Max-Age=0"),
    ] {
        assert!(!store.insert(&url(from), set_cookie), "{from} {set_cookie}");
    }
    assert_eq!(sent(&store, "https://b.test/x"), "a=1");
    assert!(store.insert(&url("http://b.test/"), "a=2; Path=/"));
    assert!(store.insert(&url("http://b.test/"), "b=2; Path=/x"));
    assert!(store.insert(&url("https://b.test/"), "a=3; Path=/x; Domain=b.test"));
    assert_eq!(sent(&store, "https://b.test/x"), "a=3; b=2; a=2");

    let store = CookieStore::new();
    store.insert(&url("https://www.b.test/"), "a=1; Secure; Path=/");
    assert!(!store.insert(&url("http://b.test/"), "a=2; Domain=b.test"));
    assert!(store.insert(&url("http://other.test/"), "a=2; Domain=other.test"));
}

#[test]
fn prefixes_of_names_require_attributes() {
    for (from, set_cookie, is_stored) in [
        ("https://a.test/", "__Secure-a=b; Secure", true),
        ("https://a.test/", "__secure-a=b", false),
        ("http://a.test/", "__Secure-a=b; Secure", false),
        ("https://a.test/", "__Host-a=b; Secure; Path=/", true),
        ("https://a.test/", "__Host-a=b; Secure", false),
        ("https://a.test/", "__Host-a=b; Secure; Path=/x", false),
        ("https://a.test/", "__host-a=b; Path=/", false),
        (
            "https://a.a.test/",
            "__Host-a=b; Secure; Path=/; Domain=a.test",
            false,
        ),
        ("http://a.test/", "__Hosta=b", true),
    ] {
        assert_eq!(
            CookieStore::new().insert(&url(from), set_cookie),
            is_stored,
            "{set_cookie}"
        );
    }
}

#[test]
fn cookies_expire() {
    let now = SystemTime::now();
    let a = url("http://a.test/");
    for (attributes, seconds, is_sent) in [
        ("", 1_000_000_000, true),
        ("; Max-Age=10", 9, true),
        ("; Max-Age=10", 10, false),
        (
            "; max-age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            9,
            true,
        ),
        (
            "; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=10",
            11,
            false,
        ),
        ("; Max-Age=0", 0, false),
        ("; Max-Age=-1", 0, false),
        ("; Max-Age=1x", 1_000_000, true),
        ("; Max-Age=+1", 1_000_000, true),
        ("; Max-Age=", 1_000_000, true),
        ("; Max-Age=99999999999999999999999", 1_000_000_000, true),
        ("; Max-Age=10; Max-Age=20", 15, true),
        ("; Expires=Thu, 01-Jan-70 00:00:01 GMT", 0, false),
        ("; Expires=nonsense", 1_000_000, true),
        ("; Expires=Wed, 21 Oct 2099 07:28:00 GMT", 0, true),
    ] {
        let store = CookieStore::new();
        store.set(&a, format!("a=b{attributes}").as_bytes(), now);
        let header = store.header_at(&a, now + Duration::from_secs(seconds));
        assert_eq!(header.is_some(), is_sent, "{attributes} {seconds}");
    }
}

#[test]
fn an_expired_cookie_removes_the_stored_one() {
    let a = url("http://a.test/x/");
    let store = CookieStore::new();
    store.insert(&a, "a=b; Path=/");
    store.insert(&a, "a=c");
    assert!(store.insert(&a, "a=; Max-Age=0; Path=/"));
    assert_eq!(sent(&store, "http://a.test/x/"), "a=c");
    assert_eq!(store.len(), 1);
}

#[test]
fn longer_paths_and_older_cookies_come_first() {
    let store = CookieStore::new();
    let a = url("http://www.a.test/x/y/z");
    for set_cookie in [
        "one=1; Path=/",
        "two=2; Path=/x/y",
        "three=3; Path=/; Domain=a.test",
        "four=4; Path=/x",
    ] {
        store.insert(&a, set_cookie);
    }
    assert_eq!(
        sent(&store, "http://www.a.test/x/y/z"),
        "two=2; four=4; one=1; three=3"
    );
    store.insert(&a, "one=5; Path=/");
    assert_eq!(sent(&store, "http://www.a.test/"), "one=5; three=3");
    let names: Vec<String> = store
        .iter()
        .map(|cookie| cookie.name().to_owned())
        .collect();
    assert_eq!(names, ["one", "two", "three", "four"]);
}

#[test]
fn long_cookies_and_attributes_are_ignored() {
    let a = url("http://a.test/");
    let store = CookieStore::new();
    assert!(store.insert(&a, &format!("a={}", "x".repeat(4095))));
    assert!(!store.insert(&a, &format!("b={}", "x".repeat(4096))));
    assert!(store.insert(&a, &format!("c=d; Path=/{}", "x".repeat(1024))));
    assert_eq!(store.iter().last().unwrap().path(), "/");
    assert!(!store.insert(&url(&format!("http://{}/", "a.".repeat(200))), "a=b"));
}

#[test]
fn the_number_of_cookies_is_limited() {
    let a = url("https://a.test/");
    let store = CookieStore::new();
    store.insert(&a, "secure=1; Secure");
    for number in 0..60 {
        store.insert(&a, &format!("n{number}=1"));
    }
    let names: Vec<String> = store
        .iter()
        .map(|cookie| cookie.name().to_owned())
        .collect();
    assert_eq!(names.len(), 50);
    assert_eq!(&names[..2], ["secure", "n11"]);
    for number in 0..3000 {
        store.insert(&url(&format!("http://h{number}.test/")), "a=b");
        if number == 100 {
            assert!(sent(&store, "http://h0.test/").contains("a=b"));
        }
    }
    assert_eq!(store.len(), 3000);
    // The cookies that were not used for the longest time have been removed.
    assert_eq!(sent(&store, "https://a.test/"), "");
    assert_eq!(sent(&store, "http://h0.test/"), "a=b");
    assert_eq!(sent(&store, "http://h2999.test/"), "a=b");
}

#[test]
fn expired_cookies_make_room_first() {
    let now = SystemTime::now();
    let a = url("http://a.test/");
    let store = CookieStore::new();
    store.set(&a, b"old=1", now);
    for number in 0..49 {
        store.set(&a, format!("n{number}=1; Max-Age=10").as_bytes(), now);
    }
    store.set(&a, b"new=1", now + Duration::from_secs(20));
    assert_eq!(sent(&store, "http://a.test/"), "old=1; new=1");
    assert_eq!(store.0.borrow().all(now).len(), 2);
}

#[test]
fn the_header_is_limited() {
    let a = url("http://a.test/");
    let store = CookieStore::new();
    for number in 0..50 {
        store.insert(&a, &format!("n{number}={}", "x".repeat(3000)));
    }
    let header = store.header(&a).unwrap();
    assert!(header.len() <= 64 * 1024 && header.len() > 60_000);
}

#[test]
fn cookies_can_be_read_and_removed() {
    let a = url("http://www.a.test/x");
    let store = CookieStore::new();
    store.insert(&a, "a=1; HttpOnly; Domain=a.test; Max-Age=100");
    store.insert(&a, "b=2");
    assert_eq!(store.get(&a, "a").as_deref(), Some("1"));
    assert_eq!(store.get(&url("http://a.test/"), "b"), None);
    let cookie = store.iter().next().unwrap();
    assert_eq!(
        (
            cookie.name(),
            cookie.value(),
            cookie.domain(),
            cookie.path()
        ),
        ("a", "1", "a.test", "/")
    );
    assert!(cookie.is_http_only() && !cookie.is_host_only() && !cookie.is_secure());
    assert!(cookie.expires().unwrap() > SystemTime::now());
    assert!(!format!("{store:?} {cookie:?}").contains("\"1\""));
    let clone = store.clone();
    assert!(clone.remove(&a, "a"));
    assert!(!clone.remove(&a, "a"));
    assert_eq!(sent(&store, "http://www.a.test/"), "b=2");
    clone.clear();
    assert!(store.is_empty());
    assert!(store.header(&a).is_none());
}

#[test]
fn the_header_is_sensitive() {
    let a = url("http://a.test/");
    let store = CookieStore::new();
    store.insert(&a, "a=b");
    assert!(store.header(&a).unwrap().is_sensitive());
}

proptest! {
    #[test]
    fn any_header_can_be_parsed(header in "[ -~\\t]{0,60}", attribute in "(Domain|Path|Expires|Max-Age|Secure)=?\\PC{0,30}") {
        let text = format!("{header};{attribute}");
        if let Some(cookie) = SetCookie::parse(text.as_bytes()) {
            prop_assert!(!cookie.name.is_empty());
            let store = CookieStore::new();
            store.insert(&url("https://www.example.com/a/b"), &text);
            for stored in store.iter() {
                prop_assert!(["example.com", "www.example.com"].contains(&stored.domain()));
            }
        }
    }
}
