//! Rate limits.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::time::Duration;

use support::{Client, ClientResponse, get, manual_clock, server};
use uptick_http::{HttpServer, RateLimiting, Request, TrustedProxies};
use uptick_rate_limit::Limit;

const MINUTE: Duration = Duration::from_secs(60);

fn fetch(http: HttpServer) -> ClientResponse {
    let mut client = Client::new(http);
    client.send(get("/"));
    client.response()
}

#[test]
fn a_client_over_the_limit_gets_429_with_retry_after() {
    let clock = manual_clock();
    let http = server()
        .get("/", |_: Request| "hello")
        .wrap(RateLimiting::new(Limit::fixed_window(2, MINUTE)));
    let first = fetch(http);
    assert_eq!(first.body, "hello");
    assert_eq!(first.field("ratelimit"), Some(r#""default";r=1;t=60"#));
    assert_eq!(
        first.field("ratelimit-policy"),
        Some(r#""default";q=2;w=60"#)
    );
    assert_eq!(first.field("retry-after"), None);

    clock.advance(Duration::from_secs(20));
    // A new connection from the same address is the same client.
    assert_eq!(fetch(http).status(), 200);
    let refused = fetch(http);
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.field("retry-after"), Some("40"));
    assert_eq!(refused.field("ratelimit"), Some(r#""default";r=0;t=40"#));
    assert!(!refused.closes());

    clock.advance(Duration::from_secs(40));
    assert_eq!(fetch(http).status(), 200);
}

#[test]
fn a_limit_of_zero_has_no_retry_after() {
    let http = server()
        .get("/", |_: Request| "hello")
        .wrap(RateLimiting::new(Limit::fixed_window(0, MINUTE)));
    let refused = fetch(http);
    assert_eq!(
        (refused.status(), refused.field("retry-after")),
        (429, None)
    );
}

#[test]
fn clients_behind_nat64_are_limited_separately() {
    let http = server()
        .get("/", |_: Request| "hello")
        .trusted_proxies(TrustedProxies::parse("127.0.0.0/8").unwrap())
        .wrap(RateLimiting::new(Limit::token_bucket(1, MINUTE)));
    let mut client = Client::new(http);
    let mut fetch = |from: &str| {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {from}\r\n\r\n"
        ));
        client.response().status()
    };
    assert_eq!(fetch("64:ff9b::192.0.2.1"), 200);
    assert_eq!(fetch("64:ff9b::192.0.2.2"), 200);
    assert_eq!(fetch("192.0.2.1"), 429);
}

#[test]
fn requests_are_limited_by_key_and_requests_without_a_key_are_not() {
    let by_user = |req: &Request| req.header("x-user").map(str::to_owned);
    let limit = Limit::token_bucket(1, MINUTE);
    let http = server()
        .get("/", |_: Request| "hello")
        .wrap(RateLimiting::by(limit, by_user).name("users"));
    let mut client = Client::new(http);
    let mut fetch = |fields: &str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.response()
    };
    let first = fetch("X-User: ada\r\n");
    assert_eq!(first.field("ratelimit"), Some(r#""users";r=0;t=60"#));
    assert_eq!(fetch("X-User: ada\r\n").status(), 429);
    assert_eq!(fetch("X-User: bob\r\n").status(), 200);
    for _ in 0..3 {
        let free = fetch("");
        assert_eq!((free.status(), free.field("ratelimit")), (200, None));
    }
}

#[test]
fn clients_behind_a_trusted_proxy_are_limited_separately() {
    let http = server()
        .get("/", |_: Request| "hello")
        .trusted_proxies(TrustedProxies::parse("127.0.0.0/8").unwrap())
        .wrap(RateLimiting::new(Limit::token_bucket(1, MINUTE)));
    let mut client = Client::new(http);
    let mut fetch = |from: &str| {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {from}\r\n\r\n"
        ));
        client.response().status()
    };
    assert_eq!(fetch("192.0.2.1"), 200);
    assert_eq!(fetch("192.0.2.2"), 200);
    assert_eq!(fetch("6.6.6.6, 192.0.2.1"), 429);
    // All hidden clients share one limit.
    assert_eq!(fetch("unknown"), 200);
    assert_eq!(fetch("nonsense"), 429);
}

#[test]
fn all_spellings_of_a_path_have_the_same_key() {
    let by_path = |req: &Request| Some(req.path().to_owned());
    let http = server()
        .get("/{name}", |_: Request| "hello")
        .wrap(RateLimiting::by(Limit::token_bucket(1, MINUTE), by_path));
    let mut client = Client::new(http);
    let mut fetch = |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.response().status()
    };
    assert_eq!(fetch("/a@b"), 200);
    for path in ["/%61@b", "/a%40b", "/%61%40%62"] {
        assert_eq!(fetch(path), 429, "{path}");
    }
    assert_eq!(fetch("/a@c"), 200);
}
