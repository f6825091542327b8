//! Local and remote addresses of connections.

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn the_addresses_of_a_tcp_connection_are_uris() {
    let server = tcp_server();
    let address = server.address().unwrap();
    let peer = connect(server);
    let remote = format!("tcp://{}", peer.local_addr().unwrap());
    with_connection(server, move |conn| {
        assert_eq!(conn.remote_address().as_ref(), Some(&remote));
        assert_eq!(conn.local_address().as_ref(), Some(&address));
        assert_eq!(conn.remote_ip(), Some([127, 0, 0, 1].into()));
        assert_eq!(conn.peer().unwrap().to_string(), remote);
        assert!(conn.proxied().is_none());
        assert!(!conn.is_secure());
        conn.close();
    });
    run_loop();
}

#[test]
fn an_ipv6_address_is_in_brackets() {
    let server = Server::bind("[::1]:0").unwrap();
    let address = server.address().unwrap();
    assert!(address.starts_with("tcp://[::1]:"), "{address}");
    let peer = connect(server);
    let remote = format!("tcp://{}", peer.local_addr().unwrap());
    assert!(remote.starts_with("tcp://[::1]:"), "{remote}");
    with_connection(server, move |conn| {
        assert_eq!(conn.remote_address().as_ref(), Some(&remote));
        assert_eq!(conn.local_address().as_ref(), Some(&address));
        conn.close();
    });
    run_loop();
}

#[test]
fn the_client_of_a_unix_server_is_unnamed_and_the_server_is_not() {
    let directory = Directory::new();
    let uri = directory.uri("a.sock");
    let server = Server::bind(&*uri).unwrap();
    let client = UnixStream::connect(directory.path("a.sock")).unwrap();
    let client = Connection::adopt(client).unwrap();
    assert_eq!(client.remote_address().as_ref(), Some(&uri));
    assert_eq!(client.local_address(), None);
    client.on("close", |()| ());
    let expected = uri.clone();
    with_connection(server, move |conn| {
        assert_eq!(conn.remote_address(), None);
        assert_eq!(conn.remote_ip(), None);
        assert_eq!(conn.local_address().as_ref(), Some(&expected));
        conn.close();
    });
    run_loop();
}

#[test]
fn addresses_are_available_in_close_listeners_but_not_afterwards() {
    let (conn, peer) = tcp_pair();
    let remote = conn.remote_address();
    let local = conn.local_address();
    assert!(remote.is_some() && local.is_some());
    let in_close = Rc::new(Cell::new(false));
    let called = Rc::clone(&in_close);
    conn.on("close", move |()| {
        assert_eq!(
            (conn.remote_address(), conn.local_address()),
            (remote.clone(), local.clone())
        );
        assert!(conn.is_open() && !conn.is_readable() && !conn.is_writable());
        called.set(true);
    });
    drop(peer);
    run_loop();
    assert!(in_close.get());
    assert_eq!((conn.remote_address(), conn.local_address()), (None, None));
    assert_eq!(
        (conn.id(), conn.peer(), conn.remote_ip()),
        (None, None, None)
    );
    assert!(!conn.is_open());
}

#[test]
fn addresses_are_available_after_the_peer_is_gone() {
    let (conn, peer) = tcp_pair();
    let remote = conn.remote_address();
    conn.set_allow_half_open(true);
    let at_end = Rc::new(RefCell::new(None));
    let noted = Rc::clone(&at_end);
    conn.on("end", move |()| {
        noted.replace(conn.remote_address());
        conn.end();
    });
    conn.resume();
    drop(peer);
    run_loop();
    assert!(remote.is_some());
    assert_eq!(at_end.take(), remote);
}
