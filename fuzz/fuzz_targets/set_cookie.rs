//! Cookies of the client: any `Set-Cookie` headers leave the store within its limits, and cookies are sent only to hosts and schemes that
//! may receive them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uptick_http_client::{CookieStore, Url};

fuzz_target!(|input: (u8, Vec<Vec<u8>>)| {
    let (choice, headers) = input;
    let urls = [
        "https://www.example.co.uk/shop/cart",
        "http://www.example.co.uk/shop/cart",
        "http://example.com/",
        "https://127.0.0.1/a/b",
    ];
    let url = Url::parse(urls[usize::from(choice) % urls.len()]).expect("the URL is valid");
    let others = [
        "http://co.uk/",
        "https://other.test/",
        "https://example.org/shop/cart",
    ];

    let store = CookieStore::new();
    store.store(&url, &headers);
    assert!(store.len() <= 50);
    for cookie in store.iter() {
        let domain = cookie.domain();
        assert!(!cookie.name().is_empty());
        assert!(cookie.name().len() + cookie.value().len() <= 4096);
        assert!(cookie.path().starts_with('/'));
        assert!(url.host() == domain || url.host().ends_with(&format!(".{domain}")));
        assert!(cookie.is_host_only() || domain != "co.uk" && domain != "uk" && domain != "com");
    }
    for other in others {
        let other = Url::parse(other).expect("the URL is valid");
        assert_eq!(store.header(&other), None);
    }
    let plain = Url::parse(&url.as_str().replace("https", "http")).expect("the URL is valid");
    if let Some(header) = store.header(&plain) {
        assert!(header.len() <= 64 * 1024);
        assert!(
            header
                .as_bytes()
                .iter()
                .all(|byte| *byte != b'\n' && *byte != b'\r')
        );
        assert!(store.iter().any(|cookie| !cookie.is_secure()));
    }
    store.clear();
    assert!(store.is_empty() && store.header(&url).is_none());
});
