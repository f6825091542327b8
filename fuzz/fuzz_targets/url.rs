//! URLs of the client: a parsed or joined URL is in normal form, so that parsing its text returns the same URL, and its parts contain no
//! character that ends them or a request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uptick_http_client::Url;

fn check(url: &Url) {
    let text = url.as_str();
    assert!(text.len() <= 65_536);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    assert!(!url.host().is_empty());
    assert_eq!(url.host(), url.host().to_ascii_lowercase());
    assert!(!url.host().contains(['/', '?', '#', '@', '\\']), "{text}");
    assert!(
        !url.authority().contains(['/', '?', '#', '@', '\\']),
        "{text}"
    );
    assert!(!url.path_and_query().is_empty() && !url.path_and_query().contains('#'));
    assert!(!url.without_fragment().contains('#'));
    assert!(text.starts_with(url.without_fragment()));
    assert!(text.contains(url.authority()));
    assert_eq!(
        url.ip().is_some_and(|ip| ip.is_ipv6()),
        url.host().contains(':')
    );

    let again = Url::parse(text).expect("a URL can be parsed again");
    assert_eq!(again.as_str(), text);
    assert_eq!(again.host(), url.host());
    assert_eq!(again.port(), url.port());
    assert_eq!(again.path_and_query(), url.path_and_query());
    assert_eq!(again.fragment(), url.fragment());
    assert!(again.user_info().is_none() && again.is_same_origin(url));
}

fuzz_target!(|input: (&str, &str, &str)| {
    let (text, reference, value) = input;
    let Ok(url) = Url::parse(text) else { return };
    check(&url);
    if let Ok(joined) = url.join(reference) {
        check(&joined);
        // User information of a reference is ignored; a path keeps that of the base.
        assert!(joined.user_info().is_none() || joined.is_same_origin(&url));
    }
    if let Ok(with_query) = url.with_query([("name", value)]) {
        check(&with_query);
        assert!(with_query.is_same_origin(&url));
        assert_eq!(with_query.fragment(), url.fragment());
    }
});
