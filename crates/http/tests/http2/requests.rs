//! Requests and responses.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_http::h1::Version;
use uptick_http::h2::ErrorCode;
use uptick_http::{
    HeaderMap, HttpError, HttpServer, LimitConcurrency, Next, Request, Responder, Response,
    StatusCode,
};

use crate::client::{Client, pass, request, server};
use crate::frames::*;
use crate::support::{capture_logs, manual_clock};

#[test]
fn requests_are_handled_at_the_same_time() {
    let clock = manual_clock();
    let http = server();
    http.get("/wait/{ms}", |req: Request| async move {
        let time = req.param("ms").and_then(|ms| ms.parse().ok()).unwrap_or(0);
        sleep(Duration::from_millis(time)).await;
        time.to_string()
    });
    let mut client = Client::new(http);
    let ids = ["/wait/300", "/wait/100", "/wait/200", "/"].map(|path| client.get(path));
    client.read();
    pass(&clock, Duration::from_millis(500));
    client.read();
    assert_eq!(client.order, [ids[3], ids[1], ids[2], ids[0]]);
    assert_eq!(client.streams[&ids[0]].text(), "300");
    assert_eq!(http.stats().http2_requests, 4);
}

#[test]
fn a_request_has_its_version_host_and_headers() {
    let http = HttpServer::new();
    http.get("/a", |req: Request| {
        assert_eq!(req.version(), Version::Http2);
        let cookies = req.headers().get_all("cookie").iter().count();
        let cookie = req.header("cookie").unwrap_or_default();
        format!(
            "{} {:?} {:?} {cookies} {cookie}",
            req.target(),
            req.host(),
            req.header("x")
        )
    });
    let mut client = Client::new(http);
    let mut fields = request("GET", "/a?b=c");
    fields.extend([("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]);
    let id = client.request(&fields, END_STREAM);
    let response = client.response(id);
    assert_eq!(
        response.text(),
        r#"/a?b=c Some("a.example") Some("y") 1 a=1; b=2"#
    );
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let http = server();
    http.get("/none", |_: Request| StatusCode::NO_CONTENT);
    http.get("/same", |_: Request| StatusCode::NOT_MODIFIED);
    let mut client = Client::new(http);
    for (method, path, status, length) in [
        ("GET", "/none", 204, None),
        ("GET", "/same", 304, None),
        ("HEAD", "/", 200, Some("5")),
        ("HEAD", "/long", 200, Some("300000")),
        ("GET", "/nothing", 404, None),
        ("DELETE", "/", 405, None),
    ] {
        let id = client.request(&request(method, path), END_STREAM);
        let response = client.response(id);
        assert_eq!((response.status, response.ended), (status, true), "{path}");
        if status < 400 {
            assert_eq!(response.field("content-length"), length, "{path}");
            assert!(response.body.is_empty() && response.pieces.is_empty());
        }
    }
}

#[test]
fn headers_of_a_connection_are_not_sent() {
    let http = HttpServer::new();
    http.get("/", |_: Request| {
        Response::plain("x")
            .header("connection", "keep-alive, x-hop")
            .header("keep-alive", "timeout=5")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c")
            .header("content-length", "99")
            .header("x-kept", "yes")
    });
    let mut client = Client::new(http);
    let id = client.get("/");
    let response = client.response(id);
    assert_eq!(response.text(), "x");
    assert_eq!(response.field("content-length"), Some("1"));
    assert_eq!(response.field("x-kept"), Some("yes"));
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_eq!(response.field(name), None);
    }
}

#[test]
fn early_hints_precede_the_response() {
    let http = HttpServer::new();
    http.get("/", |req: Request| {
        let mut headers = HeaderMap::new();
        headers.insert("link", "</a.css>; rel=preload".parse().unwrap());
        assert!(req.send_early_hints(&headers));
        "page"
    });
    let mut client = Client::new(http);
    let id = client.get("/");
    let response = client.response(id);
    assert_eq!(
        (response.interim.as_slice(), response.status),
        (&[103][..], 200)
    );
}

#[test]
fn a_responder_responds_from_the_handler_of_another_request() {
    let http = HttpServer::new();
    let waiting = Rc::<RefCell<Option<Responder>>>::default();
    let place = Rc::clone(&waiting);
    http.get("/first", move |req: Request| {
        *place.borrow_mut() = Some(req.responder());
    });
    http.get("/second", move |_: Request| {
        if let Some(first) = waiting.borrow_mut().take() {
            assert!(first.send("by the second"));
            assert!(!first.send("again"));
        }
        "second"
    });
    let mut client = Client::new(http);
    let first = client.get("/first");
    assert_eq!(client.seen(first).status, 0);
    let second = client.get("/second");
    assert_eq!(client.response(second).text(), "second");
    assert_eq!(client.response(first).text(), "by the second");
}

#[test]
fn a_streamed_response_has_trailers() {
    let http = HttpServer::new();
    http.get("/", |req: Request| {
        let responder = req.responder();
        responder.start(Response::plain("one "));
        responder.write("two");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "2".parse().unwrap());
        trailers.insert("connection", "close".parse().unwrap());
        responder.end_with_trailers(&trailers);
    });
    let mut client = Client::new(http);
    let id = client.get("/");
    let response = client.response(id);
    assert_eq!(response.text(), "one two");
    assert_eq!(response.trailers, [("x-sum".to_owned(), "2".to_owned())]);
    assert_eq!(response.field("content-length"), None);
}

fn fail(message: &str) -> &'static str {
    panic!("{message}");
}

#[test]
fn a_panic_is_an_error_of_its_request_only() {
    let http = server();
    http.get("/now", |_: Request| fail("in the handler"));
    http.get("/later", |_: Request| async {
        sleep(Duration::ZERO).await;
        fail("in the future")
    });
    http.get("/started", |req: Request| async move {
        req.responder().start(Response::plain("begin"));
        sleep(Duration::ZERO).await;
        fail("after the start")
    });
    let mut client = Client::new(http);
    capture_logs(|| {
        let ids = ["/now", "/later", "/started", "/"].map(|path| client.get(path));
        let responses = ids.map(|id| client.response(id));
        assert_eq!(responses[0].status, 500);
        assert_eq!(responses[1].status, 500);
        assert_eq!(responses[2].reset, Some(ErrorCode::INTERNAL_ERROR));
        assert_eq!(responses[3].text(), "hello");
    });
    // A panic ends the connection after its requests, as for HTTP/1.
    assert_eq!(client.closed(), ErrorCode::NO_ERROR);
}

#[test]
fn a_body_of_another_length_than_announced_resets_its_stream() {
    let http = server();
    http.get("/{length}", |req: Request| {
        let responder = req.responder();
        let length = req.param("length").unwrap_or_default().to_owned();
        responder.start(Response::plain("").header("content-length", length));
        responder.write("four");
        responder.end();
    });
    let mut client = Client::new(http);
    for length in ["3", "5"] {
        let id = client.get(&format!("/{length}"));
        let response = client.response(id);
        // The length of a started response is not known: its header is replaced.
        assert_eq!(
            (response.text(), response.field("content-length")),
            ("four", None)
        );
    }
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn a_handler_that_closes_the_connection_is_the_last_one() {
    let http = server();
    let calls = Rc::<RefCell<Vec<String>>>::default();
    let record = Rc::clone(&calls);
    http.get("/close/{n}", move |req: Request| {
        record.borrow_mut().push(req.target().to_owned());
        if let Some(conn) = req.connection() {
            conn.close();
        }
        "closed"
    });
    let mut client = Client::new(http);
    let heads =
        [1, 3, 5].map(|id| headers(id, END_STREAM, &request("GET", &format!("/close/{id}"))));
    client.send(heads.concat());
    assert!(client.is_closed());
    assert_eq!(*calls.borrow(), ["/close/1"]);
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_response_with_connection_close_ends_the_connection_after_the_others() {
    let http = server();
    let waiting = Rc::<RefCell<Vec<Responder>>>::default();
    let place = Rc::clone(&waiting);
    http.get("/slow", move |req: Request| {
        place.borrow_mut().push(req.responder())
    });
    http.get("/last", |_: Request| {
        Response::plain("last").close_connection()
    });
    let mut client = Client::new(http);
    let slow = client.get("/slow");
    let last = client.get("/last");
    assert_eq!(client.response(last).text(), "last");
    client.read();
    assert_eq!(
        client.go_aways,
        [
            (i32::MAX as u32, ErrorCode::NO_ERROR),
            (last, ErrorCode::NO_ERROR)
        ]
    );
    assert!(!client.ended);
    let late = client.get("/");
    assert_eq!(client.response(late).reset, Some(ErrorCode::REFUSED_STREAM));
    waiting.borrow_mut().pop().unwrap().send("slow");
    assert_eq!(client.response(slow).text(), "slow");
    assert!(client.is_closed());
}

#[test]
fn limits_of_concurrency_count_requests() {
    let http = server();
    http.wrap(LimitConcurrency::new(2).queue(1));
    let mut client = Client::new(http);
    let ids: Vec<u32> = (0..4).map(|_| client.get("/never")).collect();
    assert_eq!(client.response(ids[3]).status, 503);
    client.send(reset(ids[0], ErrorCode::CANCEL));
    client.send(reset(ids[1], ErrorCode::CANCEL));
    // Cancelled tasks are dropped in the next iteration.
    client.read();
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn a_large_response_head_is_sent_in_several_frames() {
    let http = server();
    http.get("/head", |_: Request| {
        Response::plain("x").header("x-long", "v".repeat(40_000))
    });
    let mut client = Client::silent(http);
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    client.send(headers(1, END_STREAM, &request("HEAD", "/")));
    assert_eq!(client.response(1).status, 200);
}

#[test]
fn listeners_of_an_abandoned_request_are_called() {
    let http = server();
    let log = crate::support::Log::default();
    let events = log.clone();
    http.post("/listen", move |req: Request| {
        let (closed, data, ended) = (events.clone(), events.clone(), events.clone());
        req.on("close", move |()| closed.add("close"));
        req.on("data", move |piece: Bytes| data.add(piece.len()));
        req.on("end", move |()| ended.add("end"));
        let responder = req.responder();
        let events = events.clone();
        responder.on("close", move |()| events.add("responder"));
    });
    let mut client = Client::new(http);
    let id = client.post("/listen");
    client.data(id, "12345", false);
    client.read();
    client.send(reset(id, ErrorCode::CANCEL));
    client.read();
    assert_eq!(log.text(), "5 close responder");
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn an_error_page_and_middleware_apply() {
    let http = server();
    http.wrap(|req: Request, next: Next| next.run(req).map(|response| response.header("x-m", "1")));
    http.get("/error", |_: Request| {
        Err::<&str, _>(HttpError::new(StatusCode::CONFLICT, "no"))
    });
    http.error(|error, _| {
        let status = error.status();
        Response::plain(format!("page {}", status.as_u16())).with_status(status)
    });
    let mut client = Client::new(http);
    let id = client.get("/error");
    let response = client.response(id);
    assert_eq!((response.status, response.text()), (409, "page 409"));
    assert_eq!(response.field("x-m"), Some("1"));
}
