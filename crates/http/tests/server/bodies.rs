//! Request bodies: reading, limits, and unread bodies.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use uptick_emitter::Emitter;
use uptick_event_loop::add_timer;
use uptick_http::{BodyError, Form, HttpError, HttpServer, Request, Response};

use crate::support::{Client, Log, get, post, server, settle};

fn echo() -> HttpServer {
    let http = server();
    http.post("/", |req: Request| async move {
        Ok::<_, HttpError>(Response::binary(req.bytes(100_000).await?))
    });
    http.get("/", |_: Request| "get");
    http
}

#[test]
fn a_body_is_read_completely_and_the_next_request_follows() {
    let mut client = Client::new(echo());
    client.send([post("/", "one"), post("/", ""), get("/"), post("/", "two")].concat());
    let bodies: Vec<String> = (0..4).map(|_| client.response().body).collect();
    assert_eq!(bodies, ["one", "", "get", "two"]);
}

#[test]
fn a_body_can_be_received_byte_by_byte() {
    let mut client = Client::new(echo());
    for byte in [post("/", "slowly"), post("/", "again")].concat().bytes() {
        client.send([byte]);
        settle();
    }
    assert_eq!(client.response().body, "slowly");
    assert_eq!(client.response().body, "again");
}

#[test]
fn a_chunked_body_is_decoded() {
    let mut client = Client::new(echo());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n");
    settle();
    client.send("2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n");
    assert_eq!(client.response().body, "abcde");
    client.send(get("/"));
    assert_eq!(client.response().body, "get");
}

#[test]
fn a_body_over_the_limit_is_answered_with_413_while_the_client_is_sending() {
    let mut client = Client::new(echo());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\nxxx");
    let response = client.response();
    assert_eq!(response.status(), 413);
    assert!(response.closes());
    assert_eq!(client.rest(), "");
}

#[test]
fn a_chunked_body_over_the_limit_is_answered_with_413_too() {
    let mut client = Client::new(echo());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    client.send(chunk.repeat(7));
    let response = client.response();
    assert_eq!(response.status(), 413);
    assert!(response.closes());
}

#[test]
fn a_chunk_size_over_the_remaining_limit_is_answered_with_413_immediately() {
    for (before, size) in [
        ("", "186a1"),
        ("", "186A1;a=\"b\""),
        ("", "ffffffffffffffff"),
        ("4\r\nabcd\r\n", "1869d"),
        ("4\r\nabcd\r\n", "fffffffffffffffe"),
    ] {
        let mut client = Client::new(echo());
        client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
        settle();
        client.send(format!("{before}{size}\r"));
        settle();
        assert_eq!(client.take_received(), "", "{size}");
        client.send("\n");
        let response = client.response();
        assert_eq!(
            (response.status(), response.closes()),
            (413, true),
            "{size}"
        );
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_chunked_body_can_be_as_long_as_the_limit() {
    let mut client = Client::new(echo());
    let head = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "x".repeat(99_998);
    client.send(format!(
        "{head}2\r\nab\r\n1869e ; a = b\r\n{body}\r\n0\r\n\r\n"
    ));
    assert_eq!(client.response().body, format!("ab{body}"));
    client.send(get("/"));
    assert_eq!(client.response().body, "get");
}

#[test]
fn a_response_before_a_large_chunk_closes_the_connection() {
    let http = server();
    http.post("/", |req: Request| async move {
        let mut body = req.body_stream();
        let _ = body.next().await;
        "enough"
    });
    for (size, closes) in [("10000", false), ("10003", true)] {
        let mut client = Client::new(http);
        let head = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{size}\r\nab"));
        let response = client.response();
        assert_eq!(
            (response.body.as_str(), response.closes()),
            ("enough", closes)
        );
    }
}

#[test]
fn continue_is_sent_only_if_the_body_is_read() {
    let http = echo();
    http.post("/no", |_: Request| "no, thanks");
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = Client::new(http);
    client.send(head("/"));
    settle();
    assert_eq!(client.take_received(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert_eq!(client.response().body, "body");
    client.send(head("/no"));
    let response = client.response();
    assert_eq!(response.body, "no, thanks");
    // The client may or may not send the body, so the next bytes are ambiguous.
    assert!(response.closes());
}

#[test]
fn the_unread_rest_of_a_short_body_is_discarded() {
    let http = server();
    http.post("/", |_: Request| "unread");
    let mut client = Client::new(http);
    client.send([post("/", &"x".repeat(60_000)), post("/", "y")].concat());
    assert_eq!(client.response().body, "unread");
    assert_eq!(client.response().body, "unread");
}

#[test]
fn thousands_of_unread_chunks_are_discarded() {
    let http = server();
    http.post("/", |_: Request| "unread");
    http.get("/", |_: Request| "next");
    let mut client = Client::new(http);
    let head = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = "1\r\nx\r\n".repeat(50_000);
    client.send([head, &chunks, "0\r\n\r\n", &get("/")].concat());
    assert_eq!(client.response().body, "unread");
    assert_eq!(client.response().body, "next");
}

#[test]
fn a_long_unread_body_closes_the_connection() {
    let http = server();
    http.post("/", |_: Request| "unread");
    let mut client = Client::new(http);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000\r\n\r\nxxx");
    let response = client.response();
    assert_eq!(
        (response.body.as_str(), response.closes()),
        ("unread", true)
    );
    assert_eq!(client.rest(), "");
}

#[test]
fn listeners_receive_the_pieces_and_the_end_in_order() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.post("/", move |req: Request| {
        let responder = req.responder();
        let pieces = notes.clone();
        req.on("data", move |piece: Bytes| {
            pieces.add(String::from_utf8_lossy(&piece));
        });
        let end = notes.clone();
        req.on("end", move |()| {
            end.add("end");
            responder.send("done");
        });
        let close = notes.clone();
        req.on("close", move |()| close.add("close"));
    });
    let mut client = Client::new(http);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\n");
    for piece in ["ab", "cd", "ef"] {
        client.send(piece);
        settle();
    }
    assert_eq!(client.response().body, "done");
    assert_eq!(log.text(), "ab cd ef end");
}

#[test]
fn end_is_emitted_once_for_an_empty_body() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    let listen = Rc::new(move |req: Request| {
        let (responder, data, end) = (req.responder(), notes.clone(), notes.clone());
        req.on("data", move |_: Bytes| data.add("data"));
        req.on("end", move |()| {
            end.add("end");
            responder.send("done");
        });
        req.pause();
        req.resume();
    });
    let at_once = Rc::clone(&listen);
    http.any("/", move |req: Request| at_once(req));
    http.any("/later", move |req: Request| {
        req.responder();
        let listen = Rc::clone(&listen);
        add_timer(Duration::from_millis(1), move || listen(req));
    });
    let mut client = Client::new(http);
    for request in [get("/"), post("/", ""), get("/later"), post("/later", "")] {
        client.send(request);
        assert_eq!(client.response().body, "done");
    }
    assert_eq!(log.text(), "end end end end");
}

#[test]
fn a_disconnect_during_the_body_emits_error_and_close() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.post("/", move |req: Request| {
        let responder = req.responder();
        for name in ["end", "close"] {
            let log = notes.clone();
            req.on(name, move |()| log.add(name));
        }
        req.on("data", |_: Bytes| ());
        let log = notes.clone();
        req.on("error", move |error: BodyError| {
            log.add(format!("error:{error}"))
        });
        let log = notes.clone();
        responder.on("close", move |()| log.add("responder"));
    });
    let mut client = Client::new(http);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
    settle();
    client.reset();
    settle();
    assert_eq!(log.text(), "close responder");
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_truncated_body_is_an_error_of_the_reader() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.post("/", move |req: Request| {
        let log = notes.clone();
        async move {
            let result = req.bytes(1000).await;
            log.add(matches!(result, Err(BodyError::Closed)));
            result
        }
    });
    let mut client = Client::new(http);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
    client.end();
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (400, true));
    assert_eq!(log.text(), "true");
}

#[test]
fn an_unread_body_causes_backpressure() {
    let (http, requested) = (server(), Rc::new(Cell::new(false)));
    let flag = Rc::clone(&requested);
    http.post("/", move |req: Request| {
        flag.set(true);
        // The exchange is kept, so that the body can be read later.
        let _ = Box::leak(Box::new(req.responder()));
    });
    let mut client = Client::new(http);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\n");
    settle();
    assert!(requested.get());
    let sent = client.fill();
    assert!(sent < 20_000_000, "{sent} bytes were accepted");
}

#[test]
fn a_malformed_chunk_is_refused_and_closes_the_connection() {
    let mut client = Client::new(echo());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (400, true));
    assert_eq!(client.rest(), "");
}

#[test]
fn invalid_utf_8_and_malformed_json_are_400() {
    let http = server();
    http.post("/text", |req: Request| async move { req.text().await });
    http.post("/json", |req: Request| async move {
        let all: Vec<u32> = req.json().await?;
        Ok::<_, BodyError>(all.iter().sum::<u32>().to_string())
    });
    let mut client = Client::new(http);
    client.send(b"POST /text HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n\xff");
    assert_eq!(client.response().status(), 400);
    let json = |body| {
        let fields = "Host: t\r\nContent-Type: application/json; charset=utf-8\r\n";
        post("/json", body).replacen("Host: test\r\n", fields, 1)
    };
    client.send(json("[1,2"));
    assert_eq!(client.response().status(), 400);
    client.send(json("[1,2]"));
    assert_eq!(client.response().body, "3");
}

#[test]
fn a_body_of_another_type_is_answered_with_415_and_the_connection_is_kept() {
    let http = server();
    http.post("/json", |req: Request| async move {
        req.json::<u32>().await.map(|_| "read")
    });
    http.post("/form", |req: Request| async move {
        req.form::<Form>().await.map(|_| "read")
    });
    http.post("/multipart", |req: Request| async move {
        req.multipart().map(|_| "read")
    });
    let mut client = Client::new(http);
    for path in ["/json", "/form", "/multipart"] {
        client.send(post(path, "1"));
        let none = client.response();
        assert_eq!(none.status(), 415, "{path}: {none:?}");
        let other = "Host: t\r\nContent-Type: text/plain\r\n";
        client.send(post(path, "1").replacen("Host: test\r\n", other, 1));
        let other = client.response();
        assert_eq!(other.status(), 415, "{path}: {other:?}");
    }
    client.send(post("/json", "1"));
    let response = client.response();
    assert!(response.body.contains("application/json"), "{response:?}");
}
