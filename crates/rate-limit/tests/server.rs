//! How a server limits how often clients connect.
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

/// A loop whose clock the test moves.
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
            "it takes too long"
        );
        EventLoop::current()
            .run_once(Some(Duration::from_millis(5)))
            .unwrap();
    }
}

/// What happens at a server, which greets everybody whom it lets in.
fn logged(server: RateLimitingServer) -> Rc<RefCell<Vec<String>>> {
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

/// What a client gets to read.
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
fn a_client_that_connects_too_often_is_refused_until_its_time_has_come() {
    let clock = manual_clock();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let server = RateLimitingServer::new(server, Limit::fixed_window(2, MINUTE));
    let log = logged(server);
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
fn clients_have_a_limit_each_and_connections_without_an_address_none() {
    let path = std::env::temp_dir().join(format!("uptick-rate-{}", std::process::id()));
    let uri = format!("unix://{}", path.display());
    let limit = Limit::fixed_window(0, MINUTE);
    let server = RateLimitingServer::new(Server::bind(uri.as_str()).unwrap(), limit);
    let log = logged(server);
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
fn networks_that_count_as_one_client_share_a_limit() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let server = RateLimitingServer::new(server, Limit::fixed_window(1, MINUTE))
        .prefixes(8, 64)
        .max_clients(10);
    logged(server);
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
fn a_server_around_one_that_is_closed_is_stale() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    server.close();
    run_until(|| server.address().is_none());
    let limiting = RateLimitingServer::new(server, Limit::fixed_window(1, MINUTE));
    assert_eq!(limiting.address(), None);
    limiting.pause();
    limiting.close();
}
