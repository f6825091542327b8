//! Requests to a server in the same thread, in memory.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller, sleep};
use uptick_http::{BodyStream, HeaderMap, HeaderValue, HttpServer, Request, Response, StatusCode};
use uptick_http_client::{Browser, ErrorKind, RequestBody};

use crate::run;

#[test]
fn requests_need_no_sockets() {
    let clock = ManualClock::new();
    EventLoop::install(ScriptedPoller::new(&clock), clock).unwrap();
    let http = HttpServer::new();
    http.post("/upper", |req: Request| async move {
        let body = req.bytes(1 << 20).await?;
        Ok::<_, uptick_http::HttpError>(body.to_ascii_uppercase())
    });
    http.get("/old", |_: Request| {
        Response::redirect("/new").header("set-cookie", "a=1")
    });
    http.get("/new", |req: Request| {
        req.header("cookie").unwrap_or("none").to_owned()
    });
    run(async move {
        let browser = Browser::for_server(&http)
            .with_base("http://example.com/")
            .unwrap();
        let upper = browser.post("/upper").body("hello").await.unwrap();
        assert_eq!(upper.text(), "HELLO");
        let pieces =
            stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 10_000]))));
        let streamed = browser
            .post("/upper")
            .body(RequestBody::stream(pieces))
            .await
            .unwrap();
        assert_eq!(streamed.body().len(), 400_000);
        let redirected = browser.get("/old").await.unwrap();
        assert_eq!(
            (redirected.url(), &*redirected.text()),
            ("http://example.com/new", "none")
        );
        assert_eq!(
            browser.get("/no").await.unwrap_err().status(),
            Some(StatusCode::NOT_FOUND)
        );
    });
}

#[test]
fn timeouts_follow_the_manual_clock() {
    let clock = ManualClock::new();
    EventLoop::install(ScriptedPoller::new(&clock), clock).unwrap();
    let http = HttpServer::new();
    http.get("/slow", |_: Request| async {
        sleep(Duration::from_secs(20)).await;
        "late"
    });
    run(async move {
        let browser = Browser::for_server(&http);
        let late = browser.get("http://a/slow").await.unwrap();
        assert_eq!(late.text(), "late");
        let limited = browser.with_first_byte_timeout(Duration::from_secs(10));
        let error = limited.get("http://a/slow").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FirstByteTimeout);
        let limited = browser.with_timeout(Duration::from_secs(10));
        let error = limited.get("http://a/slow").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TotalTimeout);
    });
}

#[test]
fn a_large_body_arrives_at_the_speed_of_its_reader_with_trailers() {
    let http = HttpServer::new();
    http.get("/", |_: Request| {
        let pieces = stream::iter(
            (0..200).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 10_000]))),
        );
        Response::plain(BodyStream::new(pieces).with_trailers(|| {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("7"));
            trailers
        }))
    });
    run(async move {
        let browser = Browser::for_server(&http);
        let mut response = browser
            .get("http://a/")
            .header("te", "trailers")
            .streaming()
            .await
            .unwrap();
        let mut length = 0;
        while let Some(chunk) = response.chunk().await.unwrap() {
            length += chunk.len();
        }
        assert_eq!(length, 2_000_000);
        let trailers = response.trailers().unwrap();
        assert_eq!(trailers.field("x-sum"), Some(&b"7"[..]));
    });
}

#[test]
fn a_body_in_memory_must_have_its_length() {
    let http = HttpServer::new();
    http.post("/length", |req: Request| async move {
        let body = req.bytes(32 << 20).await?;
        Ok::<_, uptick_http::HttpError>(body.len().to_string())
    });
    run(async move {
        let browser = Browser::for_server(&http).with_timeout(Duration::from_secs(5));
        let url = "http://example.com/length";
        for (size, length, expected) in [
            (4, Some(4), None),
            (4, Some(3), Some(ErrorKind::InvalidRequest)),
            (4, Some(5), Some(ErrorKind::InvalidRequest)),
            (17 << 20, None, Some(ErrorKind::InvalidRequest)),
        ] {
            let piece = Ok::<_, std::io::Error>(vec![b'x'; size]);
            let body = RequestBody::stream(stream::iter([piece]));
            let body = match length {
                Some(length) => body.with_length(length),
                None => body,
            };
            let result = browser.post(url).body(body).await;
            assert_eq!(result.err().map(|error| error.kind()), expected, "{size}");
        }
    });
}
