//! Callbacks that close their own connection, another connection, or the server.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use uptick_event_loop::future_tick;
use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn a_data_callback_closes_its_own_connection() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    conn.on("data", move |_: Bytes| {
        conn.close();
        assert!(!conn.is_open());
        assert!(!conn.write("not sent"));
    });
    log.all(conn);
    // The data is larger than one read.
    peer.write_all(&vec![0; 300_000]).unwrap();
    run_loop();
    assert_eq!(log.text(), "close");
}

#[test]
fn an_end_callback_closes_its_own_connection() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("end", move |()| conn.close());
    conn.on("end", |()| panic!("the listener was dropped"));
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "end close");
}

#[test]
fn an_error_callback_closes_its_own_connection() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("error", move |_: Error| conn.close());
    reset(peer);
    run_loop();
    assert_eq!(log.text(), "error:ECONNRESET close");
}

#[test]
fn a_close_callback_closes_ends_and_writes() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    conn.on("close", move |()| {
        conn.close();
        conn.end_with("x");
        conn.shutdown_write();
        conn.resume();
        conn.pause();
        assert!(!conn.write("x"));
    });
    log.states(conn);
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "end close");
}

#[test]
fn a_connection_callback_closes_the_connection() {
    let server = tcp_server();
    let log = Log::new();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| {
        noted.states(conn);
        conn.close();
        conn.on("data", |_: Bytes| panic!("it is closed"));
        server.close();
    });
    let mut client = connect(server);
    client.write_all(b"x").unwrap();
    run_loop();
    assert_eq!(log.text(), "close");
}

#[test]
fn a_callback_closes_another_connection_that_has_received_data() {
    let (first, mut a) = tcp_pair();
    let (second, mut b) = tcp_pair();
    let log = Log::new();
    for (conn, other) in [(first, second), (second, first)] {
        let noted = log.clone();
        conn.on("data", move |_: Bytes| {
            noted.add("data");
            other.close();
        });
        log.states(conn);
    }
    // Both are ready in the same iteration; the first one handled closes the other.
    a.write_all(b"x").unwrap();
    b.write_all(b"x").unwrap();
    settle();
    assert_eq!(log.text(), "data close");
    first.close();
    second.close();
    run_loop();
    assert_eq!(log.text(), "data close close");
}

#[test]
fn a_callback_closes_another_connection_that_has_bytes_to_send() {
    let (first, mut a) = tcp_pair();
    let (second, mut b) = tcp_pair();
    first.on("data", move |_: Bytes| {
        second.write("never sent");
        second.close();
        first.end();
    });
    a.write_all(b"x").unwrap();
    drop(a.shutdown(std::net::Shutdown::Write));
    run_loop();
    assert_eq!(read_all(&mut b), b"");
    assert_eq!(read_all(&mut a), b"");
}

#[test]
fn a_callback_closes_all_connections() {
    let all = Rc::new(RefCell::new(Vec::new()));
    let log = Log::new();
    let mut peers = Vec::new();
    for _ in 0..50 {
        let (conn, peer) = tcp_pair();
        log.states(conn);
        let connections = Rc::clone(&all);
        conn.on("end", move |()| {
            let open: Vec<Connection> = connections.take();
            open.iter().for_each(|conn| conn.close());
        });
        all.borrow_mut().push(conn);
        peers.push(peer);
    }
    drop(peers);
    run_loop();
    assert_eq!(log.count("close"), 50);
    assert_eq!(log.count("end"), 1);
}

#[test]
fn a_data_callback_closes_the_server() {
    let server = tcp_server();
    let log = Log::new();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| {
        noted.all(conn);
        conn.on("data", move |chunk: Bytes| {
            server.close();
            conn.write(chunk);
        });
    });
    let noted = log.clone();
    server.on("close", move |()| noted.add("server-close"));
    let client = client(server, |mut client| {
        client.write_all(b"x").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        read_all(&mut client)
    });
    run_loop();
    assert_eq!(client.join().unwrap(), b"x");
    assert_eq!(log.text(), "data:x server-close end close");
}

#[test]
fn a_close_callback_opens_a_new_connection() {
    fn reopen(conn: Connection, log: Log, left: u32) {
        conn.on("close", move |()| {
            log.add("close");
            if left > 0 {
                let (next, _peer) = tcp_pair();
                reopen(next, log.clone(), left - 1);
            }
        });
    }
    let log = Log::new();
    let (conn, peer) = tcp_pair();
    reopen(conn, log.clone(), 20);
    drop(peer);
    run_loop();
    assert_eq!(log.count("close"), 21);
}

#[test]
fn a_server_callback_binds_the_next_server_on_the_same_port() {
    let server = tcp_server();
    let address = socket_address(server);
    let log = Log::new();
    let noted = log.clone();
    server.on("close", move |()| {
        let next = Server::bind(address).unwrap();
        noted.add("rebound");
        future_tick(move || next.close());
    });
    server.close();
    run_loop();
    assert_eq!(log.text(), "rebound");
}
