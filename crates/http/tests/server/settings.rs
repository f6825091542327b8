//! Server settings: default headers, response hooks, events, and clients that must connect first.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_http::{
    Channel, HttpError, HttpServer, IntoMiddleware, Middleware, Next, Request, RequestInfo,
    Response, ResponseInfo,
};
use uptick_socket::Connection;

use crate::support::{Client, ClientResponse, Log, get, manual_clock, post, server, settle};

fn fetch(http: HttpServer, path: &str) -> ClientResponse {
    let mut client = Client::new(http);
    client.send(get(path));
    client.response()
}

#[test]
fn a_hook_can_rewrite_every_response_and_its_length() {
    let http = server();
    http.get("/", |_: Request| "hello");
    http.get("/later", |_: Request| async { "later" });
    http.get("/error", |_: Request| HttpError::bad_request("no"));
    http.get("/started", |req: Request| {
        let responder = req.responder();
        responder.start(Response::plain(""));
        responder.end();
    });
    http.on_response(|response| {
        let body = response.body().as_bytes().unwrap_or_default();
        let longer = [body, b" and more"].concat();
        response.with_body(longer).header("x-seen", "yes")
    });
    for (path, status, body) in [
        ("/", 200, "hello and more"),
        ("/later", 200, "later and more"),
        ("/error", 400, "no\n and more"),
        ("/nowhere", 404, "Not Found\n and more"),
        ("/started", 200, " and more"),
    ] {
        let received = fetch(http, path);
        assert_eq!(
            (received.status(), &*received.body),
            (status, body),
            "{path}"
        );
        assert_eq!(received.field("x-seen"), Some("yes"), "{path}");
    }
    let mut client = Client::new(http);
    client.send("nonsense\r\n\r\n");
    let refused = client.response();
    assert_eq!(
        (refused.status(), refused.field("x-seen")),
        (400, Some("yes"))
    );
}

#[test]
fn a_hook_that_panics_or_makes_the_response_invalid_is_a_500() {
    let http = server();
    http.get("/", |_: Request| "hello");
    http.on_response(|_| panic!("on purpose"));
    assert_eq!(fetch(http, "/").status(), 500);
    http.on_response(|response| response.header("x", "a\r\nb: c"));
    let spoilt = fetch(http, "/");
    assert_eq!((spoilt.status(), spoilt.field("b")), (500, None));
}

#[test]
fn default_headers_are_added_to_all_responses_without_them() {
    let http = server();
    http.get("/", |_: Request| "hello");
    http.get("/own", |_: Request| {
        Response::html("x").header("x-a", "own")
    });
    let fields = [
        ("X-A", "1"),
        ("x-b", "2"),
        ("Content-Type", "a/b"),
        ("content-length", "7"),
    ];
    http.set_headers(fields).unwrap();
    http.set_header("x-b", "3").unwrap();
    let plain = fetch(http, "/");
    assert_eq!(
        (plain.field("x-a"), plain.field("x-b")),
        (Some("1"), Some("3"))
    );
    assert_eq!(
        plain.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(plain.field("content-length"), Some("5"));
    assert_eq!(fetch(http, "/own").field("x-a"), Some("own"));
    assert_eq!(fetch(http, "/nowhere").field("x-a"), Some("1"));

    let error = http.set_header("x", "a\r\nb: c").unwrap_err().to_string();
    assert_eq!(
        error,
        "setting the header \"x\" of all responses failed: the value has characters that cannot be sent"
    );
    assert!(http.set_header("a b", "c").is_err());
}

#[test]
fn events_are_emitted_for_requests_responses_and_upgrades() {
    let (http, log) = (server(), Log::default());
    http.get("/", |_: Request| "hello");
    http.get("/up", |_: Request| {
        Response::upgrade("x", |conn: Connection| conn.end())
    });
    let notes = log.clone();
    http.on("request", move |info: RequestInfo| {
        assert!(info.peer().is_some() && info.connection().is_some());
        notes.add(format!("{}:{}", info.method(), info.target()));
    });
    let notes = log.clone();
    http.on("response", move |info: ResponseInfo| {
        notes.add(info.status.as_u16())
    });
    let notes = log.clone();
    http.on("upgrade", move |_: Channel| notes.add("upgrade"));
    fetch(http, "/?a");
    fetch(http, "/nowhere");
    Client::new(http)
        .send("GET /up HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    settle();
    assert_eq!(
        log.text(),
        "GET:/?a 200 GET:/nowhere 404 GET:/up 101 upgrade"
    );
}

#[test]
fn a_listener_that_panics_does_not_prevent_a_response() {
    let http = server();
    http.get("/", |_: Request| "hello");
    http.on("request", |_: RequestInfo| panic!("on purpose"));
    http.on("response", |_: ResponseInfo| panic!("on purpose"));
    assert_eq!(fetch(http, "/").body, "hello");
}

#[test]
fn the_cause_of_an_error_is_sent_only_in_debug_mode() {
    let http = server();
    http.get("/", |_: Request| HttpError::internal("the disk is full"));
    assert_eq!(fetch(http, "/").body, "Internal Server Error\n");
    http.debug(true);
    assert!(fetch(http, "/").body.contains("the disk is full"));
    http.debug(false);
    assert_eq!(fetch(http, "/").body, "Internal Server Error\n");
}

#[test]
fn a_client_that_has_not_connected_is_refused_even_if_another_has() {
    let http = server().connection_required(true);
    http.get("/", |_: Request| "inside");
    http.connect(|_: Request| "welcome")
        .disconnect(|_: Request| "bye");
    let other = "2001:db8::1".parse().unwrap();
    http.mark_connected(other);
    let refused = fetch(http, "/");
    assert_eq!(
        (refused.status(), &*refused.body),
        (400, "the client is not connected\n")
    );
    assert_eq!(fetch(http, "/connect").body, "welcome");
    assert_eq!(fetch(http, "/").body, "inside");
    assert_eq!(fetch(http, "/disconnect").body, "bye");
    assert_eq!(fetch(http, "/").status(), 400);
    assert!(http.has_client(other) && http.mark_disconnected(other));
    assert!(!http.mark_disconnected(other));
    http.mark_connected([127, 0, 0, 1].into());
    assert_eq!(fetch(http, "/").body, "inside");
    http.mark_disconnected([127, 0, 0, 1].into());
    http.connection_required(false);
    assert_eq!(fetch(http, "/").body, "inside");
}

#[test]
fn the_connect_routes_can_have_other_paths() {
    let http = server().connection_required(true);
    http.get("/", |_: Request| "inside")
        .get("/connect", |_: Request| "a page of the program");
    http.connect_at("/{tenant}/open", |req: Request| {
        format!("welcome to {}", req.param("tenant").unwrap_or_default())
    });
    http.disconnect_at("/close", |_: Request| "bye");
    for refused in ["/", "/connect", "/close", "/a/b/open"] {
        assert_eq!(fetch(http, refused).status(), 400, "{refused}");
    }
    assert_eq!(fetch(http, "/acme/open").body, "welcome to acme");
    assert_eq!(fetch(http, "/").body, "inside");
    assert_eq!(fetch(http, "/close").body, "bye");
    assert_eq!(fetch(http, "/").status(), 400);
}

#[test]
fn a_request_over_the_rate_limit_is_answered_with_429() {
    let clock = manual_clock();
    let http = server().ping();
    http.set_rate_limit(1, Duration::from_secs(60));
    http.set_rate_limit(2, Duration::from_secs(60));
    let mut client = Client::new(http);
    for (status, body) in [(200, "PONG"), (200, "PONG"), (429, "Too Many Requests\n")] {
        client.send(get("/ping"));
        let response = client.response();
        assert_eq!((response.status(), &*response.body), (status, body));
        assert_eq!(response.field("retry-after").is_some(), status == 429);
    }
    clock.advance(Duration::from_secs(60));
    client.send(get("/ping"));
    assert_eq!(client.response().status(), 200);
}

#[test]
fn the_timeout_closes_idle_clients() {
    let clock = manual_clock();
    let http = server().ping().set_timeout(Duration::from_secs(3));
    let mut client = Client::new(http);
    client.send(get("/ping"));
    client.response();
    clock.advance(Duration::from_secs(2));
    assert!(!client.is_closed());
    clock.advance(Duration::from_secs(2));
    assert!(client.is_closed());
}

#[test]
fn the_server_counts_connections_and_requests() {
    let http = server();
    http.get("/", |_: Request| "hello");
    http.get("/stats", move |_: Request| Response::json(http.stats()));
    let mut client = Client::new(http);
    let other = Client::new(http);
    for path in ["/", "/nothing", "/"] {
        client.send(get(path));
        client.response();
    }
    drop(other);
    settle();
    client.send(get("/stats"));
    assert_eq!(
        client.response().body,
        concat!(
            r#"{"open_connections":1,"open_upgrades":0,"connections":2,"upgrades":0,"requests":4,"#,
            r#""responses_2xx":2,"responses_3xx":0,"responses_4xx":1,"responses_5xx":0,"http2_connections":0,"http2_requests":0}"#
        )
    );
}

#[test]
fn the_discard_limit_for_unread_bodies_can_be_set() {
    let http = server().drain_limit(10);
    http.post("/", |_: Request| "unread");
    let mut client = Client::new(http);
    client.send(post("/", "0123456789"));
    assert!(!client.response().closes());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n");
    assert!(client.response().closes());
    assert_eq!(client.rest(), "");
}

/// A middleware that adds a route when it is converted.
struct WithRoute(HttpServer);

impl IntoMiddleware<WithRoute> for WithRoute {
    fn into_middleware(self) -> Middleware {
        self.0.get("/made", |_: Request| "made");
        (|request: Request, next: Next| next.run(request)).into_middleware()
    }
}

#[test]
fn a_middleware_can_configure_the_server_while_it_is_converted() {
    let http = server();
    http.wrap(WithRoute(http));
    let mut client = Client::new(http);
    client.send(get("/made"));
    assert_eq!(client.response().body, "made");
}
