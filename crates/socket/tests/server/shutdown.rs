//! `shutdown`: waits for the open connections until the deadline.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{EventLoop, spawn};
use uptick_socket::prelude::*;

use crate::support::*;

/// Returns a server with a number of open connections, and a client for each.
fn busy_server(connections: usize) -> (Server, Vec<TcpStream>, Log) {
    let server = tcp_server();
    let log = Log::new();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| noted.states(conn));
    let noted = log.clone();
    server.on("close", move |()| noted.add("server-close"));
    let clients = (0..connections).map(|_| connect(server)).collect();
    run_until(|| server.accepted() == connections as u64);
    (server, clients, log)
}

/// Logs the number of connections that were closed at the deadline, once the shutdown is complete.
fn note(shutdown: impl Future<Output = usize> + 'static, log: &Log) {
    let log = log.clone();
    drop(spawn(async move {
        let count = shutdown.await;
        log.add(format!("closed:{count}"));
    }));
}

#[test]
fn a_server_without_connections_is_shut_down_at_once() {
    let (server, _, log) = busy_server(0);
    let shutdown = server.shutdown(TIMEOUT);
    assert_eq!(log.text(), "server-close");
    assert_eq!(block_on(shutdown), 0);
    assert!(
        !EventLoop::current().is_alive(),
        "the deadline's timer is left"
    );
}

#[test]
fn new_clients_are_refused_while_open_connections_continue() {
    let (server, clients, log) = busy_server(1);
    let address = socket_address(server);
    note(server.shutdown(TIMEOUT), &log);
    assert_eq!(server.address(), None);
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    settle();
    assert_eq!(server.open_connections(), 1);
    assert_eq!(log.text(), "");
    drop(clients);
    run_loop();
    assert_eq!(log.text(), "end close server-close closed:0");
}

#[test]
fn the_shutdown_ends_with_the_last_connection() {
    let (server, mut clients, log) = busy_server(3);
    note(server.shutdown(TIMEOUT), &log);
    for left in (0..3).rev() {
        assert_eq!(log.count("server-close"), 0);
        clients.pop();
        run_until(|| server.open_connections() == left);
    }
    run_loop();
    assert_eq!(log.count("closed:0"), 1);
    assert!(log.text().ends_with("server-close closed:0"));
}

#[test]
fn connections_open_at_the_deadline_are_closed_and_counted() {
    let (server, mut clients, log) = busy_server(3);
    note(server.shutdown(Duration::from_millis(50)), &log);
    clients.pop();
    run_loop();
    assert_eq!(log.text(), "end close close close server-close closed:2");
}

#[test]
fn a_deadline_of_zero_closes_all_connections() {
    let (server, _clients, log) = busy_server(2);
    assert_eq!(block_on(server.shutdown(Duration::ZERO)), 2);
    assert_eq!(log.text(), "close close server-close");
}

#[test]
fn a_second_shutdown_moves_the_deadline_and_both_futures_resolve() {
    let (server, _clients, log) = busy_server(2);
    note(server.shutdown(Duration::from_secs(3600)), &log);
    note(server.shutdown(Duration::from_millis(20)), &log);
    run_loop();
    assert_eq!(log.text(), "close close server-close closed:2 closed:2");
}

#[test]
fn a_shutdown_continues_when_its_future_is_dropped() {
    let (server, _clients, log) = busy_server(1);
    drop(server.shutdown(Duration::from_millis(20)));
    run_loop();
    assert_eq!(log.text(), "close server-close");
}

#[test]
fn the_longest_deadline_waits_for_the_connections() {
    let (server, clients, log) = busy_server(1);
    note(server.shutdown(Duration::MAX), &log);
    settle();
    drop(clients);
    run_loop();
    assert_eq!(log.text(), "end close server-close closed:0");
}

#[test]
fn the_file_of_a_unix_server_is_removed_when_it_stops_listening() {
    let directory = Directory::new();
    let server = Server::bind(directory.uri("a.sock")).unwrap();
    server.on("connection", |_: Connection| ());
    let client = std::os::unix::net::UnixStream::connect(directory.path("a.sock")).unwrap();
    run_until(|| server.accepted() == 1);
    let shutdown = server.shutdown(TIMEOUT);
    assert!(!directory.path("a.sock").exists());
    drop(client);
    assert_eq!(block_on(shutdown), 0);
}

#[test]
fn a_shutdown_may_start_inside_a_connection_listener() {
    let server = tcp_server();
    let log = Log::new();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| {
        note(server.shutdown(TIMEOUT), &noted);
        conn.end_with("bye");
    });
    let client = client(server, |mut client| read_all(&mut client));
    run_loop();
    assert_eq!(client.join().unwrap(), b"bye");
    assert_eq!(log.text(), "closed:0");
}

#[test]
fn close_listeners_that_close_each_other_count_once() {
    let server = tcp_server();
    let connections = Rc::new(std::cell::RefCell::new(Vec::<Connection>::new()));
    let all = Rc::clone(&connections);
    let closes = Rc::new(Cell::new(0));
    let count = Rc::clone(&closes);
    server.on("connection", move |conn: Connection| {
        all.borrow_mut().push(conn);
        let (all, count) = (Rc::clone(&all), Rc::clone(&count));
        conn.on("close", move |()| {
            count.set(count.get() + 1);
            let others = all.take();
            others.iter().for_each(|other| other.close());
        });
    });
    let _clients: Vec<TcpStream> = (0..4).map(|_| connect(server)).collect();
    run_until(|| server.accepted() == 4);
    let count = block_on(server.shutdown(Duration::ZERO));
    assert_eq!(closes.get(), 4);
    assert_eq!(count, 4);
}

#[test]
fn a_shutdown_started_while_the_deadline_closes_connections_has_the_same_result() {
    let (server, _clients, log) = busy_server(0);
    let noted = log.clone();
    server.once("connection", move |conn: Connection| {
        let noted = noted.clone();
        conn.on("close", move |()| note(server.shutdown(TIMEOUT), &noted));
    });
    let _client = connect(server);
    run_until(|| server.accepted() == 1);
    note(server.shutdown(Duration::ZERO), &log);
    run_loop();
    assert_eq!(log.text(), "close server-close closed:1 closed:1");
}

#[test]
fn a_shutdown_started_in_a_close_listener_does_not_prevent_other_listeners() {
    let server = tcp_server();
    let log = Log::new();
    for name in ["first", "second"] {
        let noted = log.clone();
        server.on("close", move |()| {
            noted.add(name);
            note(server.shutdown(TIMEOUT), &noted);
        });
    }
    server.close();
    run_loop();
    assert_eq!(log.text(), "first second closed:0 closed:0");
}

#[test]
fn close_during_a_shutdown_changes_nothing() {
    let (server, clients, log) = busy_server(1);
    note(server.shutdown(TIMEOUT), &log);
    server.close();
    settle();
    assert_eq!(log.text(), "");
    drop(clients);
    run_loop();
    assert_eq!(log.text(), "end close server-close closed:0");
}
