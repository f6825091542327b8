//! The transparent retry of requests on reused connections.

use serde_json::{Value, json};

use super::driver::{ClientProgram, Outcome};
use super::server::{OK, ScriptedServer};

const REPEATABLE: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
const OTHERS: [&str; 5] = ["POST", "PATCH", "LOCK", "get", "PROPFIND"];

/// A server that serves one request of each connection, and ends the connection after the next request with this target: `/close`, `/reset`,
/// `/byte` (after one byte), `/interim` (after an interim response). Others are served.
fn server() -> ScriptedServer {
    ScriptedServer::start(|peer| {
        let mut served = 0;
        while let Some(request) = peer.request() {
            if served > 0 && request.target != "/" {
                match request.target.as_str() {
                    "/reset" => peer.reset(),
                    "/byte" => _ = peer.send("H"),
                    "/interim" => _ = peer.send("HTTP/1.1 103 Early Hints\r\n\r\n"),
                    _ => (),
                }
                return;
            }
            served += 1;
            let is_head = request.method == "HEAD";
            peer.send(if is_head { &OK[..OK.len() - 2] } else { OK });
        }
    })
}

/// Makes a connection idle, and sends a request that reuses it.
#[track_caller]
fn on_reused(
    client: &mut ClientProgram,
    server: &ScriptedServer,
    path: &str,
    members: Value,
) -> Outcome {
    client.close_idle();
    client.get(&server.url("/")).assert_ok();
    let mut request = members;
    request["url"] = json!(server.url(path));
    client.run(request)
}

#[test]
fn a_repeatable_request_is_sent_again_on_a_new_connection() {
    let server = server();
    let mut client = ClientProgram::start();
    for method in REPEATABLE {
        for path in ["/close", "/reset"] {
            let before = server.requests().len();
            let result = on_reused(&mut client, &server, path, json!({"method": method}));
            result.assert_ok().assert_attempts(2).assert_reused(false);
            let requests = server.requests().split_off(before);
            assert_eq!(requests.len(), 3, "{method} {path}");
            assert_eq!(requests[1].head, requests[2].head);
            assert_ne!(requests[1].connection, requests[2].connection);
        }
    }
}

#[test]
fn a_request_with_a_body_is_sent_again_completely() {
    let server = server();
    let mut client = ClientProgram::start();
    for body in [
        json!({"body": "text"}),
        json!({"body_base64": "AP8="}),
        json!({"body_zeros": 1000}),
    ] {
        let mut members = body;
        members["method"] = json!("PUT");
        let result = on_reused(&mut client, &server, "/close", members);
        result.assert_ok().assert_attempts(2);
        let requests = server.requests();
        let [.., first, second] = &requests[..] else {
            panic!("{requests:?}");
        };
        assert_eq!(first.body, second.body);
        assert!(!first.body.is_empty());
    }
}

#[test]
fn other_methods_are_never_sent_again() {
    let server = server();
    let mut client = ClientProgram::start();
    for method in OTHERS {
        for path in ["/close", "/reset"] {
            let before = server.requests().len();
            let result = on_reused(&mut client, &server, path, json!({"method": method}));
            result.assert_kind("closed_before_response");
            result.assert_attempts(1).assert_reused(true);
            assert_eq!(server.requests().len(), before + 2, "{method} {path}");
        }
    }
}

#[test]
fn a_request_is_not_sent_again_after_a_byte_of_the_response() {
    let server = server();
    let mut client = ClientProgram::start();
    for path in ["/byte", "/interim"] {
        let before = server.requests().len();
        let result = on_reused(&mut client, &server, path, json!({}));
        result.assert_kind("closed_in_head");
        result.assert_attempts(1).assert_reused(true);
        assert_eq!(server.requests().len(), before + 2, "{path}");
    }
}

#[test]
fn a_streaming_body_is_not_sent_again() {
    let server = server();
    let mut client = ClientProgram::start();
    let members = json!({"method": "PUT", "chunks": [{"data": "a"}]});
    let result = on_reused(&mut client, &server, "/close", members);
    result.assert_kind("closed_before_response");
    result.assert_attempts(1).assert_reused(true);
}

#[test]
fn the_retry_can_be_switched_off() {
    let server = server();
    let mut client = ClientProgram::start();
    let result = on_reused(&mut client, &server, "/close", json!({"retry": false}));
    result.assert_kind("closed_before_response");
    result.assert_attempts(1).assert_reused(true);
}

#[test]
fn a_request_on_a_new_connection_is_not_sent_again() {
    let server = ScriptedServer::start(|peer| _ = peer.request());
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/"));
    result.assert_kind("closed_before_response");
    result.assert_attempts(1).assert_reused(false);
    assert_eq!(server.requests().len(), 1);
}

/// The retry uses a new connection even if other idle ones exist, and fails if that one dies, too.
#[test]
fn a_request_is_never_sent_a_third_time() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            if request.target == "/die" {
                return;
            }
            peer.sleep(100);
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start();
    let ids: Vec<Value> = (0..4)
        .map(|_| client.send(json!({"url": server.url("/")})))
        .collect();
    for id in &ids {
        client.result_of(id).assert_ok();
    }
    assert_eq!(client.stats().idle, 4);
    let result = client.get(&server.url("/die"));
    result.assert_kind("closed_before_response");
    result.assert_attempts(2).assert_reused(false);
    assert_eq!(server.requests().len(), 6);
    assert_eq!(server.connections(), 5);
    // Idle connections that were not involved stay.
    assert_eq!(client.stats().idle, 3);
}

#[test]
fn a_retry_within_the_limit_of_connections_gets_its_place() {
    let server = server();
    let mut client = ClientProgram::start_with(&["--max-per-host", "1", "--max-total", "1"], &[]);
    for path in ["/close", "/reset"] {
        let result = on_reused(&mut client, &server, path, json!({}));
        result.assert_ok().assert_attempts(2);
        assert_eq!(client.stats().open, 1);
    }
}

/// A connection that ends while it is idle is dropped by the check before reuse, and does not count.
#[test]
fn a_connection_that_ended_while_idle_is_no_attempt() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send(OK);
        if peer.number % 2 == 1 {
            peer.reset();
        }
    });
    let mut client = ClientProgram::start();
    for method in ["GET", "POST", "POST", "PATCH", "GET", "DELETE"] {
        let result = client.run(json!({"url": server.url("/"), "method": method}));
        result.assert_ok().assert_attempts(1).assert_reused(false);
        let ended = server.connections();
        server.wait(|server| server.ended() == ended);
        super::secure_server::pause(20);
    }
}

#[test]
fn each_hop_of_a_redirect_has_its_own_retry() {
    let server = ScriptedServer::start(|peer| {
        let mut served = 0;
        while let Some(request) = peer.request() {
            if served > 0 && request.target != "/" && peer.number == 0 {
                return;
            }
            served += 1;
            match request.target.as_str() {
                "/redirect" => {
                    peer.send("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
                }
                _ => peer.send(OK),
            };
        }
    });
    let mut client = ClientProgram::start();
    client.get(&server.url("/")).assert_ok();
    let result = client.get(&server.url("/redirect"));
    // The attempts are those of the last hop.
    result.assert_ok().assert_attempts(1).assert_reused(true);
    assert_eq!(result.0["redirects"], 1);
    assert_eq!(server.requests().len(), 4);
}
