//! Tests of `31-websocket-echo`, `32-topics`, `33-authenticate-before-upgrade`, `34-websocket-client` and `/ws` in `91-benchmark`.

use std::path::Path;

use uptick::websocket::{CloseCode, Message};

use crate::http::{Client, get, serve};
use crate::program::Program;
use crate::websocket::{WebSocket, request_upgrade};

#[test]
fn every_message_is_echoed() {
    let (server, uri) = serve("31-websocket-echo", &[]);
    let mut ws = WebSocket::open(&uri, "/echo", &[]);
    let messages = [
        Message::from("hello"),
        Message::from(""),
        Message::from("é".repeat(40_000)),
        Message::from(vec![0xff; 100_000]),
    ];
    // All messages are sent before any is read: the server applies backpressure and loses nothing.
    for message in &messages {
        ws.send(message.clone());
    }
    for message in &messages {
        assert_eq!(ws.message(), *message);
    }
    ws.close(CloseCode::NORMAL);
    assert_eq!(server.line(), "closed with 1000: \"\"");
}

#[test]
fn a_request_without_an_upgrade_is_answered_with_426() {
    let (_server, uri) = serve("31-websocket-echo", &[]);
    let response = get(&uri, "/echo");
    assert_eq!(response.status, 426);
    assert_eq!(response.field("upgrade").as_deref(), Some("websocket"));
}

/// Script for the npm package `ws`: echoes of all sizes, of text and binary messages, a ping and a close.
const CONVERSE: &str = r#"
const WebSocket = require(process.argv[1]);
const ws = new WebSocket(process.argv[2], { perMessageDeflate: process.argv[3] === "deflate" });
const sizes = [0, 1, 125, 126, 127, 65535, 65536, 1000000];
const messages = sizes.flatMap((size) => ["x".repeat(size), Buffer.alloc(size, 7)]);
let next = 0;
ws.on("open", () => {
    if (process.argv[3] === "deflate" && ws.extensions !== "permessage-deflate") throw new Error(ws.extensions);
    for (const message of messages) ws.send(message);
});
ws.on("message", (data, binary) => {
    const expected = messages[next++];
    if (binary !== Buffer.isBuffer(expected) || !data.equals(Buffer.from(expected))) {
        throw new Error("message " + next + " differs");
    }
    if (next === messages.length) ws.ping("are you there?");
});
ws.on("pong", (data) => {
    console.log(next + " " + data);
    ws.close(4000, "enough");
});
ws.on("close", (code) => console.log("closed with " + code));
"#;

#[test]
fn the_npm_client_is_echoed_with_and_without_compression() {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/node_modules/ws");
    let Some(module) = module.exists().then(|| module.canonicalize().unwrap()) else {
        eprintln!("SKIPPED: `npm install --prefix target/tools ws@8` was not run");
        return;
    };
    let module = module.to_str().unwrap();
    let (_plain, plain) = serve("31-websocket-echo", &[]);
    let arguments = ["--http", "127.0.0.1:0", "--ws-deflate"];
    let deflating = Program::start("90-conformance", &arguments);
    let deflated = deflating.listening_on();
    for (uri, path, mode) in [(plain, "echo", "plain"), (deflated, "ws", "deflate")] {
        let uri = format!("{}/{path}", uri.replace("http://", "ws://"));
        let arguments = ["-e", CONVERSE, module, &uri, mode];
        let Some(node) = Program::installed("node", &arguments) else {
            return;
        };
        assert_eq!(node.line(), "16 are you there?", "{mode}");
        assert_eq!(node.line(), "closed with 4000", "{mode}");
        assert!(node.wait().status.success());
    }
}

#[test]
fn subscribers_receive_messages_that_others_publish() {
    let (server, uri) = serve("32-topics", &[]);
    let mut ann = WebSocket::open(&uri, "/", &[]);
    ann.send("+news");
    assert_eq!(server.line(), "news: 1 subscribers");
    let mut bob = WebSocket::open(&uri, "/", &[]);
    // A message from a client that is not subscribed to the topic is not published.
    bob.send("news: unheard");
    bob.send("+news");
    assert_eq!(server.line(), "news: 2 subscribers");
    bob.send("news: it rains");
    assert_eq!(ann.text(), "news: it rains");
    assert_eq!(get(&uri, "/topics").text(), "news: 2\n");

    let mut client = Client::connect(&uri);
    client.send("POST /topics/news HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nagain");
    assert_eq!(client.response().text(), "sent to 2 subscribers\n");
    assert_eq!(ann.text(), "news: again");
    // A publisher does not receive its own messages.
    assert_eq!(bob.text(), "news: again");

    ann.send("-news");
    assert_eq!(server.line(), "news: 1 subscribers");
    ann.send("+time");
    assert_eq!(server.line(), "time: 1 subscribers");
    assert!(ann.text().starts_with("time: "));
    bob.close(CloseCode::NORMAL);
    assert_eq!(server.line(), "news: 0 subscribers");
}

#[test]
fn invalid_topic_requests_are_reported() {
    let (_server, uri) = serve("32-topics", &[]);
    let mut ws = WebSocket::open(&uri, "/", &[]);
    ws.send("what?");
    assert_eq!(ws.text(), "Send +topic, -topic or topic: text.");
    for n in 0..10 {
        ws.send(format!("+topic-{n}"));
    }
    for topic in ["+topic-0", "+topic-10"] {
        ws.send(topic);
        assert_eq!(
            ws.text(),
            "You are subscribed to that topic already, or to too many topics."
        );
    }
    ws.send(vec![1, 2, 3]);
    ws.expect_close(CloseCode::UNSUPPORTED);
    let mut ws = WebSocket::open(&uri, "/", &[]);
    ws.send("x".repeat(4097));
    ws.expect_close(CloseCode::TOO_BIG);
}

#[test]
fn a_websocket_requires_a_token() {
    let (server, uri) = serve("33-authenticate-before-upgrade", &[]);
    for fields in [
        &[][..],
        &["Authorization: Bearer guessed"],
        &["Cookie: token="],
    ] {
        let (response, _) = request_upgrade(&uri, "/private", fields);
        assert_eq!(response.status, 401, "{fields:?}");
    }
    for (field, name) in [
        ("Authorization: Bearer sesame", "Ada"),
        ("Cookie: a=b; token=mellon", "Grace"),
    ] {
        let mut ws = WebSocket::open(&uri, "/private", &[field]);
        assert_eq!(ws.text(), format!("Hello, {name}!"));
        ws.send("hi");
        assert_eq!(ws.text(), format!("{name} says hi"));
        ws.close(CloseCode::GOING_AWAY);
        assert_eq!(server.line(), format!("{name} has left with 1001"));
    }
}

#[test]
fn a_page_of_another_origin_is_refused_even_with_a_token() {
    let (_server, uri) = serve("33-authenticate-before-upgrade", &[]);
    let token = "Cookie: token=mellon";
    let foreign = "Origin: http://evil.example";
    let (response, _) = request_upgrade(&uri, "/private", &[token, foreign]);
    assert_eq!(response.status, 403);
    // The test client sends this host name in its requests.
    let own = "Origin: http://a.example";
    let mut ws = WebSocket::open(&uri, "/private", &[token, own]);
    assert_eq!(ws.text(), "Hello, Grace!");
}

#[test]
fn a_third_websocket_of_one_user_is_refused_until_another_closes() {
    let (server, uri) = serve("33-authenticate-before-upgrade", &[]);
    let token = "Authorization: Bearer sesame";
    let mut all = [0, 1].map(|_| WebSocket::open(&uri, "/private", &[token]));
    for ws in &mut all {
        assert_eq!(ws.text(), "Hello, Ada!");
    }
    let (response, _) = request_upgrade(&uri, "/private", &[token]);
    assert_eq!(response.status, 429);
    let [first, _second] = all;
    first.close(CloseCode::NORMAL);
    assert_eq!(server.line(), "Ada has left with 1000");
    let mut third = WebSocket::open(&uri, "/private", &[token]);
    assert_eq!(third.text(), "Hello, Ada!");
}

#[test]
fn a_client_reconnects_after_its_server_restarts() {
    let (server, uri) = serve("31-websocket-echo", &[]);
    let url = format!("{}/echo", uri.replace("http://", "ws://"));
    let mut client = Program::start("34-websocket-client", &[&url]);
    assert_eq!(client.error_line(), "connected");
    client.input("hello\n");
    assert_eq!(client.line(), "hello");

    // Connection attempts are refused until a server listens on the port again.
    drop(server);
    let lost = client.error_line();
    assert!(lost.contains("closed with 1006; retrying in"), "{lost}");
    client.input("are you there?\n");
    let failed = client.error_line();
    assert!(failed.contains("(ECONNREFUSED)"), "{failed}");
    let address = uri.trim_start_matches("http://");
    let server = Program::start("31-websocket-echo", &[address]);
    while client.error_line() != "connected" {}
    assert_eq!(client.line(), "are you there?");

    client.input("bye\n");
    client.end_input();
    assert_eq!(client.line(), "bye");
    assert!(client.wait().status.success());
    server.listening_on();
    assert_eq!(server.line(), "closed with 1000: \"\"");
}

#[test]
fn the_benchmark_echoes_at_ws() {
    let server = Program::start("91-benchmark", &["--listen", "127.0.0.1:0"]);
    let uri = server.listening_on();
    let mut ws = WebSocket::open(&uri, "/ws", &[]);
    for size in [20, 1024, 65_536] {
        let text = "x".repeat(size);
        ws.send(text.clone());
        assert_eq!(ws.text(), text);
    }
    ws.close(CloseCode::NORMAL);
}
