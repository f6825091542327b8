//! What servers are set up with at once: fields of all answers, their rewriting, events, clients that connect first.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_http::{
    HttpError, HttpServer, IntoMiddleware, Middleware, Next, Request, RequestInfo, Response,
    ResponseInfo,
};
use uptick_socket::Connection;

use crate::support::{Answer, Client, Log, get, manual_clock, post, server, settle};

fn ask(http: HttpServer, path: &str) -> Answer {
    let mut client = Client::new(http);
    client.send(get(path));
    client.answer()
}

#[test]
fn every_answer_is_rewritten_and_has_the_length_that_it_has_then() {
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
        let answer = ask(http, path);
        assert_eq!((answer.status(), &*answer.body), (status, body), "{path}");
        assert_eq!(answer.field("x-seen"), Some("yes"), "{path}");
    }
    let mut client = Client::new(http);
    client.send("nonsense\r\n\r\n");
    let refused = client.answer();
    assert_eq!(
        (refused.status(), refused.field("x-seen")),
        (400, Some("yes"))
    );
}

#[test]
fn a_rewriting_that_panics_or_spoils_the_answer_is_a_500() {
    let http = server();
    http.get("/", |_: Request| "hello");
    http.on_response(|_| panic!("on purpose"));
    assert_eq!(ask(http, "/").status(), 500);
    http.on_response(|response| response.header("x", "a\r\nb: c"));
    let spoilt = ask(http, "/");
    assert_eq!((spoilt.status(), spoilt.field("b")), (500, None));
}

#[test]
fn default_fields_are_those_of_all_answers_that_do_not_have_them() {
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
    let plain = ask(http, "/");
    assert_eq!(
        (plain.field("x-a"), plain.field("x-b")),
        (Some("1"), Some("3"))
    );
    assert_eq!(
        plain.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(plain.field("content-length"), Some("5"));
    assert_eq!(ask(http, "/own").field("x-a"), Some("own"));
    assert_eq!(ask(http, "/nowhere").field("x-a"), Some("1"));

    let error = http.set_header("x", "a\r\nb: c").unwrap_err().to_string();
    assert_eq!(
        error,
        "setting the header \"x\" of all responses failed: the value has characters that cannot be sent"
    );
    assert!(http.set_header("a b", "c").is_err());
}

#[test]
fn events_tell_of_requests_answers_and_upgrades() {
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
    http.on("upgrade", move |_: Connection| notes.add("upgrade"));
    ask(http, "/?a");
    ask(http, "/nowhere");
    Client::new(http)
        .send("GET /up HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    settle();
    assert_eq!(
        log.text(),
        "GET:/?a 200 GET:/nowhere 404 GET:/up 101 upgrade"
    );
}

#[test]
fn a_listener_that_panics_does_not_keep_an_answer_back() {
    let http = server();
    http.get("/", |_: Request| "hello");
    http.on("request", |_: RequestInfo| panic!("on purpose"));
    http.on("response", |_: ResponseInfo| panic!("on purpose"));
    assert_eq!(ask(http, "/").body, "hello");
}

#[test]
fn a_client_gets_to_read_the_cause_of_an_error_only_while_debugging() {
    let http = server();
    http.get("/", |_: Request| HttpError::internal("the disk is full"));
    assert_eq!(ask(http, "/").body, "Internal Server Error\n");
    http.debug(true);
    assert!(ask(http, "/").body.contains("the disk is full"));
    http.debug(false);
    assert_eq!(ask(http, "/").body, "Internal Server Error\n");
}

#[test]
fn a_client_that_has_not_connected_is_refused_whoever_else_has() {
    let http = server().connection_required(true);
    http.get("/", |_: Request| "inside");
    http.connect(|_: Request| "welcome")
        .disconnect(|_: Request| "bye");
    let other = "2001:db8::1".parse().unwrap();
    http.mark_connected(other);
    let refused = ask(http, "/");
    assert_eq!(
        (refused.status(), &*refused.body),
        (400, "Client is not connected.\n")
    );
    assert_eq!(ask(http, "/connect").body, "welcome");
    assert_eq!(ask(http, "/").body, "inside");
    assert_eq!(ask(http, "/disconnect").body, "bye");
    assert_eq!(ask(http, "/").status(), 400);
    assert!(http.has_client(other) && http.mark_disconnected(other));
    assert!(!http.mark_disconnected(other));
    http.mark_connected([127, 0, 0, 1].into());
    assert_eq!(ask(http, "/").body, "inside");
    http.mark_disconnected([127, 0, 0, 1].into());
    http.connection_required(false);
    assert_eq!(ask(http, "/").body, "inside");
}

#[test]
fn the_routes_for_connecting_may_have_other_paths() {
    let http = server().connection_required(true);
    http.get("/", |_: Request| "inside")
        .get("/connect", |_: Request| "a page of the program");
    http.connect_at("/{tenant}/open", |req: Request| {
        format!("welcome to {}", req.param("tenant").unwrap_or_default())
    });
    http.disconnect_at("/close", |_: Request| "bye");
    for refused in ["/", "/connect", "/close", "/a/b/open"] {
        assert_eq!(ask(http, refused).status(), 400, "{refused}");
    }
    assert_eq!(ask(http, "/acme/open").body, "welcome to acme");
    assert_eq!(ask(http, "/").body, "inside");
    assert_eq!(ask(http, "/close").body, "bye");
    assert_eq!(ask(http, "/").status(), 400);
}

#[test]
fn the_rate_limit_counts_requests_and_the_one_beyond_it_is_429() {
    let clock = manual_clock();
    let http = server().ping();
    http.set_rate_limit(1, Duration::from_secs(60));
    http.set_rate_limit(2, Duration::from_secs(60));
    let mut client = Client::new(http);
    for (status, body) in [(200, "PONG"), (200, "PONG"), (429, "Too Many Requests\n")] {
        client.send(get("/ping"));
        let answer = client.answer();
        assert_eq!((answer.status(), &*answer.body), (status, body));
        assert_eq!(answer.field("retry-after").is_some(), status == 429);
    }
    clock.advance(Duration::from_secs(60));
    client.send(get("/ping"));
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn the_timeout_closes_clients_that_idle() {
    let clock = manual_clock();
    let http = server().ping().set_timeout(Duration::from_secs(3));
    let mut client = Client::new(http);
    client.send(get("/ping"));
    client.answer();
    clock.advance(Duration::from_secs(2));
    assert!(!client.is_over());
    clock.advance(Duration::from_secs(2));
    assert!(client.is_over());
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
        client.answer();
    }
    drop(other);
    settle();
    client.send(get("/stats"));
    assert_eq!(
        client.answer().body,
        concat!(
            r#"{"open_connections":1,"open_upgrades":0,"connections":2,"upgrades":0,"requests":4,"#,
            r#""responses_2xx":2,"responses_3xx":0,"responses_4xx":1,"responses_5xx":0}"#
        )
    );
}

#[test]
fn as_much_of_an_unread_body_is_thrown_away_as_the_server_is_told() {
    let http = server().drain_limit(10);
    http.post("/", |_: Request| "unread");
    let mut client = Client::new(http);
    client.send(post("/", "0123456789"));
    assert!(!client.answer().closes());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n");
    assert!(client.answer().closes());
    assert_eq!(client.rest(), "");
}

/// A middleware that adds a route when it is made.
struct WithRoute(HttpServer);

impl IntoMiddleware<WithRoute> for WithRoute {
    fn into_middleware(self) -> Middleware {
        self.0.get("/made", |_: Request| "made");
        (|request: Request, next: Next| next.run(request)).into_middleware()
    }
}

#[test]
fn a_middleware_may_configure_the_server_while_it_is_made() {
    let http = server();
    http.wrap(WithRoute(http));
    let mut client = Client::new(http);
    client.send(get("/made"));
    assert_eq!(client.answer().body, "made");
}
