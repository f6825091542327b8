//! Tests of `21-http-hello`, `22-router-and-middleware`, `24-server-sent-events`, `26-rate-limit`, `27-graceful-shutdown` and `91-benchmark`.

use rustix::process::Signal;

use crate::http::{Client, get, serve};
use crate::program::Program;

#[test]
fn the_smallest_server_says_hello() {
    let (_server, uri) = serve("21-http-hello", &[]);
    let response = get(&uri, "/");
    assert_eq!(
        (response.status, response.text()),
        (200, "<h1>Hello, World!</h1>\n")
    );
    let content_type = response.field("content-type").unwrap_or_default();
    assert!(content_type.starts_with("text/html"), "{content_type}");
    assert_eq!(get(&uri, "/hello/Grace%20H.").text(), "Hello, Grace H.!\n");
    assert_eq!(get(&uri, "/nothing").status, 404);
}

#[test]
fn notes_are_stored_read_and_deleted_with_the_password() {
    let (server, uri) = serve("22-router-and-middleware", &[]);
    let mut client = Client::connect(&uri);
    let note = "POST /api/notes HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n";
    client.send(format!("{note}\r\nBuy milk"));
    let response = client.response();
    assert_eq!(
        (response.status, response.text()),
        (401, "Sorry: password required.\n")
    );
    assert_eq!(
        response.field("www-authenticate").as_deref(),
        Some("Bearer")
    );
    assert_eq!(server.line(), "POST /api/notes: 401");

    client.send(format!(
        "{note}Authorization: Bearer sesame\r\n\r\nBuy milk"
    ));
    let response = client.response();
    assert_eq!((response.status, response.text()), (201, "1\n"));
    assert_eq!(response.field("location").as_deref(), Some("/api/notes/1"));
    assert_eq!(server.line(), "POST /api/notes: 201");

    client.request("GET /api/notes/1", &[]);
    assert_eq!(client.response().text(), "Buy milk\n");
    client.request("GET /api/notes", &[]);
    assert_eq!(client.response().text(), "1: Buy milk\n");
    client.request("GET /api/notes/one", &[]);
    let response = client.response();
    assert_eq!(
        (response.status, response.text()),
        (400, "Sorry: the id of a note must be a number.\n")
    );
    client.request("DELETE /api/notes/1", &["Authorization: Bearer sesame"]);
    assert_eq!(client.response().status, 204);
    client.request("GET /api/notes/1", &[]);
    assert_eq!(client.response().status, 404);
    client.request("GET /files/a/b", &[]);
    assert_eq!(client.response().text(), "That would be \"a/b\".\n");
    client.request("PUT /api/notes", &["Authorization: Bearer sesame"]);
    let response = client.response();
    assert_eq!(response.status, 405);
    let allow = response.field("allow").unwrap_or_default();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[test]
fn a_message_is_pushed_to_all_listeners() {
    let (_server, uri) = serve("24-server-sent-events", &[]);
    assert!(
        get(&uri, "/")
            .text()
            .contains("new EventSource(\"/events\")")
    );
    let mut listeners = [Client::connect(&uri), Client::connect(&uri)];
    for listener in &mut listeners {
        // Responses to HTTP/1.0 requests are not chunked.
        listener.send("GET /events HTTP/1.0\r\nHost: a\r\n\r\n");
        let head = listener.head();
        assert_eq!(
            head.field("content-type").as_deref(),
            Some("text/event-stream")
        );
    }
    let mut speaker = Client::connect(&uri);
    speaker.send("POST /say HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nHi,\nall");
    assert_eq!(speaker.response().status, 204);
    for listener in &mut listeners {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "data: all") {
            lines.push(listener.event_line());
        }
        let said = lines.iter().position(|line| line == "data: Hi,");
        assert!(
            said.is_some() && lines.contains(&"event: said".into()),
            "{lines:?}"
        );
        assert!(lines.contains(&"retry: 1000".into()), "{lines:?}");
    }
}

#[test]
fn a_client_over_the_rate_limit_receives_retry_after() {
    let (_server, uri) = serve("26-rate-limit", &[]);
    let mut client = Client::connect(&uri);
    for left in (0..5).rev() {
        client.request("GET /", &[]);
        let response = client.response();
        assert_eq!(response.text(), "You are welcome.\n");
        let rate = response.field("ratelimit").unwrap_or_default();
        assert!(rate.contains(&format!(";r={left};")), "{rate}");
    }
    client.request("GET /", &[]);
    let response = client.response();
    assert_eq!(response.status, 429);
    let seconds = response.field("retry-after").unwrap_or_default();
    assert!(matches!(seconds.as_str(), "1" | "2"), "{seconds}");
    // The limit also applies to another connection.
    assert_eq!(get(&uri, "/").status, 429);
}

#[test]
fn a_shutdown_waits_for_responses_but_not_for_idle_clients() {
    let (server, uri) = serve("27-graceful-shutdown", &[]);
    let mut idle = Client::connect(&uri);
    idle.request("GET /wait/0", &[]);
    assert_eq!(idle.response().text(), "This took 0 milliseconds.\n");
    let mut busy = Client::connect(&uri);
    busy.request("GET /wait/0", &[]);
    assert_eq!(busy.response().status, 200);
    busy.request("GET /wait/300", &[]);
    // When this response arrives, the other request has been read.
    assert_eq!(get(&uri, "/wait/0").status, 200);

    server.signal(Signal::INT);
    assert_eq!(server.line(), "shutting down");
    idle.expect_end();
    let response = busy.response();
    assert_eq!(response.text(), "This took 300 milliseconds.\n");
    assert_eq!(response.field("connection").as_deref(), Some("close"));
    busy.expect_end();
    assert_eq!(server.line(), "closed");
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn a_second_signal_aborts_unfinished_requests() {
    let (server, uri) = serve("27-graceful-shutdown", &[]);
    let mut busy = Client::connect(&uri);
    busy.request("GET /wait/0", &[]);
    assert_eq!(busy.response().status, 200);
    busy.request("GET /wait/600000", &[]);
    assert_eq!(get(&uri, "/wait/0").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.line(), "shutting down");
    server.signal(Signal::TERM);
    assert_eq!(server.line(), "shutting down");
    assert_eq!(server.line(), "closed");
    busy.expect_end();
    assert!(server.wait().status.success());
}

#[test]
fn the_benchmark_serves_its_pages_with_one_and_several_workers() {
    for workers in ["1", "3"] {
        let arguments = ["--listen", "127.0.0.1:0", "--workers", workers];
        let server = Program::start("91-benchmark", &arguments);
        let uri = server.listening_on();
        for _ in 0..20 {
            let response = get(&uri, "/hello");
            assert_eq!((response.status, response.text()), (200, "Hello, World!"));
            assert_eq!(response.field("content-length").as_deref(), Some("13"));
            assert!(response.field("date").is_some());
            let content_type = response.field("content-type").unwrap_or_default();
            assert!(content_type.starts_with("text/plain"), "{content_type}");
            assert_eq!(get(&uri, "/user/42").text(), "42");
        }
    }
}
