//! Idle connections: their timeouts, their age, and servers that end them or send unexpected bytes.

use serde_json::json;

use super::driver::{ClientProgram, Stopwatch};
use super::secure_server::pause;
use super::server::{OK, ScriptedServer, response};

#[test]
fn an_idle_connection_is_closed_after_its_timeout() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start_with(&["--idle-timeout-ms", "500"], &[]);
    client.get(&server.url("/")).assert_ok();
    pause(250);
    client.get(&server.url("/")).assert_ok().assert_reused(true);
    let watch = Stopwatch::start();
    server.wait(|server| server.ended() == 1);
    watch.assert_about(500);
    let stats = client.stats();
    assert_eq!((stats.open, stats.idle, stats.created), (0, 0, 1));
    client
        .get(&server.url("/"))
        .assert_ok()
        .assert_reused(false);
}

#[test]
fn a_connection_with_a_request_is_not_idle() {
    let server = ScriptedServer::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(900);
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start_with(&["--idle-timeout-ms", "300"], &[]);
    client.get(&server.url("/")).assert_ok();
    client.get(&server.url("/")).assert_ok().assert_reused(true);
}

#[test]
fn the_keep_alive_timeout_of_the_server_shortens_the_idle_timeout() {
    for value in [
        "timeout=1",
        "timeout=1, max=100",
        "max=5,timeout=1",
        "Timeout = 1",
    ] {
        let server = ScriptedServer::answering(response(
            "200 OK",
            &format!("Keep-Alive: {value}\r\n"),
            "ok",
        ));
        let mut client = ClientProgram::start();
        client.get(&server.url("/")).assert_ok();
        let watch = Stopwatch::start();
        client.get(&server.url("/")).assert_ok().assert_reused(true);
        server.wait(|server| server.ended() == 1);
        watch.assert_below(8000);
        client
            .get(&server.url("/"))
            .assert_ok()
            .assert_reused(false);
    }
}

#[test]
fn the_keep_alive_timeout_does_not_extend_the_idle_timeout() {
    for value in [
        "timeout=60",
        "timeout=99999999999999999999",
        "timeout=x",
        "timeout=",
        "garbage",
    ] {
        let server = ScriptedServer::answering(response(
            "200 OK",
            &format!("Keep-Alive: {value}\r\n"),
            "ok",
        ));
        let mut client = ClientProgram::start_with(&["--idle-timeout-ms", "600"], &[]);
        client.get(&server.url("/")).assert_ok();
        client.get(&server.url("/")).assert_ok().assert_reused(true);
        let watch = Stopwatch::start();
        server.wait(|server| server.ended() == 1);
        watch.assert_about(600);
    }
}

#[test]
fn a_keep_alive_timeout_of_zero_prevents_the_reuse() {
    let server = ScriptedServer::answering(response("200 OK", "Keep-Alive: timeout=0\r\n", "ok"));
    let mut client = ClientProgram::start();
    client.get(&server.url("/")).assert_ok();
    pause(100);
    client
        .get(&server.url("/"))
        .assert_ok()
        .assert_reused(false);
    server.wait(|server| server.ended() >= 1);
}

#[test]
fn an_old_connection_takes_no_further_request() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start_with(&["--max-age-ms", "600"], &[]);
    client.get(&server.url("/")).assert_ok();
    client.get(&server.url("/")).assert_ok().assert_reused(true);
    pause(700);
    client
        .get(&server.url("/"))
        .assert_ok()
        .assert_reused(false);
    server.wait(|server| server.ended() == 1);
    assert_eq!(client.stats().open, 1);
}

#[test]
fn a_connection_that_became_too_old_is_closed_once_it_is_idle() {
    let server = ScriptedServer::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(600);
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start_with(&["--max-age-ms", "300"], &[]);
    client.get(&server.url("/")).assert_ok();
    server.wait(|server| server.ended() == 1);
    assert_eq!(client.stats().open, 0);
    client
        .get(&server.url("/"))
        .assert_ok()
        .assert_reused(false);
}

#[test]
fn an_idle_connection_is_closed_when_it_becomes_too_old() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start_with(&["--max-age-ms", "500"], &[]);
    client.get(&server.url("/")).assert_ok();
    pause(700);
    // It is closed at that time, or when it would be used.
    client
        .get(&server.url("/"))
        .assert_ok()
        .assert_reused(false);
    assert_eq!(client.stats().open, 1);
}

#[test]
fn a_connection_that_the_server_closes_while_idle_is_dropped() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send(OK);
        peer.sleep(50);
    });
    let mut client = ClientProgram::start();
    for number in 1..5 {
        let method = ["GET", "POST"][number % 2];
        let result = client.run(json!({"url": server.url("/"), "method": method}));
        result.assert_ok().assert_reused(false).assert_attempts(1);
        client.wait_for_stats(|stats| stats.open == 0);
        assert_eq!(client.stats().created, number as u64);
    }
}

/// Bytes that arrive on an idle connection end it, and are not taken for a response.
#[test]
fn unexpected_bytes_end_an_idle_connection() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "garbage",
        "\r\n",
        "\0",
    ] {
        let server = ScriptedServer::start(move |peer| {
            peer.request();
            peer.send(OK);
            if peer.number == 0 {
                peer.sleep(100);
                peer.send(bytes);
                assert!(peer.is_closed_within(5000));
                return;
            }
            peer.serve(OK);
        });
        let mut client = ClientProgram::start();
        client.get(&server.url("/")).assert_ok();
        client.wait_for_stats(|stats| stats.open == 0);
        let result = client.get(&server.url("/"));
        assert_eq!(result.assert_ok().assert_reused(false).text(), "ok");
        result.assert_attempts(1);
        assert_eq!(server.requests().len(), 2);
    }
}

/// They arrive together with the end of the response, so that they are there before the next request in any case.
#[test]
fn bytes_behind_a_response_do_not_answer_the_next_request() {
    let server = ScriptedServer::start(|peer| {
        while let Some(received) = peer.request() {
            let own = response("200 OK", "", &received.target);
            peer.send(own + &response("200 OK", "", "bad"));
        }
    });
    let mut client = ClientProgram::start();
    let ids: Vec<_> = (0..300)
        .map(|number| client.send(json!({"url": server.url(&format!("/{number}"))})))
        .collect();
    for (number, id) in ids.iter().enumerate() {
        let result = client.result_of(id);
        assert_eq!(result.assert_ok().text(), format!("/{number}"));
    }
}

#[test]
fn the_pool_survives_a_server_that_closes_everything() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.sleep(100);
        peer.send(OK);
    });
    let mut client = ClientProgram::start();
    for _ in 0..3 {
        let ids = [0; 16].map(|_| client.send(json!({"url": server.url("/"), "method": "POST"})));
        for id in &ids {
            client.result_of(id).assert_ok();
        }
        client.wait_for_stats(|stats| stats.open == 0);
    }
}
