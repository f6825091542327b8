//! Requests of `HttpServer::test`: exchanges in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use uptick_emitter::Emitter;
use uptick_event_loop::{
    EventLoop, ManualClock, ScriptedPoller, add_timer, block_on, sleep, spawn,
};
use uptick_http::test::{TestError, TestResponse};
use uptick_http::{
    BodyError, BodyStream, Compression, Cookie, FileRange, HeaderMap, HeaderValue, HttpError,
    HttpServer, Next, Request, Responder, Response, ServerEvent, StatusCode, TrustedProxies,
};

/// Installs a loop without a system poller, so that no test can use a socket, and with a clock that waits advance.
fn no_sockets() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    clock
}

/// A log of events.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }

    fn text(&self) -> String {
        self.0.borrow().join(" ")
    }
}

fn settle() {
    for _ in 0..10 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

fn get(http: HttpServer, target: &str) -> TestResponse {
    http.test().get(target).send().unwrap()
}

#[test]
fn a_request_passes_middleware_routes_handlers_and_hooks() {
    no_sockets();
    let log = Log::default();
    let http = HttpServer::new();
    let seen = log.clone();
    http.wrap(move |req: Request, next: Next| {
        seen.add(format!("before:{}", req.path()));
        next.run(req)
            .map(|response| response.header("x-middleware", "yes"))
    });
    http.on_response(|response| response.header("x-hook", "yes"));
    http.set_header("x-default", "yes").unwrap();
    let (requests, responses) = (log.clone(), log.clone());
    http.on(HttpServer::REQUEST, move |info| requests.add(info.target()));
    http.on(HttpServer::RESPONSE, move |info| {
        responses.add(info.status.as_str());
    });
    http.get("/users/{id}", |req: Request| {
        let name = req.cookie("name").unwrap_or_default().to_owned();
        let cookie = Cookie::new("seen", "1");
        Response::plain(format!("{} {name}", req.param("id").unwrap_or("?"))).cookie(cookie)
    });

    let request = http
        .test()
        .get("/users/7?x=y")
        .cookie("a", "b")
        .cookie("name", "Ada");
    let response = request.header("accept", "text/plain").send().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text(), "7 Ada");
    assert_eq!(
        response.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    for name in ["x-middleware", "x-hook", "x-default"] {
        assert_eq!(response.header(name), Some("yes"), "{name}");
    }
    assert_eq!(response.cookie("seen"), Some("1"));
    assert_eq!(response.header("content-length"), None);
    assert_eq!(log.text(), "/users/7?x=y before:/users/7 200");
    assert_eq!(http.stats().requests, 1);
}

#[test]
fn errors_head_options_and_other_methods_are_answered_as_on_a_connection() {
    no_sockets();
    let http = HttpServer::new();
    http.get("/", |_: Request| "page");
    http.get("/panic", |_: Request| -> &str { panic!("broken") });
    http.get("/nothing", |_: Request| {});
    http.error(|error, _| Response::plain(format!("page of {}", error.status().as_u16())));
    let client = http.test();

    let head = client.head("/").send().unwrap();
    assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
    let options = client.options("/").send().unwrap();
    assert_eq!(options.status(), 204);
    assert_eq!(options.header("allow"), Some("GET, HEAD, OPTIONS"));
    let post = client.post("/").body("x").send().unwrap();
    assert_eq!(post.status(), 405);
    assert_eq!(post.header("allow"), Some("GET, HEAD, OPTIONS"));
    for (target, status) in [("/missing", 404), ("/panic", 500), ("/nothing", 500)] {
        let response = get(http, target);
        assert_eq!(response.status(), status);
        assert_eq!(response.text(), format!("page of {status}"));
    }
}

#[test]
fn bodies_are_read_as_text_json_pieces_and_events() {
    no_sockets();
    let http = HttpServer::new();
    http.post("/double", |req: Request| async move {
        let numbers: Vec<u32> = req.json().await?;
        Ok::<_, BodyError>(Response::json(
            numbers.iter().map(|n| n * 2).collect::<Vec<_>>(),
        ))
    });
    http.post("/events", |req: Request| {
        let responder = req.responder();
        let pieces = Rc::new(Cell::new(0));
        let seen = Rc::clone(&pieces);
        req.on(Request::DATA, move |_| seen.set(seen.get() + 1));
        req.on(Request::END, move |()| {
            responder.send(pieces.get().to_string());
        });
    });
    http.post("/limited", |req: Request| async move {
        req.bytes(4).await.map(|body| body.len().to_string())
    });
    let client = http.test();
    let doubled = client.post("/double").json(&[1, 2, 3]).send().unwrap();
    assert_eq!(doubled.json::<Vec<u32>>().unwrap(), [2, 4, 6]);
    let wrong = doubled.json::<String>().unwrap_err();
    assert!(wrong.to_string().contains("the body is [2,4,6]"), "{wrong}");

    let upload = client.post("/events").start_streaming().unwrap();
    for piece in ["one", "two", "three"] {
        assert!(upload.push(piece));
        settle();
    }
    upload.end();
    assert!(!upload.push("four"));
    assert_eq!(upload.wait().unwrap().text(), "3");
    assert_eq!(client.post("/events").send().unwrap().text(), "0");

    assert_eq!(
        client.post("/limited").body("four").send().unwrap().text(),
        "4"
    );
    assert_eq!(
        client
            .post("/limited")
            .body("fives")
            .send()
            .unwrap()
            .status(),
        413
    );
    let long = client.post("/limited").start_streaming().unwrap();
    long.push("fou");
    long.push("rs");
    assert_eq!(long.wait().unwrap().status(), 413);
}

#[test]
fn a_body_that_ends_before_its_length_fails() {
    no_sockets();
    let http = HttpServer::new();
    let log = Log::default();
    let seen = log.clone();
    http.post("/", move |req: Request| {
        let seen = seen.clone();
        async move {
            let body = req.bytes(100).await;
            seen.add(format!("{body:?}"));
            body.map(|_| "whole")
        }
    });
    let upload = http.test().post("/").header("content-length", 10);
    let upload = upload.start_streaming().unwrap();
    assert!(upload.push("12345"));
    assert!(!upload.push("678901"));
    upload.end();
    assert_ne!(upload.wait().unwrap().status(), 200);
    assert_eq!(log.text(), "Err(Closed)");
}

#[test]
fn pieces_of_a_response_are_read_one_by_one_with_backpressure() {
    no_sockets();
    let http = HttpServer::new();
    let log = Log::default();
    let seen = log.clone();
    http.get("/", move |_: Request, responder: Responder| {
        responder.start(Response::plain("head "));
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        seen.add(responder.write(piece).to_string());
        let drained = seen.clone();
        responder.on(Responder::DRAIN, move |()| {
            drained.add("drain");
            responder.end();
        });
    });
    let exchange = http.test().get("/").start().unwrap();
    assert_eq!(exchange.status(), Some(StatusCode::OK));
    assert_eq!(
        exchange.next_piece().unwrap().as_deref(),
        Some(&b"head "[..])
    );
    settle();
    assert_eq!(log.text(), "false");
    assert_eq!(
        exchange.next_piece().unwrap().map(|piece| piece.len()),
        Some(64 * 1024)
    );
    assert_eq!(exchange.next_piece().unwrap(), None);
    assert_eq!(log.text(), "false drain");
}

#[test]
fn server_sent_events_are_received_one_by_one() {
    no_sockets();
    let http = HttpServer::new();
    http.get("/", |_: Request| {
        let (response, events) = Response::events();
        events.send(ServerEvent::new("one"));
        add_timer(Duration::from_secs(5), move || {
            events.send(ServerEvent::new("two"));
            events.end();
        });
        response
    });
    let exchange = http.test().get("/").start().unwrap();
    let mut text = String::new();
    while let Some(piece) = exchange.next_piece().unwrap() {
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(text.ends_with("data: one\n\ndata: two\n\n"), "{text}");
    assert_eq!(
        exchange.headers().unwrap().get("content-type").unwrap(),
        "text/event-stream"
    );
}

#[test]
fn files_streams_and_trailers_are_sent() {
    let http = HttpServer::new();
    http.get("/file", |_: Request| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        Response::binary(FileRange::new(file, 2, 5))
    });
    http.get("/trailers", |_: Request| {
        let pieces = stream::iter(["one", "two"].map(Ok::<_, std::io::Error>));
        let body = BodyStream::new(pieces).with_trailers(|| {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("6"));
            trailers
        });
        Response::plain(body)
    });
    assert_eq!(get(http, "/file").text(), "23456");
    let with = http.test().get("/trailers").header("te", "trailers");
    let with = with.send().unwrap();
    assert_eq!(with.text(), "onetwo");
    assert_eq!(with.trailers().get("x-sum").unwrap(), "6");
    assert!(get(http, "/trailers").trailers().is_empty());
}

#[test]
fn an_aborted_response_is_an_error() {
    no_sockets();
    let http = HttpServer::new();
    http.get("/error", |_: Request| {
        Response::stream(stream::iter([
            Ok(Bytes::from_static(b"part")),
            Err(std::io::Error::other("broken")),
        ]))
    });
    for (path, length) in [("/short", 7), ("/long", 5)] {
        http.get(path, move |_: Request| {
            let pieces = stream::iter(["one", "two"].map(Ok::<_, std::io::Error>));
            Response::plain(BodyStream::new(pieces).with_length(length))
        });
    }
    for path in ["/error", "/short", "/long"] {
        let error = http.test().get(path).send().unwrap_err();
        assert!(
            matches!(error, TestError::Aborted { .. }),
            "{path}: {error}"
        );
        assert!(
            error.to_string().contains(&format!("GET {path}")),
            "{error}"
        );
    }
}

#[test]
fn a_handler_that_never_responds_is_a_500_after_the_response_timeout() {
    let clock = no_sockets();
    let http = HttpServer::new();
    http.get("/", |_: Request| std::future::pending::<&str>());
    http.get("/held", |req: Request| {
        req.responder();
    });
    for (target, after) in [("/", 60), ("/held", 120)] {
        assert_eq!(get(http, target).status(), 500);
        assert_eq!(clock.elapsed(), Duration::from_secs(after));
    }
    http.response_timeout(Some(Duration::from_secs(5)));
    assert_eq!(get(http, "/").status(), 500);
    assert_eq!(clock.elapsed(), Duration::from_secs(125));
    http.response_timeout(None);
    let error = http.test().get("/held").send().unwrap_err();
    assert!(matches!(error, TestError::NoResponse { .. }), "{error}");
}

#[test]
fn the_response_timeout_starts_when_the_body_has_been_read() {
    let clock = no_sockets();
    let http = HttpServer::new();
    http.post("/", |req: Request| async move {
        req.bytes(10).await?;
        sleep(Duration::from_secs(50)).await;
        Ok::<_, HttpError>("in time")
    });
    let upload = http.test().post("/").start_streaming().unwrap();
    let ended = Rc::new(upload);
    let later = Rc::downgrade(&ended);
    add_timer(Duration::from_secs(30), move || {
        later.upgrade().unwrap().end()
    });
    EventLoop::current()
        .run_once(Some(Duration::from_secs(30)))
        .unwrap();
    settle();
    let upload = Rc::into_inner(ended).unwrap();
    assert_eq!(upload.wait().unwrap().text(), "in time");
    assert_eq!(clock.elapsed(), Duration::from_secs(80));
}

#[test]
fn a_disconnect_emits_close_and_cancels_the_handler() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("cancelled");
        }
    }
    no_sockets();
    let http = HttpServer::new();
    let log = Log::default();
    let seen = log.clone();
    http.get("/", move |req: Request| {
        let dropped = Dropped(seen.clone());
        let closed = seen.clone();
        req.on(Request::CLOSE, move |()| closed.add("close"));
        async move {
            std::future::pending::<()>().await;
            drop(dropped);
            "never"
        }
    });
    let exchange = http.test().get("/").start().unwrap();
    settle();
    exchange.disconnect();
    settle();
    assert_eq!(log.text(), "close cancelled");
    let error = exchange.wait().unwrap_err();
    assert!(matches!(error, TestError::Disconnected { .. }), "{error}");
    drop(http.test().get("/").start().unwrap());
    settle();
    assert_eq!(log.text(), "close cancelled close cancelled");
}

#[test]
fn a_response_can_be_awaited_on_the_loop() {
    no_sockets();
    let http = HttpServer::new();
    http.get("/", |_: Request| async {
        sleep(Duration::from_secs(1)).await;
        "later"
    });
    let nested = http.test().get("/").start().unwrap();
    let text = block_on(async move {
        let inside = spawn(async move { http.test().get("/").send().unwrap_err() });
        let error = inside.await.unwrap();
        assert!(matches!(error, TestError::Loop { .. }), "{error}");
        nested
            .response()
            .await
            .map(|response| response.text().into_owned())
    });
    assert_eq!(text.unwrap().unwrap(), "later");
}

#[test]
fn a_request_can_set_its_peer() {
    no_sockets();
    let http = HttpServer::new();
    http.trusted_proxies(TrustedProxies::parse("10.0.0.0/8").unwrap());
    http.get("/", |req: Request| {
        let client = req.client().map(|ip| ip.to_string());
        format!("{} {}", client.unwrap_or_default(), req.scheme())
    });
    let from = |peer: &str| {
        let peer: SocketAddr = peer.parse().unwrap();
        let request = http.test().get("/").peer(peer).secure(true);
        let request = request.header("x-forwarded-for", "203.0.113.9");
        request.send().unwrap().text().into_owned()
    };
    assert_eq!(from("192.0.2.1:4000"), "192.0.2.1 https");
    assert!(
        from("10.0.0.1:4000").starts_with("203.0.113.9"),
        "{}",
        from("10.0.0.1:4000")
    );
    assert_eq!(get(http, "/").text(), " http");
}

#[test]
fn an_invalid_request_is_refused_with_the_status_of_a_connection() {
    no_sockets();
    let http = HttpServer::new();
    let refused = |target: &str, name: &'static str, value: &str| {
        let request = http.test().get(target).header(name, value);
        match request.send().unwrap_err() {
            TestError::InvalidRequest { status, .. } => status.as_u16(),
            error => panic!("{error}"),
        }
    };
    assert_eq!(refused("/ HTTP/1.1\r\nx: y", "a", "b"), 400);
    assert_eq!(refused("/", "bad name", "b"), 400);
    assert_eq!(refused("/", "transfer-encoding", "gzip"), 501);
    assert_eq!(refused(&format!("/{}", "x".repeat(70_000)), "a", "b"), 414);
    assert_eq!(refused("/", "a", &"x".repeat(70_000)), 431);
}

#[test]
fn compression_and_upgrades_work_in_memory() {
    no_sockets();
    let http = HttpServer::new();
    http.wrap(Compression::new());
    http.get("/", |_: Request| "text ".repeat(1000));
    http.get("/upgrade", |_: Request| Response::upgrade("other", |_| {}));
    let response = http.test().get("/").header("accept-encoding", "gzip");
    let response = response.send().unwrap();
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert!(response.body().len() < 1000);
    let request = http.test().get("/upgrade").header("connection", "upgrade");
    let response = request.header("upgrade", "other").send().unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(get(http, "/upgrade").status(), 426);
}
