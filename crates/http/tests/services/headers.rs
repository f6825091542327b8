//! Security headers.

use std::time::Duration;

use uptick_http::test::TestResponse;
use uptick_http::{HttpServer, Request, Responder, Response, SecurityHeaders};

fn get(headers: SecurityHeaders, path: &str) -> TestResponse {
    let http = HttpServer::new().wrap(headers);
    http.get("/", |_: Request| "hello");
    http.get("/framed", |_: Request| {
        Response::html("framed").header("x-frame-options", "SAMEORIGIN")
    });
    http.get("/later", |_: Request, res: Responder| {
        res.send("later");
    });
    http.get("/nonce", |req: Request| {
        req.csp_nonce().unwrap_or_default().to_string()
    });
    http.get("/panics", |_: Request| -> &str { panic!("on purpose") });
    http.test().get(path).send().unwrap()
}

#[test]
fn all_responses_have_the_headers() {
    for path in ["/", "/none", "/later", "/panics"] {
        let response = get(SecurityHeaders::new(), path);
        let headers = [
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "strict-transport-security",
            "content-security-policy",
        ];
        let values = headers.map(|name| response.header(name));
        let expected = [
            Some("nosniff"),
            Some("DENY"),
            Some("strict-origin-when-cross-origin"),
            None,
            None,
        ];
        assert_eq!(values, expected, "{path}");
    }
}

#[test]
fn headers_of_a_response_are_kept() {
    let response = get(SecurityHeaders::new(), "/framed");
    assert_eq!(response.header("x-frame-options"), Some("SAMEORIGIN"));
}

#[test]
fn headers_can_be_disabled() {
    let headers = SecurityHeaders::new()
        .content_type_options(false)
        .frame_options(None)
        .referrer_policy("no-referrer");
    let response = get(headers, "/");
    assert_eq!(response.header("x-content-type-options"), None);
    assert_eq!(response.header("x-frame-options"), None);
    assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
}

#[test]
fn transport_security_is_sent_only_over_tls() {
    let headers = SecurityHeaders::new().transport_security(Duration::from_secs(60), true);
    let http = HttpServer::new().wrap(headers);
    http.get("/", |_: Request| "hello");
    let sent = |secure: bool| {
        let response = http.test().get("/").secure(secure).send().unwrap();
        response
            .header("strict-transport-security")
            .map(str::to_owned)
    };
    assert_eq!(sent(false), None);
    assert_eq!(sent(true).as_deref(), Some("max-age=60; includeSubDomains"));
}

#[test]
fn each_response_has_its_own_nonce() {
    let headers = SecurityHeaders::new()
        .content_security_policy("script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'");
    let nonces = [(); 2].map(|()| {
        let response = get(headers.clone(), "/nonce");
        let nonce = response.text().into_owned();
        let policy = format!("script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'");
        assert_eq!(response.header("content-security-policy"), Some(&*policy));
        nonce
    });
    assert_ne!(nonces[0], nonces[1]);
    assert_eq!(nonces[0].len(), 32);
}

#[test]
fn a_policy_without_a_nonce_is_sent_unchanged() {
    let headers = SecurityHeaders::new().content_security_policy("default-src 'self'");
    let response = get(headers, "/nonce");
    assert_eq!(
        response.header("content-security-policy"),
        Some("default-src 'self'")
    );
    assert_eq!(response.text(), "");
}
