//! Jumps of the clock.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use uptick_socket::prelude::*;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[test]
fn a_clock_that_jumps_ahead_ends_idle_connections_once() {
    let clock = manual_clock();
    let log = Log::new();
    let mut peers = Vec::new();
    for _ in 0..20 {
        let (conn, peer) = tcp_pair();
        conn.set_idle_timeout(Some(MINUTE));
        log.states(conn);
        peers.push(peer);
    }
    settle();
    clock.advance(10 * YEAR);
    settle();
    assert_eq!((log.count("error:ETIMEDOUT"), log.count("close")), (20, 20));
    run_loop();
}

#[test]
fn data_received_before_the_jump_is_handled_counts_as_activity() {
    let clock = manual_clock();
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_idle_timeout(Some(MINUTE));
    settle();
    peer.write_all(b"x").unwrap();
    clock.advance(10 * MINUTE);
    settle();
    assert_eq!(log.text(), "data:x");
    clock.advance(MINUTE + Duration::from_secs(1));
    settle();
    assert_eq!(log.text(), "data:x error:ETIMEDOUT close");
}

#[test]
fn a_clock_that_jumps_back_stands_still() {
    let clock = manual_clock();
    clock.advance(10 * MINUTE);
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_idle_timeout(Some(MINUTE));
    settle();
    clock.set(Duration::ZERO);
    peer.write_all(b"x").unwrap();
    run_until(|| !log.is_empty());
    settle();
    assert_eq!(log.text(), "data:x");
    clock.set(10 * MINUTE + MINUTE / 2);
    settle();
    assert_eq!(log.text(), "data:x");
    clock.set(12 * MINUTE);
    settle();
    assert_eq!(log.text(), "data:x error:ETIMEDOUT close");
}

#[test]
fn a_jump_ends_a_shutdown_a_linger_and_a_stalled_write() {
    let clock = manual_clock();
    let log = Log::new();
    let (lingering, _first) = tcp_pair();
    log.states(lingering);
    lingering.end();
    let (stalled, _second) = unix_pair();
    log.states(stalled);
    stalled.write(vec![0; 8 << 20]);
    let server = tcp_server();
    server.on("connection", |_: Connection| ());
    let _third = connect(server);
    run_until(|| server.accepted() == 1);
    let shutdown = server.shutdown(MINUTE);
    settle();
    assert_eq!(log.text(), "");
    clock.advance(3 * YEAR);
    settle();
    assert_eq!((log.count("error:ETIMEDOUT"), log.count("close")), (1, 2));
    assert_eq!(block_on(shutdown), 1);
}

#[test]
fn a_peer_that_does_not_read_is_reset() {
    let clock = manual_clock();
    let (stalled, mut peer) = tcp_pair();
    stalled.on("error", |_: Error| ());
    stalled.write(vec![0; 16 << 20]);
    settle();
    // The peer's kernel may acknowledge some bytes late.
    clock.advance(MINUTE);
    settle();
    clock.advance(MINUTE);
    settle();
    assert_eq!(stalled.remote_address(), None);
    let end = std::io::copy(&mut peer, &mut std::io::sink());
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
