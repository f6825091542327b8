//! Comparison of responses over HTTP/1 and HTTP/2: the same request has the same status, headers and body.

use std::fmt::Write as _;

use super::serve;
use super::wire::{Fields, Http2Client, PROTOCOL_ERROR};
use crate::http::Client;

/// A request in terms of both versions.
#[derive(Clone, Debug)]
struct Message {
    method: String,
    target: String,
    host: String,
    fields: Fields,
    /// `None`: the head ends the request.
    body: Option<Vec<u8>>,
    /// `true` if the length of the body is announced.
    announces: bool,
}

/// The reaction of the server to a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The request is malformed: status 400 in HTTP/1, the same or a reset of the stream in HTTP/2.
    Refused,
    Response {
        status: u16,
        fields: Fields,
        body: Vec<u8>,
    },
}

/// Headers that differ: they describe the connection, or the time.
const DIFFERENT: [&str; 5] = [
    "connection",
    "date",
    "keep-alive",
    "trailer",
    "transfer-encoding",
];

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW",
];

const ROUTES: [&str; 17] = [
    "/",
    "/echo",
    "/hello",
    "/slow",
    "/stream",
    "/big",
    "/empty",
    "/notmodified",
    "/header",
    "/host",
    "/cookie",
    "/trailers",
    "/set-header?v=%2Fb%3Fc",
    "/redirect?v=%2Fb%3Fc",
    "/set-header?v=a%0D%0Ab",
    "/redirect?v=a%00b",
    "/nothing",
];

impl Message {
    fn new(method: &str, target: &str) -> Message {
        Message {
            method: method.to_owned(),
            target: target.to_owned(),
            host: "a.example".to_owned(),
            fields: Vec::new(),
            body: None,
            announces: true,
        }
    }

    fn get(target: &str) -> Message {
        Message::new("GET", target)
    }

    fn host(mut self, host: &str) -> Message {
        host.clone_into(&mut self.host);
        self
    }

    fn field(mut self, name: &str, value: &str) -> Message {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Message {
        self.body = Some(body.into());
        self
    }

    fn without_length(mut self) -> Message {
        self.announces = false;
        self
    }

    /// Sends the request over a new connection.
    fn over_http1(&self, uri: &str) -> Outcome {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.target, self.host
        );
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let mut bytes = Vec::new();
        match &self.body {
            Some(body) if !self.announces => {
                head += "Transfer-Encoding: chunked\r\n\r\n";
                bytes.extend(head.as_bytes());
                bytes.extend(format!("{:x}\r\n", body.len()).as_bytes());
                bytes.extend(body);
                bytes.extend(b"\r\n0\r\n\r\n");
            }
            Some(body) => {
                if !self.fields.iter().any(|(name, _)| name == "content-length") {
                    write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
                }
                bytes.extend(head.as_bytes());
                bytes.extend(b"\r\n");
                bytes.extend(body);
            }
            None => {
                bytes.extend(head.as_bytes());
                bytes.extend(b"\r\n");
            }
        }
        let mut client = Client::connect(uri);
        client.try_send(bytes);
        let response = match &*self.method {
            "HEAD" => client.head(),
            _ => client.response(),
        };
        outcome(response.status, response.fields(), &response.body)
    }

    /// Sends the request on a new stream.
    fn over_http2(&self, client: &mut Http2Client) -> Outcome {
        let length = self.body.as_ref().map(|body| body.len().to_string());
        let mut fields = vec![
            (":method", &*self.method),
            (":scheme", "http"),
            (":path", &self.target),
            (":authority", &self.host),
        ];
        fields.extend(self.fields.iter().map(|(name, value)| (&**name, &**value)));
        let has_length = self.fields.iter().any(|(name, _)| name == "content-length");
        if let Some(length) = length.as_deref().filter(|_| self.announces && !has_length) {
            fields.push(("content-length", length));
        }
        let stream = client.request(&fields, self.body.is_none());
        if let Some(body) = &self.body {
            client.data(stream, body, true);
        }
        let response = client.response(stream);
        if response.reset == Some(PROTOCOL_ERROR) {
            return Outcome::Refused;
        }
        assert!(
            response.end,
            "{self:?}: {response:?}, {:?}",
            client.go_aways
        );
        outcome(response.status, &response.fields, &response.body)
    }
}

fn outcome(status: u16, fields: &[(String, String)], body: &[u8]) -> Outcome {
    if status == 400 {
        return Outcome::Refused;
    }
    let mut fields: Fields = fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !DIFFERENT.contains(&&**name))
        .collect();
    fields.sort();
    Outcome::Response {
        status,
        fields,
        body: body.to_vec(),
    }
}

/// Sends all requests in both versions, and compares. Returns the numbers of responses and of refusals.
#[track_caller]
fn compare(messages: &[Message]) -> (usize, usize) {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let (mut responses, mut refusals) = (0, 0);
    let mut differences = String::new();
    for message in messages {
        let one = message.over_http1(&uri);
        let two = message.over_http2(&mut client);
        match two {
            Outcome::Refused => refusals += 1,
            Outcome::Response { .. } => responses += 1,
        }
        if one != two {
            for text in [
                format!("{message:?}"),
                format!("HTTP/1: {one:?}"),
                format!("HTTP/2: {two:?}"),
            ] {
                differences.extend(text.chars().take(500).chain(['\n']));
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
    // None of the requests harmed the connection.
    client.ping();
    assert!(client.go_aways.is_empty());
    (responses, refusals)
}

#[test]
fn all_routes_respond_the_same_to_all_methods() {
    let mut messages = Vec::new();
    for route in ROUTES {
        for method in METHODS {
            let message = Message::new(method, route)
                .field("x-probe", "probe")
                .field("te", "trailers")
                .field("cookie", "a=b");
            messages.push(message.clone());
            if !matches!(method, "GET" | "HEAD" | "TRACE") {
                messages.push(message.clone().body("some text"));
                messages.push(message.body("some text").without_length());
            }
        }
    }
    assert_eq!(compare(&messages), (messages.len(), 0));
}

#[test]
fn targets_are_interpreted_the_same() {
    let targets = [
        "/hello?",
        "/hello?a=b&c=d",
        "/hello??",
        "/hello/",
        "//hello",
        "/./hello",
        "/a/../hello",
        "/..",
        "/%68ello",
        "/hello%2F",
        "/hello%2f..",
        "/hello%00",
        "/%2e%2e/hello",
        "/hello;a=b",
        "/hello%",
        "/hello%zz",
        "/HELLO",
        "/hello\\",
        "/hello\"",
        "/hello|",
        "/hello<>",
        "/hello{}^`",
        "/hello#fragment",
        "/h\u{e4}llo",
        "/hello\u{7f}",
        "/hello\u{1}",
        "/hello?\u{20ac}",
        "hello",
        "*",
        "?",
        "/set-header",
        "/set-header?v",
        "/set-header?v=",
        "/set-header?v=a+b",
        "/set-header?v=a&v=b",
        "/set-header?v=%20a%20",
        "/set-header?v=%E2%82%AC",
        "/set-header?v=%ff",
        "/set-header?v=%",
        "/set-header?v=%7f",
        "/set-header?v=%09",
        "/set-header?V=a",
        "/set-header?%76=a",
        "/redirect?v=https://b.example/?a=b%26c",
        "/redirect?v=%0A",
    ];
    let mut messages: Vec<_> = targets.iter().map(|target| Message::get(target)).collect();
    messages.push(Message::new("OPTIONS", "*"));
    messages.push(Message::new("POST", "*"));
    let (responses, refusals) = compare(&messages);
    assert!(responses > 20 && refusals > 5, "{responses} {refusals}");
}

#[test]
fn hosts_are_checked_the_same() {
    let hosts = [
        "a.example",
        "A.Example",
        "a.example.",
        "a.example:80",
        "a.example:81",
        "a.example:",
        "a.example:0",
        "a.example:65535",
        "a.example:65536",
        "a.example:port",
        "a.example:80:80",
        "127.0.0.1",
        "127.1",
        "[::1]",
        "[::1]:8080",
        "[::1",
        "::1",
        "[v1.a]",
        "[fe80::1%25eth0]",
        "a_b.example",
        "a-b.example",
        "%61.example",
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "user@a.example",
        "a\\b",
        "a\"b",
        "\u{e4}.example",
        "a\u{1}b",
        "*",
        ".",
        "localhost",
    ];
    let messages: Vec<_> = hosts
        .iter()
        .map(|host| Message::get("/host").host(host))
        .collect();
    let (responses, refusals) = compare(&messages);
    assert!(responses >= 10 && refusals >= 10, "{responses} {refusals}");
}

#[test]
fn headers_are_interpreted_the_same() {
    let get = || Message::get("/header");
    let valid = [
        get(),
        get().field("x-probe", ""),
        get().field("x-probe", "a").field("x-probe", "b"),
        get()
            .field("x-probe", "a, b")
            .field("x-probe", "")
            .field("x-probe", "c"),
        get().field("x-probe", "a\tb"),
        get().field("x-probe", "a  b"),
        get().field("x-probe", "\u{e4}\u{20ac}"),
        get().field("x-probe", "\"quoted\\\"\""),
        get().field("x-probe", "a: b"),
        get().field("x-probe", &"x".repeat(30_000)),
        get().field("x_probe", "a").field("x-probe", "b"),
        get().field("!#$%&'*+.^_`|~1", "a").field("x-probe", "b"),
        get().field("content-length", "0"),
        get().field("range", "bytes=0-0").field("x-probe", "abc"),
        get()
            .field("if-none-match", "*")
            .field("accept-encoding", "gzip"),
        Message::get("/cookie")
            .field("cookie", "a=b")
            .field("cookie", "c=d"),
        Message::get("/cookie")
            .field("cookie", "a=b; c=d;")
            .field("cookie", "e"),
        Message::get("/cookie")
            .field("cookie", ";")
            .field("cookie", "a=b"),
        Message::get("/notmodified").field("if-none-match", "\"v1\""),
        (0..89).fold(get(), |get, n| get.field("x-probe", &n.to_string())),
        (0..800).fold(get(), |get, _| get.field("x-probe", "x")),
    ];
    assert_eq!(compare(&valid), (valid.len(), 0));
    let invalid = [
        get().field("x probe", "a"),
        get().field("x-pr\u{f6}be", "a"),
        get().field("x-probe\u{1}", "a"),
        get().field("x(probe", "a"),
        get().field("", "a"),
        get().field("x-probe", "a\0b"),
        get().field("x-probe", "a\u{1}b"),
        get().field("x-probe", "a\u{7f}b"),
        get().field("x-probe", "a\rb"),
        get().field("content-length", "x"),
        get().field("content-length", "-1"),
        get().field("content-length", "+1"),
        get().field("content-length", ""),
        get().field("content-length", "0x0"),
        get()
            .field("content-length", "0")
            .field("content-length", "1"),
        get().field("host", "b.example"),
    ];
    assert_eq!(compare(&invalid), (0, invalid.len()));
}

#[test]
fn limits_are_the_same() {
    let get = || Message::get("/hello");
    let mebibyte = vec![b'x'; 1024 * 1024];
    let too_long = vec![b'x'; 1024 * 1024 + 1];
    let messages = [
        Message::get(&format!("/hello?{:x<15000}", "")),
        Message::get(&format!("/{:x<17000}", "")),
        Message::get(&format!("/{:x<50000}", "")),
        get().field("x", &"x".repeat(60_000)),
        get().field("x", &"x".repeat(66_000)),
        get().field("x", &"x".repeat(100_000)),
        (0..950).fold(get(), |get, _| get.field("x", "y")),
        (0..1001).fold(get(), |get, _| get.field("x", "y")),
        (0..1100).fold(get(), |get, _| get.field("x", "y")),
        Message::new("POST", "/echo").body(mebibyte.clone()),
        Message::new("POST", "/echo")
            .body(mebibyte)
            .without_length(),
        Message::new("POST", "/echo").body(too_long.clone()),
        Message::new("POST", "/echo")
            .body(too_long)
            .without_length(),
        get().field("content-length", "99999999999999999999999"),
        get().field("expect", "100-continue"),
        get().field("expect", "magic"),
        Message::new("POST", "/echo")
            .body("body")
            .field("expect", "magic"),
    ];
    let (responses, refusals) = compare(&messages);
    assert_eq!((responses, refusals), (messages.len(), 0));
}

/// The texts differ, because the parts of a cookie are not counted as headers in HTTP/2.
#[test]
fn too_many_cookies_have_the_same_status() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let get = Message::get("/hello");
    let message = (0..1500).fold(get, |get, _| get.field("cookie", "a=b"));
    for outcome in [message.over_http1(&uri), message.over_http2(&mut client)] {
        let is_431 = matches!(outcome, Outcome::Response { status: 431, .. });
        assert!(is_431, "{outcome:?}");
    }
}
