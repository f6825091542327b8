//! Tests of the routes and limits of `90-conformance` over HTTP/2.

use std::time::{Duration, Instant};

use super::serve;
use super::wire::{CANCEL, Http2Client, NO_ERROR, Stream, head};

const MIB: usize = 1024 * 1024;

/// Sends a request without a body, and waits for the response.
#[track_caller]
fn exchange(client: &mut Http2Client, method: &str, path: &str, more: &[(&str, &str)]) -> Stream {
    let fields = [&head(method, path)[..], more].concat();
    let stream = client.request(&fields, true);
    let response = client.response(stream);
    assert!(response.end, "{method} {path}: {response:?}");
    response
}

/// Sends a request with a body, and waits for the response.
#[track_caller]
fn post(client: &mut Http2Client, path: &str, body: &[u8]) -> Stream {
    let stream = client.request(&head("POST", path), false);
    client.data(stream, body, true);
    client.response(stream)
}

#[test]
fn all_routes_respond_over_http2() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    for (path, more, status, body) in [
        ("/", ("x", "y"), 200, ""),
        ("/hello", ("x", "y"), 200, "hello world\n"),
        ("/slow", ("x", "y"), 200, "hello world\n"),
        ("/empty", ("x", "y"), 204, ""),
        ("/notmodified", ("x", "y"), 304, ""),
        ("/header", ("x-probe", "probe"), 200, "probe"),
        ("/host", ("x", "y"), 200, "a.example"),
        ("/cookie", ("cookie", "a=b"), 200, "a=b"),
        ("/trailers", ("x", "y"), 200, "trailers\n"),
        ("/set-header?v=%2Fb%3Fc", ("x", "y"), 200, ""),
        ("/redirect?v=%2Fb%3Fc", ("x", "y"), 302, ""),
    ] {
        let response = exchange(&mut client, "GET", path, &[more]);
        assert_eq!((response.status, response.text()), (status, body), "{path}");
        assert!(response.field("date").is_some(), "{path}");
        for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
            assert_eq!(response.field(name), None, "{path}");
        }
        let trailers = response.trailers.unwrap_or_default();
        let expected: &[_] = match path {
            "/trailers" => &[("x-trailer".to_owned(), "done".to_owned())],
            _ => &[],
        };
        assert_eq!(trailers, expected, "{path}");
    }
    let pieces: String = (0..10).map(|n| format!("chunk-{n}\n")).collect();
    let response = exchange(&mut client, "GET", "/stream", &[]);
    assert_eq!(
        (response.text(), response.field("content-length")),
        (&*pieces, None)
    );
    let response = exchange(&mut client, "GET", "/big", &[]);
    assert!(response.body == [b'x'; MIB]);
    let field =
        |path, name| exchange(&mut Http2Client::connect(&uri), "GET", path, &[]).field(name);
    assert_eq!(field("/notmodified", "etag").as_deref(), Some("\"v1\""));
    assert_eq!(
        field("/redirect?v=%2Fb%3Fc", "location").as_deref(),
        Some("/b?c")
    );
    assert_eq!(
        field("/set-header?v=%2Fb%3Fc", "x-echo").as_deref(),
        Some("/b?c")
    );
    assert_eq!(field("/hello", "content-length").as_deref(), Some("12"));
    assert_eq!(exchange(&mut client, "GET", "/nothing", &[]).status, 404);
    let refused = exchange(&mut client, "DELETE", "/hello", &[]);
    assert_eq!(refused.status, 405);
    assert!(refused.field("allow").unwrap().contains("GET"));
    // The same port also serves HTTP/1.
    assert_eq!(crate::http::get(&uri, "/hello").text(), "hello world\n");
}

#[test]
fn responses_to_head_have_no_body() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    for (path, status, length) in [
        ("/hello", 200, Some("12")),
        ("/big", 200, Some("1048576")),
        ("/stream", 200, None),
        ("/empty", 204, None),
        ("/notmodified", 304, None),
        ("/nothing", 404, Some("10")),
    ] {
        let response = exchange(&mut client, "HEAD", path, &[]);
        assert_eq!((response.status, response.text()), (status, ""), "{path}");
        if path != "/nothing" {
            assert_eq!(
                response.field("content-length").as_deref(),
                length,
                "{path}"
            );
        }
    }
}

#[test]
fn repeated_headers_and_the_parts_of_a_cookie_are_joined() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let crumbs = [
        ("cookie", "a=b"),
        ("x", "y"),
        ("cookie", "c=d"),
        ("cookie", "e=f"),
    ];
    let response = exchange(&mut client, "GET", "/cookie", &crumbs);
    assert_eq!(response.text(), "a=b; c=d; e=f");
    let values = [("x-probe", "1"), ("x-other", "y"), ("x-probe", "2")];
    let response = exchange(&mut client, "GET", "/header", &values);
    assert_eq!(response.text(), "1, 2");
}

#[test]
fn uploads_of_one_mebibyte_are_echoed_and_longer_ones_are_refused() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let body: Vec<u8> = (0..=250).cycle().take(MIB).collect();
    for path in ["/", "/echo"] {
        let response = post(&mut client, path, &body);
        assert_eq!(response.status, 200, "{path}");
        assert!(response.body == body, "{path}");
    }
    // Several uploads at the same time share the window of the connection.
    let streams: Vec<_> = (0..8)
        .map(|_| client.request(&head("POST", "/echo"), false))
        .collect();
    for piece in body.chunks(100_000) {
        for stream in &streams {
            assert!(client.data(*stream, piece, false));
        }
    }
    for stream in streams {
        client.data(stream, b"", true);
        let response = client.response(stream);
        assert!(response.status == 200 && response.body == body);
    }
    // The length is announced, or found out while the body is received.
    let announced = [&head("POST", "/echo")[..], &[("content-length", "1048577")]].concat();
    let stream = client.request(&announced, false);
    client.wait(|client| client.stream(stream).end);
    assert_eq!(client.stream(stream).status, 413);
    let stream = client.request(&head("POST", "/echo"), false);
    client.data(stream, &[b'x'; MIB], false);
    client.data(stream, b"xy", false);
    client.wait(|client| client.stream(stream).end);
    assert_eq!(client.stream(stream).status, 413);
    // The client may finish the upload, unless the server resets the stream.
    client.data(stream, &[b'x'; 2 * MIB], true);
    let refused = client.response(stream);
    assert!(
        matches!(refused.reset, None | Some(NO_ERROR)),
        "{refused:?}"
    );
    assert_eq!(exchange(&mut client, "GET", "/hello", &[]).status, 200);
}

#[test]
fn request_trailers_end_a_body() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let stream = client.request(&head("POST", "/echo"), false);
    client.data(stream, b"body", false);
    client.fields(stream, &[("x-trailer", "done")], true);
    let response = client.response(stream);
    assert_eq!((response.status, response.text()), (200, "body"));
}

#[test]
fn a_body_that_is_expected_is_asked_for() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let fields = [
        &head("POST", "/echo")[..],
        &[("expect", "100-continue"), ("content-length", "5")],
    ]
    .concat();
    let stream = client.request(&fields, false);
    client.wait(|client| !client.stream(stream).interim.is_empty());
    assert_eq!(client.stream(stream).interim, [100]);
    client.data(stream, b"hello", true);
    let response = client.response(stream);
    assert_eq!((response.status, response.text()), (200, "hello"));
    // A body that is too large is not asked for.
    let fields = [
        &head("POST", "/echo")[..],
        &[("expect", "100-continue"), ("content-length", "9999999")],
    ]
    .concat();
    let stream = client.request(&fields, false);
    client.wait(|client| client.stream(stream).end);
    let response = client.stream(stream);
    assert_eq!((response.status, &response.interim[..]), (413, &[][..]));
}

#[test]
fn a_hundred_requests_are_handled_at_the_same_time() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    // SETTINGS_MAX_CONCURRENT_STREAMS.
    assert!((100..=1000).contains(&client.settings[&3]));
    let begin = Instant::now();
    let streams: Vec<_> = (0..100).map(|_| client.get("/slow")).collect();
    for stream in streams {
        assert_eq!(client.response(stream).text(), "hello world\n");
    }
    // One after the other they take 10 seconds.
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_response_waits_for_the_windows_of_its_client() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect_with_window(&uri, 1000);
    let stream = client.get("/big");
    client.wait(|client| client.stream(stream).body.len() >= 1000);
    client.ping();
    assert_eq!(client.stream(stream).body.len(), 1000);
    // Others are not blocked.
    assert_eq!(
        exchange(&mut client, "GET", "/hello", &[]).text(),
        "hello world\n"
    );
    client.open_window(stream, MIB as u32);
    // The connection's own window was 65,535 bytes.
    client.wait(|client| client.stream(stream).body.len() >= 65_535 - 12);
    client.ping();
    assert_eq!(client.stream(stream).body.len(), 65_535 - 12);
    client.open_window(0, MIB as u32);
    assert_eq!(client.response(stream).body.len(), MIB);
}

#[test]
fn requests_that_are_reset_do_not_disturb_others() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    for _ in 0..100 {
        let lost = [client.get("/slow"), client.get("/big")];
        let upload = client.request(&head("POST", "/echo"), false);
        client.data(upload, b"first half", false);
        for stream in lost.into_iter().chain([upload]) {
            client.reset(stream, CANCEL);
        }
        let response = exchange(&mut client, "GET", "/hello", &[]);
        assert_eq!(response.text(), "hello world\n");
    }
    // Their slots are free again.
    let streams: Vec<_> = (0..100).map(|_| client.get("/slow")).collect();
    for stream in streams {
        assert_eq!(client.response(stream).status, 200);
    }
}

#[test]
fn an_idle_connection_is_closed_after_the_timeout() {
    let (_server, uri) = serve(&[]);
    let mut silent = Http2Client::connect(&uri);
    let mut idle = Http2Client::connect(&uri);
    exchange(&mut idle, "GET", "/hello", &[]);
    let begin = Instant::now();
    for client in [&mut silent, &mut idle] {
        client.wait(|_| false);
        let (_, code) = *client.go_aways.last().unwrap();
        assert_eq!(code, NO_ERROR);
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
}
