//! Lines on standard input and output: results, commands, invalid lines, and the end.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::driver::{ClientProgram, Outcome, Stopwatch};
use super::secure_server::pause;
use super::server::{OK, ScriptedServer, response};

#[test]
fn a_result_has_all_members() {
    let server = ScriptedServer::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nX-A: 1\r\nX-B: b\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 9\r\nX-Sum: 10\r\n\r\n",
    );
    let mut client = ClientProgram::start();
    let url = server.url("/path?query#fragment");
    let result = client.run(json!({"id": "a", "url": url})).0;
    let fields = json!([
        ["content-type", "text/plain"],
        ["x-a", "1"],
        ["x-b", "b"],
        ["x-a", "2"],
        ["transfer-encoding", "chunked"]
    ]);
    let expected = json!({
        "id": "a", "ok": true, "status": 200, "version": "1.1", "headers": fields, "body": "aGVsbG8=",
        "trailers": [["x-sum", "9"], ["x-sum", "10"]], "url": url, "redirects": 0, "informational": [103],
        "reused": false, "attempts": 1,
    });
    assert_eq!(result, expected);
    let again = client.run(json!({"id": "b", "url": url}));
    again.assert_ok().assert_reused(true).assert_attempts(1);
}

#[test]
fn a_response_of_any_status_is_a_result() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let status = &request.target[1..];
            peer.send(response(&format!("{status} Some Reason"), "", "x"));
        }
    });
    let mut client = ClientProgram::start();
    for status in [200, 201, 226, 300, 400, 401, 404, 418, 451, 500, 503, 599] {
        let result = client.get(&server.url(&format!("/{status}")));
        assert_eq!(result.0["ok"], true, "{result:?}");
        assert_eq!(result.status(), Some(status));
        assert_eq!(result.text(), "x");
    }
}

#[test]
fn the_version_of_the_response_is_reported() {
    let server = ScriptedServer::closing("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/"));
    assert_eq!(result.assert_ok().0["version"], "1.0");
}

/// Characters of JSON strings are sent as UTF-8, and each byte of a header is a character of the result.
#[test]
fn bytes_of_headers_become_characters_of_the_same_number() {
    let server = ScriptedServer::answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Latin: caf\xe9\r\nX-Utf8: caf\xc3\xa9\r\nX-Tab: a\tb\r\n\r\n",
    );
    let mut client = ClientProgram::start();
    let headers = json!([["x-name", "caf\u{e9}"]]);
    let result = client.run(
        json!({"url": server.url("/"), "headers": headers, "method": "PUT", "body": "\u{e9}"}),
    );
    assert_eq!(result.assert_ok().header("x-latin"), ["caf\u{e9}"]);
    assert_eq!(result.header("x-utf8"), ["caf\u{c3}\u{a9}"]);
    assert_eq!(result.header("x-tab"), ["a\tb"]);
    let request = server.last();
    assert_eq!(request.field("x-name"), Some("caf\u{c3}\u{a9}"));
    assert_eq!(request.text(), "\u{e9}");
}

#[test]
fn white_space_around_values_is_removed() {
    let server = ScriptedServer::answering(
        "HTTP/1.1 200 OK\r\nContent-Length:2\r\nX-A:  \t a b \t \r\nX-Empty:\r\nX-Blank: \r\n\r\nok",
    );
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/"));
    assert_eq!(result.assert_ok().header("x-a"), ["a b"]);
    assert_eq!(result.header("x-empty"), [""]);
    assert_eq!(result.header("x-blank"), [""]);
}

#[test]
fn a_line_that_is_no_json_object_gets_an_error() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for line in [
        "{",
        "[]",
        "1",
        "null",
        "\"a\"",
        "GET / HTTP/1.1",
        "{}{}",
        "{\"id\":1,}",
    ] {
        client.line(line);
        let result = client.next();
        result.assert_kind("invalid_request").assert_attempts(0);
        assert_eq!(result.0["id"], Value::Null, "{line}");
    }
    client.get(&server.url("/")).assert_ok();
}

#[test]
fn members_of_the_wrong_type_are_refused_before_anything_is_sent() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let members = [
        ("method", json!(1)),
        ("method", json!(["GET"])),
        ("url", json!(7)),
        ("headers", json!({"a": "b"})),
        ("headers", json!([["a"]])),
        ("headers", json!([["a", 1]])),
        ("headers", json!(["a: b"])),
        ("body", json!(1)),
        ("body", json!({})),
        ("body_base64", json!("***")),
        ("body_base64", json!(1)),
        ("body_zeros", json!("10")),
        ("body_zeros", json!(-1)),
        ("chunks", json!("abc")),
        ("chunks", json!(["abc"])),
        ("chunks", json!([{"data": 1}])),
        ("chunks", json!([{"delay_ms": "1", "data": "a"}])),
        ("expect_continue", json!("yes")),
        ("continue_timeout_ms", json!("1")),
        ("connect_timeout_ms", json!("1")),
        ("tls_timeout_ms", json!(true)),
        ("write_timeout_ms", json!([])),
        ("first_byte_timeout_ms", json!(-1)),
        ("read_timeout_ms", json!("10")),
        ("total_timeout_ms", json!({})),
        ("follow", json!(1)),
        ("max_redirects", json!("1")),
        ("max_redirects", json!(-1)),
        ("proxy", json!(1)),
        ("ca", json!(1)),
        ("insecure", json!("true")),
        ("http2", json!("sometimes")),
        ("http2", json!(true)),
        ("decompress", json!(0)),
        ("max_body", json!("1")),
        ("max_head", json!("1")),
        ("cookies", json!("a=b")),
        ("retry", json!(1)),
        ("resolve", json!([])),
        ("resolve", json!({"a": "127.0.0.1"})),
        ("resolve", json!({"a": ["no address"]})),
        ("unix", json!(1)),
        ("digest", json!(1)),
        ("pause_ms", json!("1")),
    ];
    for (name, value) in members {
        let mut request = json!({"url": server.url("/")});
        request[name] = value;
        let result = client.run(request.clone());
        let kind = result.0["error"]["kind"].as_str();
        assert_eq!(kind, Some("invalid_request"), "{request}");
        result.assert_attempts(0);
    }
    let id = json!("no url");
    client.run(json!({"id": id})).assert_kind("invalid_request");
    assert_eq!(server.connections(), 0);
}

#[test]
fn unknown_members_are_ignored_and_defaults_can_be_null() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "unknown": [1], "proxy": null, "ca": null, "unix": null, "max_body": null});
    client.run(request).assert_ok();
}

#[test]
fn identifiers_are_strings_or_integers() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let url = server.url("/");
    for id in [
        json!("1"),
        json!(1),
        json!(-7),
        json!(u64::MAX),
        json!(""),
        json!("\u{1f980}\n\""),
    ] {
        let result = client.run(json!({"id": id, "url": url}));
        assert_eq!(result.assert_ok().0["id"], id);
    }
}

#[test]
fn results_come_in_the_order_in_which_requests_end() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            peer.sleep(request.target[1..].parse().unwrap());
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start();
    for delay in [900, 100, 500] {
        client.send(json!({"id": delay, "url": server.url(&format!("/{delay}"))}));
    }
    for delay in [100, 500, 900] {
        assert_eq!(client.next().assert_ok().0["id"], delay);
    }
}

#[test]
fn sixty_four_requests_run_at_a_time_and_others_wait_in_order() {
    let server = ScriptedServer::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(500);
            peer.send(OK);
        }
    });
    let options = ["--max-per-host", "100", "--max-total", "100"];
    let mut client = ClientProgram::start_with(&options, &[]);
    for id in 0..70 {
        client.send(json!({"id": id, "url": server.url(&format!("/{id}"))}));
    }
    let first = server.wait_for_requests(64);
    pause(100);
    assert_eq!(server.requests().len(), 64);
    let mut targets: Vec<u32> = first
        .iter()
        .map(|request| request.target[1..].parse().unwrap())
        .collect();
    targets.sort_unstable();
    assert_eq!(targets, (0..64).collect::<Vec<_>>());
    for _ in 0..70 {
        client.next().assert_ok();
    }
    assert_eq!(server.requests().len(), 70);
}

#[test]
fn a_waiting_line_is_run_after_its_predecessors() {
    let server = ScriptedServer::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(20);
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    for id in 0..150 {
        client.send(json!({"id": id, "url": server.url(&format!("/{id}"))}));
    }
    for id in 0..150 {
        assert_eq!(client.next().assert_ok().0["id"], id);
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn the_program_exits_at_the_end_of_its_input() {
    let ended = ClientProgram::start().finish();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout, [""; 0]);
}

#[test]
fn requests_in_progress_finish_after_the_end_of_the_input() {
    let server = ScriptedServer::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(500);
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    for id in 0..3 {
        client.send(json!({"id": id, "url": server.url("/")}));
    }
    server.wait_for_requests(1);
    let ended = client.finish();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout.len(), 3, "{ended:?}");
    for line in &ended.stdout {
        Outcome(serde_json::from_str(line).unwrap()).assert_ok();
    }
    server.wait(|server| server.ended() == server.connections());
}

/// Idle connections do not delay the end of the program.
#[test]
fn idle_connections_are_closed_at_the_end_of_the_input() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    client.get(&server.url("/")).assert_ok();
    let watch = Stopwatch::start();
    let ended = client.finish();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    watch.assert_below(5000);
    server.wait(|server| server.ended() == 1);
}

#[test]
fn an_incomplete_last_line_is_a_line() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let request = json!({"id": 1, "url": server.url("/")});
    client.raw(&request.to_string());
    let ended = client.finish();
    assert_eq!(ended.stdout.len(), 1, "{ended:?}");
    Outcome(serde_json::from_str(&ended.stdout[0]).unwrap()).assert_ok();
}

#[test]
fn a_line_can_be_long_and_can_come_in_pieces() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            peer.send(response("200 OK", "", &request.body.len().to_string()));
        }
    });
    let mut client = ClientProgram::start();
    let body = "x".repeat(8 * 1024 * 1024);
    let request = json!({"url": server.url("/"), "method": "POST", "body": body});
    assert_eq!(client.run(request).assert_ok().text(), "8388608");
    let line = json!({"id": "pieces", "url": server.url("/")}).to_string() + "\n";
    for piece in line.as_bytes().chunks(7) {
        client.raw(str::from_utf8(piece).unwrap());
        thread::sleep(Duration::from_millis(1));
    }
    client.result_of(&json!("pieces")).assert_ok();
}

#[test]
fn bodies_are_binary() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            );
            peer.send([head.as_bytes(), &request.body].concat());
        }
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "POST", "body_base64": "AAECgP/+DQo="});
    let result = client.run(request);
    assert_eq!(
        result.assert_ok().body(),
        [0, 1, 2, 0x80, 0xff, 0xfe, 13, 10]
    );
    assert_eq!(server.last().field("content-length"), Some("8"));
}
