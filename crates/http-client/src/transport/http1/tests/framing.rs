//! The framing of responses, and its violations.

use http::Method;

use super::*;

/// Checks a response as a whole and split into single bytes, from a server that then closes the connection or not.
async fn check(method: &Method, response: &str, closes: bool, expected: &str) {
    for piece in [usize::MAX, 1] {
        let request = OutgoingRequest { method, ..get() };
        let (outcome, calls) = respond(request, response, piece, closes).await;
        assert_eq!(
            format!("{outcome}; {calls}"),
            expected,
            "{response:?} in pieces of {piece}"
        );
    }
}

#[test]
fn a_response_ends_as_its_framing_says() {
    run(async {
        for (response, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi",
                "200 \"Hi\"; available",
            ),
            (
                "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
                "200 \"\"; available",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nHi\r\n1\r\n!\r\n0\r\nx-sum: 1\r\n\r\n",
                "200 \"Hi!\" x-sum=1; available",
            ),
            (
                "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
                "204 \"\"; available",
            ),
            (
                "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n",
                "304 \"\"; available",
            ),
            (
                "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                "100 103 200 \"x\"; available",
            ),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
                "200 \"x\"; available",
            ),
            (
                "HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=7\r\nContent-Length: 1\r\n\r\nx",
                "200 \"x\"; available:7",
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
                "200 \"x\"; retired closed",
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
                "200 \"x\"; retired closed",
            ),
        ] {
            check(&Method::GET, response, false, expected).await;
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        check(&Method::HEAD, head, false, "200 \"\"; available").await;
        for response in ["HTTP/1.1 200 OK\r\n\r\nHi", "HTTP/1.0 200 OK\r\n\r\nHi"] {
            check(&Method::GET, response, true, "200 \"Hi\"; retired closed").await;
        }
    });
}

#[test]
fn bytes_after_a_response_end_the_connection() {
    run(async {
        for response in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHix",
            "HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\nHi",
            "HTTP/1.1 304 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ] {
            let (outcome, calls) = respond(get(), response, usize::MAX, false).await;
            assert!(!outcome.contains("malformed"), "{outcome}");
            assert_eq!(calls, "closed");
        }
    });
}

#[test]
fn a_malformed_response_fails_at_once() {
    run(async {
        for response in [
            "x",
            "\r\n",
            "HTTP/2.0 ",
            "HTTP/1.1 09",
            "HTTP/1.1 2000",
            "HTTP/1.1 200 OK\r\nName",
            "HTTP/1.1 200 OK\r\nName : x",
            "HTTP/1.1 200 OK\r\n: x",
            "HTTP/1.1 200 OK\r\nName: \0",
            "HTTP/1.1 200 OK\r\nName: a\rb",
            "HTTP/1.1 200 OK\r\nName: a\n",
            "HTTP/1.1 200 OK\r\nName: a\r\n folded",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 100 Go\r\n\r\nx",
        ] {
            let response = match response {
                // A name is complete with the next byte.
                "HTTP/1.1 200 OK\r\nName" => "HTTP/1.1 200 OK\r\nName\r",
                other => other,
            };
            let expected = match response.starts_with("HTTP/1.1 100") {
                true => "100 malformed; closed",
                false => "malformed; closed",
            };
            check(&Method::GET, response, false, expected).await;
        }
        for (body, expected) in [
            ("x", "200 malformed; closed"),
            ("1\nx", "200 malformed; closed"),
            ("1\r\nxy", "200 malformed; closed"),
            ("0\r\nno colon\r\n\r\n", "200 malformed; closed"),
        ] {
            let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            check(&Method::GET, &response, false, expected).await;
        }
    });
}

#[test]
fn limits_are_distinguished_from_malformed_responses() {
    run(async {
        let long = "x".repeat(3000);
        let many = "A: b\r\n".repeat(1001);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (response, expected) in [
            (format!("HTTP/1.1 200 {long}"), "too_large"),
            (format!("HTTP/1.1 200 OK\r\nA: {long}"), "too_large"),
            (
                format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(500)),
                "too_large",
            ),
            (format!("{chunked}0\r\nA: {long}"), "200 too_large"),
            (format!("{chunked}1;a={long}{long}"), "200 too_large"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n".into(),
                "200 too_large",
            ),
            (format!("{chunked}b\r\n12345678901"), "200 too_large"),
            ("HTTP/1.1 200 OK\r\n\r\n12345678901".into(), "200 too_large"),
        ] {
            let mut request = get();
            request.settings.max_head = 2048;
            request.settings.max_body = Some(10);
            let (outcome, calls) = respond(request, &response, usize::MAX, false).await;
            assert_eq!(outcome, expected, "{response:?}");
            assert!(calls.ends_with("closed"), "{calls}");
        }
        let response = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
        let (outcome, _) = respond(get(), &response, usize::MAX, false).await;
        assert_eq!(outcome, "too_large");
        let early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        let response = format!("{}HTTP/1.1 204 \r\n\r\n", early.repeat(20));
        let (outcome, _) = respond(get(), &response, usize::MAX, false).await;
        assert_eq!(outcome, format!("{}204 \"\"", "103 ".repeat(20)));
        let (outcome, _) = respond(get(), &early.repeat(21), usize::MAX, false).await;
        assert_eq!(outcome, format!("{}too_large", "103 ".repeat(20)));
        let many = "A: b\r\n".repeat(900);
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{many}\r\n");
        let (outcome, calls) = respond(get(), &response, usize::MAX, false).await;
        assert_eq!((&*outcome, &*calls), ("200 \"\"", "available"));
    });
}
