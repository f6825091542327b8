//! Callbacks for response headers (`Request::on_response_headers`).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use futures::{StreamExt, stream};
use support::{Client, Log, capture_logs, get, manual_clock, post, run_until, server, settle};
use uptick_event_loop::{add_timer, sleep};
use uptick_http::{
    BodyError, HeaderValue, HttpError, HttpServer, Next, Reply, Request, Responder, Response,
    StatusCode,
};

/// A middleware that adds a header to every response.
fn marked(req: Request, next: Next) -> Reply {
    req.on_response_headers(|status, headers| {
        headers.append("x-status", status.as_u16().into());
    });
    next.run(req)
}

#[track_caller]
fn status_and_mark(http: HttpServer, request: &str) -> (u16, Option<String>) {
    let mut client = Client::new(http);
    client.send(request);
    let response = client.response();
    (
        response.status(),
        response.field("x-status").map(str::to_owned),
    )
}

fn mark(status: u16) -> (u16, Option<String>) {
    (status, Some(status.to_string()))
}

#[test]
fn all_kinds_of_responses_have_the_header() {
    let http = server().wrap(marked);
    http.get("/plain", |_: Request| "hello");
    http.get("/long", |_: Request| "x".repeat(100_000));
    http.get("/future", |_: Request| async {
        sleep(Duration::from_millis(1)).await;
        StatusCode::ACCEPTED
    });
    http.get("/sent", |_: Request, res: Responder| {
        res.send("hello");
    });
    http.get("/sent/later", |_: Request, res: Responder| {
        add_timer(Duration::from_millis(1), move || {
            res.send(StatusCode::CREATED)
        });
    });
    http.get("/sent/in-future", |_: Request, res: Responder| async move {
        sleep(Duration::from_millis(1)).await;
        res.send("hello");
    });
    http.get("/started", |_: Request, res: Responder| {
        res.start(Response::plain("one"));
        res.write("two");
        res.end();
    });
    http.get("/stream", |_: Request| {
        let pieces = stream::iter(["one", "two"]).map(Ok::<_, std::io::Error>);
        Response::stream(pieces)
    });
    for (path, status) in [
        ("/plain", 200),
        ("/long", 200),
        ("/future", 202),
        ("/sent", 200),
        ("/sent/later", 201),
        ("/sent/in-future", 200),
        ("/started", 200),
        ("/stream", 200),
        ("/nowhere", 404),
    ] {
        assert_eq!(status_and_mark(http, &get(path)), mark(status), "{path}");
    }
    assert_eq!(status_and_mark(http, &post("/plain", "")), mark(405));
}

#[test]
fn all_kinds_of_errors_have_the_header() {
    let http = server().wrap(marked).body_limit(10);
    http.get("/error", |_: Request| {
        Err::<String, _>(HttpError::not_found())
    });
    http.get("/panic", |_: Request| -> Response { panic!("on purpose") });
    http.get("/sent", |_: Request, res: Responder| {
        res.send(HttpError::from_status(StatusCode::CONFLICT));
    });
    http.get("/unsendable", |_: Request| {
        Response::plain("x").header("x", "\n")
    });
    http.get("/interim", |_: Request| StatusCode::PROCESSING);
    http.get("/forgotten", |req: Request| {
        req.responder();
    });
    http.get("/without", |_: Request| ());
    http.post("/body", |req: Request| async move {
        req.text().await.map_err(HttpError::from)
    });
    http.post("/listener", |req: Request, _: Responder| {
        use uptick_emitter::Emitter;
        req.on("data", |_: bytes::Bytes| panic!("on purpose"));
    });
    http.response_timeout(Some(Duration::from_millis(20)));
    for (path, status) in [
        ("/error", 404),
        ("/panic", 500),
        ("/sent", 409),
        ("/unsendable", 500),
        ("/interim", 500),
        ("/forgotten", 500),
        ("/without", 500),
    ] {
        assert_eq!(status_and_mark(http, &get(path)), mark(status), "{path}");
    }
    let long = post("/body", "longer than that");
    assert_eq!(status_and_mark(http, &long), mark(413));
    assert_eq!(status_and_mark(http, &post("/listener", "x")), mark(500));
}

#[test]
fn the_error_for_a_response_timeout_has_the_header() {
    let clock = manual_clock();
    let http = server().wrap(marked);
    http.get("/", |_: Request, _: Responder| ());
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    // The deadline is checked every few seconds.
    for _ in 0..14 {
        clock.advance(Duration::from_secs(5));
        settle();
    }
    let response = client.response();
    assert_eq!(
        (response.status(), response.field("x-status")),
        (500, Some("500"))
    );
}

#[test]
fn the_error_for_a_malformed_body_has_the_header() {
    let http = server().wrap(marked);
    http.post("/", |req: Request, res: Responder| {
        use uptick_emitter::Emitter;
        req.on("end", move |()| res.send("whole"));
        req.resume();
    });
    let chunked =
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n";
    assert_eq!(status_and_mark(http, chunked), mark(400));
}

#[test]
fn each_request_of_a_connection_has_its_own_callbacks() {
    let http = server().get("/", |req: Request| {
        if req.query_string() == Some("mark") {
            req.on_response_headers(|_, headers| {
                headers.insert("x-mark", HeaderValue::from_static("yes"));
            });
        }
        "hello"
    });
    let mut client = Client::new(http);
    for (path, mark) in [
        ("/?mark", Some("yes")),
        ("/", None),
        ("/?mark", Some("yes")),
    ] {
        client.send(get(path));
        assert_eq!(client.response().field("x-mark"), mark, "{path}");
    }
}

#[test]
fn callbacks_of_outer_middleware_run_after_inner_ones_and_the_server_hook() {
    let http = server().get("/", |_: Request| "hello");
    let append = |name: &'static str| {
        move |req: Request, next: Next| {
            req.on_response_headers(move |_, headers| {
                let seen = headers.get("x-order").map(|order| order.to_str().unwrap());
                let order = format!("{} {name}", seen.unwrap_or_default());
                headers.insert("x-order", order.trim().parse().unwrap());
            });
            next.run(req)
        }
    };
    http.wrap(append("outer")).wrap(append("inner"));
    http.on_response(|res| res.header("x-order", "server"));
    let mut client = Client::new(http);
    client.send(get("/"));
    let response = client.response();
    assert_eq!(response.field("x-order"), Some("server inner outer"));
}

#[test]
fn a_callback_panic_is_logged_and_the_response_is_a_500() {
    let http = server().wrap(marked).get("/", |_: Request| "hello");
    http.wrap(|req: Request, next: Next| {
        req.on_response_headers(|_, _| panic!("on purpose"));
        next.run(req)
    });
    http.wrap(|req: Request, next: Next| {
        req.on_response_headers(|_, headers| {
            headers.insert("x-inner", HeaderValue::from_static("yes"));
        });
        next.run(req)
    });
    let mut client = Client::new(http);
    let mut response = None;
    let lines = capture_logs(|| {
        client.send(get("/"));
        response = Some(client.response());
    });
    let response = response.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(response.field("x-status"), Some("500"));
    assert_eq!(response.field("x-inner"), Some("yes"));
    assert_eq!(response.body, "Internal Server Error\n");
    let capture_logs =
        |line: &String| line.contains("a callback for response headers panicked: on purpose");
    assert!(lines.iter().any(capture_logs), "{lines:?}");
}

#[test]
fn headers_are_edited_even_if_the_server_hook_panics() {
    let http = server().wrap(marked).get("/", |_: Request| "hello");
    http.on_response(|_| panic!("on purpose"));
    assert_eq!(status_and_mark(http, &get("/")), mark(500));
}

#[test]
fn a_callback_registered_after_the_response_started_is_not_called() {
    let log = Log::default();
    let called = log.clone();
    let http = server().get("/", move |req: Request, res: Responder| {
        res.start(Response::plain("one"));
        let called = called.clone();
        req.on_response_headers(move |_, _| called.add("called"));
        res.end();
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    assert_eq!(client.response().body, "one");
    assert_eq!(log.text(), "");
}

#[test]
fn callbacks_are_dropped_with_the_exchange() {
    let log = Log::default();
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    let captured = log.clone();
    let http = server().get("/", move |req: Request, _: Responder| {
        let captured = Dropped(captured.clone());
        req.on_response_headers(move |_, _| captured.0.add("called"));
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    client.reset();
    run_until(|| log.text() == "dropped");
}

#[test]
fn a_body_error_listener_can_still_send_the_response() {
    // The response of the `error` listener passes the callbacks as well.
    let http = server().wrap(marked);
    http.post("/", |req: Request, res: Responder| {
        use uptick_emitter::Emitter;
        req.on("error", move |_: BodyError| {
            res.send(StatusCode::UNPROCESSABLE_ENTITY)
        });
        req.resume();
    });
    let chunked =
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n";
    assert_eq!(status_and_mark(http, chunked), mark(422));
}
