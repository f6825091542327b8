//! Responses that close the connection, and headers that the server owns.

use std::convert::Infallible;

use uptick_http::{HttpError, HttpServer, Request, Response, StatusCode};

use crate::support::{Client, capture_logs, get, server};

fn closing(http: HttpServer, request: &str) {
    let mut client = Client::new(http);
    client.send([request, &get("/")].concat());
    let response = client.response();
    assert!(response.closes(), "{request}: {}", response.head);
    assert_eq!(response.body, "abc", "{request}");
    assert_eq!(client.rest(), "", "{request}");
}

#[test]
fn a_response_with_connection_close_closes_the_connection() {
    let http = server();
    let abc = || Response::plain("abc");
    http.get("/header", move |_: Request| {
        abc().header("connection", "close")
    });
    http.get("/list", move |_: Request| {
        abc().header("Connection", "x-hop , Close")
    });
    http.get("/error", |_: Request| {
        let close = http::HeaderValue::from_static("close");
        HttpError::new(StatusCode::CONFLICT, "").with_header(http::header::CONNECTION, close)
    });
    http.error(move |_, _| abc());
    http.get("/stream", |_: Request| {
        let pieces = ["a", "bc"].map(Ok::<_, Infallible>);
        Response::stream(futures::stream::iter(pieces)).header("connection", "close")
    });
    http.get("/responder", |req: Request| {
        let responder = req.responder();
        responder.start(Response::plain("a").header("connection", "close"));
        responder.write("bc");
        responder.end();
    });
    for path in ["/header", "/list", "/error", "/stream", "/responder"] {
        closing(http, &get(path));
    }
    http.get("/method", move |_: Request| abc().close_connection());
    closing(http, &get("/method"));
    closing(
        http,
        "GET /header HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    );
}

#[test]
fn a_default_header_connection_close_closes_all_connections() {
    let http = server();
    http.get("/abc", |_: Request| "abc");
    http.set_header("connection", "close").unwrap();
    closing(http, &get("/abc"));
}

#[test]
fn a_server_owned_header_that_a_handler_sets_is_replaced_and_logged() {
    let http = server();
    http.get("/", |_: Request| {
        Response::plain("abc")
            .header("content-length", "5")
            .header("transfer-encoding", "gzip")
            .header("keep-alive", "timeout=5")
            .header("connection", "x-hop")
    });
    http.get("/same", |_: Request| {
        Response::plain("abc")
            .header("content-length", "3")
            .header("connection", "keep-alive")
    });
    let mut client = Client::new(http);
    let lines = capture_logs(|| {
        client.send(get("/"));
        let response = client.response();
        assert_eq!(response.field("content-length"), Some("3"));
        for name in ["transfer-encoding", "keep-alive", "connection"] {
            assert_eq!(response.field(name), None);
        }
    });
    for header in [
        "content-length: 5",
        "transfer-encoding: gzip",
        "keep-alive: timeout=5",
        "connection: x-hop",
    ] {
        let found = lines
            .iter()
            .any(|line| line.starts_with("DEBUG") && line.contains(header));
        assert!(found, "{header} is not in {lines:?}");
    }
    let lines = capture_logs(|| {
        client.send(get("/same"));
        assert_eq!(client.response().body, "abc");
    });
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("content-length") || line.contains("keep-alive")),
        "{lines:?}"
    );
}
