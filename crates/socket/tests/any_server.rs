//! `AnyServer`, and the methods that all servers have.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use support::*;
use uptick_socket::ServerControl;
use uptick_socket::decorated::{Decorated, Layer};
use uptick_socket::prelude::*;

fn bind() -> Server {
    Server::bind("127.0.0.1:0").unwrap()
}

/// Adds listeners by string and by constant to a server of any type.
fn serve<S: ServerInterface>(server: S) -> Log {
    let log = Log::new();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| {
        noted.add("connection");
        conn.write("hello");
    });
    let noted = log.clone();
    server.on("error", move |_: Error| noted.add("error"));
    let noted = log.clone();
    server.on("close", move |()| noted.add("close"));
    let noted = log.clone();
    server.on(S::CLOSE, move |()| noted.add("close-by-constant"));
    log
}

fn connect<S: ServerInterface>(server: S) -> TcpStream {
    let address = server.address().unwrap();
    connect_to(address.strip_prefix("tcp://").unwrap().parse().unwrap())
}

fn chosen(limited: bool) -> AnyServer {
    let server = bind();
    match limited {
        true => LimitingServer::new(server, 1, false).into(),
        false => server.into(),
    }
}

#[test]
fn a_server_is_chosen_at_run_time() {
    for limited in [false, true] {
        let server = chosen(limited);
        let copy = server;
        let log = serve(server);
        let first = connect(server);
        run_until(|| log.count("connection") == 1);
        let second = connect(copy);
        run_until(|| log.text().split(' ').count() == 2);
        let expected = if limited { "error" } else { "connection" };
        assert_eq!(log.text(), format!("connection {expected}"));
        let open = if limited { 1 } else { 2 };
        assert_eq!(server.open_connections(), open);
        assert_eq!(server.connections().len(), open);
        drop((first, second));
        run_until(|| server.open_connections() == 0);
        server.close();
        assert_eq!(
            log.text(),
            format!("connection {expected} close close-by-constant")
        );
        assert_eq!(server.address(), None);
    }
}

#[test]
fn any_server_waits_for_its_first_listener_and_can_be_paused() {
    let inner = bind();
    let server = AnyServer::from(inner);
    let _first = connect(server);
    settle();
    assert_eq!(inner.accepted(), 0);
    let log = serve(server);
    run_until(|| log.text() == "connection");
    server.pause();
    let _second = connect(server);
    settle();
    assert_eq!(log.text(), "connection");
    server.resume();
    run_until(|| log.text() == "connection connection");
    drop(server.shutdown(Duration::ZERO));
    run_loop();
    assert_eq!(log.text(), "connection connection close close-by-constant");
}

#[test]
fn all_servers_list_their_open_connections() {
    fn check<S: ServerInterface>(server: S) {
        let log = serve(server);
        let first = connect(server);
        let second = connect(server);
        run_until(|| log.text() == "connection connection");
        assert_eq!(server.open_connections(), 2);
        let mut connections = server.connections();
        connections.sort_by_key(|conn| conn.id());
        assert_eq!(connections.len(), 2);
        connections[0].close();
        assert_eq!(server.open_connections(), 1);
        assert_eq!(server.connections(), [connections[1]]);
        drop((first, second));
        run_until(|| server.open_connections() == 0);
        assert_eq!(server.connections(), []);
        server.close();
    }
    check(bind());
    check(AnyServer::from(bind()));
    check(LimitingServer::new(bind(), None, false));
    check(AnyServer::from(LimitingServer::new(bind(), 5, false)));
}

#[test]
fn a_connection_without_its_proxy_header_is_not_listed() {
    let inner = bind();
    let server = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let log = serve(server);
    let mut client = connect(server);
    let _silent = connect(server);
    run_until(|| server.pending_connections() == 2);
    assert_eq!(inner.open_connections(), 2);
    assert_eq!(inner.connections().len(), 2);
    assert_eq!(server.open_connections(), 0);
    assert_eq!(server.connections(), []);
    client
        .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n")
        .unwrap();
    run_until(|| log.text() == "connection");
    assert_eq!(server.open_connections(), 1);
    let announced = server.connections();
    assert_eq!(announced.len(), 1);
    assert_eq!(
        announced[0].remote_address().as_deref(),
        Some("tcp://192.0.2.7:4711")
    );
    server.close();
}

/// A layer that records the protocols of the program.
struct Recorder {
    protocols: Rc<RefCell<Vec<String>>>,
    negotiates: bool,
}

impl Layer for Recorder {
    fn accept(server: Decorated<Self>, conn: Connection) {
        server.announce(conn);
    }

    fn offer_protocols(&mut self, protocols: &[&str]) -> bool {
        let mut recorded = self.protocols.borrow_mut();
        recorded.extend(protocols.iter().map(|&name| name.to_owned()));
        self.negotiates
    }
}

#[test]
fn protocols_are_passed_to_the_server_that_negotiates_them() {
    let [inner, outer] = [(); 2].map(|()| Rc::default());
    let recorder = |protocols: &Rc<_>, negotiates| Recorder {
        protocols: Rc::clone(protocols),
        negotiates,
    };
    let server = Decorated::new(bind(), recorder(&inner, true));
    let server = ProxyProtocolServer::new(server, ProxyProtocolOptions::new());
    let server = AnyServer::from(LimitingServer::new(server, None, false));
    server.offer_protocols(&["a"]);
    ServerControl::new(server).offer_protocols(&["b", "c"]);
    assert_eq!(*inner.borrow(), ["a", "b", "c"]);
    let server = Decorated::new(server, recorder(&outer, false));
    server.offer_protocols(&["d"]);
    assert_eq!(*outer.borrow(), ["d"]);
    assert_eq!(*inner.borrow(), ["a", "b", "c", "d"]);
    let server = Decorated::new(server, recorder(&outer, true));
    server.offer_protocols(&["e"]);
    assert_eq!((outer.borrow().len(), inner.borrow().len()), (2, 4));
    server.close();
    // A closed server ignores them.
    server.offer_protocols(&["f"]);
    bind().offer_protocols(&["g"]);
}
