//! Request bodies: streams, announced lengths, `Expect`, large bodies and early responses.

use serde_json::json;

use super::driver::{ClientProgram, Stopwatch};
use super::server::{OK, ScriptedServer, response};

const MIB: u64 = 1024 * 1024;

#[test]
fn a_streaming_body_is_sent_in_chunks_as_they_are_produced() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let chunks = json!([{"data": "one"}, {"delay_ms": 50, "data": "two\u{e9}"}, {"delay_ms": 50, "data_base64": "AP8="}]);
    let request = json!({"url": server.url("/"), "method": "POST", "chunks": chunks});
    client.run(request).assert_ok();
    let request = server.last();
    assert_eq!(request.field("transfer-encoding"), Some("chunked"));
    assert_eq!(request.field("content-length"), None);
    assert_eq!(
        request.chunks,
        [b"one".to_vec(), "two\u{e9}".into(), vec![0, 255]]
    );
}

#[test]
fn each_piece_is_sent_after_its_delay() {
    let server = ScriptedServer::start(|peer| {
        let mut request = peer.head().unwrap();
        let watch = Stopwatch::start();
        let first = peer.exactly("1\r\na\r\n".len());
        watch.assert_below(900);
        peer.read_body(&mut request);
        watch.assert_about(1000);
        assert_eq!(first.as_deref(), Some(&b"1\r\na\r\n"[..]));
        peer.send(OK);
    });
    let mut client = ClientProgram::start();
    let chunks = json!([{"delay_ms": 0, "data": "a"}, {"delay_ms": 1000, "data": "b"}]);
    client
        .run(json!({"url": server.url("/"), "method": "POST", "chunks": chunks}))
        .assert_ok();
}

#[test]
fn an_empty_streaming_body_ends() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for chunks in [
        json!([]),
        json!([{"data": ""}]),
        json!([{"data": "a"}, {"data": ""}, {"data": "b"}]),
    ] {
        let request = json!({"url": server.url("/"), "method": "PUT", "chunks": chunks});
        client.run(request).assert_ok();
        let request = server.last();
        assert_eq!(request.field("transfer-encoding"), Some("chunked"));
        assert!(request.text().is_empty() || request.text() == "ab");
    }
}

#[test]
fn a_streaming_body_with_a_length_is_not_chunked() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let chunks = json!([{"data": "abc"}, {"delay_ms": 20, "data": "de"}]);
    let headers = json!([["Content-Length", "5"]]);
    let request =
        json!({"url": server.url("/"), "method": "POST", "chunks": chunks, "headers": headers});
    client.run(request.clone()).assert_ok();
    let received = server.last();
    assert_eq!(received.field("content-length"), Some("5"));
    assert_eq!(received.field("transfer-encoding"), None);
    assert_eq!(received.text(), "abcde");
    client.run(request).assert_ok().assert_reused(true);
}

#[test]
fn a_streaming_body_of_another_length_is_refused() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for length in ["4", "6", "0"] {
        let chunks = json!([{"data": "abc"}, {"delay_ms": 20, "data": "de"}]);
        let headers = json!([["content-length", length]]);
        let request =
            json!({"url": server.url("/"), "method": "POST", "chunks": chunks, "headers": headers});
        let result = client.run(request);
        result.assert_kind("invalid_request");
    }
    server.wait(|server| server.ended() == server.connections());
    for request in server.requests() {
        assert!(request.body.len() <= 5, "{request:?}");
    }
    let stats = client.stats();
    assert_eq!((stats.open, stats.idle), (0, 0), "{stats:?}");
}

#[test]
fn a_large_body_is_produced_while_it_is_sent() {
    const SIZE: u64 = 256 * MIB;
    const ZEROS: &[u8] = &[b'0'; 16 * 1024];
    let server = ScriptedServer::start(|peer| {
        peer.head().unwrap();
        let mut left = SIZE;
        while left > 0 {
            let piece = &ZEROS[..left.min(ZEROS.len() as u64) as usize];
            if peer.exactly(piece.len()).is_none_or(|bytes| bytes != piece) {
                return;
            }
            left -= piece.len() as u64;
        }
        peer.send(OK);
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "PUT", "body_zeros": SIZE});
    client.run(request).assert_ok();
    assert_eq!(server.last().field("content-length"), Some("268435456"));
    let peak = client.peak_memory();
    assert!(peak < 32 * MIB, "{peak}");
}

/// A server that reads slowly makes the program neither keep the body nor use the processor.
#[test]
fn a_large_body_waits_for_a_slow_server() {
    let server = ScriptedServer::start(|peer| {
        peer.head().unwrap();
        peer.sleep(1000);
        peer.send(response("413 Too Large", "Connection: close\r\n", ""));
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "PUT", "body_zeros": 1024 * MIB});
    let result = client.run(request);
    assert_eq!(result.status(), Some(413), "{result:?}");
    let peak = client.peak_memory();
    assert!(peak < 64 * MIB, "{peak}");
}

#[test]
fn an_expected_continue_is_awaited() {
    let server = ScriptedServer::start(|peer| {
        while let Some(mut request) = peer.head() {
            peer.sleep(300);
            request.body = Vec::new();
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            peer.read_body(&mut request);
            peer.record(&request);
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    let request = json!({"url": server.url("/"), "method": "POST", "body": "abc", "expect_continue": true, "continue_timeout_ms": 20_000});
    let result = client.run(request);
    watch.assert_below(10_000);
    assert_eq!(result.assert_ok().0["informational"], json!([100]));
    let requests = server.requests();
    assert_eq!(requests[0].field("expect"), Some("100-continue"));
    assert_eq!(requests[1].text(), "abc");
}

#[test]
fn the_body_is_not_sent_before_the_server_asks_for_it() {
    let server = ScriptedServer::start(|peer| {
        peer.head().unwrap();
        let body_came = peer.receives_within(400);
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.exactly(3);
        peer.send(response(
            "200 OK",
            "",
            if body_came { "early" } else { "awaited" },
        ));
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "POST", "body": "abc", "expect_continue": true, "continue_timeout_ms": 20_000});
    assert_eq!(client.run(request).assert_ok().text(), "awaited");
}

#[test]
fn the_body_follows_after_a_time_without_an_answer() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let request =
        json!({"url": server.url("/"), "method": "POST", "body": "abc", "expect_continue": true});
    let watch = Stopwatch::start();
    client.run(request.clone()).assert_ok();
    watch.assert_about(1000);
    let mut request = request;
    request["continue_timeout_ms"] = json!(200);
    let watch = Stopwatch::start();
    client.run(request).assert_ok().assert_reused(true);
    watch.assert_about(200);
    assert_eq!(server.last().text(), "abc");
}

#[test]
fn the_body_is_not_sent_after_a_final_response() {
    let server = ScriptedServer::start(|peer| {
        peer.head().unwrap();
        peer.send(response("417 Expectation Failed", "", "no"));
        let rest = peer.rest();
        let number = peer.number;
        peer.record(&super::server::ReceivedRequest {
            connection: number,
            body: rest,
            ..Default::default()
        });
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "POST", "body": "abc", "expect_continue": true, "continue_timeout_ms": 500});
    let result = client.run(request);
    assert_eq!((result.status(), result.text()), (Some(417), "no".into()));
    // The request was not sent completely, so its connection cannot be used again.
    assert_eq!(server.wait_for_requests(2)[1].body, b"");
    assert_eq!(client.stats().open, 0);
}

#[test]
fn an_expectation_without_a_body_does_not_wait() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    let request =
        json!({"url": server.url("/"), "expect_continue": true, "continue_timeout_ms": 10_000});
    client.run(request).assert_ok();
    watch.assert_below(5000);
}

/// A server that answers before it has read the body, and keeps the connection open.
#[test]
fn an_early_response_is_delivered_and_ends_the_body() {
    let server = ScriptedServer::start(|peer| {
        peer.head().unwrap();
        peer.send(response("413 Content Too Large", "", "too large"));
        let rest = peer.rest();
        assert!((rest.len() as u64) < 1024 * MIB);
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "POST", "body_zeros": 1024 * MIB});
    let watch = Stopwatch::start();
    let result = client.run(request);
    watch.assert_below(10_000);
    assert_eq!(result.status(), Some(413), "{result:?}");
    assert_eq!(
        (result.0["ok"].clone(), result.text()),
        (json!(true), "too large".into())
    );
    server.wait(|server| server.ended() == 1);
    assert_eq!(client.stats().open, 0);
}

#[test]
fn an_early_response_is_delivered_although_the_server_closes_or_resets() {
    let server = ScriptedServer::start(|peer| {
        let request = peer.head().unwrap();
        peer.exactly(100_000);
        peer.send(response("403 Forbidden", "Connection: close\r\n", "early"));
        peer.sleep(50);
        if request.target == "/reset" {
            peer.reset();
        }
    });
    let mut client = ClientProgram::start();
    for path in ["/close", "/reset", "/close", "/reset"] {
        let request = json!({"url": server.url(path), "method": "POST", "body_zeros": 500 * MIB});
        let result = client.run(request);
        assert_eq!(result.status(), Some(403), "{path}: {result:?}");
        assert_eq!(result.text(), "early", "{path}");
    }
    assert_eq!(client.stats().open, 0);
}

/// The kernel discards what a socket has received when a reset arrives, unless it was read before.
#[test]
fn an_early_response_to_a_streaming_body_ends_it() {
    let server = ScriptedServer::start(|peer| {
        peer.head().unwrap();
        peer.send(response("401 Unauthorized", "", "who"));
        peer.rest();
    });
    let mut client = ClientProgram::start();
    let chunks = json!([{"data": "a"}, {"delay_ms": 30_000, "data": "b"}]);
    let watch = Stopwatch::start();
    let result = client.run(json!({"url": server.url("/"), "method": "POST", "chunks": chunks}));
    watch.assert_below(10_000);
    assert_eq!(result.status(), Some(401), "{result:?}");
    assert_eq!(client.stats().open, 0);
}

#[test]
fn a_connection_is_not_reused_after_an_early_response() {
    let server = ScriptedServer::start(|peer| {
        let request = peer.head().unwrap();
        peer.send(OK);
        if request.method == "POST" {
            // Reads no further, so that the body stays unsent.
            peer.sleep(500);
            return;
        }
        peer.serve(OK);
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "POST", "body_zeros": 100 * MIB});
    client.run(request).assert_ok();
    let result = client.get(&server.url("/"));
    result.assert_ok().assert_reused(false).assert_attempts(1);
    assert_eq!(server.connections(), 2);
}
