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
fn a_body_comes_whole_and_the_next_request_follows() {
    let mut client = Client::new(echo());
    client.send([post("/", "one"), post("/", ""), get("/"), post("/", "two")].concat());
    let bodies: Vec<String> = (0..4).map(|_| client.answer().body).collect();
    assert_eq!(bodies, ["one", "", "get", "two"]);
}

#[test]
fn a_body_that_comes_byte_by_byte_is_the_same() {
    let mut client = Client::new(echo());
    for byte in [post("/", "slowly"), post("/", "again")].concat().bytes() {
        client.send([byte]);
        settle();
    }
    assert_eq!(client.answer().body, "slowly");
    assert_eq!(client.answer().body, "again");
}

#[test]
fn a_chunked_body_is_read_without_its_chunks() {
    let mut client = Client::new(echo());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n");
    settle();
    client.send("2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n");
    assert_eq!(client.answer().body, "abcde");
    client.send(get("/"));
    assert_eq!(client.answer().body, "get");
}

#[test]
fn a_body_over_the_limit_is_413_while_the_client_is_still_sending() {
    let mut client = Client::new(echo());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\nxxx");
    let answer = client.answer();
    assert_eq!(answer.status(), 413);
    assert!(answer.closes());
    assert_eq!(client.rest(), "");
}

#[test]
fn a_chunked_body_over_the_limit_is_413_too() {
    let mut client = Client::new(echo());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    client.send(chunk.repeat(7));
    let answer = client.answer();
    assert_eq!(answer.status(), 413);
    assert!(answer.closes());
}

#[test]
fn a_chunk_size_over_what_the_limit_leaves_is_413_at_once() {
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
        assert_eq!(client.so_far(), "", "{size}");
        client.send("\n");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.closes()), (413, true), "{size}");
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_chunked_body_may_be_as_long_as_the_limit() {
    let mut client = Client::new(echo());
    let head = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "x".repeat(99_998);
    client.send(format!(
        "{head}2\r\nab\r\n1869e ; a = b\r\n{body}\r\n0\r\n\r\n"
    ));
    assert_eq!(client.answer().body, format!("ab{body}"));
    client.send(get("/"));
    assert_eq!(client.answer().body, "get");
}

#[test]
fn an_answer_before_a_large_chunk_closes_the_connection() {
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
        let answer = client.answer();
        assert_eq!((answer.body.as_str(), answer.closes()), ("enough", closes));
    }
}

#[test]
fn continue_is_sent_when_the_body_is_wanted_and_not_when_it_is_not() {
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
    assert_eq!(client.so_far(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert_eq!(client.answer().body, "body");
    client.send(head("/no"));
    let answer = client.answer();
    assert_eq!(answer.body, "no, thanks");
    // The client may send the body, or may not: what follows cannot be told from it.
    assert!(answer.closes());
}

#[test]
fn what_is_not_read_of_a_short_body_is_thrown_away() {
    let http = server();
    http.post("/", |_: Request| "unread");
    let mut client = Client::new(http);
    client.send([post("/", &"x".repeat(60_000)), post("/", "y")].concat());
    assert_eq!(client.answer().body, "unread");
    assert_eq!(client.answer().body, "unread");
}

#[test]
fn thousands_of_chunks_that_nobody_reads_are_thrown_away() {
    let http = server();
    http.post("/", |_: Request| "unread");
    http.get("/", |_: Request| "next");
    let mut client = Client::new(http);
    let head = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = "1\r\nx\r\n".repeat(50_000);
    client.send([head, &chunks, "0\r\n\r\n", &get("/")].concat());
    assert_eq!(client.answer().body, "unread");
    assert_eq!(client.answer().body, "next");
}

#[test]
fn a_long_body_that_nobody_reads_ends_the_connection() {
    let http = server();
    http.post("/", |_: Request| "unread");
    let mut client = Client::new(http);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000\r\n\r\nxxx");
    let answer = client.answer();
    assert_eq!((answer.body.as_str(), answer.closes()), ("unread", true));
    assert_eq!(client.rest(), "");
}

#[test]
fn listeners_get_the_pieces_and_the_end_in_order() {
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
    assert_eq!(client.answer().body, "done");
    assert_eq!(log.text(), "ab cd ef end");
}

#[test]
fn listeners_are_told_once_of_the_end_of_a_body_that_is_empty() {
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
        assert_eq!(client.answer().body, "done");
    }
    assert_eq!(log.text(), "end end end end");
}

#[test]
fn a_client_that_vanishes_in_its_body_is_an_error_and_a_close() {
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
fn a_body_that_ends_too_early_is_an_error_of_its_reader() {
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
    let answer = client.answer();
    assert_eq!((answer.status(), answer.closes()), (400, true));
    assert_eq!(log.text(), "true");
}

#[test]
fn a_body_that_is_not_read_stops_the_client() {
    let (http, asked) = (server(), Rc::new(Cell::new(false)));
    let flag = Rc::clone(&asked);
    http.post("/", move |req: Request| {
        flag.set(true);
        // Kept, so that it may be read later.
        let _ = Box::leak(Box::new(req.responder()));
    });
    let mut client = Client::new(http);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\n");
    settle();
    assert!(asked.get());
    let sent = client.fill();
    assert!(sent < 20_000_000, "{sent} bytes were taken");
}

#[test]
fn a_malformed_chunk_is_refused_and_ends_the_connection() {
    let mut client = Client::new(echo());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.closes()), (400, true));
    assert_eq!(client.rest(), "");
}

#[test]
fn text_that_is_not_utf_8_and_json_that_is_none_are_400() {
    let http = server();
    http.post("/text", |req: Request| async move { req.text().await });
    http.post("/json", |req: Request| async move {
        let all: Vec<u32> = req.json().await?;
        Ok::<_, BodyError>(all.iter().sum::<u32>().to_string())
    });
    let mut client = Client::new(http);
    client.send(b"POST /text HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n\xff");
    assert_eq!(client.answer().status(), 400);
    let json = |body| {
        let fields = "Host: t\r\nContent-Type: application/json; charset=utf-8\r\n";
        post("/json", body).replacen("Host: test\r\n", fields, 1)
    };
    client.send(json("[1,2"));
    assert_eq!(client.answer().status(), 400);
    client.send(json("[1,2]"));
    assert_eq!(client.answer().body, "3");
}

#[test]
fn a_body_of_another_type_is_415_and_the_connection_goes_on() {
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
        let none = client.answer();
        assert_eq!(none.status(), 415, "{path}: {none:?}");
        let other = "Host: t\r\nContent-Type: text/plain\r\n";
        client.send(post(path, "1").replacen("Host: test\r\n", other, 1));
        let other = client.answer();
        assert_eq!(other.status(), 415, "{path}: {other:?}");
    }
    client.send(post("/json", "1"));
    let answer = client.answer();
    assert!(answer.body.contains("application/json"), "{answer:?}");
}
