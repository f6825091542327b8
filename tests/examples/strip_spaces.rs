//! Tests of `03-strip-spaces`.

use std::net::UdpSocket;

use crate::peer::Peer;
use crate::program::{Program, TIMEOUT};

#[test]
fn white_space_is_removed_and_lines_end_with_nul() {
    let (_server, uri) = Program::serve("03-strip-spaces", &[]);
    let mut peer = Peer::connect(&uri);
    peer.send(" one two\tthree \r\n\n");
    assert_eq!(peer.bytes(13), b"onetwothree\0\0");
    // A line in pieces, and two lines in one packet.
    peer.send("a ");
    peer.send("b");
    peer.send(" c\nd e\n");
    assert_eq!(peer.bytes(7), b"abc\0de\0");
    peer.finish();
    peer.expect_end();
}

#[test]
fn exit_disconnects_only_its_client() {
    let (_server, uri) = Program::serve("03-strip-spaces", &[]);
    let mut stays = Peer::connect(&uri);
    let mut goes = Peer::connect(&uri);
    goes.send("x\nexit\r\nnot answered\n");
    assert_eq!(goes.read_to_end(), b"x\0");
    stays.send("exit it\n");
    assert_eq!(stays.bytes(7), b"exitit\0");
}

#[test]
fn a_line_over_the_limit_disconnects_its_client() {
    let (_server, uri) = Program::serve("03-strip-spaces", &[]);
    let mut peer = Peer::connect(&uri);
    peer.send("x".repeat(64 * 1024));
    peer.send("\n");
    assert_eq!(peer.bytes(65_537), [&[b'x'; 65_536][..], b"\0"].concat());
    peer.send("x".repeat(65_538));
    assert_eq!(peer.read_to_end(), b"line too long\0");
}

#[test]
fn exit_in_two_packets_disconnects_its_client() {
    let (_server, uri) = Program::serve("03-strip-spaces", &[]);
    let mut peer = Peer::connect(&uri);
    peer.send("a\nex");
    assert_eq!(peer.bytes(2), b"a\0");
    peer.send("it\n");
    assert_eq!(peer.read_to_end(), b"");
}

#[test]
fn datagrams_are_answered_with_udp() {
    let server = Program::start("03-strip-spaces", &["--udp", "udp://127.0.0.1:0"]);
    let uri = server.listening_on();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(TIMEOUT)).unwrap();
    peer.connect(uri.strip_prefix("udp://").unwrap()).unwrap();
    for (sent, expected) in [
        ("a b\n", "ab\0"),
        ("", "\0"),
        ("exit\n", "exit\0"),
        ("\t", "\0"),
    ] {
        peer.send(sent.as_bytes()).unwrap();
        let mut reply = [0; 16];
        let size = peer.recv(&mut reply).unwrap();
        assert_eq!(&reply[..size], expected.as_bytes(), "{sent:?}");
    }
}

#[test]
fn an_unknown_option_is_reported() {
    let ended = Program::start("03-strip-spaces", &["--tcp"]).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        ended.stderr,
        ["Error: usage: 03-strip-spaces [URI] [--udp]"]
    );
}
