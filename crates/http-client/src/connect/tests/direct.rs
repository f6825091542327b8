//! Connections to addresses, Unix sockets and custom connectors.

use std::cell::RefCell;
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use uptick_socket::{ConnectTarget, Connecting, Connection, ConnectorInterface};

use super::support::{
    SilentAddress, assert_elapsed, connected, destination, echo_peer, exchange, failure, impatient,
};
use crate::connect::{ConnectOptions, Destination, Http2Mode, Protocol};

#[test]
fn an_address_is_connected_to() {
    let server = echo_peer("");
    let connected = connected(
        destination("127.0.0.1", server.port()),
        ConnectOptions::default(),
    );
    let connected = connected.unwrap();
    assert_eq!(connected.protocol, Protocol::Http1);
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    server.join();
}

#[test]
fn an_ipv6_address_is_connected_to() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connected = connected(destination("::1", port), ConnectOptions::default()).unwrap();
    let remote = connected.conn.remote_address().unwrap();
    assert_eq!(remote, format!("tcp://[::1]:{port}"));
    connected.conn.close();
}

#[test]
fn http2_without_tls_needs_prior_knowledge() {
    for (mode, protocol) in [
        (Http2Mode::Never, Protocol::Http1),
        (Http2Mode::Only, Protocol::Http2),
    ] {
        let server = echo_peer("");
        let destination = Destination {
            http2: mode,
            ..destination("127.0.0.1", server.port())
        };
        let connected = connected(destination, ConnectOptions::default()).unwrap();
        assert_eq!(connected.protocol, protocol);
        connected.conn.close();
        server.join();
    }
}

#[test]
fn the_failure_names_the_address_and_the_errno() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    assert_eq!(
        failure(destination("127.0.0.1", port), ConnectOptions::default()),
        format!(
            "connect: connecting to tcp://127.0.0.1:{port} failed: Connection refused (ECONNREFUSED)"
        )
    );
}

#[test]
fn an_address_that_does_not_answer_times_out() {
    let silent = SilentAddress::new(Ipv4Addr::new(127, 0, 0, 2), 0);
    let before = silent.attempts();
    let start = Instant::now();
    assert_eq!(
        failure(destination("127.0.0.2", silent.port()), impatient()),
        format!(
            "connect_timeout: connecting to tcp://127.0.0.2:{} timed out after 300ms (ETIMEDOUT)",
            silent.port()
        )
    );
    assert_elapsed(start, 280, 800);
    assert_eq!(silent.attempts(), before);
}

#[test]
fn a_unix_socket_replaces_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a b%.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let mut received = String::new();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_string(&mut received).unwrap();
        received
    });
    let destination = Destination {
        unix: Some(path),
        proxy: Some("http://127.0.0.1:1".parse().unwrap()),
        ..destination("app.invalid", 80)
    };
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    connected.conn.end_with("hello");
    super::support::run(async {});
    uptick_event_loop::run().unwrap();
    assert_eq!(server.join().unwrap(), "hello");
}

#[test]
fn a_missing_unix_socket_is_a_failure_to_connect() {
    let destination = Destination {
        unix: Some("/nonexistent/app.sock".into()),
        ..destination("app.invalid", 80)
    };
    assert_eq!(
        failure(destination, ConnectOptions::default()),
        "connect: connecting to unix:///nonexistent/app.sock failed: No such file or directory (ENOENT)"
    );
}

/// A connector that records its targets and returns one end of a pair.
#[derive(Default)]
struct PairConnector {
    targets: RefCell<Vec<String>>,
    peers: Rc<RefCell<Vec<UnixStream>>>,
}

impl ConnectorInterface for PairConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        self.targets.borrow_mut().push(target.to_string());
        let peers = Rc::clone(&self.peers);
        Connecting::new(async move {
            let (ours, theirs) = UnixStream::pair().unwrap();
            peers.borrow_mut().push(theirs);
            Connection::adopt(ours)
        })
    }
}

#[test]
fn a_custom_connector_replaces_tcp_and_name_resolution() {
    let connector = Rc::new(PairConnector::default());
    let mut options = super::support::resolving("app.test", &[]);
    options.connector = Some(Rc::clone(&connector) as _);
    for destination in [
        destination("app.test", 80),
        destination("127.0.0.1", 81),
        destination("::1", 82),
        Destination {
            unix: Some("/run/app.sock".into()),
            ..destination("app.test", 80)
        },
        Destination {
            proxy: Some("http://proxy.test:3128".parse().unwrap()),
            ..destination("app.test", 80)
        },
    ] {
        let connected = connected(destination, options.clone()).unwrap();
        connected.conn.close();
    }
    assert_eq!(
        *connector.targets.borrow(),
        [
            "tcp://app.test:80",
            "tcp://127.0.0.1:81",
            "tcp://[::1]:82",
            "unix:///run/app.sock",
            "tcp://proxy.test:3128"
        ]
    );
}
