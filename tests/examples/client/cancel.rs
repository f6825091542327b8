//! The command `cancel`.

use serde_json::{Value, json};

use super::driver::{ClientProgram, Stopwatch};
use super::secure_server::pause;
use super::server::{OK, Peer, ScriptedServer};

/// A server that never answers.
fn silent() -> ScriptedServer {
    ScriptedServer::start(|peer| {
        peer.head();
        peer.rest();
    })
}

#[test]
fn a_running_request_is_cancelled_and_its_connection_closed() {
    let server = silent();
    let mut client = ClientProgram::start();
    for id in [json!("text"), json!(17)] {
        client.send(json!({"id": id, "url": server.url("/")}));
        let before = server.ended();
        server.wait(|server| server.requests().len() == before + 1);
        client.cancel(&id);
        let result = client.next();
        result.assert_kind("cancelled");
        assert_eq!(result.0["id"], id);
        server.wait(|server| server.ended() == before + 1);
    }
    assert_eq!(client.stats().open, 0);
    client.assert_silent();
}

#[test]
fn a_request_that_waits_in_the_pool_is_cancelled() {
    let server = silent();
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    let running = client.send(json!({"url": server.url("/1")}));
    let waiting = client.send(json!({"url": server.url("/2")}));
    let last = client.send(json!({"url": server.url("/3")}));
    server.wait_for_requests(1);
    client.cancel(&waiting);
    let result = client.result_of(&waiting);
    result.assert_kind("cancelled").assert_attempts(0);
    client.cancel(&running);
    client.result_of(&running).assert_kind("cancelled");
    // The place of the cancelled request is free.
    let requests = server.wait_for_requests(2);
    assert_eq!(requests[1].target, "/3");
    client.cancel(&last);
    client.result_of(&last).assert_kind("cancelled");
    assert_eq!(server.requests().len(), 2);
}

/// Requests beyond the 64 that run at a time wait in the program.
#[test]
fn a_request_that_waits_in_the_program_is_cancelled() {
    let server = silent();
    let mut client = ClientProgram::start();
    let ids: Vec<Value> = (0..70)
        .map(|_| client.send(json!({"url": server.url("/")})))
        .collect();
    client.cancel(&ids[69]);
    client
        .result_of(&ids[69])
        .assert_kind("cancelled")
        .assert_attempts(0);
    for id in &ids[..69] {
        client.cancel(id);
        client.result_of(id).assert_kind("cancelled");
    }
    client.assert_silent();
}

#[test]
fn a_connection_attempt_is_cancelled() {
    let blocked = super::timeouts::BlockedAddress::new();
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    let url = format!("http://{}/", blocked.address);
    let id = client.send(json!({"url": url}));
    pause(100);
    client.cancel(&id);
    let watch = Stopwatch::start();
    client
        .result_of(&id)
        .assert_kind("cancelled")
        .assert_attempts(0);
    watch.assert_below(3000);
    assert_eq!(client.stats().open, 0);
}

#[test]
fn a_request_is_cancelled_while_its_body_is_sent_or_received() {
    let server = ScriptedServer::start(|peer| {
        let request = peer.head().unwrap();
        if request.method == "GET" {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123");
        }
        peer.is_closed_within(20_000);
    });
    let mut client = ClientProgram::start();
    let requests = [
        json!({"url": server.url("/")}),
        json!({"url": server.url("/"), "digest": true}),
        json!({"url": server.url("/"), "digest": true, "pause_ms": 60_000}),
        json!({"url": server.url("/"), "method": "POST", "body_zeros": 10_000_000_000_u64}),
        json!({"url": server.url("/"), "method": "POST", "chunks": [{"delay_ms": 60_000, "data": "a"}]}),
        json!({"url": server.url("/"), "method": "POST", "body": "a", "expect_continue": true, "continue_timeout_ms": 60_000}),
    ];
    for (number, request) in requests.into_iter().enumerate() {
        let id = client.send(request.clone());
        server.wait_for_requests(number + 1);
        pause(100);
        client.cancel(&id);
        client.result_of(&id).assert_kind("cancelled");
        server.wait(|server| server.ended() == number + 1);
    }
    assert_eq!(client.stats().open, 0);
    client.assert_silent();
}

#[test]
fn a_finished_or_unknown_request_cannot_be_cancelled() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    client
        .run(json!({"id": 1, "url": server.url("/")}))
        .assert_ok();
    client.cancel(&json!(1));
    client.cancel(&json!("1"));
    client.cancel(&json!("unknown"));
    client.assert_silent();
    client.get(&server.url("/")).assert_ok().assert_reused(true);
}

#[test]
fn cancelling_leaves_other_requests_alone() {
    let server = ScriptedServer::start(|peer: &mut Peer| {
        while peer.request().is_some() {
            peer.sleep(400);
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start();
    let ids = [0; 10].map(|_| client.send(json!({"url": server.url("/")})));
    server.wait_for_requests(10);
    for id in ids.iter().step_by(2) {
        client.cancel(id);
    }
    for (number, id) in ids.iter().enumerate() {
        let result = client.result_of(id);
        match number % 2 {
            0 => result.assert_kind("cancelled"),
            _ => result.assert_ok(),
        };
    }
    let stats = client.stats();
    assert_eq!((stats.open, stats.idle), (5, 5));
}
