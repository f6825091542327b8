//! Limits on the number of connections.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wrapped;

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::emit;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller, spawn};
use uptick_socket::prelude::*;
use wrapped::{Client, Log, settle, turn, until};

fn bind() -> Server {
    Server::bind("127.0.0.1:0").unwrap()
}

/// Logs the events of a server.
fn logged(server: LimitingServer) -> Log {
    let log = Log::default();
    let events = log.clone();
    server.on("connection", move |_: Connection| events.add("connection"));
    let events = log.clone();
    server.on("error", move |error: Error| events.add(error));
    let events = log.clone();
    server.on("close", move |()| events.add("close"));
    log
}

#[test]
fn a_connection_over_the_limit_is_refused_with_an_error_instead_of_connection() {
    let server = LimitingServer::new(bind(), 2, false);
    let log = logged(server);
    let _first = Client::connect(server);
    let _second = Client::connect(server);
    let mut third = Client::connect(server);
    assert_eq!(third.wait_for_end(), "");
    let refused = format!(
        "connection from tcp://{} refused: 2 connections are open, which is the limit",
        third.address()
    );
    assert_eq!(log.take(), ["connection", "connection", &refused]);
    assert_eq!(server.open_connections(), 2);
}

#[test]
fn a_closed_connection_allows_another_one() {
    let server = LimitingServer::new(bind(), 1, false);
    let log = logged(server);
    let first = Client::connect(server);
    until(|| server.open_connections() == 1);
    drop(first);
    until(|| server.open_connections() == 0);
    let _second = Client::connect(server);
    until(|| server.open_connections() == 1);
    assert_eq!(log.take(), ["connection", "connection"]);
}

#[test]
fn connections_are_counted_without_a_limit() {
    let server = LimitingServer::new(bind(), None, true);
    let log = logged(server);
    let clients: Vec<Client> = (0..50).map(|_| Client::connect(server)).collect();
    until(|| server.open_connections() == 50);
    assert_eq!(log.take().len(), 50);
    assert_eq!(server.connections().len(), 50);
    drop(clients);
    until(|| server.connections().is_empty());
}

#[test]
fn a_limit_of_zero_refuses_all_clients() {
    let server = LimitingServer::new(bind(), 0, true);
    let log = logged(server);
    for _ in 0..2 {
        Client::connect(server).wait_for_end();
    }
    assert!(
        log.take()
            .iter()
            .all(|line| line.contains("0 connections are open"))
    );
}

#[test]
fn clients_stay_in_the_backlog_at_the_limit_with_pause_on_limit() {
    let inner = bind();
    let server = LimitingServer::new(inner, 2, true);
    let log = logged(server);
    let first = Client::connect(server);
    let _others = [Client::connect(server), Client::connect(server)];
    until(|| server.open_connections() == 2);
    settle();
    assert_eq!(inner.accepted(), 2);
    drop(first);
    until(|| inner.accepted() == 3);
    assert_eq!(log.take(), ["connection"; 3]);
    assert_eq!(server.open_connections(), 2);
}

#[test]
fn the_pause_of_the_user_and_that_of_the_limit_are_independent() {
    let inner = bind();
    let server = LimitingServer::new(inner, 1, true);
    logged(server);
    server.pause();
    let _waiting: Vec<Client> = (0..3).map(|_| Client::connect(server)).collect();
    settle();
    assert_eq!(inner.accepted(), 0);

    server.resume();
    until(|| inner.accepted() == 1);
    server.resume();
    settle();
    assert_eq!(inner.accepted(), 1, "resuming does not override the limit");

    server.pause();
    server.connections()[0].close();
    settle();
    assert_eq!(inner.accepted(), 1, "the user has paused it");

    server.resume();
    until(|| inner.accepted() == 2);
    server.pause();
    server.resume();
    settle();
    assert_eq!(inner.accepted(), 2, "the limit is reached again");
}

#[test]
fn the_sixth_connection_of_a_client_is_refused() {
    let server = LimitingServer::new(bind(), None, false).limit_per_client(5);
    let log = logged(server);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(server)).collect();
    let mut sixth = Client::connect(server);
    sixth.wait_for_end();
    let mut lines = log.take();
    assert_eq!(
        lines.pop().unwrap(),
        format!(
            "connection from tcp://{} refused: 5 connections are open from that client, which is the limit",
            sixth.address()
        )
    );
    assert_eq!(lines, ["connection"; 5]);

    clients.push(connect_from(Ipv4Addr::new(127, 0, 0, 2), server));
    until(|| server.open_connections() == 6);
    drop(clients.remove(0));
    until(|| server.open_connections() == 5);
    clients.push(Client::connect(server));
    until(|| server.open_connections() == 6);
    assert_eq!(log.take(), ["connection"; 2]);
}

fn connect_from(ip: Ipv4Addr, server: LimitingServer) -> Client {
    let address = server.address().unwrap();
    let address: SocketAddr = address.strip_prefix("tcp://").unwrap().parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    Client::new(TcpStream::from(socket))
}

#[test]
fn a_client_limit_that_is_set_later_counts_open_connections() {
    let server = LimitingServer::new(bind(), None, false);
    let log = logged(server);
    let clients = [Client::connect(server), Client::connect(server)];
    until(|| server.open_connections() == 2);
    server.limit_per_client(2);
    Client::connect(server).wait_for_end();
    assert_eq!(log.take().len(), 3);
    drop(clients);
    until(|| server.open_connections() == 0);
    let _later = [Client::connect(server), Client::connect(server)];
    until(|| server.open_connections() == 2);
    server.limit_per_client(None);
    let _third = Client::connect(server);
    until(|| server.open_connections() == 3);
}

#[test]
fn unix_connections_have_no_client_limit() {
    let path = std::env::temp_dir().join(format!("uptick-limit-{}.sock", std::process::id()));
    let inner = Server::bind(format!("unix://{}", path.display()).as_str()).unwrap();
    let server = LimitingServer::new(inner, 3, false).limit_per_client(1);
    let log = logged(server);
    let _clients: Vec<UnixStream> = (0..4)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    until(|| log.len() == 4);
    assert_eq!(
        log.take(),
        [
            "connection",
            "connection",
            "connection",
            "connection from unix:(unnamed) refused: 3 connections are open, which is the limit"
        ]
    );
    server.close();
}

#[test]
fn a_refused_client_is_sent_the_refusal_text() {
    let server = LimitingServer::new(bind(), 1, false).refuse_with("full, sorry\n");
    let log = logged(server);
    let _first = Client::connect(server);
    let mut second = Client::connect(server);
    // Data sent in the meantime must not reset the connection before the refusal has arrived.
    second.send("hello?\n");
    assert_eq!(second.wait_for_end(), "full, sorry\n");
    assert_eq!(log.take().len(), 2);
    assert_eq!(server.open_connections(), 1);
}

#[test]
fn the_refusal_text_is_sent_to_at_most_128_clients_at_a_time() {
    // The manual clock does not advance, so that no connection times out.
    EventLoop::install(MioPoller::new().unwrap(), ManualClock::new()).unwrap();
    let inner = bind();
    let server = LimitingServer::new(inner, 0, false).refuse_with("full");
    logged(server);
    let mut clients: Vec<Client> = (0..140).map(|_| Client::connect(server)).collect();
    until(|| inner.accepted() == 140);
    assert_eq!(inner.open_connections(), 128);
    let notified = clients
        .iter_mut()
        .filter_map(|client| (client.wait_for_end() == "full").then_some(()));
    assert_eq!(notified.count(), 128);
    drop(clients);
    until(|| inner.open_connections() == 0);
    let mut later = Client::connect(server);
    assert_eq!(later.wait_for_end(), "full");
}

#[test]
fn data_of_one_client_can_be_broadcast_to_all_open_connections() {
    let server = LimitingServer::new(bind(), 3, false);
    server.on("connection", move |conn: Connection| {
        conn.on("data", move |chunk: Bytes| {
            for other in server.connections() {
                if other != conn {
                    other.write(chunk.clone());
                }
            }
        });
    });
    server.on("error", |_: Error| ());
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server)).collect();
    until(|| server.open_connections() == 3);
    clients[0].send("hello");
    for client in &mut clients[1..] {
        client.wait_for("hello");
    }
}

#[test]
fn a_connection_no_longer_counts_in_its_close_listeners() {
    let server = LimitingServer::new(bind(), 2, false);
    let log = Log::default();
    let lines = log.clone();
    server.on("connection", move |conn: Connection| {
        let lines = lines.clone();
        conn.on("close", move |()| {
            let listed = server.connections().contains(&conn);
            lines.add(format!("{} {listed}", server.open_connections()));
        });
    });
    let clients = [Client::connect(server), Client::connect(server)];
    until(|| server.open_connections() == 2);
    drop(clients);
    until(|| log.len() == 2);
    assert_eq!(log.take(), ["1 false", "0 false"]);
}

#[test]
fn a_connection_counts_even_if_its_listeners_were_removed() {
    let server = LimitingServer::new(bind(), 1, false);
    server.on("connection", |conn: Connection| conn.remove_all_listeners());
    let client = Client::connect(server);
    until(|| server.open_connections() == 1);
    server.connections()[0].close();
    assert_eq!(server.open_connections(), 0);
    drop(client);
}

#[test]
fn a_connection_closed_by_its_connection_listener_no_longer_counts() {
    let inner = bind();
    let server = LimitingServer::new(inner, 1, true);
    server.on("connection", |conn: Connection| conn.close());
    for _ in 0..3 {
        Client::connect(server).wait_for_end();
        assert_eq!(server.open_connections(), 0);
    }
    assert_eq!(inner.accepted(), 3);
}

#[test]
fn no_connection_is_left_after_a_thousand_connections() {
    let inner = bind();
    let server = LimitingServer::new(inner, 8, true).limit_per_client(8);
    let log = Log::default();
    let errors = log.clone();
    server.on("error", move |error: Error| errors.add(error));
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
    });
    for round in 0..100 {
        let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(server)).collect();
        for client in &mut clients {
            client.send("x");
        }
        if round % 2 == 0 {
            // The server waits for the client's end of stream as well, so each client must close before the next is
            // accepted.
            for mut client in clients {
                assert_eq!(client.wait_for_end(), "x");
            }
        }
    }
    until(|| inner.accepted() == 1000 && inner.open_connections() == 0);
    assert_eq!(server.open_connections(), 0);
    assert_eq!(server.connections(), []);
    assert_eq!(log.take(), Vec::<String>::new());
}

#[test]
fn a_panic_in_a_connection_listener_closes_only_that_connection() {
    let server = LimitingServer::new(bind(), 1, false);
    let calls = Rc::new(Cell::new(0));
    let count = Rc::clone(&calls);
    server.on("connection", move |_: Connection| {
        count.set(count.get() + 1);
        assert_ne!(count.get(), 1, "the first panics");
    });
    let log = Log::default();
    let noted = log.clone();
    server.on("error", move |error: Error| noted.add(error));
    Client::connect(server).wait_for_end();
    assert_eq!(server.open_connections(), 0);
    let _second = Client::connect(server);
    until(|| server.open_connections() == 1);
    assert_eq!(calls.get(), 2);
    let errors = log.take();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("panicked: "), "{errors:?}");
    assert!(errors[0].contains("the first panics"), "{errors:?}");
}

#[test]
fn a_refused_connection_is_closed_even_if_an_error_listener_panics() {
    let inner = bind();
    let server = LimitingServer::new(inner, 0, false);
    server.on("error", |_: Error| panic!("no"));
    for _ in 0..2 {
        Client::connect(server).wait_for_end();
    }
    assert_eq!(inner.open_connections(), 0);
    assert!(server.address().is_some());
}

#[test]
fn clients_stay_in_the_backlog_until_there_is_a_connection_listener() {
    let inner = bind();
    let server = LimitingServer::new(inner, None, false);
    let mut client = Client::connect(server);
    server.resume();
    settle();
    assert_eq!(inner.accepted(), 0);
    server.on("connection", |conn: Connection| conn.end_with("at last"));
    assert_eq!(client.wait_for_end(), "at last");
}

#[test]
fn awaiting_one_connection_after_the_other_loses_none() {
    const CLIENTS: usize = 20;
    let inner = bind();
    let server = LimitingServer::new(LimitingServer::new(inner, None, true), 3, true);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(server)).collect();
    drop(spawn(async move {
        let mut served = 0;
        while let Some(conn) = server.next(LimitingServer::CONNECTION).await {
            conn.end_with(served.to_string());
            served += 1;
        }
    }));
    for (n, mut client) in clients.drain(..).enumerate() {
        assert_eq!(client.wait_for_end(), n.to_string());
    }
    assert_eq!(inner.accepted(), CLIENTS as u64);
    server.close();
}

#[test]
fn a_listener_for_one_connection_leaves_the_next_in_the_backlog() {
    let inner = bind();
    let server = LimitingServer::new(inner, None, false);
    server.once("connection", |conn: Connection| conn.end_with("first"));
    let mut first = Client::connect(server);
    let mut second = Client::connect(server);
    assert_eq!(first.wait_for_end(), "first");
    settle();
    assert_eq!(inner.accepted(), 1);
    server.once("connection", |conn: Connection| conn.end_with("second"));
    assert_eq!(second.wait_for_end(), "second");
}

/// Returns a server that holds one connection, whose listener was removed before the connection was accepted.
fn holding(inner: Server) -> (LimitingServer, Client) {
    let server = LimitingServer::new(inner, None, false);
    let listener = server.on("connection", |_: Connection| ());
    server.off(listener);
    let client = Client::connect(server);
    until(|| inner.accepted() == 1);
    (server, client)
}

#[test]
fn connections_accepted_without_a_listener_are_held_for_the_next_one() {
    let inner = bind();
    let (server, mut first) = holding(inner);
    first.send("first");
    let mut second = Client::connect(server);
    second.send("second");
    settle();
    assert_eq!((inner.accepted(), server.open_connections()), (1, 1));

    let log = Log::default();
    let events = log.clone();
    server.on("connection", move |conn: Connection| {
        events.add("connection");
        conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
    });
    assert_eq!(log.len(), 0, "no listener runs while it is registered");
    assert_eq!(first.wait_for_end(), "first");
    assert_eq!(second.wait_for_end(), "second");
    assert_eq!(log.take(), ["connection"; 2]);
}

#[test]
fn a_wrapped_server_that_was_resumed_elsewhere_is_paused_by_its_next_connection() {
    let inner = bind();
    let (server, _held) = holding(inner);
    let _others: Vec<Client> = (0..10).map(|_| Client::connect(server)).collect();
    inner.resume();
    settle();
    assert_eq!(inner.accepted(), 2);
}

#[test]
fn a_held_connection_that_closes_is_not_announced() {
    let inner = bind();
    let (server, mut held) = holding(inner);
    server.connections()[0].close();
    held.wait_for_end();
    assert_eq!(server.open_connections(), 0);
    let log = logged(server);
    settle();
    assert_eq!(log.len(), 0);
    let _next = Client::connect(server);
    until(|| log.len() == 1);
    assert_eq!(log.take(), ["connection"]);
}

#[test]
fn closing_the_server_closes_the_held_connections() {
    let inner = bind();
    let (server, mut held) = holding(inner);
    server.close();
    assert_eq!(held.wait_for_end(), "");
    assert_eq!(inner.open_connections(), 0);
}

#[test]
fn clients_over_the_limit_are_refused_even_without_a_listener() {
    let server = LimitingServer::new(bind(), 1, false);
    let log = Log::default();
    let errors = log.clone();
    server.on("error", move |error: Error| errors.add(error));
    server.once("connection", |_: Connection| ());
    let first = Client::connect(server);
    until(|| server.open_connections() == 1);
    Client::connect(server).wait_for_end();
    assert_eq!(log.take().len(), 1);

    drop(first);
    until(|| server.open_connections() == 0);
    let mut third = Client::connect(server);
    settle();
    server.once("connection", |conn: Connection| conn.end_with("third"));
    assert_eq!(third.wait_for_end(), "third");
    assert_eq!(log.len(), 0);
}

#[test]
fn closing_the_server_in_a_connection_listener_leaves_the_connection_open() {
    let server = LimitingServer::new(bind(), 1, true);
    let log = Log::default();
    let closed = log.clone();
    server.on("close", move |()| closed.add("close"));
    server.on("connection", move |conn: Connection| {
        server.close();
        conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
    });
    let mut client = Client::connect(server);
    client.send("still there");
    assert_eq!(client.wait_for_end(), "still there");
    assert_eq!(log.take(), ["close"]);
    assert_eq!(server.address(), None);
    assert_eq!(server.open_connections(), 0);
    server.close();
    server.pause();
    server.resume();
    drop(client);
    run().unwrap();
}

#[test]
fn errors_and_the_close_of_the_wrapped_server_are_passed_on() {
    let inner = bind();
    let server = LimitingServer::new(inner, 1, false);
    let log = logged(server);
    let error = Server::bind("localhost").unwrap_err();
    emit(&inner, Server::ERROR, error.clone());
    inner.close();
    assert_eq!(log.take(), [error.to_string().as_str(), "close"]);
    assert_eq!(server.address(), None);
}

#[test]
fn shutdown_waits_for_the_connections_and_closes_the_remaining_ones() {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    let server = LimitingServer::new(bind(), 5, true);
    let log = logged(server);
    let mut first = Client::connect(server);
    until(|| server.open_connections() == 1);
    let ended = server.connections()[0];
    let mut second = Client::connect(server);
    until(|| server.open_connections() == 2);
    log.take();

    let shutdown = server.shutdown(Duration::from_secs(10));
    let shutdown_log = log.clone();
    drop(spawn(async move { shutdown_log.add(shutdown.await) }));
    assert_eq!(server.address(), None);
    assert_eq!(
        server.open_connections(),
        2,
        "the connections are still open"
    );
    ended.end_with("bye");
    assert_eq!(first.wait_for_end(), "bye");
    drop(first);
    until(|| server.open_connections() == 1);
    assert_eq!(log.len(), 0);
    clock.advance(Duration::from_secs(10));
    second.wait_for_end();
    until(|| log.len() == 2);
    assert_eq!(log.take(), ["close", "1"]);

    let mut later = std::pin::pin!(server.shutdown(Duration::from_secs(1)));
    let waker = futures::task::noop_waker();
    let mut context = std::task::Context::from_waker(&waker);
    assert!(later.as_mut().poll(&mut context).is_ready());
}

#[test]
fn limits_can_be_wrapped_in_limits() {
    let inner = LimitingServer::new(bind(), 3, true);
    let server = LimitingServer::new(inner, 2, true);
    let log = logged(server);
    let first = Client::connect(server);
    let _others: Vec<Client> = (0..3).map(|_| Client::connect(server)).collect();
    until(|| server.open_connections() == 2);
    settle();
    assert_eq!(inner.open_connections(), 2);
    drop(first);
    until(|| log.len() == 3);
    assert_eq!(
        (server.open_connections(), inner.open_connections()),
        (2, 2)
    );
    server.close();
    assert_eq!((server.address(), inner.address()), (None, None));
}

#[test]
fn a_wrapper_of_a_closed_server_is_closed() {
    let inner = bind();
    inner.close();
    let server = LimitingServer::new(inner, 1, false);
    assert_eq!(server.address(), None);
    assert_eq!(
        server.on("close", |()| ()),
        uptick_emitter::ListenerId::NONE
    );
    turn();
}
