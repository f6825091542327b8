//! Sequential mode: one connection at a time.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_http::{HttpServer, Request, Response};
use uptick_socket::{Connection, Server};

use crate::support::{Client, get, manual_clock, run_until_idle, server, settle};

/// Returns a server that serves one connection at a time.
fn sequential() -> HttpServer {
    let http = server().sequential(true);
    http.get("/", |_: Request| "served");
    http
}

/// Returns clients that have all sent a request.
fn clients(http: HttpServer, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count).map(|_| Client::new(http)).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    settle();
    clients
}

#[test]
fn the_second_client_is_served_after_the_first_disconnects() {
    let http = sequential();
    let mut clients = clients(http, 5);
    while !clients.is_empty() {
        assert_eq!(http.open_connections(), 1);
        let mut first = clients.remove(0);
        assert_eq!(first.response().body, "served");
        first.send(get("/"));
        assert_eq!(first.response().body, "served", "its connection is kept");
        settle();
        assert!(
            clients
                .iter_mut()
                .all(|client| client.take_received().is_empty())
        );
        drop(first);
        settle();
    }
    assert_eq!((http.open_connections(), http.stats().connections), (0, 5));
    drop(http.shutdown(Duration::from_secs(1)));
    run_until_idle();
}

#[test]
fn an_idle_client_blocks_the_others_only_until_the_idle_timeout() {
    let clock = manual_clock();
    let http = sequential().idle_timeout(Some(Duration::from_secs(5)));
    let mut clients = clients(http, 2);
    assert_eq!(clients[0].response().body, "served");
    clock.advance(Duration::from_secs(4));
    settle();
    assert_eq!(clients[1].take_received(), "");
    for _ in 0..20 {
        clock.advance(Duration::from_millis(100));
        settle();
    }
    assert!(clients[0].is_closed());
    clients.remove(0);
    assert_eq!(clients[0].response().body, "served");
}

#[test]
fn an_upgraded_client_blocks_the_others_until_it_closes() {
    let http = sequential();
    http.get("/raw", |_: Request| {
        Response::upgrade("raw", |conn: Connection| {
            conn.on("data", |_: bytes::Bytes| ());
        })
    });
    let mut first = Client::new(http);
    first.send("GET /raw HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n");
    assert_eq!(first.response().status(), 101);
    let mut others = clients(http, 1);
    assert_eq!(others[0].take_received(), "");
    drop(first);
    assert_eq!(others[0].response().body, "served");
}

#[test]
fn a_connection_blocks_all_listeners() {
    let http = sequential();
    let other = Server::bind("127.0.0.1:0").unwrap();
    http.listen(other);
    let mut first = Client::new(http);
    let mut second = Client::of(&other.address().unwrap());
    second.send(get("/"));
    first.send(get("/"));
    settle();
    let received = [first.take_received(), second.take_received()].map(|text| !text.is_empty());
    assert_eq!(
        received.iter().filter(|received| **received).count(),
        1,
        "{received:?}"
    );
    assert_eq!(http.open_connections(), 1);
    let (served, mut waits) = match received[0] {
        true => (first, second),
        false => (second, first),
    };
    drop(served);
    assert_eq!(waits.response().body, "served");
    let late = Server::bind("127.0.0.1:0").unwrap();
    http.listen(late);
    let mut third = Client::of(&late.address().unwrap());
    third.send(get("/"));
    assert_eq!(
        third.take_received(),
        "",
        "a listener that is added later waits, too"
    );
    drop(waits);
    assert_eq!(third.response().body, "served");
}

#[test]
fn all_clients_are_served_when_the_mode_is_disabled() {
    let http = sequential();
    let mut clients = clients(http, 3);
    http.sequential(false);
    for client in &mut clients {
        assert_eq!(client.response().body, "served");
    }
    assert_eq!(http.open_connections(), 3);
}

#[test]
fn a_shutdown_ends_the_connection_and_refuses_waiting_ones() {
    let http = sequential();
    let mut clients = clients(http, 3);
    assert_eq!(clients[0].response().body, "served");
    drop(http.shutdown(Duration::from_secs(10)));
    settle();
    assert!(clients.iter_mut().all(Client::is_closed));
    drop(clients);
    run_until_idle();
}
