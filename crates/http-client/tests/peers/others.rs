//! Python's `http.server`, and `nghttpd`.

use std::process::Command;

use tempfile::TempDir;
use uptick_http::StatusCode;
use uptick_http_client::{Browser, Http2Mode, Version};

use crate::support::{Peer, free_port};
use crate::{get_many, run};

/// Returns a directory with a file.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("file.txt"), "a file").unwrap();
    directory
}

#[test]
fn responses_that_end_with_the_connection_come_from_python() {
    let directory = directory();
    let script = "import functools, http.server as h, sys; \
        handler = functools.partial(h.SimpleHTTPRequestHandler, directory=sys.argv[1]); \
        server = h.ThreadingHTTPServer(('127.0.0.1', 0), handler); \
        print(server.server_port, flush=True); server.serve_forever()";
    let mut python = Command::new("python3");
    let python = python.args(["-c", script]).arg(directory.path());
    let Some(peer) = Peer::printing(
        python.stderr(std::process::Stdio::null()),
        "UPTICK_REQUIRE_PYTHON",
    ) else {
        return;
    };
    let browser = Browser::new().with_base(peer.url("http")).unwrap();
    run(async move {
        let response = browser.get("/file.txt").await.unwrap();
        assert_eq!(
            (response.version(), &*response.text()),
            (Version::Http10, "a file")
        );
        let head = browser.head("/file.txt").await.unwrap();
        assert_eq!(
            (head.header("content-length"), head.body().len()),
            (Some("6"), 0)
        );
        let error = browser.post("/file.txt").body("x").await.unwrap_err();
        assert_eq!(
            error.response().map(|it| it.status()),
            Some(StatusCode::NOT_IMPLEMENTED)
        );
        let texts = get_many(&browser, "/file.txt", 100).await;
        assert!(texts.iter().all(|text| text == "a file"));
        let stats = browser.stats();
        assert_eq!((stats.created, stats.reused, stats.idle), (103, 0, 0));
    });
}

#[test]
fn a_connection_to_nghttpd_serves_requests_at_the_same_time() {
    let (directory, port) = (directory(), free_port());
    let mut nghttpd = Command::new("nghttpd");
    nghttpd.args([
        "--no-tls",
        "-a",
        "127.0.0.1",
        "--trailer",
        "x-sum: 42",
        "-d",
    ]);
    let nghttpd = nghttpd.arg(directory.path()).arg(port.to_string());
    let Some(peer) = Peer::on_port(port, nghttpd, "UPTICK_REQUIRE_NGHTTP2") else {
        return;
    };
    let browser = Browser::new().with_base(peer.url("http")).unwrap();
    let browser = browser.with_http2(Http2Mode::Only);
    run(async move {
        let response = browser.get("/file.txt").await.unwrap();
        assert_eq!(
            (response.version(), &*response.text()),
            (Version::Http2, "a file")
        );
        let trailers = response.trailers().unwrap().fields();
        assert_eq!(trailers.collect::<Vec<_>>(), [("x-sum", &b"42"[..])]);
        assert!(browser.head("/file.txt").await.unwrap().body().is_empty());
        let upload = browser.post("/file.txt").body(vec![0; 1_000_000]);
        assert_eq!(upload.await.unwrap().text(), "a file");
        let texts = get_many(&browser, "/file.txt", 300).await;
        assert!(texts.iter().all(|text| text == "a file"));
    });
}
