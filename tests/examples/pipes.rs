//! Tests of `04-pipe-proxy` and `07-stdin-to-socket`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::peer::Peer;
use crate::program::Program;

/// Returns lines of text: more than the kernel and the write queues of a proxy hold.
fn many_lines() -> String {
    (0..400_000).map(|i| format!("line number {i}\n")).collect()
}

/// Starts a proxy on a free port, in front of a server.
fn proxy(target: &str) -> (Program, String) {
    let proxy = Program::start("04-pipe-proxy", &[target, "tcp://127.0.0.1:0"]);
    let uri = proxy.listening_on();
    (proxy, uri)
}

#[test]
fn a_proxy_forwards_both_directions_and_their_ends() {
    let (_echo, target) = Program::serve("01-echo", &[]);
    let (_proxy, uri) = proxy(&target);
    let mut peer = Peer::connect(&uri);
    peer.send("before the answer\n");
    peer.expect("Hello!");
    peer.expect("before the answer");
    peer.send("last words\n");
    peer.finish();
    peer.expect("last words");
    peer.expect_end();
}

#[test]
fn a_proxy_applies_backpressure_and_loses_nothing() {
    let (_echo, target) = Program::serve("01-echo", &[]);
    let (_proxy, uri) = proxy(&target);
    let mut socket = TcpStream::connect(uri.strip_prefix("tcp://").unwrap()).unwrap();
    let mut sender = socket.try_clone().unwrap();
    let lines = many_lines();
    let sent = lines.clone();
    let sending = thread::spawn(move || {
        sender.write_all(sent.as_bytes()).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut echoed = String::new();
    socket.read_to_string(&mut echoed).unwrap();
    sending.join().unwrap();
    assert!(
        echoed == format!("Hello!\n{lines}"),
        "{} bytes",
        echoed.len()
    );
}

#[test]
fn data_sent_after_the_client_half_closed_is_forwarded() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_proxy, uri) = proxy(&listener.local_addr().unwrap().to_string());
    let mut peer = Peer::connect(&uri);
    peer.send("question\n");
    peer.finish();
    let (mut server, _) = listener.accept().unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question\n");
    server.write_all(b"late answer\n").unwrap();
    drop(server);
    peer.expect("late answer");
    peer.expect_end();
}

#[test]
fn a_client_that_disconnects_closes_the_connection_to_the_target() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_proxy, uri) = proxy(&listener.local_addr().unwrap().to_string());
    let peer = Peer::connect(&uri);
    let (mut server, _) = listener.accept().unwrap();
    drop(peer);
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn an_unreachable_target_affects_only_its_client() {
    let (_socket, address) = crate::clients::refusing_address();
    let (proxy, uri) = proxy(&address);
    for _ in 0..2 {
        Peer::connect(&uri).expect_end();
        let error = proxy.error_line();
        assert!(
            error.ends_with("Connection refused (ECONNREFUSED)"),
            "{error}"
        );
    }
}

#[test]
fn a_missing_target_is_reported() {
    let ended = Program::start("04-pipe-proxy", &[]).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr, ["Error: usage: 04-pipe-proxy TARGET [URI]"]);
}

#[test]
fn standard_input_is_sent_and_received_data_printed() {
    let (_echo, uri) = Program::serve("01-echo", &[]);
    let mut client = Program::start("07-stdin-to-socket", &[&uri]);
    assert_eq!(client.line(), "Hello!");
    client.input("typed\n");
    assert_eq!(client.line(), "typed");
    client.input("and more\n");
    client.end_input();
    let ended = client.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, ["and more"]);
    assert_eq!(ended.stderr, [""; 0]);
}

#[test]
fn large_input_is_echoed_completely() {
    let (_echo, uri) = Program::serve("01-echo", &[]);
    let mut client = Program::start("07-stdin-to-socket", &[&uri]);
    let lines = many_lines();
    client.input(&lines);
    client.end_input();
    let ended = client.wait();
    assert!(ended.status.success(), "{:?}", ended.stderr);
    assert!(
        ended
            .stdout
            .iter()
            .map(String::as_str)
            .eq(["Hello!"].into_iter().chain(lines.lines()))
    );
}

#[test]
fn it_ends_when_the_server_closes_even_if_its_input_is_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = Program::start("07-stdin-to-socket", &[&address]);
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"bye\n").unwrap();
    drop(server);
    let ended = client.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, ["bye"]);
}
