//! The bytes of requests, and their bodies.

use http::HeaderMap;

use super::*;

/// Returns the bytes that a request sends up to `end`, and the outcome.
async fn sent(
    request: OutgoingRequest<'_>,
    end: &'static str,
    pieces: Option<&[&'static str]>,
) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    let script = Script::new(move |mut stream| {
        sender.send(read_until(&mut stream, end)).unwrap();
        stream.write_all(b"HTTP/1.1 204 \r\n\r\n").unwrap();
        await_close(&mut stream);
    });
    let (session, owner) = script.session().await;
    let exchange = session.begin(request).unwrap();
    if let Some(pieces) = pieces {
        write_pieces(&exchange, pieces).await;
    }
    assert_eq!(outcome(&exchange).await, "204 \"\"");
    assert_eq!(owner.text(), "available");
    session.close();
    script.join();
    receiver.recv().unwrap()
}

#[test]
fn a_request_is_sent_with_its_headers_in_order() {
    run(async {
        let list = fields([("x-b", "1"), ("x-a", "2"), ("x-b", "3")]);
        let method = Method::from_bytes(b"get").unwrap();
        let request = OutgoingRequest {
            method: &method,
            target: "/a%zz?b={c}%",
            fields: &list,
            ..get()
        };
        assert_eq!(
            sent(request, "\r\n\r\n", None).await,
            "get /a%zz?b={c}% HTTP/1.1\r\nhost: h.example\r\nx-b: 1\r\nx-a: 2\r\nx-b: 3\r\n\r\n"
        );
    });
}

#[test]
fn absolute_targets_are_sent_to_proxies() {
    run(async {
        for target in [
            "http://h.example/a?b",
            "http://[::1]:8080/",
            "http://h.example/%7e",
        ] {
            let request = OutgoingRequest { target, ..get() };
            let text = sent(request, "\r\n\r\n", None).await;
            assert_eq!(
                text,
                format!("GET {target} HTTP/1.1\r\nhost: h.example\r\n\r\n")
            );
        }
    });
}

#[test]
fn bodies_are_framed() {
    run(async {
        let post = || OutgoingRequest {
            method: &Method::POST,
            ..get()
        };
        let head = "POST / HTTP/1.1\r\nhost: h.example\r\n";
        let empty = sent(post(), "\r\n\r\n", None).await;
        assert_eq!(empty, format!("{head}content-length: 0\r\n\r\n"));
        let mut request = post();
        request.body = OutgoingBody::Bytes("abc".into());
        let text = sent(request, "abc", None).await;
        assert_eq!(text, format!("{head}content-length: 3\r\n\r\nabc"));
        let mut request = post();
        request.body = OutgoingBody::Sized(3);
        let text = sent(request, "abc", Some(&["a", "", "bc"])).await;
        assert_eq!(text, format!("{head}content-length: 3\r\n\r\nabc"));
        let mut request = post();
        request.body = OutgoingBody::Stream;
        let text = sent(request, "0\r\n\r\n", Some(&["a", "", "bc"])).await;
        assert_eq!(
            text,
            format!("{head}transfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
        );
    });
}

#[test]
fn large_bodies_are_sent_with_backpressure_and_trailers() {
    run(async {
        for body in [
            OutgoingBody::Bytes(vec![b'x'; 3_000_000].into()),
            OutgoingBody::Sized(3_000_000),
            OutgoingBody::Stream,
        ] {
            let is_whole = matches!(body, OutgoingBody::Bytes(_));
            let is_chunked = matches!(body, OutgoingBody::Stream);
            let script = Script::new(move |mut stream| {
                read_head(&mut stream);
                thread::sleep(Duration::from_millis(50));
                match is_chunked {
                    true => {
                        let rest = read_until(&mut stream, "0\r\nx-sum: 1\r\n\r\n");
                        let count = rest.bytes().filter(|byte| *byte == b'x').count();
                        // One is in the trailer.
                        assert_eq!(count, 3_000_001);
                    }
                    false => stream.read_exact(&mut vec![0; 3_000_000]).unwrap(),
                }
                stream.write_all(b"HTTP/1.1 204 \r\n\r\n").unwrap();
                await_close(&mut stream);
            });
            let (session, owner) = script.session().await;
            let exchange = session
                .begin(OutgoingRequest {
                    method: &Method::PUT,
                    body,
                    ..get()
                })
                .unwrap();
            if !is_whole {
                for _ in 0..30 {
                    poll_fn(|context| exchange.poll_writable(context)).await;
                    exchange.write(vec![b'x'; 100_000].into());
                }
                assert!(session.conn.buffered() < 1_000_000);
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("1"));
                exchange.end(Some(&trailers));
            }
            assert_eq!(outcome(&exchange).await, "204 \"\"");
            assert_eq!(owner.text(), "available");
            session.close();
            script.join();
        }
    });
}

#[test]
fn a_body_of_another_length_than_announced_fails_and_closes_the_connection() {
    run(async {
        for pieces in [&["abcd"][..], &["a"]] {
            let script = Script::new(|mut stream| await_close(&mut stream));
            let (session, owner) = script.session().await;
            let mut request = get();
            request.body = OutgoingBody::Sized(3);
            let exchange = session.begin(request).unwrap();
            write_pieces(&exchange, pieces).await;
            assert_eq!(outcome(&exchange).await, "invalid_request");
            assert_eq!(owner.text(), "closed");
            script.join();
        }
    });
}

#[test]
fn an_invalid_request_sends_nothing() {
    run(async {
        let script = Script::new(|mut stream| {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, b"");
        });
        let (session, owner) = script.session().await;
        for request in [
            OutgoingRequest {
                target: "/a b",
                ..get()
            },
            OutgoingRequest {
                target: "",
                ..get()
            },
            OutgoingRequest {
                host: "a b",
                ..get()
            },
        ] {
            let failed = session.begin(request);
            assert!(matches!(failed, Err(failure) if failure.kind == ErrorKind::InvalidRequest));
        }
        sleep(Duration::from_millis(20)).await;
        assert_eq!(owner.text(), "");
        assert!(session.is_reusable());
        session.close();
        script.join();
    });
}

#[test]
fn a_request_that_closes_the_connection_says_so() {
    run(async {
        let list = fields([("connection", "x, Close")]);
        for request in [
            OutgoingRequest {
                close: true,
                ..get()
            },
            OutgoingRequest {
                fields: &list,
                ..get()
            },
        ] {
            let script = Script::new(|mut stream| {
                assert!(read_head(&mut stream).contains("\r\nconnection: close\r\n"));
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
                stream.write_all(response.as_bytes()).unwrap();
                await_close(&mut stream);
            });
            let (session, owner) = script.session().await;
            let exchange = session.begin(request).unwrap();
            assert_eq!(outcome(&exchange).await, "200 \"x\"");
            assert_eq!(owner.text(), "retired closed");
            script.join();
        }
    });
}
