//! Tests of the routes and limits of `90-conformance`.

use std::thread;

use rustix::process::{Resource, Signal, getrlimit, setrlimit};

use crate::http::{Client, get};
use crate::program::Program;

const MIB: usize = 1024 * 1024;

fn serve() -> (Program, String) {
    let server = Program::start("90-conformance", &["--http", "127.0.0.1:0"]);
    let uri = server.listening_on();
    assert!(uri.starts_with("http://127.0.0.1:"), "{uri}");
    (server, uri)
}

/// Sends bytes that the server must refuse, possibly before it has read all of them. The server must then close the connection,
/// and must not answer the request that follows.
#[track_caller]
fn expect_refusal(uri: &str, bytes: &[u8], statuses: &[u16]) {
    let mut client = Client::connect(uri);
    client.try_send(bytes);
    client.try_send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert!(statuses.contains(&response.status), "{response:?}");
    assert_eq!(client.read_to_end(), b"", "{response:?}");
}

#[test]
fn the_root_echoes_the_body_for_all_methods() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        client.request(&format!("{method} /"), &[]);
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, ""), "{method}");
        assert_eq!(response.field("content-length").as_deref(), Some("0"));
        let content_type = response.field("content-type").unwrap_or_default();
        assert!(content_type.starts_with("text/plain"), "{content_type}");
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().text(), "hello");
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "hello");
    assert_eq!(response.field("content-length").as_deref(), Some("5"));
    client.request("HEAD /", &[]);
    assert_eq!(client.head().status, 200);
    client.request("GET /hello", &[]);
    assert_eq!(client.response().text(), "hello world\n");
}

#[test]
fn trailers_are_sent_to_clients_that_accept_them() {
    let (_server, uri) = serve();
    for (te, end) in [
        ("TE: trailers\r\n", "\r\n0\r\nx-trailer: done\r\n\r\n"),
        ("", "\r\n0\r\n\r\n"),
    ] {
        let mut client = Client::connect(&uri);
        client.send(format!(
            "GET /trailers HTTP/1.1\r\nHost: a\r\n{te}Connection: close\r\n\r\n"
        ));
        let text = String::from_utf8(client.read_to_end()).unwrap();
        assert!(text.contains("\r\n9\r\ntrailers\n\r\n"), "{text}");
        assert!(text.ends_with(end), "{text}");
    }
}

#[test]
fn echo_accepts_exactly_one_mebibyte() {
    let (_server, uri) = serve();
    for path in ["/", "/echo"] {
        let body: Vec<u8> = (0..=250).cycle().take(MIB).collect();
        let mut client = Client::connect(&uri);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {MIB}\r\n\r\n"
        ));
        client.send(&body);
        let response = client.response();
        assert_eq!(
            (response.status, response.body == body),
            (200, true),
            "{path}"
        );

        let length = MIB + 1;
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        // The response must arrive before any of the body is sent.
        let mut client = Client::connect(&uri);
        client.send(head);
        assert_eq!(client.response().status, 413, "{path}");
        client.expect_end();

        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..=64 {
            request += &format!("4000\r\n{:x<16384}\r\n", "");
        }
        expect_refusal(&uri, request.as_bytes(), &[413]);
    }
}

#[test]
fn an_unwanted_body_is_refused_before_it_is_sent() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.response().status, 100);
    client.send("ok");
    assert_eq!(client.response().text(), "ok");
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.response().status, 413);
    client.expect_end();
}

#[test]
fn every_fixed_page_has_the_documented_response() {
    let (_server, uri) = serve();
    let response = get(&uri, "/hello");
    assert_eq!((response.status, response.text()), (200, "hello world\n"));
    assert_eq!(response.field("content-length").as_deref(), Some("12"));
    assert!(response.field("date").is_some());

    let response = get(&uri, "/slow");
    assert_eq!((response.status, response.text()), (200, "hello world\n"));

    let response = get(&uri, "/big");
    assert_eq!(response.status, 200);
    assert_eq!(response.field("content-length").as_deref(), Some("1048576"));
    assert!(response.body.iter().all(|byte| *byte == b'x'));

    let response = get(&uri, "/empty");
    assert_eq!(
        (response.status, response.field("content-length")),
        (204, None)
    );

    let response = get(&uri, "/notmodified");
    assert_eq!(response.status, 304);
    assert_eq!(response.field("etag").as_deref(), Some("\"v1\""));

    let response = get(&uri, "/elsewhere?<script>alert(1)</script>");
    assert_eq!(response.status, 404);
    assert!(!response.text().contains("<script>"), "{}", response.text());
}

#[test]
fn slow_reads_the_whole_body_and_responses_stay_in_order() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    client.send("cGET /host HTTP/1.1\r\nHost: next.example\r\n\r\n");
    assert_eq!(client.response().text(), "hello world\n");
    assert_eq!(client.response().text(), "next.example");
}

#[test]
fn a_stream_is_chunked_for_http_1_1_and_close_delimited_for_http_1_0() {
    let (_server, uri) = serve();
    let all: String = (0..10).map(|n| format!("chunk-{n}\n")).collect();
    let mut client = Client::connect(&uri);
    client.request("GET /stream", &[]);
    let response = client.response();
    assert_eq!(
        response.field("transfer-encoding").as_deref(),
        Some("chunked")
    );
    assert_eq!(response.field("content-length"), None);
    assert_eq!(response.text(), all);

    client.send("GET /stream HTTP/1.0\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!(response.field("transfer-encoding"), None);
    assert_eq!(response.field("content-length"), None);
    assert_eq!(response.text(), all);
}

#[test]
fn head_responses_match_get_without_a_body() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    for (path, status, length) in [
        ("/hello", 200, Some("12")),
        ("/big", 200, Some("1048576")),
        ("/stream", 200, None),
        ("/empty", 204, None),
        ("/notmodified", 304, None),
        ("/header", 200, Some("0")),
        ("/cookie", 200, Some("0")),
        ("/host", 200, Some("9")),
        ("/set-header?v=x", 200, Some("0")),
        ("/redirect?v=/", 302, Some("0")),
    ] {
        client.request(&format!("HEAD {path}"), &[]);
        let head = client.head();
        assert_eq!(head.status, status, "{path}");
        // Content-Length is optional for an empty body.
        if status == 200 && length != Some("0") {
            assert_eq!(head.field("content-length").as_deref(), length, "{path}");
        }
    }
    client.request("GET /hello", &[]);
    assert_eq!(client.response().text(), "hello world\n");
}

#[test]
fn headers_and_authorities_are_returned_as_the_application_sees_them() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    client.request(
        "GET /header",
        &["X-Probe: one", "Other: x", "x-probe:  two  "],
    );
    assert_eq!(client.response().text(), "one, two");
    client.request("GET /header", &[]);
    assert_eq!(client.response().text(), "");
    client.request("GET /cookie", &["Cookie: a=1", "Cookie: b=2; c=3"]);
    assert_eq!(client.response().text(), "a=1; b=2; c=3");
    client.request("GET /cookie", &[]);
    assert_eq!(client.response().text(), "");
    client.send("GET /host HTTP/1.1\r\nHost: b.example:81\r\n\r\n");
    assert_eq!(client.response().text(), "b.example:81");
    client.send("GET http://b.example/host HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!(client.response().text(), "b.example");
}

#[test]
fn query_values_become_headers_or_errors() {
    let (_server, uri) = serve();
    for (page, field, status) in [("set-header", "x-echo", 200), ("redirect", "location", 302)] {
        let response = get(&uri, &format!("/{page}?v=%2Fb%3Fc"));
        assert_eq!(response.status, status);
        assert_eq!(response.field(field).as_deref(), Some("/b?c"));
        for evil in [
            "a%0D%0AX-Evil:%20b",
            "a%0Ab",
            "a%0Db",
            "a%00b",
            "%0D%0A%0D%0Ahi",
        ] {
            let response = get(&uri, &format!("/{page}?v={evil}"));
            assert!(
                (400..600).contains(&response.status),
                "{evil}: {response:?}"
            );
            assert_eq!(response.field("x-evil"), None);
            assert_eq!(response.field(field), None);
        }
    }
}

#[test]
fn other_methods_are_refused_with_the_allowed_ones() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    for path in [
        "/hello",
        "/stream",
        "/big",
        "/empty",
        "/notmodified",
        "/header",
        "/cookie",
        "/host",
        "/set-header",
        "/redirect",
    ] {
        client.request(&format!("DELETE {path}"), &[]);
        let response = client.response();
        assert_eq!(response.status, 405, "{path}");
        let allow = response.field("allow").unwrap_or_default();
        let methods: Vec<_> = allow.split(',').map(str::trim).collect();
        assert!(
            methods.contains(&"GET") && methods.contains(&"HEAD"),
            "{path}: {allow}"
        );
    }
    client.request("GET /echo", &[]);
    let response = client.response();
    assert_eq!(response.status, 405);
    assert!(response.field("allow").unwrap_or_default().contains("POST"));
    client.request("BREW /hello", &[]);
    let response = client.response();
    assert!(matches!(response.status, 405 | 501), "{response:?}");

    let mut client = Client::connect(&uri);
    client.request("OPTIONS *", &[]);
    assert!(matches!(client.response().status, 200 | 204));
    client.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    let response = client.response();
    assert!(
        (400..=501).contains(&response.status) && response.status != 500,
        "{response:?}"
    );
}

#[test]
fn an_unknown_upgrade_is_ignored() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    client.request("GET /hello", &["Connection: Upgrade", "Upgrade: teapot/1"]);
    assert_eq!(client.response().text(), "hello world\n");
    client.request("GET /hello", &[]);
    assert_eq!(client.response().text(), "hello world\n");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    let mut all = String::new();
    for n in 0..100 {
        all += &format!("GET /host HTTP/1.1\r\nHost: h{n}.example\r\n\r\n");
    }
    client.send(all);
    for n in 0..100 {
        assert_eq!(client.response().text(), format!("h{n}.example"));
    }
}

#[test]
fn request_heads_are_limited() {
    let (_server, uri) = serve();
    let mut client = Client::connect(&uri);
    client.request(&format!("GET /hello?{:x<15000}", ""), &[]);
    assert_eq!(client.response().status, 200);
    let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    expect_refusal(&uri, line.as_bytes(), &[414]);

    let large = format!("X-Large: {:x<32000}", "");
    client.request("GET /hello", &[&large]);
    assert_eq!(client.response().status, 200);
    let field = format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    expect_refusal(&uri, field.as_bytes(), &[431]);
    let endless = format!("GET /hello HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(MIB));
    expect_refusal(&uri, endless.as_bytes(), &[431]);

    let many = |count| "X: y\r\n".repeat(count);
    client.send(format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\n{}\r\n",
        many(89)
    ));
    assert_eq!(client.response().status, 200);
    for count in [2_000, 20_000] {
        let head = format!("GET /hello HTTP/1.1\r\nHost: a\r\n{}\r\n", many(count));
        expect_refusal(&uri, head.as_bytes(), &[431]);
    }
}

#[test]
fn chunk_extensions_and_trailers_are_limited() {
    let (_server, uri) = serve();
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extensions = format!(
        "{chunked}{}0\r\n\r\n",
        "1;ext=value\r\nx\r\n".repeat(256 * 1024)
    );
    expect_refusal(&uri, extensions.as_bytes(), &[400, 413, 431]);
    let extension = format!("{chunked}1;ext={}\r\nx\r\n0\r\n\r\n", "x".repeat(4 * MIB));
    expect_refusal(&uri, extension.as_bytes(), &[400, 413, 431]);
    let trailers = format!(
        "{chunked}0\r\n{}\r\n",
        "Trailer: value\r\n".repeat(256 * 1024)
    );
    expect_refusal(&uri, trailers.as_bytes(), &[400, 413, 431]);
}

#[test]
fn ambiguous_requests_are_refused_once() {
    let (_server, uri) = serve();
    for (fields, body) in [
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        ("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
        ("Content-Length: +3\r\n", "abc"),
        ("Transfer-Encoding: identity\r\n", "abc"),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        ("X: a\r\n folded\r\n", ""),
        ("X : a\r\n", ""),
        ("X: a\nY: b\r\n", ""),
        ("Host: b\r\n", ""),
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
        expect_refusal(&uri, request.as_bytes(), &[400, 501]);
    }
    expect_refusal(&uri, b"GET /hello HTTP/1.1\r\n\r\n", &[400]);
    expect_refusal(&uri, b"GET /hello HTTP/3.0\r\nHost: a\r\n\r\n", &[400, 505]);
    expect_refusal(&uri, b"GET hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400]);
    expect_refusal(&uri, b"GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400]);
}

/// All clients run at the same time, so the test takes as long as the longest timeout: 5 seconds.
#[test]
fn idle_clients_are_disconnected() {
    let (_server, uri) = serve();
    let idle = |after: &'static [u8], responses: usize| {
        let mut client = Client::connect(&uri);
        thread::spawn(move || {
            client.send(after);
            for _ in 0..responses {
                client.response();
            }
            let rest = String::from_utf8_lossy(&client.read_to_end()).into_owned();
            assert!(
                rest.is_empty() || rest.starts_with("HTTP/1.1 408 "),
                "{rest}"
            );
        })
    };
    let clients = [
        idle(b"", 0),
        idle(b"GET /hello HTTP/1.1\r\nHost", 0),
        idle(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        idle(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
            0,
        ),
    ];
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn more_than_a_thousand_clients_are_served_at_the_same_time() {
    let mut files = getrlimit(Resource::Nofile);
    if files.current.is_some_and(|current| current < 4096) {
        files.current = Some(files.maximum.map_or(4096, |maximum| maximum.min(4096)));
        setrlimit(Resource::Nofile, files).unwrap();
    }
    let (_server, uri) = serve();
    let mut clients: Vec<_> = (0..1_100)
        .map(|_| {
            let mut client = Client::connect(&uri);
            client.request("GET /hello", &[]);
            assert_eq!(client.response().status, 200);
            client
        })
        .collect();
    for client in &mut clients {
        client.request("GET /hello", &[]);
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn it_shuts_down_at_sigterm() {
    let (server, uri) = serve();
    let mut busy = Client::connect(&uri);
    busy.request("GET /hello", &[]);
    assert_eq!(busy.response().status, 200);
    busy.request("GET /slow", &[]);
    let mut other = Client::connect(&uri);
    other.request("GET /hello", &[]);
    assert_eq!(other.response().status, 200);
    server.signal(Signal::TERM);
    assert_eq!(busy.response().text(), "hello world\n");
    busy.expect_end();
    other.expect_end();
    let ended = server.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}
