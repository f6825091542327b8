//! Accepting clients from the backlog.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use futures::StreamExt;
use uptick_event_loop::spawn;
use uptick_socket::ServerInterface;
use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn every_client_in_the_backlog_is_accepted_once_and_in_order() {
    const CLIENTS: usize = 200;
    let server = tcp_server();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let ids = Rc::new(RefCell::new(Vec::new()));
    let (peers, noted) = (Rc::clone(&seen), Rc::clone(&ids));
    server.on("connection", move |conn: Connection| {
        peers.borrow_mut().push(conn.remote_address().unwrap());
        noted.borrow_mut().push(conn.id().unwrap());
        if peers.borrow().len() == CLIENTS {
            assert_eq!(server.open_connections(), CLIENTS);
            assert_eq!(server.accepted(), CLIENTS as u64);
            server.close();
        }
    });
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(server)).collect();
    let expected: Vec<String> = clients
        .iter()
        .map(|client| format!("tcp://{}", client.local_addr().unwrap()))
        .collect();
    run_until(|| seen.borrow().len() == CLIENTS);
    assert_eq!(seen.take(), expected);
    assert!(ids.take().is_sorted_by(|a, b| a < b));
    drop(clients);
    run_loop();
}

#[test]
fn clients_stay_in_the_backlog_until_there_is_a_connection_listener() {
    let server = tcp_server();
    let mut client = connect(server);
    settle();
    assert_eq!(server.accepted(), 0);
    server.on("connection", move |conn: Connection| {
        server.close();
        conn.end_with("at last");
    });
    run_loop();
    assert_eq!(read_all(&mut client), b"at last");
}

#[test]
fn awaiting_one_connection_after_the_other_loses_none() {
    const CLIENTS: usize = 20;
    let server = tcp_server();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(server)).collect();
    let served = block_on(async move {
        for served in 0..CLIENTS {
            match server.next(Server::CONNECTION).await {
                Some(conn) => conn.end_with(served.to_string()),
                None => return served,
            }
        }
        server.close();
        CLIENTS
    });
    assert_eq!(served, CLIENTS);
    run_loop();
    let answers: Vec<Vec<u8>> = clients.iter_mut().map(read_all).collect();
    let expected: Vec<Vec<u8>> = (0..CLIENTS).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_paused_server_leaves_its_clients_in_the_backlog() {
    let server = tcp_server();
    let log = Log::new();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| {
        noted.add("connection");
        conn.close();
    });
    server.pause();
    server.pause();
    let mut client = connect(server);
    client.write_all(b"waiting").unwrap();
    settle();
    assert_eq!(log.text(), "");
    assert!(server.address().is_some());
    server.resume();
    server.resume();
    run_until(|| !log.is_empty());
    server.close();
    run_loop();
    assert_eq!(log.text(), "connection");
}

#[test]
fn pausing_inside_a_connection_listener_ends_the_batch() {
    let server = tcp_server();
    server.on("connection", move |conn: Connection| {
        conn.close();
        server.pause();
    });
    let clients: Vec<TcpStream> = (0..5).map(|_| connect(server)).collect();
    for accepted in 1..=5 {
        settle();
        assert_eq!(server.accepted(), accepted);
        server.resume();
    }
    server.close();
    drop(clients);
    run_loop();
}

#[test]
fn pause_and_resume_of_a_closed_server_do_nothing() {
    let server = tcp_server();
    server.close();
    server.pause();
    server.resume();
    run_loop();
    assert_eq!(server.address(), None);
}

#[test]
fn the_counters_follow_the_connections() {
    let server = tcp_server();
    server.on("connection", |_: Connection| ());
    let first = connect(server);
    let second = connect(server);
    run_until(|| server.accepted() == 2);
    assert_eq!(server.open_connections(), 2);
    drop(first);
    run_until(|| server.open_connections() == 1);
    assert_eq!(server.accepted(), 2);
    server.close();
    assert_eq!((server.open_connections(), server.accepted()), (0, 0));
    drop(second);
    run_loop();
}

#[test]
fn the_options_of_a_server_apply_to_its_connections() {
    let options = ServerOptions::new()
        .write_limits(10, 1000)
        .allow_half_open(true);
    let server = Server::bind_with("127.0.0.1:0", options).unwrap();
    let log = Log::new();
    let noted = log.clone();
    with_connection(server, move |conn| {
        noted.states(conn);
        conn.resume();
        assert!(!conn.write(vec![0; 10_000_000]) || conn.buffered() < 10);
        let closing = noted.clone();
        conn.on("end", move |()| {
            assert!(conn.is_open());
            closing.add("still-open");
            conn.write("more than 1000 wait");
        });
    });
    let client = connect(server);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    run_loop();
    assert_eq!(log.text(), "end still-open error:ENOBUFS close");
}

#[test]
fn connections_received_as_a_stream_lose_no_data() {
    const CLIENTS: usize = 20;
    let server = tcp_server();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            client(server, move |mut client| {
                client.write_all(&[n as u8]).unwrap();
                let mut echoed = [0];
                client.read_exact(&mut echoed).unwrap();
                assert_eq!(echoed, [n as u8]);
            })
        })
        .collect();
    let served = block_on(async move {
        let mut served = 0;
        let mut connections = server.events(Server::CONNECTION);
        while let Some(conn) = connections.next().await {
            let _task = spawn(async move {
                while let Some(chunk) = conn.next(Connection::DATA).await {
                    conn.write(chunk);
                }
            });
            served += 1;
            if served == CLIENTS {
                server.close();
            }
        }
        served
    });
    assert_eq!(served, CLIENTS);
    run_loop();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn generic_code_uses_any_server_through_the_interface() {
    fn greet<S: ServerInterface>(server: S) {
        server.on(S::CONNECTION, move |conn| {
            conn.end_with("hello");
            server.close();
        });
        assert!(ServerInterface::address(server).is_some());
        server.pause();
        server.resume();
    }
    let server = tcp_server();
    greet(server);
    let client = client(server, |mut client| read_all(&mut client));
    run_loop();
    assert_eq!(client.join().unwrap(), b"hello");
}

#[test]
fn a_unix_server_serves() {
    let directory = Directory::new();
    let server = Server::bind(directory.uri("a.sock")).unwrap();
    with_connection(server, |conn| {
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
    });
    let mut client = std::os::unix::net::UnixStream::connect(directory.path("a.sock")).unwrap();
    client.write_all(b"echo").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    run_loop();
    assert_eq!(read_all(&mut client), b"echo");
}

#[test]
fn a_client_that_disconnects_before_it_is_accepted_does_no_harm() {
    let server = tcp_server();
    let closed = Rc::new(Cell::new(0));
    let count = Rc::clone(&closed);
    server.on("error", |error: Error| panic!("{error}"));
    server.on("connection", move |conn: Connection| {
        let count = Rc::clone(&count);
        conn.on("error", |_: Error| ());
        conn.on("close", move |()| {
            count.set(count.get() + 1);
            if count.get() == 3 {
                server.close();
            }
        });
    });
    reset(connect(server));
    drop(connect(server));
    let third = connect(server);
    third.shutdown(std::net::Shutdown::Write).unwrap();
    run_loop();
    assert_eq!(closed.get(), 3);
}
