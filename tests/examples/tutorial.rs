//! The programs of the tutorial, `tutorial-1-echo` to `tutorial-6-production`.

use rustix::process::Signal;
use uptick::websocket::CloseCode;

use crate::http::get;
use crate::peer::Peer;
use crate::program::Program;
use crate::websocket::{WebSocket, request_upgrade};

/// The headers of a WebSocket handshake.
const HANDSHAKE: [&str; 4] = [
    "Connection: upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// Starts a program that serves HTTP. Returns the program and its `http://` URI.
fn serve(name: &str) -> (Program, String) {
    let (server, uri) = Program::serve(name, &[]);
    (server, uri.replace("tcp://", "http://"))
}

#[test]
fn step_1_echoes_bytes() {
    let (_server, uri) = Program::serve("tutorial-1-echo", &[]);
    let mut peer = Peer::connect(&uri);
    peer.expect("Hello!");
    peer.send("same\n");
    peer.expect("same");
}

#[test]
fn step_2_sends_each_line_to_all_other_clients_with_a_name() {
    let (_server, uri) = Program::serve("tutorial-2-line-chat", &[]);
    let [mut ada, mut bob] = ["Ada", "Bob"].map(|name| {
        let mut peer = Peer::connect(&uri);
        peer.expect("What is your name?");
        peer.send(format!("{name}\n"));
        peer.expect(&format!("Hello {name}!"));
        peer
    });
    let mut unnamed = Peer::connect(&uri);
    unnamed.expect("What is your name?");

    ada.send("Good ");
    ada.send("morning\r\n\n");
    bob.expect("Ada: Good morning");
    bob.send("Hi\n");
    ada.expect("Bob: Hi");
    unnamed.finish();
    unnamed.expect_end();

    bob.send("x".repeat(100_000));
    let refusal = bob.line();
    assert!(refusal.contains("65536"), "{refusal}");
    bob.expect_end();
}

#[test]
fn step_3_serves_the_page_and_echoes_messages() {
    let (server, uri) = serve("tutorial-3-web-page");
    assert!(get(&uri, "/").text().contains("new WebSocket("));
    let mut ws = WebSocket::open(&uri, "/chat", &[]);
    assert_eq!(ws.text(), "Hello!");
    ws.send("same");
    assert_eq!(ws.text(), "same");
    ws.close(CloseCode::NORMAL);
    assert_eq!(server.line(), "closed: 1000");
}

#[test]
fn step_4_publishes_messages_to_all_clients() {
    let (_server, uri) = serve("tutorial-4-topic");
    let mut ada = WebSocket::open(&uri, "/chat", &[]);
    assert_eq!(ada.text(), "a client has joined");
    let mut bob = WebSocket::open(&uri, "/chat", &[]);
    for ws in [&mut ada, &mut bob] {
        assert_eq!(ws.text(), "a client has joined");
    }
    ada.send("hello");
    for ws in [&mut ada, &mut bob] {
        assert_eq!(ws.text(), "hello");
    }
    bob.close(CloseCode::NORMAL);
    assert_eq!(ada.text(), "a client has left");
}

#[test]
fn step_5_separates_rooms_and_sends_their_history() {
    let (_server, uri) = serve("tutorial-5-rooms");
    assert!(get(&uri, "/").text().contains("id=\"join\""));
    let (refused, _) = request_upgrade(&uri, "/chat?name=Ada", &[]);
    assert_eq!(refused.status, 400);
    let (refused, _) = request_upgrade(&uri, "/chat?name=&room=lobby", &[]);
    assert_eq!(refused.status, 400);

    let mut ada = WebSocket::open(&uri, "/chat?name=Ada&room=lobby", &[]);
    let mut other = WebSocket::open(&uri, "/chat?name=Eve&room=other", &[]);
    let line = r#"{"name":"Ada","text":"\"hi\""}"#;
    ada.send("\"hi\"");
    assert_eq!(ada.text(), line);
    let mut bob = WebSocket::open(&uri, "/chat?name=Bob&room=lobby", &[]);
    assert_eq!(bob.text(), line);

    other.send("alone");
    assert_eq!(other.text(), r#"{"name":"Eve","text":"alone"}"#);
    bob.send(vec![1, 2]);
    bob.expect_close(CloseCode::UNSUPPORTED);
}

#[test]
fn step_6_serves_over_tls_and_exits_on_sigterm() {
    let (server, uri) = Program::serve("tutorial-6-production", &[]);
    let uri = uri.replace("tls://", "https://");
    let fetch = |path: &str| {
        let page = format!("{uri}{path}");
        let mut arguments = vec!["--silent", "--insecure", "--http1.1", "--max-time", "20"];
        arguments.extend(["--write-out", "\n%{http_code}"]);
        if path != "/" {
            for header in HANDSHAKE {
                arguments.extend(["--header", header]);
            }
        }
        arguments.push(&page);
        Some(Program::installed("curl", &arguments)?.wait().stdout)
    };
    let Some(page) = fetch("/") else { return };
    assert!(page.concat().contains("id=\"join\""), "{page:?}");
    for (path, status) in [
        ("/chat?name=Ada&room=unknown", "404"),
        ("/chat?name=&room=lobby", "400"),
        ("/chat?name=aaaaaaaaaaaaaaaaaaaaa&room=lobby", "400"),
    ] {
        let lines = fetch(path).unwrap();
        assert_eq!(lines.last().map(String::as_str), Some(status), "{path}");
    }
    server.signal(Signal::TERM);
    assert!(server.wait().status.success());
}
