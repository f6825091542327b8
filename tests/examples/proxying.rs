//! Tests of `18-event-source` and `61-reverse-proxy`, in front of other examples.

use std::fs;
use std::path::PathBuf;

use uptick::websocket::{CloseCode, Message};

use crate::clients::refusing_address;
use crate::http::{Client, get, serve};
use crate::program::Program;
use crate::websocket::WebSocket;

/// Starts the proxy in front of servers. Returns its URI.
fn proxy(servers: &[&str]) -> (Program, String) {
    serve("61-reverse-proxy", servers)
}

/// Runs curl. Returns its standard output; `None` if it is not installed.
fn curl(arguments: &[&str]) -> Option<String> {
    let options = ["-sS", "--max-time", "60"];
    let output = Program::installed("curl", &[&options[..], arguments].concat())?.wait();
    assert!(output.status.success(), "{output:?}");
    Some(output.stdout.join("\n"))
}

/// A directory that is removed when this is dropped.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn new(name: &str) -> TemporaryDirectory {
        let path = std::env::temp_dir().join(format!("uptick-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        TemporaryDirectory(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_event_source_reconnects_after_its_server_restarts() {
    let (server, uri) = serve("24-server-sent-events", &[]);
    let source = Program::start("18-event-source", &[&format!("{uri}/events")]);
    assert_eq!(source.error_line(), "connected");
    assert_eq!(source.line(), "count: 1");
    let say = |text: &str| {
        let mut client = Client::connect(&uri);
        let length = text.len();
        client.send(format!(
            "POST /say HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{text}"
        ));
        assert_eq!(client.response().status, 204);
    };
    say("Hello");
    while let line = source.line()
        && line != "somebody says: Hello"
    {
        assert!(line.starts_with("count: "), "{line}");
    }
    drop(server);
    source.error_line_with("reconnecting in ");
    let _server = Program::start(
        "24-server-sent-events",
        &[uri.trim_start_matches("http://")],
    );
    source.error_line_with("connected");
    while source.line() != "count: 2" {}
}

#[test]
fn an_event_source_fails_without_events() {
    let (_server, uri) = serve("21-http-hello", &[]);
    let source = Program::start("18-event-source", &[&uri]);
    let error = source.error_line();
    assert!(error.contains("expected text/event-stream"), "{error}");
    assert_eq!(source.error_line(), "closed");
    assert!(source.wait().status.success());
}

#[test]
fn events_pass_the_proxy() {
    let (_server, uri) = serve("24-server-sent-events", &[]);
    let (_proxy, uri) = proxy(&[&uri]);
    let source = Program::start("18-event-source", &[&format!("{uri}/events")]);
    assert_eq!(source.error_line(), "connected");
    assert!(source.line().starts_with("count: "));
    assert!(source.line().starts_with("count: "));
}

#[test]
fn requests_go_to_the_server_that_is_left() {
    let (first, first_uri) = serve("21-http-hello", &[]);
    let (_second, second_uri) = serve("21-http-hello", &[]);
    let (_proxy, uri) = proxy(&[&first_uri, &second_uri]);
    let state = |first: &str| format!("{first_uri} {first} 0\n{second_uri} up 0\n");
    assert_eq!(get(&uri, "/proxy/servers").text(), state("up"));
    let page = get(&second_uri, "/").text().to_owned();
    for _ in 0..4 {
        assert_eq!(get(&uri, "/").text(), page);
    }
    drop(first);
    for _ in 0..10 {
        assert_eq!(get(&uri, "/").text(), page);
    }
    assert_eq!(get(&uri, "/proxy/servers").text(), state("out"));
}

#[test]
fn a_proxy_without_a_server_responds_with_502() {
    let (_reserved, address) = refusing_address();
    let (_proxy, uri) = proxy(&[&format!("http://{address}")]);
    let response = get(&uri, "/");
    assert_eq!(response.status, 502);
    assert!(
        !response.text().contains("ECONNREFUSED"),
        "{}",
        response.text()
    );
}

#[test]
fn websockets_pass_the_proxy() {
    let (server, uri) = serve("31-websocket-echo", &[]);
    let (_proxy, uri) = proxy(&[&uri]);
    let mut ws = WebSocket::open(&uri, "/echo", &[]);
    let messages = [
        Message::from("hello"),
        Message::from("é".repeat(40_000)),
        Message::from(vec![0xff; 1_000_000]),
    ];
    // All messages are sent before any is read.
    for message in &messages {
        ws.send(message.clone());
    }
    for message in &messages {
        assert_eq!(ws.message(), *message);
    }
    assert!(get(&uri, "/proxy/servers").text().contains(" up 1\n"));
    ws.close(CloseCode::NORMAL);
    assert_eq!(server.line(), "closed with 1000: \"\"");

    let url = format!("{}/echo", uri.replace("http://", "ws://"));
    let mut client = Program::start("34-websocket-client", &[&url]);
    assert_eq!(client.error_line(), "connected");
    client.input("a line\n");
    assert_eq!(client.line(), "a line");
}

#[test]
fn large_files_pass_the_proxy_in_both_directions() {
    let directory = TemporaryDirectory::new("reverse-proxy");
    let original: Vec<u8> = (0..50_000_000_u32).map(|i| (i % 251) as u8).collect();
    fs::write(directory.file("original"), &original).unwrap();
    let uploads = directory.file("uploads");
    let (_receiver, receiver) = serve("23-streaming-upload", &[&uploads]);
    let (_proxy, uri) = proxy(&[&receiver]);
    let upload = format!("{uri}/uploads/copy");
    if curl(&["-T", &directory.file("original"), &upload]).is_none() {
        return;
    }
    assert!(fs::read(directory.file("uploads/copy")).unwrap() == original);
    // Without a length.
    let head = ["-H", "Transfer-Encoding: chunked", "-T"];
    let chunked = [
        &head[..],
        &[
            &directory.file("original"),
            &format!("{uri}/uploads/chunked"),
        ],
    ];
    curl(&chunked.concat());
    assert!(fs::read(directory.file("uploads/chunked")).unwrap() == original);

    let (_files, files) = serve("25-static-files", &[&uploads]);
    let (_proxy, uri) = proxy(&[&files]);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let target = directory.file("download");
        let url = format!("{uri}/copy");
        // Slower than the server.
        let limit = ["--limit-rate", "40M"];
        curl(&[&[version, "-o", &target, &url], &limit[..]].concat());
        assert!(fs::read(&target).unwrap() == original, "{version}");
        let part = curl(&[
            version,
            "-r",
            "0-3",
            "-o",
            &target,
            "-w",
            "%{http_code}",
            &url,
        ]);
        assert_eq!(part.as_deref(), Some("206"));
        assert_eq!(fs::read(&target).unwrap(), original[..4]);
    }
}
