//! Connections that end before, within and after a response.

use serde_json::json;

use super::driver::{ClientProgram, Outcome, Stopwatch};
use super::server::{OK, Peer, ScriptedServer, response};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The end of a connection after the server has sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

const ENDS: [End; 2] = [End::Close, End::Reset];

fn end(peer: &mut Peer, end: End) {
    // A reset discards what the client has not read.
    peer.sleep(30);
    if end == End::Reset {
        peer.reset();
    }
}

/// Requests a page from a server that sends these bytes and ends the connection.
#[track_caller]
fn request(client: &mut ClientProgram, bytes: &'static [u8], how: End) -> Outcome {
    let server = ScriptedServer::start(move |peer| {
        peer.request();
        peer.send(bytes);
        end(peer, how);
    });
    let result = client.get(&server.url("/"));
    assert_eq!(server.requests().len(), 1, "{result:?}");
    result
}

#[test]
fn a_connection_that_ends_before_a_response_is_reported() {
    let mut client = ClientProgram::start();
    for how in ENDS {
        let result = request(&mut client, b"", how);
        result
            .assert_kind("closed_before_response")
            .assert_attempts(1);
        result.assert_reused(false);
        assert_eq!(result.status(), None, "{result:?}");
    }
    let immediate = ScriptedServer::start(|_| ());
    let result = client.get(&immediate.url("/"));
    result
        .assert_kind("closed_before_response")
        .assert_attempts(1);
    let reset = ScriptedServer::start(Peer::reset);
    let result = client.get(&reset.url("/"));
    result.assert_kinds(&["closed_before_response", "connect"]);
}

#[test]
fn a_connection_that_ends_within_the_head_is_reported() {
    let mut client = ClientProgram::start();
    let cases: [&[u8]; 9] = [
        b"H",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1",
        b"HTTP/1.1 103 Early Hints\r\nLink:",
    ];
    for bytes in cases {
        for how in ENDS {
            let result = request(&mut client, bytes, how);
            let text = bytes.escape_ascii();
            assert_eq!(
                result.0["error"]["kind"], "closed_in_head",
                "{text} {how:?}: {result:?}"
            );
            assert_eq!(result.status(), None, "{text}: {result:?}");
            result.assert_attempts(1);
        }
    }
}

#[test]
fn a_connection_that_ends_within_the_body_is_reported() {
    let mut client = ClientProgram::start();
    let cases = [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n".to_string(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789".into(),
        CHUNKED.into(),
        format!("{CHUNKED}5"),
        format!("{CHUNKED}5\r\nabc"),
        format!("{CHUNKED}5\r\nabcde"),
        format!("{CHUNKED}5\r\nabcde\r\n"),
        format!("{CHUNKED}5\r\nabcde\r\n0"),
        format!("{CHUNKED}5\r\nabcde\r\n0\r\n"),
        format!("{CHUNKED}5\r\nabcde\r\n0\r\nX-Trailer: a\r\n"),
        format!("{CHUNKED}0\r\nX-Trailer"),
    ];
    for text in cases {
        let bytes: &'static [u8] = text.clone().leak().as_bytes();
        for how in ENDS {
            let result = request(&mut client, bytes, how);
            assert_eq!(
                result.0["error"]["kind"], "closed_in_body",
                "{text:?} {how:?}: {result:?}"
            );
            assert_eq!(result.status(), Some(200), "{text:?}: {result:?}");
            assert!(result.0.get("body").is_none(), "{result:?}");
        }
    }
}

#[test]
fn a_body_until_the_end_of_the_connection_does_not_end_with_a_reset() {
    let mut client = ClientProgram::start();
    let bytes = b"HTTP/1.1 200 OK\r\n\r\npartial";
    request(&mut client, bytes, End::Close).assert_ok();
    let result = request(&mut client, bytes, End::Reset);
    result.assert_kind("closed_in_body");
    assert_eq!(result.status(), Some(200));
}

#[test]
fn a_cut_body_is_reported_also_without_its_content() {
    let mut client = ClientProgram::start();
    let server = ScriptedServer::closing("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    let result = client.run(json!({"url": server.url("/"), "digest": true}));
    result.assert_kind("closed_in_body");
    let result = client.run(json!({"url": server.url("/"), "digest": true, "pause_ms": 200}));
    result.assert_kind("closed_in_body");
}

#[test]
fn a_complete_response_counts_although_the_connection_ends() {
    let mut client = ClientProgram::start();
    let cases = [
        OK.to_string(),
        format!("{CHUNKED}2\r\nok\r\n0\r\n\r\n"),
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".into(),
    ];
    for text in cases {
        let bytes: &'static [u8] = text.leak().as_bytes();
        for how in ENDS {
            assert_eq!(request(&mut client, bytes, how).assert_ok().text(), "ok");
        }
    }
    client.wait_for_stats(|stats| stats.open == 0);
}

/// A server that ends its stream still reads the request.
#[test]
fn a_half_closed_server_answers() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send(OK);
        peer.end();
        peer.rest();
    });
    let mut client = ClientProgram::start();
    for _ in 0..2 {
        let result = client.get(&server.url("/"));
        result.assert_ok().assert_reused(false).assert_attempts(1);
    }
    server.wait(|server| server.ended() == 2);
}

#[test]
fn a_server_that_closes_while_the_body_is_sent_is_reported() {
    let mut client = ClientProgram::start();
    for how in ENDS {
        let server = ScriptedServer::start(move |peer| {
            peer.head();
            peer.exactly(10_000);
            if how == End::Reset {
                peer.reset();
            }
        });
        let request = json!({"url": server.url("/"), "method": "POST", "body_zeros": 200_000_000});
        let watch = Stopwatch::start();
        let result = client.run(request);
        result
            .assert_kind("closed_before_response")
            .assert_attempts(1);
        watch.assert_below(10_000);
    }
    assert_eq!(client.stats().open, 0);
}

/// The second response arrives with the first one, or while the connection is idle.
#[test]
fn a_second_response_is_never_taken_for_that_of_a_later_request() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let own = response("200 OK", "", &request.target);
            let second = response("200 OK", "", "second");
            if peer.number % 2 == 0 {
                peer.send(own + &second);
            } else {
                peer.send(own);
                peer.sleep(5);
                peer.send(second);
            }
        }
    });
    let mut client = ClientProgram::start();
    for number in 0..20 {
        let path = format!("/{number}");
        let result = client.get(&server.url(&path));
        assert_eq!(result.assert_ok().assert_reused(false).text(), path);
        client.wait_for_stats(|stats| stats.open == 0);
    }
    assert_eq!(server.requests().len(), 20);
}

#[test]
fn a_failed_request_leaves_nothing_behind() {
    let server = ScriptedServer::start(|peer| {
        if let Some(request) = peer.request() {
            match request.target.as_str() {
                "/before" => (),
                "/head" => _ = peer.send("HTTP/1.1 200 OK\r\n"),
                "/body" => _ = peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"),
                _ => _ = peer.send("garbage"),
            }
        }
    });
    let mut client = ClientProgram::start();
    for path in ["/before", "/head", "/body", "/garbage"] {
        assert_eq!(client.get(&server.url(path)).0["ok"], false, "{path}");
    }
    client.wait_for_stats(|stats| stats.open == 0);
    let descriptors = client.descriptors();
    for _ in 0..50 {
        for path in ["/before", "/head", "/body", "/garbage"] {
            client.get(&server.url(path));
        }
    }
    client.wait_for_stats(|stats| stats.open == 0);
    assert!(client.descriptors() <= descriptors + 1, "{descriptors}");
}
