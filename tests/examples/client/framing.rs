//! Bodies of responses: where they end, and their limits.

use serde_json::{Value, json};

use super::driver::{ClientProgram, Outcome, Stopwatch};
use super::server::{OK, ScriptedServer, response};

const MIB: usize = 1024 * 1024;

/// Asserts that the next request to a server uses the same connection, or a new one.
#[track_caller]
fn assert_reuse(client: &mut ClientProgram, url: &str, expected: bool) {
    client.get(url).assert_reused(expected);
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let status = request.target.split('/').nth(1).unwrap();
            let lines = match request.target.rsplit('/').next().unwrap() {
                "length" => "Content-Length: 1000\r\n",
                "chunked" => "Transfer-Encoding: chunked\r\n",
                "encoded" => "Content-Encoding: gzip\r\nContent-Length: 20\r\n",
                _ => "",
            };
            peer.send(format!("HTTP/1.1 {status} Any\r\n{lines}\r\n"));
        }
    });
    let mut client = ClientProgram::start();
    for (method, status) in [
        ("HEAD", 200),
        ("HEAD", 404),
        ("GET", 204),
        ("POST", 204),
        ("GET", 304),
        ("HEAD", 304),
    ] {
        for framing in ["length", "chunked", "encoded", "none"] {
            let url = server.url(&format!("/{status}/{framing}"));
            let result = client.run(json!({"url": url, "method": method}));
            assert_eq!(
                result.status(),
                Some(status),
                "{method} {framing}: {result:?}"
            );
            assert_eq!(result.body(), b"", "{method} {framing}");
            assert_eq!(result.0["trailers"], json!([]));
        }
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn the_headers_of_a_response_to_head_are_kept() {
    let server =
        ScriptedServer::answering("HTTP/1.1 200 OK\r\nContent-Length: 20000000000\r\n\r\n");
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": server.url("/"), "method": "HEAD"}));
    assert_eq!(result.assert_ok().header("content-length"), ["20000000000"]);
    assert_reuse(&mut client, &server.url("/"), true);
}

#[test]
fn a_response_without_framing_ends_with_the_connection() {
    let server = ScriptedServer::closing("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/"));
    assert_eq!(result.assert_ok().text(), "until the end");
    assert_eq!(client.stats().open, 0);
    let empty = ScriptedServer::closing("HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(client.get(&empty.url("/")).assert_ok().text(), "");
}

#[test]
fn other_transfer_encodings_are_refused_or_read_until_the_end() {
    let mut client = ClientProgram::start();
    for (lines, may_be_read) in [
        ("Transfer-Encoding: gzip\r\n", true),
        ("Transfer-Encoding: identity\r\n", true),
        ("Transfer-Encoding: chunked, gzip\r\n", true),
        ("Transfer-Encoding: xchunked\r\n", true),
        ("Transfer-Encoding: \"chunked\"\r\n", true),
        ("Transfer-Encoding: gzip, chunked\r\n", false),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            false,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            false,
        ),
        ("Transfer-Encoding: chunked, chunked\r\n", false),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{lines}\r\n2\r\nok\r\n0\r\n\r\n");
        let server = ScriptedServer::closing(bytes);
        let result = client.get(&server.url("/"));
        if result.0["ok"] == true {
            assert!(may_be_read, "{lines}: {result:?}");
            assert_eq!(result.text(), "2\r\nok\r\n0\r\n\r\n", "{lines}");
        } else {
            result.assert_kind("malformed");
        }
    }
    assert_eq!(client.stats().open, 0);
}

#[test]
fn transfer_encoding_wins_over_the_length_and_ends_the_reuse() {
    let server = ScriptedServer::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/"));
    if result.0["ok"] == true {
        assert_eq!(result.text(), "ok");
    } else {
        result.assert_kind("malformed");
    }
    assert_eq!(client.stats().open, 0);
}

#[test]
fn equal_lengths_may_be_accepted() {
    let mut client = ClientProgram::start();
    for lines in [
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
    ] {
        let server = ScriptedServer::answering(format!("HTTP/1.1 200 OK\r\n{lines}\r\nok"));
        let result = client.get(&server.url("/"));
        if result.0["ok"] == true {
            assert_eq!(result.text(), "ok");
        } else {
            result.assert_kind("malformed");
        }
    }
}

#[test]
fn chunks_of_http_1_0_are_not_read_as_a_length() {
    let bytes = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let server = ScriptedServer::closing(bytes);
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/"));
    if result.0["ok"] == true {
        assert!(
            ["ok", "2\r\nok\r\n0\r\n\r\n"].contains(&result.text().as_str()),
            "{result:?}"
        );
    } else {
        result.assert_kind("malformed");
    }
    assert_eq!(client.stats().open, 0);
}

#[test]
fn connections_are_reused_only_after_responses_that_allow_it() {
    let mut client = ClientProgram::start();
    for (text, expected) in [
        (OK, true),
        (
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: foo, CLOSE\r\nContent-Length: 2\r\n\r\nok",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        (
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
            false,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\nbody", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n0\r\n\r\n",
            false,
        ),
    ] {
        let server = ScriptedServer::answering(text);
        let url = server.url("/");
        let first = client.get(&url);
        assert_eq!(first.0["ok"], true, "{text:?}: {first:?}");
        super::secure_server::pause(20);
        let second = client.get(&url);
        assert_eq!(second.0["reused"], expected, "{text:?}: {second:?}");
        assert_eq!(second.0["body"], first.0["body"], "{text:?}");
        assert_eq!(
            server.connections(),
            if expected { 1 } else { 2 },
            "{text:?}"
        );
    }
}

#[test]
fn a_connection_is_not_reused_if_the_request_asked_to_close_it() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "headers": [["connection", "close"]]});
    client.run(request).assert_ok();
    assert_eq!(server.last().field("connection"), Some("close"));
    assert_reuse(&mut client, &server.url("/"), false);
}

#[test]
fn bodies_up_to_the_limit_are_accepted() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let (framing, size) = request.target[1..].split_once('/').unwrap();
            let body = "x".repeat(size.parse().unwrap());
            match framing {
                "length" => peer.send(response("200 OK", "", &body)),
                "chunked" => peer.send(format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                )),
                _ => {
                    peer.send(format!("HTTP/1.1 200 OK\r\n\r\n{body}"));
                    return;
                }
            };
        }
    });
    let mut client = ClientProgram::start();
    for framing in ["length", "chunked", "close"] {
        let run = |client: &mut ClientProgram, size: usize, limit: Value| -> Outcome {
            let url = server.url(&format!("/{framing}/{size}"));
            client.run(json!({"url": url, "max_body": limit}))
        };
        assert_eq!(
            run(&mut client, 1000, json!(1000)).assert_ok().body().len(),
            1000
        );
        assert_eq!(run(&mut client, 1, json!(1)).assert_ok().body().len(), 1);
        assert_eq!(
            run(&mut client, 20 * MIB, Value::Null)
                .assert_ok()
                .body()
                .len(),
            20 * MIB
        );
        for (size, limit) in [(1001, 1000), (1, 0), (100_000, 10)] {
            let result = run(&mut client, size, json!(limit));
            result.assert_kind("too_large");
            assert_eq!(result.status(), Some(200), "{framing}: {result:?}");
        }
        let url = server.url(&format!("/{framing}/{}", 16 * MIB + 1));
        client.get(&url).assert_kind("too_large");
        let url = server.url(&format!("/{framing}/{}", 16 * MIB));
        client.get(&url).assert_ok();
    }
}

#[test]
fn a_body_announced_as_too_large_fails_at_the_head() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");
        peer.rest();
    });
    let mut client = ClientProgram::start();
    for digest in [false, true] {
        let watch = Stopwatch::start();
        let result =
            client.run(json!({"url": server.url("/"), "max_body": 1000, "digest": digest}));
        result.assert_kind("too_large");
        watch.assert_below(5000);
        assert_eq!(result.status(), Some(200), "{result:?}");
    }
    server.wait(|server| server.ended() == 2);
    assert_eq!(client.stats().open, 0);
}

#[test]
fn an_endless_body_ends_at_its_limit() {
    let mut client = ClientProgram::start();
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let is_chunked = head.contains("chunked");
        let server = ScriptedServer::start(move |peer| {
            peer.request();
            peer.send(head);
            let piece = "x".repeat(10_000);
            let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
            while peer.send(if is_chunked { &chunk } else { &piece }) {}
        });
        let result = client.get(&server.url("/"));
        result.assert_kind("too_large");
        server.wait(|server| server.ended() == 1);
    }
    let peak = client.peak_memory();
    assert!(peak < 128 * MIB as u64, "{peak}");
}

#[test]
fn endless_chunk_extensions_end() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=");
        while peer.send("a".repeat(10_000)) {}
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    client
        .get(&server.url("/"))
        .assert_kinds(&["too_large", "malformed"]);
    watch.assert_below(8000);
}

#[test]
fn a_digest_replaces_the_body() {
    let server = ScriptedServer::start(|peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: t\r\n\r\n");
        }
    });
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": server.url("/"), "digest": true}));
    assert_eq!(result.assert_ok().0["body_len"], 3);
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(result.0["body_sha256"], sha256);
    assert_eq!(result.0["trailers"], json!([["x-t", "t"]]));
    assert!(result.0.get("body").is_none(), "{result:?}");
    assert_reuse(&mut client, &server.url("/"), true);
}

#[test]
fn a_large_body_is_consumed_in_little_memory() {
    const SIZE: usize = 40 * MIB;
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        let piece = vec![b'0'; MIB];
        for _ in 0..SIZE / MIB {
            peer.send(&piece);
        }
        peer.rest();
    });
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": server.url("/"), "digest": true, "max_body": null, "total_timeout_ms": 600_000}));
    assert_eq!(result.assert_ok().0["body_len"], SIZE as u64);
    let peak = client.peak_memory();
    assert!(peak < 24 * MIB as u64, "{peak}");
}

/// While the program waits, the data stays in the socket of the server, except for what the kernel buffers and 1 MiB.
#[test]
fn a_pause_leaves_the_body_with_the_server() {
    const SIZE: usize = 24 * MIB;
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        let watch = Stopwatch::start();
        peer.send(vec![b'0'; SIZE]);
        watch.assert_at_least(1500);
        peer.rest();
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    let request = json!({"url": server.url("/"), "digest": true, "pause_ms": 1500, "max_body": null, "read_timeout_ms": 1000});
    let id = client.send(request);
    server.wait_for_requests(1);
    super::secure_server::pause(1000);
    let peak = client.peak_memory();
    assert!(peak < 16 * MIB as u64, "{peak}");
    let result = client.result_of(&id);
    assert_eq!(result.assert_ok().0["body_len"], SIZE as u64);
    watch.assert_at_least(1500);
}
