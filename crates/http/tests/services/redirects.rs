//! Redirects to HTTPS.

use uptick_http::test::TestResponse;
use uptick_http::{HttpServer, RedirectToHttps, Request};

fn get(redirect: RedirectToHttps, target: &str, host: &str, secure: bool) -> TestResponse {
    let http = HttpServer::new().wrap(redirect);
    http.get("/", |_: Request| "hello");
    http.get("/.well-known/acme-challenge/{token}", |_: Request| "key");
    let request = http.test().get(target).header("host", host);
    request.secure(secure).send().unwrap()
}

#[test]
fn requests_without_tls_are_redirected() {
    let cases = [
        ("/", "example.com", "https://example.com/"),
        ("/a?b=c", "example.com:80", "https://example.com/a?b=c"),
        ("/", "[::1]:8080", "https://[::1]/"),
        ("/", "[::1]", "https://[::1]/"),
    ];
    for (target, host, location) in cases {
        let response = get(RedirectToHttps::new(), target, host, false);
        assert_eq!(response.status(), 308, "{host}");
        assert_eq!(response.header("location"), Some(location));
    }
    let response = get(RedirectToHttps::new().port(8443), "/", "a:80", false);
    assert_eq!(response.header("location"), Some("https://a:8443/"));
}

#[test]
fn secure_requests_and_acme_challenges_are_not_redirected() {
    let redirect = RedirectToHttps::new();
    assert_eq!(get(redirect, "/", "a", true).text(), "hello");
    let challenge = "/.well-known/acme-challenge/abc";
    assert_eq!(get(redirect, challenge, "a", false).text(), "key");
}
