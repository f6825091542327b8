//! Listeners added and removed during an emission.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;

use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn a_listener_added_during_an_emission_first_runs_in_the_next_one() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    let noted = log.clone();
    conn.once("data", move |_: Bytes| {
        noted.add("first");
        noted.data(conn);
    });
    peer.write_all(b"1").unwrap();
    run_until(|| !log.is_empty());
    settle();
    peer.write_all(b"2").unwrap();
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "first data:2");
}

#[test]
fn a_listener_removed_before_its_turn_does_not_run() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    let victim = Rc::new(Cell::new(None));
    let (noted, next) = (log.clone(), Rc::clone(&victim));
    conn.on("data", move |_: Bytes| {
        noted.add("first");
        if let Some(id) = next.take() {
            assert!(conn.off(id));
        }
    });
    victim.set(Some(conn.on("data", |_: Bytes| panic!("it was removed"))));
    log.data(conn);
    peer.write_all(b"1").unwrap();
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "first data:1");
}

#[test]
fn a_listener_that_removes_itself_does_not_run_again() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    let own = Rc::new(Cell::new(None));
    let (noted, id) = (log.clone(), Rc::clone(&own));
    let captured = Rc::new(());
    let held = Rc::clone(&captured);
    own.set(Some(conn.on("data", move |_: Bytes| {
        noted.add("once");
        assert_eq!(Rc::strong_count(&held), 2);
        if let Some(id) = id.take() {
            assert!(conn.off(id));
        }
        // The captures stay alive while the listener runs.
        assert_eq!(Rc::strong_count(&held), 2);
    })));
    log.data(conn);
    peer.write_all(b"1").unwrap();
    run_until(|| log.count("data:1") == 1);
    assert_eq!(Rc::strong_count(&captured), 1);
    peer.write_all(b"2").unwrap();
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "once data:1 data:2");
}

#[test]
fn data_is_held_until_there_is_another_data_listener() {
    let (conn, mut peer) = tcp_pair();
    let received = Rc::new(Cell::new(0));
    let sum = Rc::clone(&received);
    conn.on("data", move |chunk: Bytes| {
        sum.set(sum.get() + chunk.len());
        conn.remove_all_listeners();
    });
    let sent = fill(&mut peer);
    drop(peer);
    settle();
    let first = received.get();
    assert!(first > 0 && first < sent, "{first} of {sent}");
    let sum = Rc::clone(&received);
    conn.on("data", move |chunk: Bytes| sum.set(sum.get() + chunk.len()));
    run_loop();
    assert_eq!(received.get(), sent);
}

#[test]
fn connection_listeners_may_be_added_and_removed_for_each_connection() {
    let server = tcp_server();
    let log = Log::new();
    fn next(server: Server, log: Log, left: u32) {
        server.once("connection", move |conn: Connection| {
            log.add(left);
            conn.close();
            if left == 0 {
                server.close();
            } else {
                next(server, log.clone(), left - 1);
            }
        });
    }
    next(server, log.clone(), 9);
    let clients: Vec<_> = (0..10).map(|_| connect(server)).collect();
    run_loop();
    drop(clients);
    assert_eq!(log.text(), "9 8 7 6 5 4 3 2 1 0");
}

#[test]
fn close_listeners_added_while_they_run_are_dropped_with_the_connection() {
    let (conn, peer) = tcp_pair();
    let captured = Rc::new(());
    let held = Rc::clone(&captured);
    conn.on("close", move |()| {
        let held = Rc::clone(&held);
        conn.on("close", move |()| panic!("{held:?}: close is emitted once"));
    });
    drop(peer);
    run_loop();
    assert_eq!(Rc::strong_count(&captured), 1);
}
