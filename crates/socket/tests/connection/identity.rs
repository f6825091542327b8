//! Ids, extensions, adopted sockets, and the loop.

use std::collections::HashSet;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use uptick_event_loop::add_timer;
use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn every_connection_has_a_unique_id() {
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let (conn, _peer) = tcp_pair();
        let id = conn.id().unwrap();
        assert!(seen.insert(id), "{id} was used before");
        conn.close();
        assert_eq!(conn.id(), None);
    }
}

struct LogsDrop(Log);

impl Drop for LogsDrop {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

#[test]
fn the_extension_of_a_connection_is_dropped_with_it() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    conn.set_extension(LogsDrop(log.clone()));
    let noted = log.clone();
    conn.on("close", move |()| {
        assert!(conn.extension::<LogsDrop>().is_some());
        noted.add("close");
    });
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "close dropped");
    assert!(conn.extension::<LogsDrop>().is_none());
}

#[test]
fn a_new_extension_replaces_the_previous_one() {
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    conn.set_extension(LogsDrop(log.clone()));
    conn.set_extension(7_u32);
    assert_eq!(log.text(), "dropped");
    assert_eq!(conn.extension::<u32>().as_deref(), Some(&7));
    assert!(conn.extension::<i32>().is_none());
    conn.close();
}

#[test]
fn an_extension_may_use_the_connection_when_it_is_dropped() {
    struct Writes(Connection);
    impl Drop for Writes {
        fn drop(&mut self) {
            assert!(!self.0.write("x"));
            assert!(!self.0.is_open());
            self.0.close();
        }
    }
    let (conn, _peer) = tcp_pair();
    conn.set_extension(Writes(conn));
    conn.close();
    run_loop();
}

#[test]
fn listeners_and_their_captures_are_dropped_with_the_connection() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    let logs_drop = Rc::new(LogsDrop(log.clone()));
    for name in ["end", "drain", "close"] {
        let logs_drop = Rc::clone(&logs_drop);
        conn.on(name, move |()| logs_drop.0.add(name));
    }
    drop(logs_drop);
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "end close dropped");
}

#[test]
fn only_a_connected_socket_can_be_adopted() {
    let file = OwnedFd::from(std::fs::File::open("Cargo.toml").unwrap());
    assert_eq!(
        Connection::adopt(file).unwrap_err().to_string(),
        "connecting to an adopted socket failed: Socket operation on non-socket (ENOTSOCK)"
    );
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert_eq!(
        Connection::adopt(socket).unwrap_err().errno_name(),
        Some("ENOTCONN")
    );
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.connect(datagrams.local_addr().unwrap()).unwrap();
    assert_eq!(
        Connection::adopt(OwnedFd::from(datagrams))
            .unwrap_err()
            .errno_name(),
        Some("EPROTOTYPE")
    );
}

#[test]
fn an_open_connection_keeps_the_loop_running() {
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    let noted = log.clone();
    log.states(conn);
    add_timer(Duration::from_millis(20), move || {
        noted.add("timer");
        conn.close();
    });
    run_loop();
    assert_eq!(log.text(), "timer close");
}

#[test]
fn two_connections_exchange_data_on_one_loop() {
    let server = tcp_server();
    with_connection(server, |conn| {
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
    });
    let client: TcpStream = connect(server);
    let client = Connection::adopt(client).unwrap();
    let log = Log::new();
    log.all(client);
    client.write("ping");
    client.on("data", move |_: Bytes| client.end());
    run_loop();
    assert_eq!(log.text(), "data:ping close");
}

#[test]
fn a_thread_that_ends_closes_its_servers_and_connections() {
    /// A value that uses its connection when it is dropped, after the connection has been removed.
    struct UsesConnection(Connection);
    impl Drop for UsesConnection {
        fn drop(&mut self) {
            assert!(!self.0.write("x"));
            self.0.close();
        }
    }
    let directory = Directory::new();
    let (uri, path) = (directory.uri("a.sock"), directory.path("a.sock"));
    let mut client = thread::spawn(move || {
        let server = Server::bind(uri).unwrap();
        server.on("connection", |conn: Connection| {
            let last = UsesConnection(conn);
            conn.on("data", move |_: Bytes| last.0.pause());
            conn.set_extension(UsesConnection(conn));
        });
        let client = UnixStream::connect(path).unwrap();
        run_until(|| server.accepted() == 1);
        client
    })
    .join()
    .unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    assert_eq!(read_all(&mut client), b"");
    assert!(!directory.path("a.sock").exists());
}
