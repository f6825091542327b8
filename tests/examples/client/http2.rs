//! HTTP/2 with servers of this project, and with a scripted server that keeps to the protocol.

use std::time::Duration;

use serde_json::{Value, json};
use uptick::prelude::*;

use super::driver::{ClientProgram, Stats, Stopwatch};
use super::http2_server::{
    ACK, CONTINUATION, DATA, END_HEADERS, HEADERS, Http2Peer, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, NO_FRAME, PING, RST_STREAM, WINDOW_UPDATE, word,
};
use super::secure_server::{OwnServer, TestCertificate, pause};
use super::server::ScriptedServer;

const MIB: usize = 1024 * 1024;

fn own_server(certificate: &TestCertificate) -> OwnServer {
    OwnServer::start(certificate, |http| {
        http.get("/", |_| "ok");
        http.get("/slow", |_| async {
            uptick::sleep(Duration::from_millis(400)).await;
            "slow"
        });
        http.post("/echo", |req: Request| async move { req.text().await });
        http.get("/large", |_| "x".repeat(5 * MIB));
        http.get("/redirect", |_| Response::redirect("/"));
    })
}

#[test]
fn requests_share_one_connection() {
    let certificate = TestCertificate::new("h2-share", "localhost");
    let server = own_server(&certificate);
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    for (url, mode) in [
        (server.secure_url("/slow"), "auto"),
        (server.plain_url("/slow"), "only"),
    ] {
        client.close_idle();
        let created = client.stats().created;
        let request = json!({"url": url, "http2": mode, "ca": certificate.cert});
        let watch = Stopwatch::start();
        let ids: Vec<Value> = (0..40).map(|_| client.send(request.clone())).collect();
        for id in &ids {
            let result = client.result_of(id);
            assert_eq!(result.assert_ok().assert_attempts(1).0["version"], "2");
            assert_eq!(result.text(), "slow");
        }
        watch.assert_below(6000);
        let stats = client.stats();
        assert_eq!(stats.created, created + 1, "{stats:?}");
        assert_eq!((stats.open, stats.idle), (1, 1));
    }
}

#[test]
fn the_first_request_of_a_session_is_not_reused() {
    let server = scripted(|h2| h2.serve("ok"));
    let mut client = ClientProgram::start();
    for number in 0..5 {
        let result = client.run(request(&server, "/"));
        result.assert_ok().assert_reused(number > 0);
    }
    let expected = Stats {
        open: 1,
        idle: 1,
        created: 1,
        reused: 4,
    };
    assert_eq!(client.stats(), expected);
}

#[test]
fn bodies_are_sent_and_received() {
    let certificate = TestCertificate::new("h2-bodies", "localhost");
    let server = own_server(&certificate);
    let mut client = ClientProgram::start();
    let with = |path: &str, members: Value| {
        let mut request = members;
        request["url"] = json!(server.secure_url(path));
        request["ca"] = json!(certificate.cert);
        request
    };
    let result = client.run(with(
        "/echo",
        json!({"method": "POST", "body": "caf\u{e9}"}),
    ));
    assert_eq!(result.assert_ok().text(), "caf\u{e9}");
    let chunks = json!([{"data": "one "}, {"delay_ms": 30, "data": "two"}]);
    let result = client.run(with("/echo", json!({"method": "POST", "chunks": chunks})));
    assert_eq!(result.assert_ok().text(), "one two");
    let result = client.run(with(
        "/echo",
        json!({"method": "POST", "body_zeros": 500_000}),
    ));
    assert_eq!(result.assert_ok().body().len(), 500_000);
    assert_eq!(
        client
            .run(with("/large", json!({})))
            .assert_ok()
            .body()
            .len(),
        5 * MIB
    );
    let result = client.run(with("/large", json!({"digest": true, "pause_ms": 200})));
    assert_eq!(result.assert_ok().0["body_len"], 5 * MIB);
    let result = client.run(with("/redirect", json!({})));
    assert_eq!(result.assert_ok().0["redirects"], 1);
    client
        .run(with("/large", json!({"max_body": 1000})))
        .assert_kind("too_large");
    assert_eq!(client.run(with("/nothing", json!({}))).status(), Some(404));
    assert_eq!(client.stats().created, 1);
}

/// Starts a server that runs a script for each HTTP/2 connection.
fn scripted(script: impl Fn(&mut Http2Peer<'_>) + Send + Sync + 'static) -> ScriptedServer {
    scripted_with(&[], script)
}

fn scripted_with(
    settings: &'static [(u16, u32)],
    script: impl Fn(&mut Http2Peer<'_>) + Send + Sync + 'static,
) -> ScriptedServer {
    ScriptedServer::start(move |peer| {
        if let Some(mut h2) = Http2Peer::accept(peer, settings) {
            script(&mut h2);
        }
    })
}

fn request(server: &ScriptedServer, path: &str) -> Value {
    json!({"url": server.url(path), "http2": "only"})
}

#[test]
fn heads_are_sent_without_fields_of_the_connection() {
    let server = scripted(|h2| h2.serve("ok"));
    let mut client = ClientProgram::start();
    let mut request = request(&server, "/path?query#fragment");
    request["headers"] = json!([
        ["Connection", "x-hop, keep-alive"],
        ["Keep-Alive", "timeout=5"],
        ["Proxy-Connection", "keep-alive"],
        ["Upgrade", "websocket"],
        ["X-Kept", "1"],
        ["x-kept", "2"],
    ]);
    client.run(request).assert_ok();
    let received = server.last();
    assert_eq!(
        (received.method.as_str(), received.target.as_str()),
        ("GET", "/path?query")
    );
    assert_eq!(received.field(":scheme"), Some("http"));
    assert_eq!(
        received.field(":authority"),
        Some(server.address.to_string().as_str())
    );
    assert_eq!(received.all("x-kept"), ["1", "2"]);
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "transfer-encoding",
        "host",
    ] {
        assert_eq!(received.field(name), None, "{name}");
    }
    let pseudo = received
        .fields
        .iter()
        .take_while(|(name, _)| name.starts_with(':'))
        .count();
    assert_eq!(pseudo, 4, "{received:?}");
    assert!(
        received
            .fields
            .iter()
            .all(|(name, _)| *name == name.to_lowercase())
    );
}

#[test]
fn an_own_host_becomes_the_authority() {
    let server = scripted(|h2| h2.serve("ok"));
    let mut client = ClientProgram::start();
    let mut request = request(&server, "/");
    request["headers"] = json!([["Host", "own.example"]]);
    client.run(request).assert_ok();
    let received = server.last();
    let named = [received.field(":authority"), received.field("host")];
    assert!(
        named.iter().flatten().all(|name| *name == "own.example"),
        "{received:?}"
    );
    assert!(named.iter().flatten().count() > 0);
}

#[test]
fn results_have_interim_responses_and_trailers() {
    let server = scripted(|h2| {
        while let Some(stream) = h2.request() {
            h2.fields(stream, &[(":status", "103"), ("link", "</a>")], false);
            h2.fields(
                stream,
                &[
                    (":status", "200"),
                    ("x-a", "1"),
                    ("x-a", "2"),
                    ("x-latin", "ok"),
                ],
                false,
            );
            h2.data(stream, b"body", false);
            h2.fields(stream, &[("x-sum", "9")], true);
        }
    });
    let mut client = ClientProgram::start();
    let result = client.run(request(&server, "/"));
    assert_eq!(result.assert_ok().text(), "body");
    assert_eq!(result.0["informational"], json!([103]));
    assert_eq!(
        result.0["headers"],
        json!([["x-a", "1"], ["x-a", "2"], ["x-latin", "ok"]])
    );
    assert_eq!(result.0["trailers"], json!([["x-sum", "9"]]));
    assert_eq!(result.0["version"], "2");
}

#[test]
fn a_response_without_a_body_is_complete() {
    let server = scripted(|h2| {
        while let Some(stream) = h2.request() {
            h2.fields(stream, &[(":status", "200"), ("content-length", "0")], true);
        }
    });
    let mut client = ClientProgram::start();
    for method in ["GET", "HEAD", "POST"] {
        let mut request = request(&server, "/");
        request["method"] = json!(method);
        assert_eq!(client.run(request).assert_ok().body(), b"");
    }
}

#[test]
fn a_large_head_comes_in_several_frames() {
    let server = scripted(|h2| {
        while let Some(stream) = h2.request() {
            let block: Vec<u8> = b"\x88"
                .iter()
                .copied()
                .chain((0..300_u32).flat_map(|_| b"\x00\x03x-a\x05value".iter().copied()))
                .collect();
            let pieces: Vec<&[u8]> = block.chunks(1000).collect();
            for (number, piece) in pieces.iter().enumerate() {
                let kind = if number == 0 { HEADERS } else { CONTINUATION };
                let flags = if number + 1 == pieces.len() {
                    END_HEADERS
                } else {
                    0
                };
                h2.send(kind, flags, stream, piece);
            }
            h2.data(stream, b"ok", true);
        }
    });
    let mut client = ClientProgram::start();
    let result = client.run(request(&server, "/"));
    if result.0["ok"] == true {
        assert_eq!(result.header("x-a").len(), 300);
    } else {
        result.assert_kind("too_large");
    }
}

#[test]
fn the_number_of_streams_is_that_of_the_server() {
    let server = scripted_with(&[(MAX_CONCURRENT_STREAMS, 2)], |h2| {
        // Waits for two requests before each response.
        let mut streams = Vec::new();
        while let Some((stream, _)) = h2.head() {
            streams.push(stream);
            assert!(streams.len() <= 2);
            if streams.len() == 2 {
                for stream in streams.drain(..) {
                    h2.respond(stream, "200", b"ok");
                }
            }
        }
    });
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    // The settings are known after the first request.
    let ids: Vec<Value> = (0..2).map(|_| client.send(request(&server, "/"))).collect();
    for id in &ids {
        client.result_of(id).assert_ok();
    }
    let ids: Vec<Value> = (0..10)
        .map(|_| client.send(request(&server, "/")))
        .collect();
    for id in &ids {
        client.result_of(id).assert_ok().assert_reused(true);
    }
    assert_eq!(server.connections(), 1);
}

/// The first request is complete before the settings of the server have arrived for sure.
#[test]
fn a_body_waits_for_the_windows_of_the_server() {
    let server = scripted_with(&[(INITIAL_WINDOW_SIZE, 1000)], |h2| {
        let first = h2.request().unwrap();
        h2.respond(first, "200", b"ok");
        let (stream, _) = h2.head().unwrap();
        h2.keep_windows();
        let (mut received, mut granted) = (0, 1000);
        while received < 50_000 {
            let frame = h2.frame().unwrap();
            if frame.kind == DATA {
                received += frame.payload.len();
                assert!(received <= granted, "{received} of {granted}");
                if received == granted {
                    h2.peer.sleep(5);
                    h2.open_window(stream, 5000);
                    granted += 5000;
                }
            }
        }
        h2.respond(stream, "200", b"ok");
        h2.wait_for(NO_FRAME);
    });
    let mut client = ClientProgram::start();
    client.run(request(&server, "/")).assert_ok();
    let mut request = request(&server, "/");
    request["method"] = json!("PUT");
    request["body_zeros"] = json!(50_000);
    client.run(request).assert_ok().assert_reused(true);
}

#[test]
fn a_closed_window_causes_a_write_timeout() {
    let server = scripted_with(&[(INITIAL_WINDOW_SIZE, 0)], |h2| {
        let first = h2.request().unwrap();
        h2.fields(first, &[(":status", "200")], true);
        h2.keep_windows();
        h2.wait_for(NO_FRAME);
    });
    let mut client = ClientProgram::start();
    client.run(request(&server, "/")).assert_ok();
    let mut request = request(&server, "/");
    request["method"] = json!("PUT");
    request["body"] = json!("body");
    request["write_timeout_ms"] = json!(400);
    let watch = Stopwatch::start();
    client.run(request).assert_kind("write_timeout");
    watch.assert_about(400);
}

/// Sends a body as far as the windows of the client allow. Returns `false` if the connection ends before.
fn send_within_windows(h2: &mut Http2Peer<'_>, stream: u32, length: usize) -> bool {
    let mut window = h2.initial_window;
    let mut sent = 0;
    while sent < length {
        if window.min(h2.connection_window - sent) >= 16_384 {
            h2.data(stream, &[0; 16_384], sent + 16_384 >= length);
            sent += 16_384;
            window -= 16_384;
            continue;
        }
        let Some(frame) = h2.wait_for(WINDOW_UPDATE) else {
            return false;
        };
        if frame.stream == stream {
            window += word(&frame.payload) as usize;
        }
    }
    true
}

/// Unread data stays with the server: the client does not open its windows.
#[test]
fn a_pause_closes_the_window_of_its_stream() {
    let server = scripted(|h2| {
        // The settings and the first window of the connection arrive with the request.
        let (stream, _) = h2.head().unwrap();
        h2.fields(stream, &[(":status", "200")], false);
        let watch = Stopwatch::start();
        assert!(send_within_windows(h2, stream, 12 * MIB));
        watch.assert_at_least(900);
        h2.wait_for(NO_FRAME);
    });
    let mut client = ClientProgram::start();
    let mut request = request(&server, "/");
    request["digest"] = json!(true);
    request["pause_ms"] = json!(1000);
    request["read_timeout_ms"] = json!(500);
    assert_eq!(client.run(request).assert_ok().0["body_len"], 12 * MIB);
}

#[test]
fn an_expected_continue_is_awaited() {
    let server = scripted(|h2| {
        let (stream, is_end) = h2.head().unwrap();
        assert!(!is_end);
        h2.fields(stream, &[(":status", "100")], false);
        h2.wait_for(DATA);
        h2.respond(stream, "200", b"ok");
        h2.wait_for(NO_FRAME);
    });
    let mut client = ClientProgram::start();
    let mut request = request(&server, "/");
    request["method"] = json!("POST");
    request["body"] = json!("abc");
    request["expect_continue"] = json!(true);
    request["continue_timeout_ms"] = json!(20_000);
    let watch = Stopwatch::start();
    let result = client.run(request);
    assert_eq!(result.assert_ok().0["informational"], json!([100]));
    watch.assert_below(10_000);
}

#[test]
fn a_cancelled_request_resets_its_stream_only() {
    let server = scripted(|h2| {
        let (first, _) = h2.head().unwrap();
        let (second, _) = h2.head().unwrap();
        let reset = h2.wait_for(RST_STREAM).unwrap();
        assert_eq!(reset.stream, first);
        h2.respond(second, "200", b"ok");
        h2.serve("later");
    });
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    let first = client.send(request(&server, "/1"));
    server.wait_for_requests(1);
    let second = client.send(request(&server, "/2"));
    server.wait_for_requests(2);
    client.cancel(&first);
    client.result_of(&first).assert_kind("cancelled");
    client.result_of(&second).assert_ok();
    client
        .run(request(&server, "/3"))
        .assert_ok()
        .assert_reused(true);
    assert_eq!(server.connections(), 1);
}

#[test]
fn pings_are_answered() {
    let server = scripted(|h2| {
        let (stream, _) = h2.head().unwrap();
        h2.send(PING, 0, 0, b"12345678");
        let pong = loop {
            let frame = h2.wait_for(PING).unwrap();
            if frame.flags & ACK != 0 {
                break frame;
            }
        };
        assert_eq!(pong.payload, b"12345678");
        h2.respond(stream, "200", b"ok");
        h2.wait_for(NO_FRAME);
    });
    let mut client = ClientProgram::start();
    client.run(request(&server, "/")).assert_ok();
}

#[test]
fn timeouts_reset_the_stream_only() {
    let server = scripted(|h2| {
        while let Some((stream, _)) = h2.head() {
            if stream != 1 {
                h2.respond(stream, "200", b"ok");
            }
        }
    });
    let mut client = ClientProgram::start();
    let mut late = request(&server, "/late");
    late["first_byte_timeout_ms"] = json!(400);
    let watch = Stopwatch::start();
    client.run(late).assert_kind("first_byte_timeout");
    watch.assert_about(400);
    pause(50);
    client
        .run(request(&server, "/"))
        .assert_ok()
        .assert_reused(true);
}

#[test]
fn an_early_response_ends_the_body() {
    let server = scripted(|h2| {
        let (stream, _) = h2.head().unwrap();
        h2.fields(stream, &[(":status", "413")], false);
        h2.data(stream, b"too large", true);
        h2.reset(stream, 0);
        h2.serve("ok");
    });
    let mut client = ClientProgram::start();
    let mut large = request(&server, "/");
    large["method"] = json!("POST");
    large["body_zeros"] = json!(100_000_000);
    let result = client.run(large);
    assert_eq!(
        (result.status(), result.text()),
        (Some(413), "too large".into())
    );
    client
        .run(request(&server, "/"))
        .assert_ok()
        .assert_reused(true);
}
