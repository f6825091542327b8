//! Node.js with its modules `http`, `https` and `http2`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::stream;
use tempfile::TempDir;
use uptick_emitter::Emitter;
use uptick_event_loop::driver::timeout;
use uptick_http::StatusCode;
use uptick_http_client::{
    Browser, Error, ErrorKind, Http2Mode, MessageEvent, RequestBody, TlsOptions, Version,
};

use crate::support::Peer;
use crate::{get_many, run};

/// A server with a browser for it.
struct Node {
    browser: Browser,
    _peer: Peer,
    _certificate: TempDir,
}

/// Starts the script with a protocol.
fn start(protocol: &str) -> Option<Node> {
    let directory = TempDir::new().unwrap();
    let identity = uptick_tls::self_signed(["127.0.0.1"]).unwrap();
    let (cert, key) = identity.write(directory.path()).unwrap();
    let is_secure = protocol.starts_with("https");
    let mut arguments = vec![OsStr::new(protocol)];
    if is_secure {
        arguments.extend([cert.as_os_str(), key.as_os_str()]);
    }
    let peer = Peer::node(&arguments)?;
    let browser = Browser::new()
        .with_base(peer.url(if is_secure { "https" } else { "http" }))
        .unwrap()
        .with_reject_error_response(false)
        .with_tls(TlsOptions::new().cafile(cert));
    let browser = match protocol {
        "http2" | "leaving" => browser.with_http2(Http2Mode::Only),
        _ => browser,
    };
    Some(Node {
        browser,
        _peer: peer,
        _certificate: directory,
    })
}

/// Runs a test with each protocol.
fn for_each<F>(test: fn(Browser, Version) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let protocols = [
        ("http", Version::Http11),
        ("https", Version::Http11),
        ("http2", Version::Http2),
        ("https2", Version::Http2),
    ];
    for (protocol, version) in protocols {
        let Some(node) = start(protocol) else { return };
        run(test(node.browser.clone(), version));
    }
}

/// Returns a body of 16 MiB that is produced while it is sent.
fn long_body() -> RequestBody {
    let piece = Bytes::from_static(&[b'x'; 65536]);
    let pieces = (0..256).map(move |_| Ok::<_, Infallible>(piece.clone()));
    RequestBody::stream(stream::iter(pieces))
}

#[test]
fn each_kind_of_message_is_exchanged_with_node() {
    for_each(|browser, version| async move {
        let response = browser.get("/").await.unwrap();
        assert_eq!((response.version(), &*response.text()), (version, "hello"));
        let head = browser.head("/").await.unwrap();
        assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
        let missing = browser.get("/nothing").await.unwrap();
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);

        let echo = browser.put("/echo").body("sized").await.unwrap();
        assert_eq!(echo.header("x-method"), Some("PUT"));
        assert_eq!(echo.text(), "sized");
        let pieces = stream::iter(["a", "b"].map(Ok::<_, Infallible>));
        let body = RequestBody::stream(pieces);
        assert_eq!(browser.post("/echo").body(body).await.unwrap().text(), "ab");

        let response = browser.get("/trailers").await.unwrap();
        let trailers = response.trailers().unwrap().fields();
        assert_eq!(trailers.collect::<Vec<_>>(), [("x-sum", &b"42"[..])]);
        assert_eq!(response.text(), "abcdef");
        let hinted = browser.get("/hints").await.unwrap();
        assert_eq!(
            (hinted.informational(), &*hinted.text()),
            (&[103][..], "hinted")
        );
        for coding in ["/gzip", "/br"] {
            let response = browser.get(coding).await.unwrap();
            assert!(response.text() == "x".repeat(100_000), "{coding}");
        }
        assert_eq!(browser.stats().created, 1);
    });
}

#[test]
fn a_body_follows_a_continue_of_node() {
    for_each(|browser, version| async move {
        if version == Version::Http2 {
            // The limit is not waited for.
            let browser = browser.with_timeout(Duration::from_secs(20));
            let request = browser.post("/echo").body("expected");
            let response = request.expect_continue(Duration::from_secs(60)).await;
            let response = response.unwrap();
            assert_eq!(
                (response.informational(), &*response.text()),
                (&[100][..], "expected")
            );
        }
        let request = browser.post("/length").body("expected");
        let response = request.expect_continue(Duration::from_secs(60)).await;
        let response = response.unwrap();
        assert_eq!(
            (response.informational(), &*response.text()),
            (&[100][..], "8")
        );
    });
}

#[test]
fn long_bodies_are_streamed_to_and_from_node() {
    for_each(|browser, _| async move {
        let length = browser.post("/length").body(long_body()).await.unwrap();
        assert_eq!(length.text(), "16777216");
        let mut response = browser.get("/zeros").streaming().await.unwrap();
        let mut length = 0;
        while let Some(piece) = response.chunk().await.unwrap() {
            length += piece.len();
        }
        assert_eq!(length, 16_777_216);
    });
}

#[test]
fn an_upload_that_node_refuses_ends_with_its_response() {
    for_each(|browser, _| async move {
        for _ in 0..5 {
            let response = browser.post("/refuse").body(long_body()).await.unwrap();
            assert_eq!(
                (response.status(), &*response.text()),
                (StatusCode::PAYLOAD_TOO_LARGE, "too large")
            );
        }
        assert_eq!(browser.get("/").await.unwrap().text(), "hello");
    });
}

#[test]
fn five_hundred_requests_at_the_same_time_share_few_connections_to_node() {
    for_each(|browser, version| async move {
        let texts = get_many(&browser, "/slow", 500).await;
        assert!(texts.iter().all(|text| text == "slow"));
        let created = browser.stats().created;
        match version {
            Version::Http2 => assert!(created <= 6, "{created}"),
            _ => assert!(created <= 16, "{created}"),
        }
    });
}

#[test]
fn requests_above_the_last_stream_of_a_goaway_are_sent_again() {
    let Some(node) = start("leaving") else { return };
    let browser = node.browser.clone();
    run(async move {
        // A connection processes 50 requests, so it refuses a part of the second batch.
        for _ in 0..8 {
            let texts = get_many(&browser, "/", 40).await;
            assert!(texts.iter().all(|text| text == "ok"));
        }
        assert!(browser.stats().created >= 5);
    });
}

#[test]
fn connections_that_node_closes_fail_no_repeatable_request() {
    let Some(node) = start("http") else { return };
    let browser = node.browser.clone();
    run(async move {
        let get = |number: usize| {
            browser
                .get("/closing")
                .header("x-number", number.to_string())
                .into_future()
        };
        for response in join_all((0..1000).map(get)).await {
            assert_eq!(response.unwrap().text(), "ok");
        }
        let post = |number: usize| {
            browser
                .post("/closing")
                .header("x-number", format!("1{number}"))
                .into_future()
        };
        for response in join_all((1000..2000).map(post)).await {
            match response {
                Ok(response) => assert_eq!(response.text(), "ok"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ClosedBeforeResponse, "{error}"),
            }
        }
        // No request that reached the server was sent again.
        assert_eq!(browser.get("/repeated").await.unwrap().text(), "0");
    });
}

#[test]
fn a_connection_is_not_used_after_the_keep_alive_timeout_of_node() {
    let Some(node) = start("http") else { return };
    let browser = node.browser.clone();
    run(async move {
        let first = browser.post("/echo").body("1").await.unwrap();
        assert_eq!(first.header("keep-alive"), Some("timeout=1"));
        assert_eq!(browser.stats().idle, 1);
        timeout(Duration::from_millis(1100)).await;
        assert_eq!(browser.stats().idle, 0);
        let second = browser.post("/echo").body("2").await.unwrap();
        assert_eq!((second.is_reused(), &*second.text()), (false, "2"));
    });
}

#[test]
fn protocols_and_certificates_of_node_are_checked() {
    let Some(node) = start("https2") else { return };
    let browser = node.browser.clone();
    run(async move {
        for (mode, version) in [
            (Http2Mode::Auto, Version::Http2),
            (Http2Mode::Only, Version::Http2),
            (Http2Mode::Never, Version::Http11),
        ] {
            let response = browser.with_http2(mode).get("/").await.unwrap();
            assert_eq!(response.version(), version);
        }
        let error = browser
            .with_tls(TlsOptions::new())
            .get("/")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    });
    let Some(node) = start("https") else { return };
    let browser = node.browser.with_http2(Http2Mode::Only);
    run(async move {
        let error = browser.get("/").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    });
}

#[test]
fn an_event_source_reconnects_to_node() {
    let Some(node) = start("http") else { return };
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    let browser = node.browser.clone();
    let source = browser.event_source("/events").retry_server_errors(true);
    let source = source.connect();
    source.on("event", move |event: MessageEvent| {
        seen.borrow_mut().push(event.data.to_string());
    });
    source.on("error", |error: Error| panic!("{error}"));
    uptick_event_loop::run().unwrap();
    let expected = ["after undefined", "after 1", "after 2"];
    assert_eq!(*log.borrow(), expected);
}
