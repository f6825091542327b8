//! Tests of `11-tcp-client` and `12-happy-eyeballs`.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use crate::program::Program;

/// Reserves an address of 127.0.0.1 that refuses connections for as long as the socket exists.
pub(crate) fn refusing_address() -> (OwnedFd, String) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    (socket, address.to_string())
}

#[test]
fn the_client_prints_received_data_until_the_connection_closes() {
    let (_server, uri) = Program::serve("01-echo", &[]);
    let ended = Program::start("11-tcp-client", &[&uri]).wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, [""; 0]);
    let connected = format!("connected to {uri}");
    assert_eq!(
        ended.stdout,
        [&connected, "Hello!", "Hello World!", "closed"]
    );
}

#[test]
fn a_refused_connection_is_reported_with_its_errno_name() {
    let (_socket, address) = refusing_address();
    let uri = format!("tcp://{address}");
    let ended = Program::start("11-tcp-client", &[&uri]).wait();
    assert_eq!(ended.status.code(), Some(1));
    let expected = format!("Error: connecting to {uri} failed: Connection refused (ECONNREFUSED)");
    assert_eq!(ended.stderr, [expected]);
}

#[test]
fn the_first_address_that_accepts_is_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let name = format!("localhost:{}", address.port());
    let ended = Program::start("12-happy-eyeballs", &[&name]).wait();
    assert!(ended.status.success(), "{ended:?}");
    let expected = format!("connected to tcp://{address} after ");
    assert!(ended.stdout.concat().starts_with(&expected), "{ended:?}");
}

#[test]
fn a_name_without_an_accepting_address_is_reported() {
    let (_socket, address) = refusing_address();
    let name = address.replace("127.0.0.1", "localhost");
    let ended = Program::start("12-happy-eyeballs", &[&name]).wait();
    assert_eq!(ended.status.code(), Some(1));
    let error = ended.stderr.concat();
    assert!(
        error.starts_with(&format!("Error: connecting to tcp://{name} failed: ")),
        "{error}"
    );
    assert!(error.contains("(ECONNREFUSED)"), "{error}");
}
