//! The pool: destinations, limits, order, eviction, commands.

use serde_json::{Value, json};

use super::driver::{ClientProgram, Stopwatch};
use super::secure_server::pause;
use super::server::{OK, Peer, ScriptedServer};

/// A server that serves each request after the number of milliseconds in its target.
fn slow_server() -> ScriptedServer {
    ScriptedServer::start(serve_slowly)
}

fn serve_slowly(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        peer.sleep(request.target[1..].parse().unwrap());
        if !peer.send(OK) {
            return;
        }
    }
}

#[test]
fn requests_one_after_the_other_share_a_connection() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for number in 0..20 {
        client
            .get(&server.url("/"))
            .assert_ok()
            .assert_reused(number > 0);
    }
    assert_eq!(server.connections(), 1);
    let stats = client.stats();
    assert_eq!(
        (stats.open, stats.idle, stats.created, stats.reused),
        (1, 1, 1, 19)
    );
}

#[test]
fn requests_at_once_use_a_connection_each() {
    let server = slow_server();
    let mut client = ClientProgram::start();
    let ids: Vec<Value> = (0..5)
        .map(|_| client.send(json!({"url": server.url("/200")})))
        .collect();
    server.wait_for_requests(5);
    let stats = client.stats();
    assert_eq!(
        (stats.open, stats.idle, stats.created, stats.reused),
        (5, 0, 5, 0)
    );
    for id in &ids {
        client.result_of(id).assert_ok().assert_reused(false);
    }
    assert_eq!(client.stats().idle, 5);
}

#[test]
fn requests_beyond_the_limit_wait_in_order() {
    let server = slow_server();
    let mut client = ClientProgram::start_with(&["--max-per-host", "2"], &[]);
    let ids: Vec<Value> = (0..8)
        .map(|_| client.send(json!({"url": server.url("/100")})))
        .collect();
    server.wait_for_requests(2);
    assert_eq!(client.stats().open, 2);
    for id in &ids {
        client.result_of(id).assert_ok();
    }
    assert_eq!(server.connections(), 2);
    let stats = client.stats();
    assert_eq!((stats.created, stats.reused), (2, 6));
}

#[test]
fn the_default_limit_is_sixteen_connections_to_a_destination() {
    let server = slow_server();
    let mut client = ClientProgram::start();
    let ids: Vec<Value> = (0..20)
        .map(|_| client.send(json!({"url": server.url("/300")})))
        .collect();
    server.wait_for_requests(16);
    pause(50);
    assert_eq!((server.requests().len(), server.connections()), (16, 16));
    for id in &ids {
        client.result_of(id).assert_ok();
    }
    assert_eq!(server.connections(), 16);
}

#[test]
fn waiting_requests_are_served_first_come_first_served() {
    let server = ScriptedServer::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(10);
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    for number in 0..30 {
        client.send(json!({"id": number, "url": server.url(&format!("/{number}"))}));
    }
    for number in 0..30 {
        assert_eq!(client.next().assert_ok().0["id"], number);
    }
    let targets: Vec<String> = server
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    let expected: Vec<String> = (0..30).map(|number| format!("/{number}")).collect();
    assert_eq!(targets, expected);
}

#[test]
fn a_failed_connection_attempt_frees_its_place() {
    let (_socket, refusing) = crate::clients::refusing_address();
    let mut client = ClientProgram::start_with(&["--max-per-host", "1", "--max-total", "1"], &[]);
    let url = format!("http://{refusing}/");
    let ids: Vec<Value> = (0..10).map(|_| client.send(json!({"url": url}))).collect();
    for id in &ids {
        client
            .result_of(id)
            .assert_kind("connect")
            .assert_attempts(0);
    }
    let server = ScriptedServer::answering(OK);
    client.get(&server.url("/")).assert_ok();
    assert_eq!(client.stats().created, 1);
}

#[test]
fn a_failed_request_frees_its_place() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        if peer.number % 2 == 0 {
            peer.send("garbage");
        } else {
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let mut client = ClientProgram::start_with(&["--max-per-host", "1", "--max-total", "1"], &[]);
    let ids: Vec<Value> = (0..10)
        .map(|_| client.send(json!({"url": server.url("/")})))
        .collect();
    for (number, id) in ids.iter().enumerate() {
        let result = client.result_of(id);
        match number % 2 {
            0 => result.assert_kind("malformed"),
            _ => result.assert_ok(),
        };
    }
}

#[test]
fn the_destination_idle_longest_makes_room() {
    let servers: Vec<_> = (0..4).map(|_| ScriptedServer::answering(OK)).collect();
    let mut client = ClientProgram::start_with(&["--max-total", "3"], &[]);
    for server in &servers[..3] {
        client.get(&server.url("/")).assert_ok();
        pause(5);
    }
    // Its connection is no longer the one that has been idle longest.
    client
        .get(&servers[0].url("/"))
        .assert_ok()
        .assert_reused(true);
    client.get(&servers[3].url("/")).assert_ok();
    let stats = client.stats();
    assert_eq!((stats.open, stats.idle, stats.created), (3, 3, 4));
    servers[1].wait(|server| server.ended() == 1);
    client.get(&servers[0].url("/")).assert_reused(true);
    client.get(&servers[2].url("/")).assert_reused(true);
    client.get(&servers[3].url("/")).assert_reused(true);
    client
        .get(&servers[1].url("/"))
        .assert_ok()
        .assert_reused(false);
    servers[0].wait(|server| server.ended() == 1);
}

#[test]
fn requests_wait_for_the_limit_of_all_destinations() {
    let (one, two) = (slow_server(), slow_server());
    let mut client = ClientProgram::start_with(&["--max-total", "2"], &[]);
    let watch = Stopwatch::start();
    let first = client.send(json!({"url": one.url("/500")}));
    let second = client.send(json!({"url": one.url("/1000")}));
    one.wait_for_requests(2);
    let third = client.send(json!({"url": two.url("/0")}));
    pause(50);
    assert_eq!(two.connections(), 0);
    assert_eq!(client.stats().open, 2);
    client.result_of(&first).assert_ok();
    client.result_of(&third).assert_ok();
    watch.assert_about(500);
    client.result_of(&second).assert_ok();
    assert_eq!(client.stats().created, 3);
}

#[test]
fn the_most_recently_used_connection_is_taken() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            peer.sleep(request.target[1..].parse().unwrap());
            let number = peer.number.to_string();
            peer.send(super::server::response("200 OK", "", &number));
        }
    });
    let mut client = ClientProgram::start();
    let slow = client.send(json!({"url": server.url("/600")}));
    server.wait_for_requests(1);
    let fast = client.send(json!({"url": server.url("/0")}));
    client.result_of(&fast).assert_ok();
    let last = client.result_of(&slow).assert_ok().text();
    for _ in 0..3 {
        let result = client.get(&server.url("/0"));
        assert_eq!(result.assert_ok().assert_reused(true).text(), last);
    }
    assert_eq!(server.connections(), 2);
}

/// Each member that belongs to a destination leads to a connection of its own, and others do not.
#[test]
fn destinations_do_not_share_connections() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let port = server.port();
    let resolve = json!({"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"]});
    let requests = [
        json!({"url": server.url("/")}),
        json!({"url": format!("http://a.example:{port}/"), "resolve": resolve}),
        json!({"url": format!("http://b.example:{port}/"), "resolve": resolve}),
        json!({"url": server.url("/"), "proxy": server.url("")}),
        json!({"url": server.url("/"), "http2": "never"}),
        json!({"url": server.url("/"), "insecure": true}),
    ];
    for reused in [false, true] {
        for request in &requests {
            client
                .run(request.clone())
                .assert_ok()
                .assert_reused(reused);
        }
    }
    assert_eq!(server.connections(), requests.len());
    for members in [
        json!({"url": server.url("/other?x#y")}),
        json!({"url": server.url("/"), "total_timeout_ms": 5000, "headers": [["a", "b"]], "max_body": 5, "decompress": false}),
        json!({"url": server.url("/"), "digest": true, "method": "POST", "body": "x", "cookies": true, "retry": false}),
        json!({"url": format!("http://user:password@127.0.0.1:{port}/")}),
    ] {
        client.run(members).assert_ok().assert_reused(true);
    }
}

#[test]
fn close_idle_closes_idle_connections_only() {
    let server = slow_server();
    let mut client = ClientProgram::start();
    assert_eq!(client.close_idle(), 0);
    let fast = [0; 3].map(|_| client.send(json!({"url": server.url("/50")})));
    let slow = client.send(json!({"url": server.url("/1000")}));
    for id in &fast {
        client.result_of(id).assert_ok();
    }
    server.wait_for_requests(4);
    assert_eq!(client.close_idle(), 3);
    server.wait(|server| server.ended() == 3);
    let stats = client.stats();
    assert_eq!((stats.open, stats.idle), (1, 0));
    client.result_of(&slow).assert_ok();
    assert_eq!(client.close_idle(), 1);
    assert_eq!(client.stats().open, 0);
}

#[test]
fn the_total_timeout_covers_the_wait_for_a_connection() {
    let server = slow_server();
    let mut client = ClientProgram::start_with(&["--max-per-host", "1"], &[]);
    let first = client.send(json!({"url": server.url("/1500")}));
    server.wait_for_requests(1);
    let watch = Stopwatch::start();
    let result = client.run(json!({"url": server.url("/0"), "total_timeout_ms": 300}));
    result.assert_kind("total_timeout").assert_attempts(0);
    watch.assert_about(300);
    client.result_of(&first).assert_ok();
    client
        .get(&server.url("/0"))
        .assert_ok()
        .assert_reused(true);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_result_is_printed_after_its_connection_is_idle() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for number in 0..50 {
        client.get(&server.url("/")).assert_ok();
        let stats = client.stats();
        assert_eq!((stats.open, stats.idle, stats.reused), (1, 1, number));
    }
}
