//! Requests and responses.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use uptick_emitter::Emitter;
use uptick_http::{HttpServer, Json, Request, Response as ServerResponse, StatusCode};
use uptick_http_client::{Browser, ClientRequest, Error, ErrorKind, RequestBody, Response};

use crate::{run, serve};

fn echo() -> HttpServer {
    let http = HttpServer::new();
    http.any("/echo", |req: Request| async move {
        let method = req.method().to_string();
        let query = req.query_string().unwrap_or_default().to_owned();
        let content_type = req.header("content-type").unwrap_or_default().to_owned();
        let body = req.bytes(1 << 20).await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok::<_, uptick_http::HttpError>(Json(
            json!({ "method": method, "query": query, "type": content_type, "body": body }),
        ))
    });
    http
}

#[test]
fn each_method_is_sent_with_its_body() {
    run(async {
        let (url, server) = serve(echo());
        let browser = Browser::new().with_base(&url).unwrap();
        let requests = [
            ("GET", browser.get("/echo?a=b")),
            ("POST", browser.post("/echo?a=b").body("x")),
            ("PUT", browser.put("/echo?a=b").body("x")),
            (
                "PATCH",
                browser.patch("/echo").query([("a", "b")]).body("x"),
            ),
            ("DELETE", browser.delete("/echo?a=b")),
            ("OPTIONS", browser.request("OPTIONS", "/echo?a=b")),
        ];
        for (method, request) in requests {
            let response = request.await.unwrap();
            let value: Value = response.json().unwrap();
            assert_eq!(
                (&value["method"], &value["query"]),
                (&json!(method), &json!("a=b"))
            );
            let has_body = matches!(method, "POST" | "PUT" | "PATCH");
            assert_eq!(value["body"], if has_body { "x" } else { "" });
        }
        let head = browser.head("/echo").await.unwrap();
        assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
        assert_eq!(browser.stats().created, 1);
        server.close();
    });
}

#[test]
fn bodies_of_values_have_their_content_type() {
    run(async {
        let (url, server) = serve(echo());
        let browser = Browser::new().with_base(&url).unwrap();
        let json: Value = browser
            .post("/echo")
            .json(&[1, 2])
            .await
            .unwrap()
            .json()
            .unwrap();
        assert_eq!(
            (&json["type"], &json["body"]),
            (&json!("application/json"), &json!("[1,2]"))
        );
        let form = browser.post("/echo").form(&[("a b", "c&d")]);
        let form: Value = form.await.unwrap().json().unwrap();
        assert_eq!(form["type"], "application/x-www-form-urlencoded");
        assert_eq!(form["body"], "a%20b=c%26d");
        let own = browser
            .post("/echo")
            .header("content-type", "text/x")
            .json(&1);
        let own: Value = own.await.unwrap().json().unwrap();
        assert_eq!(own["type"], "text/x");
        server.close();
    });
}

#[test]
fn a_stream_is_sent_and_received_in_pieces() {
    run(async {
        let http = HttpServer::new();
        http.post("/double", |req: Request| {
            let pieces = req.body_stream();
            ServerResponse::stream(
                pieces.map(|piece| piece.map(|piece| [&piece[..], &piece[..]].concat())),
            )
        });
        let (url, server) = serve(http);
        let browser = Browser::new();
        let pieces = stream::iter(
            (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 10_000]))),
        );
        let request = browser
            .post(format!("{url}/double"))
            .body(RequestBody::stream(pieces));
        let mut response = request.streaming().await.unwrap();
        let mut length = 0;
        while let Some(chunk) = response.chunk().await.unwrap() {
            length += chunk.len();
        }
        assert_eq!(length, 2_000_000);
        server.close();
    });
}

#[test]
fn a_status_of_400_or_above_is_an_error_with_the_response() {
    run(async {
        let http = HttpServer::new();
        http.get("/", |_: Request| {
            ServerResponse::plain("no tea").with_status(StatusCode::IM_A_TEAPOT)
        });
        let (url, server) = serve(http);
        let browser = Browser::new();
        let error = browser.get(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Status);
        assert_eq!(error.status(), Some(StatusCode::IM_A_TEAPOT));
        assert_eq!(error.response().unwrap().text(), "no tea");
        let text = format!("GET {url}/ failed: the server responded with 418 I'm a teapot");
        assert_eq!(error.to_string(), text);
        let error = browser.get(&url).streaming().await.unwrap_err();
        assert_eq!(error.response().unwrap().text(), "no tea");
        let accepted = browser
            .with_reject_error_response(false)
            .get(&url)
            .await
            .unwrap();
        assert_eq!(accepted.text(), "no tea");
        server.close();
    });
}

#[test]
fn the_events_of_a_request_are_its_result_and_close() {
    run(async {
        let http = HttpServer::new();
        http.get("/", |_: Request| "hello");
        let (url, server) = serve(http);
        let events = Rc::new(RefCell::new(Vec::new()));
        let record = |text: String| {
            let events = Rc::clone(&events);
            move || events.borrow_mut().push(text.clone())
        };
        let browser = Browser::new();
        let log = Rc::clone(&events);
        let request = browser.get(&url).on("response", move |response: Response| {
            log.borrow_mut().push(response.text().into_owned());
        });
        let close = record("close".into());
        request.on("close", move |()| close());
        request.next(ClientRequest::CLOSE).await;
        assert!(!request.is_running());

        let cancelled = browser.get(&url).send();
        let log = Rc::clone(&events);
        cancelled.on("error", move |error: Error| {
            log.borrow_mut().push(error.kind().to_string())
        });
        cancelled.cancel();
        cancelled.cancel();
        assert_eq!(*events.borrow(), ["hello", "close", "cancelled"]);
        server.close();
    });
}

#[test]
fn invalid_parts_fail_before_anything_is_sent() {
    run(async {
        let browser = Browser::new();
        let kinds = [
            (browser.get("/relative"), ErrorKind::InvalidUrl),
            (
                browser.get("ftp://127.0.0.1/"),
                ErrorKind::UnsupportedScheme,
            ),
            (
                browser.request("A B", "http://127.0.0.1/"),
                ErrorKind::InvalidRequest,
            ),
            (
                browser.get("http://127.0.0.1/").header("a b", "c"),
                ErrorKind::InvalidRequest,
            ),
            (
                browser.get("http://127.0.0.1/").header("a", "b\nc"),
                ErrorKind::InvalidRequest,
            ),
            (
                browser
                    .get("http://127.0.0.1/")
                    .header("transfer-encoding", "chunked"),
                ErrorKind::InvalidRequest,
            ),
            (
                browser
                    .post("http://127.0.0.1/")
                    .header("content-length", "2")
                    .body("x"),
                ErrorKind::InvalidRequest,
            ),
            (
                browser.get("http://127.0.0.1/").bearer_auth("a\nb"),
                ErrorKind::InvalidRequest,
            ),
        ];
        for (request, kind) in kinds {
            let error = request.await.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (kind, 0), "{error}");
        }
        assert_eq!(browser.stats().created, 0);
    });
}

#[test]
fn a_compressed_body_is_decoded_in_pieces_of_bounded_size() {
    use std::io::Write as _;

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b'x'; 10_000_000]).unwrap();
    let compressed = Bytes::from(encoder.finish().unwrap());
    assert!(compressed.len() < 20_000);
    run(async {
        let http = HttpServer::new();
        http.get("/", move |_: Request| {
            ServerResponse::binary(compressed.clone()).header("content-encoding", "gzip")
        });
        let (url, server) = serve(http);
        let browser = Browser::new();
        let mut response = browser.get(&url).streaming().await.unwrap();
        let mut length = 0;
        while let Some(chunk) = response.chunk().await.unwrap() {
            assert!(chunk.len() <= 64 * 1024);
            length += chunk.len();
        }
        assert_eq!(length, 10_000_000);
        assert_eq!(browser.get(&url).await.unwrap().body().len(), 10_000_000);
        let limited = browser
            .with_response_buffer(1_000_000)
            .with_max_body(1_000_000);
        assert_eq!(
            limited.get(&url).await.unwrap_err().kind(),
            ErrorKind::TooLarge
        );
        let mut response = limited.get(&url).streaming().await.unwrap();
        let mut length = 0;
        let error = loop {
            match response.chunk().await {
                Ok(chunk) => length += chunk.unwrap().len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(length <= 1_000_000);
        server.close();
    });
}

#[test]
fn a_request_for_a_range_accepts_no_compressed_body() {
    run(async {
        let http = HttpServer::new();
        http.get("/", |req: Request| {
            req.header("accept-encoding").unwrap_or_default().to_owned()
        });
        let (url, server) = serve(http);
        let browser = Browser::new().with_base(&url).unwrap();
        assert!(browser.get("/").await.unwrap().text().contains("gzip"));
        let range = browser.get("/").header("range", "bytes=0-1");
        assert_eq!(range.await.unwrap().text(), "identity");
        let own = browser.get("/").header("range", "bytes=0-1");
        let own = own.header("accept-encoding", "br").await.unwrap();
        assert_eq!(own.text(), "br");
        server.close();
    });
}

#[test]
fn the_body_follows_a_continue_that_arrives_with_the_response() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut conn, _) = listener.accept().unwrap();
        conn.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            conn.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let response = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
        conn.write_all(response).unwrap();
        let mut body = [0; 4];
        conn.read_exact(&mut body).unwrap();
        conn.write_all(&body).unwrap();
    });
    run(async move {
        let request = Browser::new().post(url).body("body");
        let response = request.expect_continue(Duration::from_secs(60)).await;
        let response = response.unwrap();
        assert_eq!(response.informational(), [100]);
        assert_eq!(response.text(), "body");
    });
    server.join().unwrap();
}

#[test]
fn a_server_that_responds_first_receives_the_whole_body() {
    run(async {
        let http = HttpServer::new();
        http.post("/echo", |req: Request| {
            ServerResponse::stream(req.body_stream())
        });
        let (url, server) = serve(http);
        let browser = Browser::new();
        // Each piece is sent after the previous one has come back.
        let (sender, receiver) =
            futures::channel::mpsc::unbounded::<Result<Bytes, std::io::Error>>();
        sender.unbounded_send(Ok("0".into())).unwrap();
        let request = browser
            .post(format!("{url}/echo"))
            .body(RequestBody::stream(receiver));
        let mut response = request.streaming().await.unwrap();
        for i in 1..5 {
            let piece = response.chunk().await.unwrap().unwrap();
            assert_eq!(piece, (i - 1).to_string());
            sender.unbounded_send(Ok(i.to_string().into())).unwrap();
        }
        drop(sender);
        assert_eq!(response.chunk().await.unwrap().unwrap(), "4");
        assert_eq!(response.chunk().await.unwrap(), None);
        assert_eq!(browser.stats().idle, 1);
        server.close();
    });
}
