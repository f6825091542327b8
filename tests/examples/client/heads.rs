//! Heads of responses: malformed ones, unusual ones, interim responses and limits.

use std::time::Duration;

use serde_json::json;

use super::driver::{ClientProgram, Stopwatch};
use super::server::{OK, ScriptedServer, response};

/// Requests a page from a server that sends these bytes, keeps the connection open, and serves no other request.
#[track_caller]
fn kind_of(client: &mut ClientProgram, bytes: &'static [u8]) -> String {
    let server = ScriptedServer::start(move |peer| {
        peer.request();
        peer.send(bytes);
        peer.rest();
    });
    let watch = Stopwatch::start();
    let result = client.run(
        json!({"url": server.url("/"), "first_byte_timeout_ms": 8000, "read_timeout_ms": 8000}),
    );
    watch.assert_below(7000);
    assert_eq!(result.0["attempts"], 1, "{result:?}");
    if result.0["ok"] == true {
        return "ok".into();
    }
    // The connection is closed after any error.
    server.wait(|server| server.ended() == 1);
    result.0["error"]["kind"].as_str().unwrap().into()
}

/// The server keeps the connection open: a malformed head must be refused as soon as that can be seen.
#[test]
fn malformed_heads_are_refused_at_once() {
    let mut client = ClientProgram::start();
    let cases: &[&[u8]] = &[
        b"garbage\r\n\r\n",
        b"<html>not HTTP</html>",
        b"\x16\x03\x01\x00\x05",
        b"\0",
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"220 mail.example ESMTP\r\n",
        b"HTP/1.1 200 OK\r\n",
        b"http/1.1 200 OK\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/3 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/11 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.11 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.x 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1. 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length\t: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n: empty name\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-\xe9: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX\0A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\0c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nX A: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\ngarbage",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ];
    for bytes in cases {
        let kind = kind_of(&mut client, bytes);
        assert_eq!(kind, "malformed", "{}", bytes.escape_ascii());
    }
}

#[test]
fn malformed_framing_is_refused_at_once() {
    let mut client = ClientProgram::start();
    let cases: &[&[u8]] = &[
        b"Content-Length: 2, 3\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: -2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length: 2.0\r\n",
        b"Content-Length: two\r\n",
        b"Content-Length: 2 2\r\n",
        b"Content-Length:\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity, chunked\r\n",
    ];
    for lines in cases {
        let bytes = [b"HTTP/1.1 200 OK\r\n", *lines, b"\r\n2\r\nok\r\n0\r\n\r\n"].concat();
        let kind = kind_of(&mut client, bytes.leak());
        assert_eq!(kind, "malformed", "{}", lines.escape_ascii());
    }
}

#[test]
fn malformed_chunks_are_refused_at_once() {
    let mut client = ClientProgram::start();
    let cases: &[&[u8]] = &[
        b"x\r\n",
        b"\r\n\r\n",
        b"-2\r\nok\r\n0\r\n\r\n",
        b"+2\r\nok\r\n0\r\n\r\n",
        b"0x2\r\nok\r\n0\r\n\r\n",
        b"2\r\nokay\r\n0\r\n\r\n",
        b"2\r\nokX\r\n",
        b"2 2\r\nok\r\n0\r\n\r\n",
        b"2\rok\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nX A: b\r\n\r\n",
        b"0\r\nX-A : b\r\n\r\n",
        b"0\r\nX-A: b\0\r\n\r\n",
    ];
    for body in cases {
        let bytes = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            *body,
        ]
        .concat();
        let kind = kind_of(&mut client, bytes.leak());
        assert_eq!(kind, "malformed", "{}", body.escape_ascii());
    }
}

#[test]
fn sizes_that_overflow_are_refused_at_once() {
    let mut client = ClientProgram::start();
    let cases: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n",
    ];
    for bytes in cases {
        let kind = kind_of(&mut client, bytes);
        assert!(
            ["malformed", "too_large"].contains(&kind.as_str()),
            "{kind}: {}",
            bytes.escape_ascii()
        );
    }
}

/// Folded lines and bare line feeds may be refused, or read as RFC 9112 allows, but never as another header.
#[test]
fn unusual_line_ends_are_no_other_headers() {
    let mut client = ClientProgram::start();
    let cases = [
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c: d\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n\tContent-Length: 7\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX-A: b\nX-B: c\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n X-A: b\r\nContent-Length: 2\r\n\r\nok",
    ];
    for text in cases {
        let server = ScriptedServer::answering(text);
        let result = client.get(&server.url("/"));
        if result.0["ok"] == false {
            result.assert_kind("malformed");
            continue;
        }
        assert_eq!(result.assert_ok().text(), "ok", "{text:?}");
        let fields = result.0["headers"].as_array().unwrap();
        for field in fields {
            let name = field[0].as_str().unwrap();
            assert!(
                ["x-a", "x-b", "content-length"].contains(&name),
                "{result:?}"
            );
        }
        assert_eq!(result.header("content-length"), ["2"], "{text:?}");
    }
}

#[test]
fn unusual_heads_are_accepted() {
    let mut client = ClientProgram::start();
    for (text, status) in [
        ("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200),
        (
            "HTTP/1.1 200 A long  reason: with, signs; \u{e9}\r\nContent-Length: 2\r\n\r\nok",
            200,
        ),
        ("HTTP/1.1 999 Unknown\r\nContent-Length: 2\r\n\r\nok", 999),
        ("HTTP/1.1 600 Unknown\r\nContent-Length: 2\r\n\r\nok", 600),
        ("HTTP/1.1 200 OK\r\ncONTENT-lENGTH: 2\r\n\r\nok", 200),
        ("HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok", 200),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: ChUnKeD\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0002;a=b;c=\"d\"\r\nok\r\n000\r\n\r\n",
            200,
        ),
        (
            "HTTP/1.1 200 OK\r\nX!#$%&'*+-.^_`|~0: \u{e9}\r\nContent-Length: 2\r\n\r\nok",
            200,
        ),
    ] {
        let server = ScriptedServer::answering(text);
        let result = client.get(&server.url("/"));
        assert_eq!(result.status(), Some(status), "{text}: {result:?}");
        assert_eq!(result.text(), "ok", "{text}");
    }
}

#[test]
fn responses_can_arrive_byte_by_byte() {
    let text = "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n\
                3;x\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-T: t\r\n\r\n";
    let server = ScriptedServer::start(move |peer| {
        while peer.request().is_some() && peer.trickle(text, Duration::from_micros(300)) {}
    });
    let mut client = ClientProgram::start();
    for reused in [false, true] {
        let result = client.get(&server.url("/"));
        assert_eq!(result.assert_ok().text(), "abc0123456789");
        result.assert_reused(reused);
        assert_eq!(result.0["trailers"], json!([["x-t", "t"]]));
        assert_eq!(result.0["informational"], json!([103]));
    }
}

#[test]
fn up_to_twenty_interim_responses_are_accepted() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let count: usize = request.target[1..].parse().unwrap();
            let interim = "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nLink: </a>\r\n\r\n";
            peer.send(interim.repeat(count) + OK);
        }
    });
    let mut client = ClientProgram::start();
    for count in [0, 1, 19, 20] {
        let result = client.get(&server.url(&format!("/{count}")));
        let codes = result.assert_ok().0["informational"].as_array().unwrap();
        assert_eq!(codes.len(), count, "{result:?}");
        assert!(codes.iter().all(|code| code == 103));
        assert_eq!(result.header("link"), [""; 0]);
    }
    let result = client.get(&server.url("/200"));
    result.assert_kind("too_large");
}

#[test]
fn interim_responses_of_any_status_come_in_order() {
    let server = ScriptedServer::answering(
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\nHTTP/1.1 199 Other\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let mut client = ClientProgram::start();
    for reused in [false, true] {
        let result = client.get(&server.url("/"));
        result.assert_ok().assert_reused(reused);
        assert_eq!(result.0["informational"], json!([102, 100, 199]));
        assert_eq!(result.text(), "ok");
    }
}

#[test]
fn an_endless_row_of_interim_responses_ends() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        while peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") {}
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    client.get(&server.url("/")).assert_kind("too_large");
    watch.assert_below(8000);
}

#[test]
fn an_endless_head_ends() {
    let lines: [&'static str; 4] = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200 OK\r\nX-A: ",
        "HTTP/1.1 200 OK\r\nX-",
    ];
    let mut client = ClientProgram::start();
    for (start, more) in lines
        .into_iter()
        .zip(["X-A: b\r\n", "reason ", "value ", "name"])
    {
        let server = ScriptedServer::start(move |peer| {
            peer.request();
            peer.send(start);
            while peer.send(more.repeat(100)) {}
        });
        let watch = Stopwatch::start();
        client.get(&server.url("/")).assert_kind("too_large");
        watch.assert_below(8000);
    }
    assert!(client.peak_memory() < 64 * 1024 * 1024);
}

#[test]
fn heads_up_to_the_limit_are_accepted() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let size: usize = request.target[1..].parse().unwrap();
            let start = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: ";
            let fill = "x".repeat(size - start.len() - "\r\n\r\n".len());
            peer.send(format!("{start}{fill}\r\n\r\nok"));
        }
    });
    let mut client = ClientProgram::start();
    for (limit, size, is_ok) in [
        (None, 65_000, true),
        (None, 65_536, true),
        (None, 66_000, false),
        (None, 200_000, false),
        (Some(1000), 990, true),
        (Some(1000), 1000, true),
        (Some(1000), 1100, false),
        (Some(500_000), 400_000, true),
    ] {
        let mut request = json!({"url": server.url(&format!("/{size}"))});
        if let Some(limit) = limit {
            request["max_head"] = json!(limit);
        }
        let result = client.run(request);
        match is_ok {
            true => _ = result.assert_ok(),
            false => _ = result.assert_kind("too_large"),
        }
    }
}

#[test]
fn a_hundred_headers_are_accepted() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let count: usize = request.target[1..].parse().unwrap();
            let lines: String = (1..count)
                .map(|number| format!("X-{number}: {number}\r\n"))
                .collect();
            peer.send(response("200 OK", &lines, "ok"));
        }
    });
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/100"));
    let fields = result.assert_ok().0["headers"].as_array().unwrap();
    assert_eq!(fields.len(), 100);
    assert_eq!(fields[99], json!(["x-99", "99"]));
    // More headers are accepted, or refused as too many.
    let result = client.get(&server.url("/5000"));
    if result.0["ok"] == false {
        result.assert_kind("too_large");
    }
}

#[test]
fn an_endless_trailer_section_ends() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n");
        while peer.send("X-Trailer: a\r\n".repeat(100)) {}
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    let result = client.get(&server.url("/"));
    result.assert_kind("too_large");
    assert_eq!(result.status(), Some(200));
    watch.assert_below(8000);
}

#[test]
fn trailers_up_to_the_limit_are_accepted() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let value = "x".repeat(request.target[1..].parse().unwrap());
            let start = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
            peer.send(format!("{start}X-A: {value}\r\n\r\n"));
        }
    });
    let mut client = ClientProgram::start();
    client.get(&server.url("/60000")).assert_ok();
    client.get(&server.url("/70000")).assert_kind("too_large");
    let mut limited =
        |size: usize| client.run(json!({"url": server.url(&format!("/{size}")), "max_head": 500}));
    limited(400).assert_ok();
    limited(600).assert_kind("too_large");
}
