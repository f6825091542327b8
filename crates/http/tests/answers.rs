//! Routes, and what handlers answer with, as clients get them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use uptick_emitter::Emitter;
use uptick_http::{
    Compression, Cookie, HttpError, HttpServer, Next, ParseError, Request, Response, ServerEvent,
    StatusCode,
};

use support::{Answer, Client, Log, get, server, settle};

/// The answer to a GET of a target with further fields.
#[track_caller]
fn ask(http: HttpServer, target: &str, fields: &str) -> Answer {
    let mut client = Client::new(http);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.answer()
}

/// The value of the query's `v`.
fn value(req: &Request) -> String {
    req.query_value("v").unwrap_or_default().into_owned()
}

#[test]
fn a_response_written_out_is_sent_with_the_length_that_it_has() {
    let http = server();
    http.get("/", |_: Request| -> Result<Response, ParseError> {
        Response::parse("HTTP/1.1 404 Oops\r\nX-A: b\r\nContent-Length: 18\r\n\r\nHello World!")
    });
    let answer = ask(http, "/", "");
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.field("content-length"), Some("12"));
    assert_eq!(answer.field("x-a"), Some("b"));
    assert_eq!(answer.body, "Hello World!");
}

#[test]
fn a_response_written_out_badly_is_an_error() {
    let http = server();
    http.get("/", |_: Request| Response::parse("Hello World!"));
    let answer = ask(http, "/", "");
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.body, "Internal Server Error\n");
}

#[test]
fn a_string_that_looks_like_a_response_is_a_text() {
    let http = server();
    http.get("/", |req: Request| value(&req));
    let answer = ask(http, "/?v=HTTP/1.1%20200%20OK%0D%0Ax:%20y%0D%0A%0D%0A", "");
    assert_eq!(answer.body, "HTTP/1.1 200 OK\r\nx: y\r\n\r\n");
    assert_eq!(answer.field("x"), None);
}

#[test]
fn echoed_input_does_not_split_an_answer() {
    let http = server();
    http.get("/header", |req: Request| {
        Response::plain("").header("x-echo", value(&req))
    });
    http.get("/redirect", |req: Request| Response::redirect(&value(&req)));
    http.get("/cookie", |req: Request| {
        Response::plain("").cookie(("a", value(&req)))
    });
    for target in ["/header", "/redirect", "/cookie"] {
        assert!(ask(http, &format!("{target}?v=fine"), "").status() < 400);
        for end in ["%0D%0A", "%0A", "%0D", "%00"] {
            let answer = ask(http, &format!("{target}?v=a{end}set-cookie:%20evil=1"), "");
            assert_eq!(answer.status(), 500, "{target} {end}");
            assert!(!answer.head.contains("evil"), "{target} {end}");
        }
    }
}

#[test]
fn a_redirect_and_its_cookies_arrive() {
    let http = server();
    http.get("/", |_: Request| {
        Response::redirect("/login?next=/")
            .cookie(Cookie::build(("a", "1")).http_only(true))
            .cookie(("b", "2"))
    });
    let answer = ask(http, "/", "");
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.field("location"), Some("/login?next=/"));
    assert!(answer.head.contains("set-cookie: a=1; HttpOnly\r\n"));
    assert!(answer.head.contains("set-cookie: b=2\r\n"));
    assert_eq!(answer.field("content-length"), Some("0"));
}

#[test]
fn what_has_no_route_is_answered_for_what_it_is() {
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
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{request}");
        assert!(!answer.body.contains('<'), "{request}");
        let allow = matches!(status, 204 | 405).then_some("GET, HEAD, OPTIONS");
        assert_eq!(answer.field("allow"), allow, "{request}");
    }
}

#[test]
fn the_error_callback_shapes_every_error() {
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
        let answer = ask(http, target, "");
        assert_eq!(answer.status(), status);
        assert_eq!(answer.body, format!("<h1>{status} GET</h1>"));
    }
}

#[test]
fn middlewares_see_every_answer_and_those_of_a_group_its_own() {
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
    assert_eq!(ask(http, "/", "").body, "root");
    let refused = ask(http, "/api/users/7", "");
    assert_eq!((refused.status(), refused.field("x-all")), (401, Some("1")));
    assert_eq!(
        ask(http, "/api/users/%37", "Authorization: x\r\n").body,
        "7"
    );
}

#[test]
fn a_page_is_compressed_for_those_who_ask() {
    let http = server();
    http.wrap(Compression::new());
    http.get("/", |_: Request| Response::html("<p>hello</p>".repeat(500)));
    let plain = ask(http, "/", "");
    assert_eq!(plain.field("content-encoding"), None);
    assert_eq!(plain.field("vary"), Some("accept-encoding"));
    assert_eq!(plain.body.len(), 6000);
    let small = ask(http, "/", "Accept-Encoding: deflate, gzip;q=0.9\r\n");
    assert_eq!(small.field("content-encoding"), Some("gzip"));
    let length: usize = small.field("content-length").unwrap().parse().unwrap();
    assert!(length < 200, "{length}");
    let refused = ask(http, "/", "Accept-Encoding: gzip;q=0\r\n");
    assert_eq!(refused.body, plain.body);
    let lines = "Accept-Encoding: deflate\r\nAccept-Encoding: gzip\r\n";
    assert_eq!(
        ask(http, "/", lines).field("content-encoding"),
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
    assert_eq!(ask(http, "/known", tags).field("etag"), Some("W/\"1\""));
    let answer = ask(http, "/as-it-is", "Accept-Encoding: gzip\r\n");
    assert_eq!(answer.field("content-encoding"), None);
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
    let head = client.so_far();
    assert!(
        head.contains("content-type: text/event-stream\r\n"),
        "{head}"
    );
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let events = handle.get().unwrap();
    events.send(ServerEvent::new("a\nb").id("42"));
    settle();
    assert!(client.so_far().contains("id: 42\ndata: a\ndata: b\n\n"));
    events.send("c");
    settle();
    assert!(client.so_far().contains("data: c\n\n"));
    assert_eq!(log.text(), "41");
    client.reset();
    settle();
    assert_eq!(log.text(), "41 close");
    assert!(!events.send("d"));
}

#[test]
fn events_that_are_over_end_the_answer_and_not_the_connection() {
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
    let text = client.so_far();
    assert!(
        text.contains("data: only\n\n") && text.ends_with("0\r\n\r\n"),
        "{text}"
    );
    client.send(get("/"));
    assert_eq!(client.answer().body, "next");
}
