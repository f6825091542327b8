//! Streams, responders, upgrades, trailers and early hints.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use uptick_emitter::Emitter;
use uptick_event_loop::{add_timer, sleep};
use uptick_http::{
    BodyStream, HeaderMap, HeaderValue, Next, Request, Responder, Response, StatusCode,
};
use uptick_socket::Connection;

use crate::support::{Client, Log, get, run_until, server, settle};

fn pieces() -> Response {
    Response::stream(stream::unfold(0, |n| async move {
        if n == 3 {
            return None;
        }
        sleep(Duration::from_millis(1)).await;
        Some((Ok::<_, std::io::Error>(format!("piece-{n} ")), n + 1))
    }))
}

#[test]
fn a_stream_is_chunked_in_http_1_1_and_ends_with_the_connection_in_http_1_0() {
    let http = server();
    http.get("/", |_: Request| pieces());
    let mut client = Client::new(http);
    client.send([get("/"), get("/")].concat());
    for _ in 0..2 {
        let response = client.response();
        assert_eq!(response.field("transfer-encoding"), Some("chunked"));
        assert_eq!(response.body, "piece-0 piece-1 piece-2 ");
    }
    let mut old = Client::new(http);
    old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let text = old.rest();
    assert!(text.ends_with("\r\n\r\npiece-0 piece-1 piece-2 "), "{text}");
    assert!(text.contains("connection: close\r\n"), "{text}");
}

#[test]
fn a_stream_error_closes_the_connection() {
    let http = server();
    http.get("/", |_: Request| {
        Response::stream(stream::iter([
            Ok(Bytes::from_static(b"part")),
            Err(std::io::Error::other("broken")),
        ]))
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    let text = client.rest();
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    settle();
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_long_response_reaches_a_slow_client() {
    let http = server();
    let page = Bytes::from(vec![b'x'; 3_000_000]);
    http.get("/", move |_: Request| Response::binary(page.clone()));
    let mut client = Client::new(http);
    client.send([get("/"), get("/"), get("/")].concat());
    for _ in 0..3 {
        assert_eq!(client.response().body.len(), 3_000_000);
    }
}

#[test]
fn requests_are_not_handled_while_the_client_does_not_read() {
    let (http, log) = (server(), Log::default());
    let (page, notes) = (Bytes::from(vec![b'x'; 1_000_000]), log.clone());
    http.get("/", move |_: Request| {
        notes.add("request");
        Response::binary(page.clone())
    });
    let mut client = Client::new(http);
    client.send(get("/").repeat(100));
    settle();
    let handled = log.entries().len();
    assert!(handled < 20, "{handled} requests were handled");
    for _ in 0..100 {
        assert_eq!(client.response().body.len(), 1_000_000);
    }
}

#[test]
fn a_handler_can_respond_later_through_the_responder() {
    const LIMIT: Duration = Duration::from_millis(50);
    let http = server().response_timeout(Some(LIMIT));
    http.get("/now", |_: Request, res: Responder| {
        res.send("now");
    });
    http.get("/later", |_: Request, res: Responder| {
        add_timer(Duration::from_millis(1), move || res.send("later"));
    });
    http.get("/async", |_: Request, res: Responder| async move {
        sleep(Duration::from_millis(1)).await;
        res.send("async");
    });
    http.get("/never", |_: Request, _: Responder| ());
    let mut client = Client::new(http);
    for name in ["now", "later", "async"] {
        client.send(get(&format!("/{name}")));
        assert_eq!(client.response().body, name);
    }
    let start = Instant::now();
    client.send(get("/never"));
    assert_eq!(client.response().status(), 500);
    assert!(start.elapsed() >= LIMIT, "{:?}", start.elapsed());
}

#[test]
fn a_response_can_be_written_piece_by_piece_through_the_responder() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/", move |req: Request| {
        let responder = req.responder();
        notes.add(responder.write("too early"));
        notes.add(responder.start(Response::new(StatusCode::OK)));
        notes.add(responder.write("a"));
        let log = notes.clone();
        add_timer(Duration::from_millis(1), move || {
            log.add(responder.write(vec![b'b'; 10_000]));
            log.add(responder.end());
            log.add(responder.write("too late"));
        });
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    let response = client.response();
    assert_eq!(response.body, format!("a{}", "b".repeat(10_000)));
    assert_eq!(log.text(), "false true true true true false");
}

#[test]
fn an_upgrade_passes_the_connection_and_the_remaining_bytes() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/", move |_: Request| {
        let log = notes.clone();
        Response::upgrade("echo", move |conn: Connection| {
            for name in ["end", "close"] {
                let log = log.clone();
                conn.on(name, move |()| log.add(name));
            }
            conn.on("data", move |chunk: Bytes| conn.write(chunk));
        })
    });
    let mut client = Client::new(http);
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst ");
    let head = client.response();
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("upgrade"), Some("echo"));
    assert_eq!(head.field("connection"), Some("Upgrade"));
    client.send("second");
    let mut text = String::new();
    run_until(|| {
        text += &client.take_received();
        text.len() >= 12
    });
    assert_eq!(text, "first second");
    assert_eq!((http.open_connections(), http.open_upgrades()), (1, 1));
    client.end();
    assert_eq!(client.rest(), "");
    settle();
    assert_eq!((http.open_connections(), http.open_upgrades()), (0, 0));
    assert_eq!(log.text(), "end close");
}

#[test]
fn an_http_1_0_client_is_not_upgraded() {
    let http = server();
    http.get("/", |_: Request| {
        Response::upgrade("echo", |conn: Connection| conn.close())
    });
    let mut client = Client::new(http);
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (400, true));
}

#[test]
fn an_upgrade_requires_a_protocol_that_the_client_lists() {
    let http = server();
    for (path, protocol) in [
        ("/plain", "echo"),
        ("/version", "Echo/2"),
        ("/layers", "tls, echo"),
    ] {
        http.get(path, move |_: Request| {
            Response::upgrade(protocol, |conn: Connection| conn.end())
        });
        http.get(&format!("{path}/later"), move |_: Request| async move {
            sleep(Duration::from_millis(1)).await;
            Response::upgrade(protocol, |conn: Connection| conn.end())
        });
    }
    for (path, offered, status) in [
        ("/plain", "Upgrade: echo\r\n", 101),
        ("/plain", "Upgrade: ECHO\r\n", 101),
        ("/plain", "Upgrade: websocket, echo\r\n", 101),
        ("/plain", "Upgrade: websocket\r\nUpgrade: ,echo ,\r\n", 101),
        ("/plain", "Upgrade: websocket\r\n", 426),
        ("/plain", "Upgrade: echo/2\r\n", 426),
        ("/plain", "Upgrade: echoes\r\n", 426),
        ("/plain", "Upgrade:\r\n", 426),
        ("/plain", "Upgrade: ,\r\n", 426),
        ("/plain", "X-Upgrade: echo\r\n", 426),
        ("/version", "Upgrade: echo/2\r\n", 101),
        ("/version", "Upgrade: echo/1, echo\r\n", 426),
        ("/layers", "Upgrade: echo, tls\r\n", 101),
        ("/layers", "Upgrade: echo\r\n", 426),
    ] {
        for path in [path.to_owned(), format!("{path}/later")] {
            let mut client = Client::new(http);
            client.send(format!(
                "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\n{offered}\r\n"
            ));
            let response = client.response();
            assert_eq!(response.status(), status, "{path} {offered}");
            assert!(response.field("upgrade").is_some(), "{path} {offered}");
            assert!(!response.closes(), "{path} {offered}");
        }
    }
}

#[test]
fn a_request_without_upgrade_is_not_upgraded() {
    let http = server();
    http.get("/", |_: Request| {
        Response::upgrade("echo", |conn: Connection| conn.close())
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (426, false));
    assert_eq!(response.field("upgrade"), Some("echo"));
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("6"));
    trailers.insert("content-length", HeaderValue::from_static("6"));
    trailers
}

#[test]
fn trailers_follow_the_last_chunk_to_a_client_that_accepts_them() {
    let http = server();
    http.get("/stream", |_: Request| {
        let pieces = stream::iter(["one", "two"].map(Ok::<_, std::io::Error>));
        let body = BodyStream::new(pieces).with_trailers(trailers);
        Response::plain(body).header("trailer", "x-sum")
    });
    http.get("/responder", |req: Request| {
        let responder = req.responder();
        responder.start(Response::plain("one"));
        responder.end_with_trailers(&trailers());
    });
    for path in ["/stream", "/responder"] {
        let accepted = |te: &str| {
            let mut client = Client::new(http);
            client.send(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\n{te}Connection: close\r\n\r\n"
            ));
            client.rest()
        };
        for te in ["TE: trailers\r\n", "TE: gzip;q=0.5 , Trailers\r\n"] {
            let text = accepted(te);
            assert!(text.ends_with("\r\n0\r\nx-sum: 6\r\n\r\n"), "{text}");
            assert_eq!(
                text.contains("\r\ntrailer: x-sum\r\n"),
                path == "/stream",
                "{text}"
            );
        }
        for te in ["", "TE: gzip\r\n"] {
            let text = accepted(te);
            assert!(text.ends_with("\r\n0\r\n\r\n"), "{text}");
        }
    }
}

#[test]
fn a_body_that_is_not_chunked_has_no_trailers() {
    let http = server();
    http.get("/length", |_: Request| {
        let pieces = stream::iter(["one", "two"].map(Ok::<_, std::io::Error>));
        Response::plain(
            BodyStream::new(pieces)
                .with_length(6)
                .with_trailers(trailers),
        )
    });
    http.get("/stream", |_: Request| {
        let pieces = stream::iter(["one", "two"].map(Ok::<_, std::io::Error>));
        Response::plain(BodyStream::new(pieces).with_trailers(trailers))
    });
    for (path, version) in [("/length", "1.1"), ("/stream", "1.0")] {
        let mut client = Client::new(http);
        client.send(format!(
            "GET {path} HTTP/{version}\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n"
        ));
        let text = client.rest();
        assert!(text.ends_with("\r\n\r\nonetwo"), "{text}");
    }
}

#[test]
fn extensions_are_shared_by_all_handles_and_dropped_with_the_exchange() {
    struct Noted(Log, &'static str);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.add(self.1);
        }
    }
    let http = server();
    let log = Log::default();
    let noted = log.clone();
    http.wrap(move |req: Request, next: Next| {
        assert!(req.extension::<Noted>().is_none());
        req.set_extension(Noted(noted.clone(), "first"));
        req.set_extension(Noted(noted.clone(), "second"));
        req.set_extension(7_u32);
        next.run(req)
    });
    http.get("/", |req: Request| {
        let second = req
            .extension::<Noted>()
            .is_some_and(|noted| noted.1 == "second");
        let seven = req.extension::<u32>().is_some_and(|seven| *seven == 7);
        format!("{second} {seven} {}", req.extension::<u64>().is_some())
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    assert_eq!(client.response().body, "true true false");
    settle();
    assert_eq!(log.text(), "first second");
    client.send(get("/"));
    assert_eq!(client.response().body, "true true false");
}

#[test]
fn early_hints_precede_the_response() {
    let http = server();
    http.get("/", async |req: Request| {
        let mut hints = HeaderMap::new();
        hints.insert("link", HeaderValue::from_static("</a.css>; rel=preload"));
        hints.insert("content-length", HeaderValue::from_static("7"));
        let sent = req.send_early_hints(&hints);
        sleep(Duration::from_millis(1)).await;
        if sent { "hinted" } else { "not hinted" }
    });
    let mut client = Client::new(http);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = client.rest();
    let hints =
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(text.starts_with(hints), "{text}");
    assert!(text.ends_with("\r\n\r\nhinted"), "{text}");
    let mut old = Client::new(http);
    old.send("GET / HTTP/1.0\r\n\r\n");
    let text = old.rest();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("not hinted"), "{text}");
}

#[test]
fn early_hints_are_not_sent_after_the_response_has_started() {
    let http = server();
    http.get("/", |req: Request, res: Responder| {
        res.start(Response::plain("one"));
        let sent = req.send_early_hints(&HeaderMap::new());
        res.write(if sent { "sent" } else { "two" });
        res.end();
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    assert_eq!(client.response().body, "onetwo");
}
