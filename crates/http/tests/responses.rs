//! Routes and the responses of handlers, from the client's point of view.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use uptick_emitter::Emitter;
use uptick_http::{
    Compression, Cookie, HttpError, HttpServer, Next, ParseError, Request, Response, ServerEvent,
    StatusCode,
};

use support::{Client, ClientResponse, Log, get, server, settle};

/// Sends a GET with additional headers, and returns the response.
#[track_caller]
fn fetch(http: HttpServer, target: &str, fields: &str) -> ClientResponse {
    let mut client = Client::new(http);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response()
}

/// Returns the query parameter `v`.
fn value(req: &Request) -> String {
    req.query_value("v").unwrap_or_default().into_owned()
}

#[test]
fn a_parsed_response_is_sent_with_its_actual_length() {
    let http = server();
    http.get("/", |_: Request| -> Result<Response, ParseError> {
        Response::parse("HTTP/1.1 404 Oops\r\nX-A: b\r\nContent-Length: 18\r\n\r\nHello World!")
    });
    let response = fetch(http, "/", "");
    assert_eq!(response.status(), 404);
    assert_eq!(response.field("content-length"), Some("12"));
    assert_eq!(response.field("x-a"), Some("b"));
    assert_eq!(response.body, "Hello World!");
}

#[test]
fn a_malformed_response_text_is_an_error() {
    let http = server();
    http.get("/", |_: Request| Response::parse("Hello World!"));
    let response = fetch(http, "/", "");
    assert_eq!(response.status(), 500);
    assert_eq!(response.body, "Internal Server Error\n");
}

#[test]
fn a_string_that_looks_like_a_response_is_a_text_body() {
    let http = server();
    http.get("/", |req: Request| value(&req));
    let response = fetch(http, "/?v=HTTP/1.1%20200%20OK%0D%0Ax:%20y%0D%0A%0D%0A", "");
    assert_eq!(response.body, "HTTP/1.1 200 OK\r\nx: y\r\n\r\n");
    assert_eq!(response.field("x"), None);
}

#[test]
fn echoed_input_does_not_split_a_response() {
    let http = server();
    http.get("/header", |req: Request| {
        Response::plain("").header("x-echo", value(&req))
    });
    http.get("/redirect", |req: Request| Response::redirect(&value(&req)));
    http.get("/cookie", |req: Request| {
        Response::plain("").cookie(("a", value(&req)))
    });
    for target in ["/header", "/redirect", "/cookie"] {
        assert!(fetch(http, &format!("{target}?v=fine"), "").status() < 400);
        for end in ["%0D%0A", "%0A", "%0D", "%00"] {
            let response = fetch(http, &format!("{target}?v=a{end}set-cookie:%20evil=1"), "");
            assert_eq!(response.status(), 500, "{target} {end}");
            assert!(!response.head.contains("evil"), "{target} {end}");
        }
    }
}

#[test]
fn a_redirect_is_sent_with_its_cookies() {
    let http = server();
    http.get("/", |_: Request| {
        Response::redirect("/login?next=/")
            .cookie(Cookie::build(("a", "1")).http_only(true))
            .cookie(("b", "2"))
    });
    let response = fetch(http, "/", "");
    assert_eq!(response.status(), 302);
    assert_eq!(response.field("location"), Some("/login?next=/"));
    assert!(response.head.contains("set-cookie: a=1; HttpOnly\r\n"));
    assert!(response.head.contains("set-cookie: b=2\r\n"));
    assert_eq!(response.field("content-length"), Some("0"));
}

#[test]
fn requests_without_a_route_have_the_matching_status() {
    let http = server();
    http.get("/a", |_: Request| "a");
    for (request, status) in [
        ("GET /<b>x</b> HTTP/1.1", 404),
        ("POST /a HTTP/1.1", 405),
        ("ODD /a HTTP/1.1", 501),
        ("OPTIONS /a HTTP/1.1", 204),
        ("OPTIONS * HTTP/1.1", 204),
        ("GET /%zz HTTP/1.1", 400),
    ] {
        let mut client = Client::new(http);
        client.send(format!("{request}\r\nHost: a\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status(), status, "{request}");
        assert!(!response.body.contains('<'), "{request}");
        let allow = matches!(status, 204 | 405).then_some("GET, HEAD, OPTIONS");
        assert_eq!(response.field("allow"), allow, "{request}");
    }
}

#[test]
fn the_error_callback_renders_every_error() {
    let http = server();
    http.error(|error: HttpError, req: &Request| {
        Response::html(format!(
            "<h1>{} {}</h1>",
            error.status().as_u16(),
            req.method()
        ))
    });
    http.get("/fails", |_: Request| async {
        Err::<&str, _>(std::fmt::Error)
    });
    http.get("/refuses", |_: Request| StatusCode::FORBIDDEN);
    for (target, status) in [("/fails", 500), ("/refuses", 403), ("/none", 404)] {
        let response = fetch(http, target, "");
        assert_eq!(response.status(), status);
        assert_eq!(response.body, format!("<h1>{status} GET</h1>"));
    }
}

#[test]
fn middleware_runs_for_every_response_of_its_server_or_group() {
    let http = server();
    http.wrap(|req: Request, next: Next| next.run(req).map(|res| res.header("x-all", "1")));
    http.get("/", |_: Request| "root");
    http.group("/api", |api| {
        api.wrap(|req: Request, next: Next| async move {
            if req.header("authorization").is_none() {
                return Some(HttpError::from_status(StatusCode::UNAUTHORIZED).into());
            }
            next.run(req).await
        });
        api.get("/users/{id}", |req: Request| async move {
            req.param("id").unwrap_or_default().to_owned()
        });
    });
    assert_eq!(fetch(http, "/", "").body, "root");
    let refused = fetch(http, "/api/users/7", "");
    assert_eq!((refused.status(), refused.field("x-all")), (401, Some("1")));
    assert_eq!(
        fetch(http, "/api/users/%37", "Authorization: x\r\n").body,
        "7"
    );
}

#[test]
fn a_page_is_compressed_for_clients_that_accept_it() {
    let http = server();
    http.wrap(Compression::new());
    http.get("/", |_: Request| Response::html("<p>hello</p>".repeat(500)));
    let plain = fetch(http, "/", "");
    assert_eq!(plain.field("content-encoding"), None);
    assert_eq!(plain.field("vary"), Some("accept-encoding"));
    assert_eq!(plain.body.len(), 6000);
    let small = fetch(http, "/", "Accept-Encoding: deflate, gzip;q=0.9\r\n");
    assert_eq!(small.field("content-encoding"), Some("gzip"));
    let length: usize = small.field("content-length").unwrap().parse().unwrap();
    assert!(length < 200, "{length}");
    let refused = fetch(http, "/", "Accept-Encoding: gzip;q=0\r\n");
    assert_eq!(refused.body, plain.body);
    let lines = "Accept-Encoding: deflate\r\nAccept-Encoding: gzip\r\n";
    assert_eq!(
        fetch(http, "/", lines).field("content-encoding"),
        Some("gzip")
    );
}

#[test]
fn compression_reads_all_lines_of_a_header() {
    let http = server();
    http.wrap(Compression::new());
    http.get("/known", |_: Request| {
        Response::new(StatusCode::NOT_MODIFIED).header("etag", "\"1\"")
    });
    http.get("/as-it-is", |_: Request| {
        let mut response = Response::html("<p>hello</p>".repeat(500));
        let headers = response.headers_mut();
        for value in ["public", "no-transform"] {
            headers.append("cache-control", value.parse().unwrap());
        }
        response
    });
    let tags = "If-None-Match: \"0\"\r\nIf-None-Match: W/\"1\"\r\nAccept-Encoding: gzip\r\n";
    assert_eq!(fetch(http, "/known", tags).field("etag"), Some("W/\"1\""));
    let received = fetch(http, "/as-it-is", "Accept-Encoding: gzip\r\n");
    assert_eq!(received.field("content-encoding"), None);
}

#[test]
fn events_reach_the_client_as_they_are_sent() {
    let http = server();
    let log = Log::default();
    let (seen, handle) = (log.clone(), std::rc::Rc::new(std::cell::Cell::new(None)));
    let given = std::rc::Rc::clone(&handle);
    http.get("/events", move |req: Request| {
        let (response, events) = Response::events();
        seen.add(req.last_event_id().unwrap_or("none"));
        let seen = seen.clone();
        events.on("close", move |()| seen.add("close"));
        given.set(Some(events));
        response
    });
    let mut client = Client::new(http);
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 41\r\n\r\n");
    settle();
    let head = client.take_received();
    assert!(
        head.contains("content-type: text/event-stream\r\n"),
        "{head}"
    );
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let events = handle.get().unwrap();
    events.send(ServerEvent::new("a\nb").id("42"));
    settle();
    assert!(
        client
            .take_received()
            .contains("id: 42\ndata: a\ndata: b\n\n")
    );
    events.send("c");
    settle();
    assert!(client.take_received().contains("data: c\n\n"));
    assert_eq!(log.text(), "41");
    client.reset();
    settle();
    assert_eq!(log.text(), "41 close");
    assert!(!events.send("d"));
}

#[test]
fn the_end_of_an_event_stream_does_not_close_the_connection() {
    let http = server();
    http.get("/events", |_: Request| {
        let (response, events) = Response::events();
        events.send("only");
        events.end();
        response
    });
    http.get("/", |_: Request| "next");
    let mut client = Client::new(http);
    client.send(get("/events"));
    settle();
    let text = client.take_received();
    assert!(
        text.contains("data: only\n\n") && text.ends_with("0\r\n\r\n"),
        "{text}"
    );
    client.send(get("/"));
    assert_eq!(client.response().body, "next");
}
