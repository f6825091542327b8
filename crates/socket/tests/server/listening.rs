//! Listening addresses, options, and errors of listening.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use uptick_socket::SocketOptions;
use uptick_socket::prelude::*;

use crate::support::*;

/// Returns the text of the error of listening on an address.
fn refusal(uri: &str) -> String {
    match Server::bind(uri) {
        Ok(server) => {
            server.close();
            format!("listens on {uri}")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_address_has_the_actual_port() {
    let server = Server::bind("tcp://127.0.0.1:0").unwrap();
    let address = server.address().unwrap();
    let port: u16 = address
        .strip_prefix("tcp://127.0.0.1:")
        .unwrap()
        .parse()
        .unwrap();
    assert_ne!(port, 0);
    drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
    server.close();
}

#[test]
fn a_port_alone_is_a_port_of_localhost() {
    let server = Server::bind(0).unwrap();
    assert!(server.address().unwrap().starts_with("tcp://127.0.0.1:"));
    server.close();
}

#[test]
fn an_ipv6_address_is_in_brackets() {
    let server = Server::bind("tcp://[::1]:0").unwrap();
    let address = server.address().unwrap();
    assert!(address.starts_with("tcp://[::1]:"), "{address}");
    server.close();
}

#[test]
fn a_unix_server_has_the_address_it_was_bound_to() {
    let directory = Directory::new();
    let uri = directory.uri("a.sock");
    let server = Server::bind(&*uri).unwrap();
    assert_eq!(server.address(), Some(uri));
    server.close();
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_unix_server_has_no_file() {
    let name = format!("uptick-test-{}", std::process::id());
    let uri = format!("unix:@{name}");
    let server = Server::bind(&*uri).unwrap();
    assert_eq!(server.address(), Some(uri.clone()));
    assert!(refusal(&uri).ends_with("Address already in use (EADDRINUSE)"));
    server.close();
    Server::bind(&*uri).unwrap().close();
}

#[test]
fn the_file_of_a_unix_server_has_the_requested_mode_and_is_removed_on_close() {
    let directory = Directory::new();
    let path = directory.path("a.sock");
    let server = Server::bind(format!("{}?mode=0600", directory.uri("a.sock"))).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.close();
    assert!(!path.exists());
}

#[test]
fn the_stale_file_of_a_dead_server_is_replaced() {
    let directory = Directory::new();
    drop(UnixListener::bind(directory.path("a.sock")).unwrap());
    assert!(directory.path("a.sock").exists());
    let server = Server::bind(directory.uri("a.sock")).unwrap();
    server.on("connection", move |conn: Connection| {
        conn.close();
        server.close();
    });
    let _client = UnixStream::connect(directory.path("a.sock")).unwrap();
    run_loop();
}

#[test]
fn an_address_in_use_is_refused() {
    let server = tcp_server();
    let address = server.address().unwrap();
    assert_eq!(
        refusal(&address),
        format!("listening on {address} failed: Address already in use (EADDRINUSE)")
    );
    server.close();
    assert_eq!(refusal(&address), format!("listens on {address}"));
}

#[test]
fn a_unix_address_in_use_is_refused() {
    let directory = Directory::new();
    let uri = directory.uri("a.sock");
    let server = Server::bind(&*uri).unwrap();
    assert_eq!(
        refusal(&uri),
        format!("listening on {uri} failed: Address already in use (EADDRINUSE)")
    );
    assert!(directory.path("a.sock").exists());
    server.close();
}

#[test]
fn a_file_that_is_not_a_socket_is_not_replaced() {
    let directory = Directory::new();
    let path = directory.path("precious.txt");
    fs::write(&path, "data").unwrap();
    let text = refusal(&directory.uri("precious.txt"));
    assert!(text.ends_with("(ENOTSOCK)"), "{text}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "data");
}

#[test]
fn an_ip_address_of_another_machine_is_refused() {
    assert_eq!(
        refusal("192.0.2.1:0"),
        "listening on tcp://192.0.2.1:0 failed: Cannot assign requested address (EADDRNOTAVAIL)"
    );
}

#[test]
fn invalid_addresses_are_refused_with_a_reason() {
    for (uri, reason) in [
        ("localhost:80", "must be an IP address"),
        ("127.0.0.1", "port"),
        ("127.0.0.1:70000", "port"),
        ("ftp://127.0.0.1:21", "ftp"),
        ("", ""),
    ] {
        let text = refusal(uri);
        let start = format!("invalid address {uri:?}: ");
        assert!(text.starts_with(&start), "{text}");
        assert!(text.contains(reason), "{text} should contain {reason:?}");
        assert!(text.ends_with("(EINVAL)"), "{text}");
    }
}

#[test]
fn a_listening_socket_can_be_adopted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::adopt(listener, ServerOptions::new()).unwrap();
    assert_eq!(server.address(), Some(format!("tcp://{address}")));
    server.on("connection", move |conn: Connection| {
        conn.end_with("hi");
        server.close();
    });
    let client = client(server, |mut client| read_all(&mut client));
    run_loop();
    assert_eq!(client.join().unwrap(), b"hi");
}

#[test]
fn an_adopted_unix_socket_keeps_its_file() {
    let directory = Directory::new();
    let path = directory.path("a.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = Server::adopt(listener, ServerOptions::new()).unwrap();
    assert_eq!(server.address(), Some(uri(&path)));
    server.close();
    assert!(path.exists());
}

#[test]
fn only_a_listening_stream_socket_can_be_adopted() {
    let refusal = |socket: OwnedFd| {
        let error = Server::adopt(socket, ServerOptions::new()).unwrap_err();
        error.errno_name().unwrap()
    };
    let file = fs::File::open("Cargo.toml").unwrap();
    assert_eq!(refusal(file.into()), "ENOTSOCK");
    let (connected, _peer) = UnixStream::pair().unwrap();
    assert_eq!(refusal(connected.into()), "EISCONN");
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(refusal(datagrams.into()), "EPROTOTYPE");
}

#[test]
fn servers_that_share_a_port_share_its_connections() {
    const CLIENTS: u64 = 64;
    let options = || ServerOptions::new().socket(SocketOptions::new().reuse_port(true));
    let first = Server::bind_with("127.0.0.1:0", options()).unwrap();
    let second = Server::bind_with(socket_address(first), options()).unwrap();
    assert_eq!(first.address(), second.address());
    for server in [first, second] {
        server.on("connection", move |conn: Connection| {
            conn.close();
            if first.accepted() + second.accepted() == CLIENTS {
                // The probability that one server gets all 64 connections is negligible.
                assert!(first.accepted() > 0 && second.accepted() > 0);
                first.close();
                second.close();
            }
        });
    }
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(first)).collect();
    run_loop();
    drop(clients);
}

#[test]
fn a_port_is_not_shared_without_reuse_port() {
    let options = ServerOptions::new().socket(SocketOptions::new().reuse_port(true));
    let first = Server::bind_with("127.0.0.1:0", options).unwrap();
    let error = Server::bind(socket_address(first)).unwrap_err();
    assert_eq!(error.errno_name(), Some("EADDRINUSE"));
    first.close();
}
