//! Timeouts, each with its own kind.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, listen, socket};
use serde_json::json;

use super::driver::{ClientProgram, Stopwatch};
use super::server::{OK, ScriptedServer};

/// An address of this machine whose listener accepts no further connection: attempts neither succeed nor fail.
pub(crate) struct BlockedAddress {
    pub(crate) address: SocketAddr,
    _sockets: Vec<std::os::fd::OwnedFd>,
}

impl BlockedAddress {
    pub(crate) fn new() -> BlockedAddress {
        BlockedAddress::on("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn on(address: SocketAddr) -> BlockedAddress {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let listener = socket(family, SocketType::STREAM, None).unwrap();
        bind(&listener, &address).unwrap();
        listen(&listener, 0).unwrap();
        let address = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
        let mut sockets = vec![listener];
        // Fills the queue of the listener. The attempts must not block.
        for _ in 0..4 {
            let client = socket(family, SocketType::STREAM, None).unwrap();
            rustix::io::ioctl_fionbio(&client, true).unwrap();
            let _ = connect(&client, &address);
            sockets.push(client);
        }
        std::thread::sleep(Duration::from_millis(20));
        BlockedAddress {
            address,
            _sockets: sockets,
        }
    }
}

#[test]
fn a_connection_attempt_times_out() {
    let blocked = BlockedAddress::new();
    let mut client = ClientProgram::start();
    let url = format!("http://{}/", blocked.address);
    let watch = Stopwatch::start();
    let result = client.run(json!({"url": url, "connect_timeout_ms": 400}));
    watch.assert_about(400);
    result.assert_kind("connect_timeout").assert_attempts(0);
    result.assert_message(&[&blocked.address.to_string()]);
    assert_eq!(client.stats().open, 0);
}

#[test]
fn the_connect_timeout_covers_all_addresses() {
    let port = BlockedAddress::new();
    let others = ["127.0.0.2", "127.0.0.3"]
        .map(|ip| BlockedAddress::on(SocketAddr::new(ip.parse().unwrap(), port.address.port())));
    let mut client = ClientProgram::start();
    let url = format!("http://a.example:{}/", port.address.port());
    let resolve = json!({"a.example": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]});
    let watch = Stopwatch::start();
    let result = client.run(json!({"url": url, "resolve": resolve, "connect_timeout_ms": 1000}));
    result.assert_kind("connect_timeout").assert_attempts(0);
    watch.assert_about(1000);
    drop(others);
}

#[test]
fn a_tls_handshake_times_out() {
    let server = ScriptedServer::start(|peer| _ = peer.rest());
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    let result =
        client.run(json!({"url": format!("https://{}/", server.address), "tls_timeout_ms": 400}));
    result.assert_kind("tls_timeout").assert_attempts(0);
    watch.assert_about(400);
    server.wait(|server| server.ended() == 1);
    assert_eq!(client.stats().open, 0);
}

#[test]
fn a_server_that_does_not_read_causes_a_write_timeout() {
    let server = ScriptedServer::start(|peer| {
        peer.head();
        peer.sleep(3000);
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "PUT", "body_zeros": 1_000_000_000, "write_timeout_ms": 600});
    let watch = Stopwatch::start();
    let result = client.run(request);
    result.assert_kind("write_timeout").assert_attempts(1);
    watch.assert_about(600);
    assert_eq!(client.stats().open, 0);
}

/// A server that reads a little again and again is slow, but within the write timeout.
#[test]
fn the_write_timeout_is_between_two_writes() {
    let server = ScriptedServer::start(|peer| {
        peer.head();
        let mut left = 40_000_000;
        for _ in 0..8 {
            peer.sleep(250);
            peer.exactly(5_000_000);
            left -= 5_000_000;
        }
        peer.exactly(left);
        peer.send(OK);
    });
    let mut client = ClientProgram::start();
    let request = json!({"url": server.url("/"), "method": "PUT", "body_zeros": 40_000_000, "write_timeout_ms": 1200});
    client.run(request).assert_ok();
}

/// A program that produces its body slowly does not wait for the server.
#[test]
fn the_write_timeout_does_not_cover_the_production_of_the_body() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let chunks = json!([{"data": "a"}, {"delay_ms": 900, "data": "b"}]);
    let request = json!({"url": server.url("/"), "method": "POST", "chunks": chunks, "write_timeout_ms": 300, "first_byte_timeout_ms": 300});
    client.run(request).assert_ok();
}

#[test]
fn a_late_response_causes_a_first_byte_timeout() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.rest();
    });
    let mut client = ClientProgram::start();
    for request in [
        json!({"url": server.url("/"), "first_byte_timeout_ms": 400}),
        json!({"url": server.url("/"), "first_byte_timeout_ms": 400, "method": "POST", "body": "abc"}),
        json!({"url": server.url("/"), "first_byte_timeout_ms": 400, "digest": true}),
    ] {
        let watch = Stopwatch::start();
        let result = client.run(request);
        result.assert_kind("first_byte_timeout").assert_attempts(1);
        watch.assert_about(400);
    }
    server.wait(|server| server.ended() == 3);
    assert_eq!(client.stats().open, 0);
}

#[test]
fn interim_responses_do_not_end_the_first_byte_timeout() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        for _ in 0..15 {
            if !peer.send("HTTP/1.1 102 Processing\r\n\r\n") {
                return;
            }
            peer.sleep(100);
        }
        peer.rest();
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    let result = client.run(
        json!({"url": server.url("/"), "first_byte_timeout_ms": 500, "read_timeout_ms": 5000}),
    );
    result.assert_kind("first_byte_timeout");
    watch.assert_about(500);
    watch.assert_below(4000);
}

#[test]
fn the_first_byte_timeout_begins_after_the_request() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let chunks = json!([{"delay_ms": 500, "data": "a"}, {"delay_ms": 500, "data": "b"}]);
    let request = json!({"url": server.url("/"), "method": "POST", "chunks": chunks, "first_byte_timeout_ms": 300});
    client.run(request).assert_ok();
}

#[test]
fn the_first_byte_timeout_ends_with_the_first_byte() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        for piece in [
            "HTTP/1.1",
            " 200 OK\r\n",
            "Content-Length: 2\r\n\r\n",
            "o",
            "k",
        ] {
            peer.send(piece);
            peer.sleep(200);
        }
    });
    let mut client = ClientProgram::start();
    let request =
        json!({"url": server.url("/"), "first_byte_timeout_ms": 500, "read_timeout_ms": 5000});
    assert_eq!(client.run(request).assert_ok().text(), "ok");
}

#[test]
fn a_response_that_stops_causes_a_read_timeout() {
    let mut client = ClientProgram::start();
    for (bytes, status) in [
        ("HTTP/1.1 200 OK\r\nContent-", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Some(200)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", Some(200)),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", Some(200)),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            Some(200),
        ),
    ] {
        let server = ScriptedServer::start(move |peer| {
            peer.request();
            peer.send(bytes);
            peer.rest();
        });
        let watch = Stopwatch::start();
        let result = client.run(json!({"url": server.url("/"), "read_timeout_ms": 300}));
        result.assert_kind("read_timeout").assert_attempts(1);
        assert_eq!(result.status(), status, "{bytes:?}: {result:?}");
        watch.assert_about(300);
        server.wait(|server| server.ended() == 1);
    }
    assert_eq!(client.stats().open, 0);
}

#[test]
fn a_slow_response_is_within_the_read_timeout() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        peer.send(text);
        peer.trickle("0123456789", Duration::from_millis(150));
        peer.rest();
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    client
        .run(json!({"url": server.url("/"), "read_timeout_ms": 1000}))
        .assert_ok();
    watch.assert_about(1500);
}

#[test]
fn a_slow_response_exceeds_the_total_timeout() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        peer.trickle("x".repeat(500), Duration::from_millis(20));
        peer.rest();
    });
    let mut client = ClientProgram::start();
    for digest in [false, true] {
        let watch = Stopwatch::start();
        let request = json!({"url": server.url("/"), "total_timeout_ms": 700, "digest": digest});
        let result = client.run(request);
        result.assert_kind("total_timeout");
        assert_eq!(result.status(), Some(200), "{result:?}");
        watch.assert_about(700);
    }
    server.wait(|server| server.ended() == 2);
}

#[test]
fn the_total_timeout_covers_all_hops() {
    let server = ScriptedServer::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(150);
            if !peer.send("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n") {
                return;
            }
        }
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    let request = json!({"url": server.url("/"), "total_timeout_ms": 800, "max_redirects": 1000});
    client.run(request).assert_kind("total_timeout");
    watch.assert_about(800);
}

#[test]
fn the_total_timeout_covers_every_phase() {
    let blocked = BlockedAddress::new();
    let silent = ScriptedServer::start(|peer| _ = peer.rest());
    let mut client = ClientProgram::start();
    for url in [
        format!("http://{}/", blocked.address),
        format!("https://{}/", silent.address),
        silent.url("/"),
    ] {
        let watch = Stopwatch::start();
        let result = client.run(json!({"url": url, "total_timeout_ms": 300}));
        result.assert_kind("total_timeout");
        watch.assert_about(300);
    }
    let body = json!({"url": silent.url("/"), "method": "POST", "total_timeout_ms": 300, "chunks": [{"delay_ms": 60_000, "data": "a"}]});
    client.run(body).assert_kind("total_timeout");
}

/// The server has sent bytes; they wait for the reader of the paused stream.
#[test]
fn the_read_timeout_does_not_run_while_the_body_is_not_read() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n");
        peer.send(vec![b'0'; 8_000_000]);
        peer.rest();
    });
    let mut client = ClientProgram::start();
    let request =
        json!({"url": server.url("/"), "digest": true, "pause_ms": 1000, "read_timeout_ms": 400});
    assert_eq!(client.run(request).assert_ok().0["body_len"], 8_000_000);
}

#[test]
fn timeouts_leave_later_requests_alone() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            if request.target == "/slow" {
                peer.sleep(400);
            }
            peer.send(OK);
        }
    });
    let mut client = ClientProgram::start();
    for _ in 0..3 {
        let request = json!({"url": server.url("/slow"), "first_byte_timeout_ms": 100});
        client.run(request).assert_kind("first_byte_timeout");
        client.get(&server.url("/fast")).assert_ok();
    }
}

#[test]
fn the_total_timeout_covers_a_pause() {
    let server = ScriptedServer::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123");
        peer.rest();
    });
    let mut client = ClientProgram::start();
    let watch = Stopwatch::start();
    let request = json!({"url": server.url("/"), "digest": true, "pause_ms": 60_000, "total_timeout_ms": 500});
    client.run(request).assert_kind("total_timeout");
    watch.assert_about(500);
}
