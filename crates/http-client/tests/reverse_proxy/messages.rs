//! Heads of requests and responses.

use uptick_http::TrustedProxies;
use uptick_http_client::{ForwardedMode, ProxyRoutes, Upstream};

use crate::support::{Proxy, ok, responding};

/// A server that responds with the head of the request.
fn echoing() -> String {
    responding(|head, _| {
        let mut text = format!("{}\n", head.line);
        for (name, value) in &head.headers {
            text += &format!("{name}: {value}\n");
        }
        ok(&text)
    })
}

#[test]
fn the_request_line_and_the_headers_are_passed_on() {
    let url = echoing();
    let authority = url.strip_prefix("http://").unwrap().to_owned();
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    client.request(
        "GET /a%2Fb/?x=1&y=%20",
        &[
            "X-Custom: one",
            "X-Custom: two",
            "Connection: keep-alive, X-Secret",
            "X-Secret: hidden",
            "Proxy-Authorization: Basic YTpi",
            "Upgrade: h2c",
            "X-Forwarded-For: 6.6.6.6",
            "Forwarded: for=6.6.6.6",
        ],
    );
    let (head, body) = client.response();
    assert_eq!(head.status(), 200);
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines[0], "GET /a%2Fb/?x=1&y=%20 HTTP/1.1");
    for line in [
        &*format!("host: {authority}"),
        "x-custom: one",
        "x-custom: two",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: example.com",
    ] {
        assert!(lines.contains(&line), "{line} is missing in {lines:?}");
    }
    assert_eq!(lines.len(), 7, "{lines:?}");
}

#[test]
fn the_settings_change_the_request() {
    let url = echoing();
    let proxy = Proxy::start(move |http| {
        http.trusted_proxies(TrustedProxies::parse("127.0.0.1").unwrap());
        let upstream = Upstream::new(&format!("{url}/base/"))
            .keep_host(true)
            .strip_prefix(true)
            .via("edge")
            .header("x-key", "secret");
        http.proxy("/api", upstream.clone());
        http.group("/v1", |group| {
            group.proxy("/app/", upstream.clone().forwarded(ForwardedMode::Remove));
        });
    });
    let mut client = proxy.connect();
    let forwarded = ["X-Forwarded-For: 192.0.2.7", "X-Key: public", "Via: 1.0 a"];
    client.request("GET /api/users?id=7", &forwarded);
    let (head, body) = client.response();
    for line in [
        "GET /base/users?id=7 HTTP/1.1",
        "host: example.com",
        "x-forwarded-for: 192.0.2.7, 127.0.0.1",
        "via: 1.0 a",
        "via: 1.1 edge",
        "x-key: secret",
    ] {
        assert!(body.lines().any(|other| other == line), "{line}: {body}");
    }
    assert_eq!(head.get("via").unwrap(), "1.1 edge");
    for (path, line) in [
        ("/api", "GET /base/ HTTP/1.1"),
        ("/api/", "GET /base/ HTTP/1.1"),
        ("/v1/app/x", "GET /base/x HTTP/1.1"),
        ("/v1/app/", "GET /base/ HTTP/1.1"),
    ] {
        let (_, body) = proxy.get(path);
        assert!(body.starts_with(line), "{path}: {body}");
    }
    let (_, body) = proxy.get("/v1/app/");
    assert!(!body.contains("forwarded"), "{body}");
    assert_eq!(proxy.get("/v1/app").0.status(), 404);
    assert_eq!(proxy.get("/apis").0.status(), 404);
}

#[test]
fn dot_segments_are_refused() {
    let url = echoing();
    let proxy = Proxy::start(move |http| http.proxy("/api/", Upstream::new(&url)));
    for path in ["/api/../x", "/api/%2e%2E/x", "/api/..%2Fx", "/api/x/."] {
        assert_eq!(proxy.get(path).0.status(), 400, "{path}");
    }
    assert_eq!(proxy.get("/api/.well-known/x..").0.status(), 200);
}

#[test]
fn the_headers_of_a_response_are_passed_on() {
    let url = responding(|head, _| {
        let host = head.get("host").unwrap();
        format!(
            "HTTP/1.1 404 Gone Fishing\r\ncontent-length: 3\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
             connection: x-internal\r\nx-internal: 1\r\nkeep-alive: timeout=5\r\ncontent-type: text/x\r\n\
             location: http://{host}/login?next=/\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\nabc"
        )
    });
    let proxy = Proxy::start(move |http| {
        http.proxy("/app/", Upstream::new(&url).strip_prefix(true));
    });
    let (head, body) = proxy.get("/app/x");
    assert_eq!((head.status(), &*body), (404, "abc"));
    assert_eq!(head.get("set-cookie").unwrap(), "a=1, b=2");
    assert_eq!(head.get("content-type").unwrap(), "text/x");
    assert_eq!(head.get("location").unwrap(), "/app/login?next=/");
    assert_eq!(head.get("date").unwrap(), "Mon, 01 Jan 2024 00:00:00 GMT");
    assert_eq!(head.get("x-internal"), None);
    assert_eq!(head.get("keep-alive"), None);
}

#[test]
fn responses_without_a_body_keep_their_length() {
    let url = responding(|head, _| {
        let line = match &*head.line {
            line if line.starts_with("HEAD") => "200 OK\r\ncontent-length: 1234",
            line if line.contains("/304") => "304 Not Modified\r\netag: \"x\"",
            line if line.contains("/204") => "204 No Content",
            _ => "200 OK\r\ncontent-length: 0",
        };
        format!("HTTP/1.1 {line}\r\n\r\n")
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    client.request("HEAD /", &[]);
    let head = client.head();
    assert_eq!(head.get("content-length").unwrap(), "1234");
    client.request("GET /304", &[]);
    let head = client.head();
    assert_eq!(
        (head.status(), head.get("etag").unwrap()),
        (304, "\"x\"".into())
    );
    client.request("DELETE /204", &[]);
    let head = client.head();
    assert_eq!((head.status(), head.get("content-length")), (204, None));
    client.request("GET /", &[]);
    let head = client.head();
    assert_eq!(head.get("content-length").unwrap(), "0");
}

#[test]
fn routes_of_the_server_take_precedence() {
    let url = responding(|_, _| ok("upstream"));
    let proxy = Proxy::start(move |http| {
        http.proxy("/", Upstream::new(&url));
        http.get("/own", |_: uptick_http::Request| "own");
    });
    assert_eq!(proxy.get("/own").1, "own");
    assert_eq!(proxy.get("/other").1, "upstream");
}
