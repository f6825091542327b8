//! The connection rate limit of `RateLimitingServer`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use uptick_event_loop::{EventLoop, ManualClock, MioPoller};
use uptick_rate_limit::{Limit, RateLimitingServer};
use uptick_socket::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Installs a loop with a manual clock.
fn manual_clock() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    clock
}

fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "timed out after 30 s"
        );
        EventLoop::current()
            .run_once(Some(Duration::from_millis(5)))
            .unwrap();
    }
}

/// Records the events of a server that sends `hi` to each accepted client.
fn record_events(server: RateLimitingServer) -> Rc<RefCell<Vec<String>>> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let events = Rc::clone(&log);
    server.on("connection", move |conn: Connection| {
        events.borrow_mut().push("connection".to_owned());
        conn.end_with("hi");
    });
    let events = Rc::clone(&log);
    server.on("error", move |error: Error| {
        events.borrow_mut().push(error.to_string())
    });
    let events = Rc::clone(&log);
    server.on("close", move |()| {
        events.borrow_mut().push("close".to_owned())
    });
    log
}

/// Connects and returns everything the server sends.
fn visit(server: RateLimitingServer) -> String {
    let address = server.address().unwrap();
    let mut client = TcpStream::connect(&address["tcp://".len()..]).unwrap();
    read(&mut client, |client| client.set_nonblocking(true))
}

fn read<C: Read>(client: &mut C, prepare: impl Fn(&C) -> std::io::Result<()>) -> String {
    prepare(client).unwrap();
    let mut all = Vec::new();
    run_until(|| match client.read_to_end(&mut all) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    });
    String::from_utf8(all).unwrap()
}

#[test]
fn a_client_that_connects_too_often_is_refused_until_the_window_ends() {
    let clock = manual_clock();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let server = RateLimitingServer::new(server, Limit::fixed_window(2, MINUTE));
    let log = record_events(server);
    assert_eq!(
        [visit(server), visit(server), visit(server)],
        ["hi", "hi", ""]
    );
    let refused = log.borrow()[2].clone();
    assert!(
        refused.starts_with("connection from tcp://127.0.0.1:"),
        "{refused}"
    );
    assert!(
        refused.ends_with("refused: the client connects too often; retry after 60s"),
        "{refused}"
    );
    clock.advance(MINUTE);
    assert_eq!(visit(server), "hi");
    assert_eq!(log.borrow().len(), 4);
}

#[test]
fn connections_without_an_address_are_not_limited() {
    let path = std::env::temp_dir().join(format!("uptick-rate-{}", std::process::id()));
    let uri = format!("unix://{}", path.display());
    let limit = Limit::fixed_window(0, MINUTE);
    let server = RateLimitingServer::new(Server::bind(uri.as_str()).unwrap(), limit);
    let log = record_events(server);
    let mut client = UnixStream::connect(&path).unwrap();
    assert_eq!(
        read(&mut client, |client| client.set_nonblocking(true)),
        "hi"
    );
    assert_eq!(*log.borrow(), ["connection"]);
    server.close();
    assert_eq!(*log.borrow(), ["connection", "close"]);
    assert_eq!(server.address(), None);
}

#[test]
fn addresses_with_the_same_prefix_share_a_limit() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let server = RateLimitingServer::new(server, Limit::fixed_window(1, MINUTE))
        .prefixes(8, 64)
        .max_clients(10);
    record_events(server);
    let visit_from = |source: [u8; 4]| {
        let address = server.address().unwrap();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let source = std::net::SocketAddr::from((source, 0));
        socket.bind(&source.into()).unwrap();
        let target: std::net::SocketAddr = address["tcp://".len()..].parse().unwrap();
        socket.connect(&target.into()).unwrap();
        read(&mut TcpStream::from(socket), |client| {
            client.set_nonblocking(true)
        })
    };
    assert_eq!(visit_from([127, 0, 0, 1]), "hi");
    assert_eq!(visit_from([127, 0, 0, 2]), "");
    server.prefixes(32, 64);
    assert_eq!(visit_from([127, 0, 0, 2]), "hi");
    assert_eq!(visit_from([127, 0, 0, 3]), "hi");
    assert_eq!(visit_from([127, 0, 0, 2]), "");
}

#[test]
fn a_server_that_wraps_a_closed_one_is_stale() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    server.close();
    run_until(|| server.address().is_none());
    let limiting = RateLimitingServer::new(server, Limit::fixed_window(1, MINUTE));
    assert_eq!(limiting.address(), None);
    limiting.pause();
    limiting.close();
}
