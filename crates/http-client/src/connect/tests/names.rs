//! Name resolution: overrides, the cache, several addresses.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller, sleep};
use uptick_socket::Resolver;

use super::support::{
    SilentAddress, assert_elapsed, connected, destination, echo_peer, exchange, failure, resolving,
    run,
};
use crate::connect::{ConnectOptions, Connectors, connect};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A resolver of 127.0.0.1 that counts its queries.
fn counting_resolver() -> (Resolver, Rc<Cell<usize>>) {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    let resolver = Resolver::new(move |_| {
        counted.set(counted.get() + 1);
        async {
            sleep(Duration::from_millis(1)).await;
            Ok(vec![LOCALHOST])
        }
    });
    (resolver, count)
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn an_override_replaces_the_query_whatever_its_case() {
    let (resolver, queries) = counting_resolver();
    let (_listener, port) = listener();
    let options = resolving("App.test", &[LOCALHOST]);
    let conn = run(async move {
        let connectors = Connectors::with_resolver(resolver);
        connect(&connectors, &destination("app.test", port), &options).await
    });
    conn.unwrap().conn.close();
    assert_eq!(queries.get(), 0);
}

#[test]
fn a_name_with_an_empty_override_does_not_exist() {
    assert_eq!(
        failure(destination("app.test", 80), resolving("app.test", &[])),
        "dns: looking up app.test failed: the name has no IP address (ENOENT)"
    );
}

#[test]
fn a_name_that_cannot_be_resolved_is_a_failure_of_its_own_kind() {
    let resolver = Resolver::new(|_| async { Err(io::Error::other("no such host")) });
    let failure = run(async move {
        let destination = destination("app.test", 80);
        connect(
            &Connectors::with_resolver(resolver),
            &destination,
            &ConnectOptions::default(),
        )
        .await
        .unwrap_err()
    });
    assert_eq!(
        format!("{}: {}", failure.kind, failure.reason),
        "dns: looking up app.test failed: no such host"
    );
}

#[test]
fn addresses_are_cached_for_30_s() {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    let resolver = Resolver::new(move |_| {
        counted.set(counted.get() + 1);
        async { Ok(vec![LOCALHOST]) }
    });
    let (_listener, port) = listener();
    let queries = run(async move {
        let connectors = Connectors::with_resolver(resolver);
        let mut queries = Vec::new();
        for advance in [0, 29_900, 200, 0] {
            clock.advance(Duration::from_millis(advance));
            sleep(Duration::ZERO).await;
            let destination = destination("app.test", port);
            let connected = connect(&connectors, &destination, &ConnectOptions::default()).await;
            connected.unwrap().conn.close();
            queries.push(count.get());
        }
        queries
    });
    assert_eq!(queries, [1, 1, 2, 2]);
}

#[test]
fn concurrent_connections_share_a_query() {
    let (resolver, queries) = counting_resolver();
    let (_listener, port) = listener();
    run(async move {
        let connectors = Connectors::with_resolver(resolver);
        let destination = destination("app.test", port);
        let options = ConnectOptions::default();
        let (one, other) = join(
            connect(&connectors, &destination, &options),
            connect(&connectors, &destination, &options),
        )
        .await;
        one.unwrap().conn.close();
        other.unwrap().conn.close();
    });
    assert_eq!(queries.get(), 1);
}

#[test]
fn addresses_that_cannot_be_connected_to_are_queried_again() {
    let (resolver, queries) = counting_resolver();
    let (free, port) = listener();
    drop(free);
    run(async move {
        let connectors = Connectors::with_resolver(resolver);
        for _ in 0..2 {
            let destination = destination("app.test", port);
            let failed = connect(&connectors, &destination, &ConnectOptions::default()).await;
            failed.unwrap_err();
        }
    });
    assert_eq!(queries.get(), 2);
}

#[test]
fn the_next_address_is_tried_at_once_after_a_failure() {
    let server = echo_peer("");
    let refusing = IpAddr::from([127, 0, 0, 3]);
    let options = resolving("app.test", &[refusing, LOCALHOST]);
    let start = Instant::now();
    let connected = connected(destination("app.test", server.port()), options).unwrap();
    assert_elapsed(start, 0, 200);
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    server.join();
}

#[test]
fn the_next_address_is_tried_after_250_ms_without_an_answer() {
    let server = echo_peer("");
    let silent = SilentAddress::new(Ipv4Addr::new(127, 0, 0, 4), server.port());
    let before = silent.attempts();
    let options = resolving("app.test", &[[127, 0, 0, 4].into(), LOCALHOST]);
    let start = Instant::now();
    let connected = connected(destination("app.test", server.port()), options).unwrap();
    assert_elapsed(start, 240, 700);
    assert_eq!(silent.attempts(), before);
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    server.join();
}

#[test]
fn the_failure_names_every_address() {
    let (free, port) = listener();
    drop(free);
    let options = resolving("app.test", &[[127, 0, 0, 5].into(), LOCALHOST]);
    assert_eq!(
        failure(destination("app.test", port), options),
        format!(
            "connect: connecting to tcp://app.test:{port} failed: \
             127.0.0.5: Connection refused (ECONNREFUSED); \
             127.0.0.1: Connection refused (ECONNREFUSED)"
        )
    );
}
