//! Creating sockets, and their addresses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::net::{Ipv4Addr, UdpSocket};

use common::{Message, address, pair, run};
use uptick_datagram::{DatagramOptions, DatagramSocket, Error};
use uptick_emitter::Emitter;
use uptick_event_loop::block_on;

#[test]
fn a_port_alone_is_a_port_of_localhost() {
    let socket = DatagramSocket::bind(0).unwrap();
    assert_eq!(address(socket).ip(), Ipv4Addr::LOCALHOST);
    assert_ne!(address(socket).port(), 0);
    socket.close();
}

#[test]
fn addresses_have_a_scheme_and_brackets() {
    let server = DatagramSocket::bind("udp://[::1]:0").unwrap();
    let local = server.local_address().unwrap();
    assert!(local.starts_with("udp://[::1]:"), "{local}");
    assert_eq!(server.remote_address(), None);
    assert_eq!(server.to_string(), local);

    let client = DatagramSocket::connect(local.as_str()).unwrap();
    assert_eq!(client.remote_address().as_ref(), Some(&local));
    assert!(client.to_string().ends_with(&format!(" to {local}")));
    server.close();
    client.close();
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let first = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let uri = first.local_address().unwrap();
    let error = DatagramSocket::bind(uri.as_str()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("binding {uri} failed: Address already in use (EADDRINUSE)")
    );
    first.close();
}

#[test]
fn sockets_share_a_port_if_all_of_them_set_reuse_port() {
    let options = DatagramOptions::new().reuse_port(true);
    let first = options.bind("127.0.0.1:0").unwrap();
    let second = options.bind(address(first)).unwrap();
    assert_eq!(address(first), address(second));
    first.close();
    second.close();
}

#[test]
fn a_closed_socket_releases_its_port() {
    let first = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let uri = first.local_address().unwrap();
    first.close();
    DatagramSocket::bind(uri).unwrap().close();
}

#[test]
fn a_host_name_is_refused_with_a_hint_to_connect_host() {
    for result in [
        DatagramSocket::bind("localhost:0"),
        DatagramSocket::connect("udp://localhost:53"),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::InvalidAddress { .. }));
        assert!(error.to_string().contains("connect_host"), "{error}");
    }
}

#[test]
fn port_zero_cannot_be_connected_to() {
    let error = DatagramSocket::connect("127.0.0.1:0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "connecting to udp://127.0.0.1:0 failed: port 0 cannot be connected to (EINVAL)"
    );
}

#[test]
fn a_host_name_is_looked_up_and_connected_to() {
    let server = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let port = address(server).port();
    server.on("message", move |(data, peer): Message| {
        assert_eq!(data, "by name");
        server.send_to("hello", peer);
    });
    let client = block_on(async move {
        let client = DatagramSocket::connect_host(format!("127.0.0.1:{port}")).await?;
        client.close();
        DatagramSocket::connect_host(format!("udp://localhost:{port}")).await
    })
    .unwrap()
    .unwrap();
    let remote = client.remote_address().unwrap();
    assert!(remote.ends_with(&format!(":{port}")), "{remote}");
    if remote.contains("127.0.0.1") {
        client.send("by name");
        client.on("message", move |(data, _): Message| {
            assert_eq!(data, "hello");
            client.close();
            server.close();
        });
    } else {
        client.close();
        server.close();
    }
    run();
}

#[test]
fn a_name_that_cannot_be_looked_up_is_an_error_that_names_it() {
    let result = block_on(DatagramSocket::connect_host("no..such..name:1")).unwrap();
    let error = result.unwrap_err().to_string();
    assert!(
        error.starts_with("looking up no..such..name failed: "),
        "{error}"
    );
}

#[test]
fn a_socket_of_the_standard_library_is_adopted() {
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    plain.connect(peer.local_addr().unwrap()).unwrap();
    let local = plain.local_addr().unwrap();

    let socket = DatagramSocket::adopt(plain).unwrap();
    assert_eq!(address(socket), local);
    let remote = format!("udp://{}", peer.local_addr().unwrap());
    assert_eq!(socket.remote_address(), Some(remote));
    socket.on("message", move |(data, _): Message| {
        assert_eq!(data, "hi");
        socket.close();
    });
    peer.send_to(b"hi", local).unwrap();
    run();
}

#[test]
fn multicast_groups_are_joined_and_left() {
    let socket = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let error = socket.join_multicast([127, 0, 0, 1].into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "joining the multicast group 127.0.0.1 failed: Invalid argument (EINVAL)"
    );
    socket.close();
    let error = socket.leave_multicast([224, 0, 0, 251].into()).unwrap_err();
    assert!(error.to_string().contains("(ENOTCONN)"), "{error}");
}

#[test]
fn ids_are_never_reused() {
    let mut ids = Vec::new();
    for _ in 0..100 {
        let (server, client) = pair();
        ids.extend([server.id().unwrap(), client.id().unwrap()]);
        server.close();
        client.close();
        assert_eq!(server.id(), None);
        common::run_once();
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}
