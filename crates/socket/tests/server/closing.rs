//! `close`: stops listening and keeps the open connections.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};

use uptick_event_loop::EventLoop;
use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn a_server_keeps_the_loop_running_until_it_is_closed() {
    let server = tcp_server();
    assert!(EventLoop::current().is_alive());
    server.close();
    assert!(!EventLoop::current().is_alive());
    run_loop();
}

#[test]
fn close_is_emitted_once_before_close_returns() {
    let server = tcp_server();
    let log = Log::new();
    let noted = log.clone();
    server.on("close", move |()| {
        assert_eq!(server.address(), None);
        noted.add("close");
        server.close();
    });
    server.close();
    assert_eq!(log.text(), "close");
    server.close();
    run_loop();
    assert_eq!(log.text(), "close");
}

#[test]
fn clients_are_refused_as_soon_as_it_is_closed() {
    let server = tcp_server();
    let address = socket_address(server);
    server.close();
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn open_connections_stay_open_and_the_loop_ends_with_the_last_one() {
    let log = Log::new();
    let server = tcp_server();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| {
        noted.all(conn);
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        server.close();
    });
    let noted = log.clone();
    server.on("close", move |()| noted.add("server-close"));
    let client = client(server, |mut client| {
        client.write_all(b"hi").unwrap();
        client.read_exact(&mut [0; 2]).unwrap();
    });
    run_loop();
    client.join().unwrap();
    assert_eq!(log.text(), "server-close data:hi end close");
}

#[test]
fn closing_inside_a_connection_listener_ends_the_batch() {
    let server = tcp_server();
    let accepted = Rc::new(Cell::new(0));
    let count = Rc::clone(&accepted);
    server.on("connection", move |conn: Connection| {
        count.set(count.get() + 1);
        if count.get() == 3 {
            server.close();
        }
        conn.close();
    });
    let clients: Vec<TcpStream> = (0..10).map(|_| connect(server)).collect();
    run_loop();
    assert_eq!(accepted.get(), 3);
    drop(clients);
}

#[test]
fn listeners_and_their_captures_are_dropped_with_the_server() {
    let server = tcp_server();
    let captured = Rc::new(());
    for _ in 0..2 {
        let held = Rc::clone(&captured);
        server.on("connection", move |_: Connection| drop(Rc::clone(&held)));
    }
    let held = Rc::clone(&captured);
    server.on("error", move |_: Error| drop(Rc::clone(&held)));
    let held = Rc::clone(&captured);
    server.on("close", move |()| drop(Rc::clone(&held)));
    assert_eq!(Rc::strong_count(&captured), 5);
    server.close();
    assert_eq!(Rc::strong_count(&captured), 1);
}

#[test]
fn the_next_close_of_a_server_can_be_awaited() {
    let server = tcp_server();
    let closed = server.next(Server::CLOSE);
    uptick_event_loop::future_tick(move || server.close());
    assert_eq!(block_on(closed), Some(()));
}

#[test]
fn a_stale_handle_does_not_affect_a_new_server_in_the_same_slot() {
    let old = tcp_server();
    old.close();
    let new = tcp_server();
    assert_ne!(old, new);
    assert_eq!(old.address(), None);
    old.pause();
    old.close();
    assert!(!old.off(old.on("close", |()| panic!("the old server cannot close again"))));
    assert_eq!((old.open_connections(), old.accepted()), (0, 0));
    assert_eq!(block_on(old.shutdown(TIMEOUT)), 0);
    assert!(new.address().is_some());
    new.on("connection", move |conn: Connection| {
        conn.close();
        new.close();
    });
    let _client = connect(new);
    run_loop();
}

#[test]
fn a_server_whose_socket_was_shut_down_elsewhere_emits_one_error_and_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = listener.try_clone().unwrap();
    let server = Server::adopt(listener, ServerOptions::new()).unwrap();
    let log = Log::new();
    let (errors, closed) = (log.clone(), log.clone());
    server.on("connection", |_: Connection| ());
    server.on("error", move |e: Error| {
        errors.add(e.errno_name().unwrap_or("none"))
    });
    server.on("close", move |()| closed.add("close"));
    rustix::net::shutdown(&shared, rustix::net::Shutdown::Both).unwrap();
    run_loop();
    assert_eq!(log.text(), "EINVAL close");
    assert_eq!(server.address(), None);
}

#[test]
fn a_closed_server_does_not_keep_the_loop_awake_for_clients_of_a_duplicate() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::adopt(listener.try_clone().unwrap(), ServerOptions::new()).unwrap();
    server.on("connection", |_: Connection| ());
    settle();
    server.close();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(!loop_is_ready());
    let again = Server::adopt(listener.try_clone().unwrap(), ServerOptions::new()).unwrap();
    again.on("connection", move |conn: Connection| {
        conn.close();
        again.close();
    });
    run_loop();
}

thread_local! {
    static LATE: RefCell<Option<BindsLate>> = const { RefCell::new(None) };
}

/// A value that binds a server on drop, during thread teardown.
struct BindsLate(Sender<String>);

impl Drop for BindsLate {
    fn drop(&mut self) {
        let bound = Server::bind("127.0.0.1:0");
        let _ = self
            .0
            .send(format!("{:?}", bound.map_err(|error| error.to_string())));
    }
}

#[test]
fn binding_while_the_loop_is_torn_down_is_an_error() {
    let (sender, bound) = channel();
    std::thread::spawn(move || {
        // Thread-locals are dropped in reverse order of their first use.
        LATE.set(Some(BindsLate(sender)));
        Server::bind("127.0.0.1:0").unwrap().close();
    })
    .join()
    .unwrap();
    let text = bound.recv().unwrap();
    assert!(
        text.ends_with("failed: the thread's event loop is gone\")"),
        "{text}"
    );
}
