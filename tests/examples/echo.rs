//! Tests of `01-echo`.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::peer::Peer;
use crate::program::Program;

#[test]
fn it_echoes_received_data() {
    let (_server, uri) = Program::serve("01-echo", &[]);
    let mut peer = Peer::connect(&uri);
    peer.expect("Hello!");
    peer.send("one\ntwo\n");
    peer.expect("one");
    peer.expect("two");
    let blob: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    for piece in blob.chunks(100_000) {
        peer.send(piece);
        assert_eq!(peer.bytes(piece.len()), piece);
    }
    peer.finish();
    peer.expect_end();
}

#[test]
fn it_listens_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let server = Program::start("01-echo", &["tcp://[::1]:0"]);
    let mut peer = Peer::connect(&server.listening_on());
    peer.expect("Hello!");
}

#[test]
fn it_listens_on_a_unix_socket_and_replaces_a_stale_one() {
    let path = socket_path("echo");
    // A stale socket whose server has exited.
    drop(UnixListener::bind(&path).unwrap());
    let server = Program::start("01-echo", &[&format!("unix://{}", path.display())]);
    let mut peer = Peer::connect(&server.listening_on());
    peer.expect("Hello!");
    peer.send("over a file\n");
    peer.expect("over a file");
    drop(server);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn an_address_in_use_is_reported_with_its_errno_name() {
    let (_first, uri) = Program::serve("01-echo", &[]);
    let ended = Program::start("01-echo", &[&uri]).wait();
    assert_eq!(ended.status.code(), Some(1));
    let expected = format!("Error: listening on {uri} failed: Address already in use (EADDRINUSE)");
    assert_eq!(ended.stderr, [expected]);
    assert_eq!(ended.stdout, [""; 0]);
}

#[test]
fn an_invalid_address_is_reported() {
    for uri in ["localhost:8080", "127.0.0.1", "http://127.0.0.1:1", ""] {
        let ended = Program::start("01-echo", &[uri]).wait();
        assert_eq!(ended.status.code(), Some(1), "{uri}");
        let [error] = &ended.stderr[..] else {
            panic!("{uri}: {ended:?}");
        };
        assert!(error.contains("(EINVAL)"), "{error}");
    }
}

#[test]
fn a_connection_reset_does_not_end_the_server() {
    let (server, uri) = Program::serve("01-echo", &[]);
    let mut peer = Peer::connect(&uri);
    peer.send("never read");
    // Closing a socket with unread data resets the connection.
    peer.expect("Hello!");
    drop(peer);
    Peer::connect(&uri).expect("Hello!");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().status.code(), None);
}

fn socket_path(name: &str) -> PathBuf {
    let file = format!("uptick-{name}-{}.sock", std::process::id());
    std::env::temp_dir().join(file)
}
