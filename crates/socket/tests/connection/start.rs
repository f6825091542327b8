//! The start of reading: no data is lost before there is a listener.

use std::io::Write;
use std::thread;
use std::time::Duration;

use uptick_event_loop::{add_timer, future_tick, spawn};
use uptick_socket::prelude::*;

use crate::support::*;

/// Returns the events of a connection whose peer writes "early", then "late", and ends, while `f` adds the listener.
fn received(f: impl FnOnce(Connection, Log) + 'static) -> String {
    let log = Log::new();
    let server = tcp_server();
    let mut peer = connect(server);
    peer.write_all(b"early").unwrap();
    let mut f = Some(f);
    let noted = log.clone();
    with_connection(server, move |conn| {
        noted.states(conn);
        if let Some(f) = f.take() {
            f(conn, noted.clone());
        }
    });
    settle();
    peer.write_all(b"late").unwrap();
    drop(peer);
    run_loop();
    // The number of chunks does not matter.
    log.text().replace(" data:", "")
}

#[test]
fn data_received_before_the_listener_is_added_is_not_lost() {
    let text = received(|conn, log| log.data(conn));
    assert_eq!(text, "data:earlylate end close");
}

#[test]
fn a_listener_added_in_a_tick_receives_all_data() {
    let text = received(|conn, log| future_tick(move || log.data(conn)));
    assert_eq!(text, "data:earlylate end close");
}

#[test]
fn a_listener_added_in_a_timer_receives_all_data() {
    let text = received(|conn, log| {
        add_timer(Duration::from_millis(50), move || log.data(conn));
    });
    assert_eq!(text, "data:earlylate end close");
}

#[test]
fn a_connection_paused_before_it_starts_waits_for_resume() {
    let text = received(|conn, log| {
        conn.pause();
        log.data(conn);
        add_timer(Duration::from_millis(50), move || {
            log.add("resume");
            conn.resume();
        });
    });
    assert_eq!(text, "resumeearlylate end close");
}

#[test]
fn resume_without_a_listener_discards_the_data() {
    assert_eq!(received(|conn, _| conn.resume()), "end close");
}

#[test]
fn reading_starts_after_all_connection_listeners_have_returned() {
    let log = Log::new();
    let server = tcp_server();
    let mut peer = connect(server);
    peer.write_all(b"x").unwrap();
    let (first, second) = (log.clone(), log.clone());
    server.on("connection", move |conn: Connection| first.all(conn));
    server.on("connection", move |conn: Connection| {
        server.close();
        assert_eq!(conn.bytes_read(), 0);
        second.add("second");
    });
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "second data:x end close");
}

#[test]
fn a_connection_without_a_data_listener_notices_end_of_stream() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "end close");
}

#[test]
fn a_connection_without_a_data_listener_notices_a_reset() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    reset(peer);
    run_loop();
    assert_eq!(log.text(), "error:ECONNRESET close");
}

#[test]
fn awaiting_one_chunk_after_the_other_loses_no_data() {
    let (conn, mut peer) = tcp_pair();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let bytes = sent.clone();
    let writer = thread::spawn(move || {
        for chunk in bytes.chunks(10_007) {
            peer.write_all(chunk).unwrap();
        }
    });
    let received = block_on(async move {
        let mut received = Vec::new();
        while let Some(chunk) = conn.next(Connection::DATA).await {
            received.extend_from_slice(&chunk);
            if chunk.len() % 2 == 0 {
                uptick_event_loop::sleep(Duration::from_millis(1)).await;
            }
        }
        received
    });
    writer.join().unwrap();
    assert!(
        received == sent,
        "{} of {} bytes",
        received.len(),
        sent.len()
    );
}

#[test]
fn a_task_may_wait_for_data_on_many_connections() {
    let (first, mut a) = tcp_pair();
    let (second, mut b) = tcp_pair();
    let log = Log::new();
    for (name, conn) in [("first", first), ("second", second)] {
        let log = log.clone();
        let _task = spawn(async move {
            while let Some(chunk) = conn.next(Connection::DATA).await {
                log.add(format!("{name}:{}", String::from_utf8_lossy(&chunk)));
            }
            log.add(format!("{name}:over"));
        });
    }
    a.write_all(b"1").unwrap();
    run_until(|| log.count("first:1") == 1);
    b.write_all(b"2").unwrap();
    run_until(|| log.count("second:2") == 1);
    drop(a);
    run_until(|| log.count("first:over") == 1);
    drop(b);
    run_loop();
    assert_eq!(log.text(), "first:1 second:2 first:over second:over");
}
