//! Heads of requests as sent.

use serde_json::{Value, json};

use super::driver::ClientProgram;
use super::server::{OK, ReceivedRequest, ScriptedServer};
use super::unix::UnixRelay;

/// Sends a request with the URL of a path, and returns it as received.
#[track_caller]
fn received(
    client: &mut ClientProgram,
    server: &ScriptedServer,
    request: Value,
) -> ReceivedRequest {
    client.run(request).assert_ok();
    server.last()
}

/// Returns the names of the headers of a request, in order.
fn names(request: &ReceivedRequest) -> Vec<&str> {
    let names = request.fields.iter().map(|(name, _)| name.as_str());
    names.collect()
}

#[test]
fn headers_are_sent_in_order_with_duplicates() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let headers = json!([
        ["x-b", "1"],
        ["x-a", "2"],
        ["x-b", "3"],
        ["x-empty", ""],
        ["x-c", "4 5"],
        ["x-a", "6"]
    ]);
    let request = received(
        &mut client,
        &server,
        json!({"url": server.url("/"), "headers": headers}),
    );
    let own: Vec<_> = request
        .fields
        .iter()
        .filter(|(name, _)| name.starts_with("x-"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("x-b", "1"),
        ("x-a", "2"),
        ("x-b", "3"),
        ("x-empty", ""),
        ("x-c", "4 5"),
        ("x-a", "6"),
    ];
    assert_eq!(own, expected);
    assert_eq!(request.version, "HTTP/1.1");
    assert_eq!(
        request.field("host"),
        Some(server.address.to_string().as_str())
    );
    let text = String::from_utf8(request.head.clone()).unwrap();
    assert!(text.starts_with("GET / HTTP/1.1\r\n"), "{text}");
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text}");
}

#[test]
fn own_headers_replace_those_of_the_client() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let url = server.url("/");
    let request = received(&mut client, &server, json!({"url": url}));
    for name in ["host", "user-agent", "accept-encoding"] {
        assert_eq!(request.all(name).len(), 1, "{name}: {request:?}");
    }
    let headers = json!([
        ["User-Agent", "own"],
        ["host", "own.example"],
        ["Accept-Encoding", "identity"],
        ["ACCEPT", "text/plain"]
    ]);
    let request = received(
        &mut client,
        &server,
        json!({"url": url, "headers": headers}),
    );
    assert_eq!(request.field("host"), Some("own.example"));
    assert_eq!(request.field("user-agent"), Some("own"));
    assert_eq!(request.field("accept-encoding"), Some("identity"));
    assert_eq!(request.field("accept"), Some("text/plain"));
}

#[test]
fn each_request_names_its_host_first_and_once() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let request = received(&mut client, &server, json!({"url": server.url("/")}));
    assert_eq!(names(&request)[0], "host");
    assert_eq!(request.all("host").len(), 1);
}

#[test]
fn targets_are_sent_as_the_url_has_them() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let cases = [
        ("", "/"),
        ("/", "/"),
        ("?a=b", "/?a=b"),
        ("#fragment", "/"),
        ("?#fragment", "/?"),
        ("/path#fragment?no-query", "/path"),
        ("/path?query?more=/&x#f", "/path?query?more=/&x"),
        ("/a%20b%2Fc%2f%7e?d=%C3%A9", "/a%20b%2Fc%2f%7e?d=%C3%A9"),
        ("/a//b/", "/a//b/"),
        ("/a b", "/a%20b"),
        ("/caf\u{e9}?q=\u{20ac}", "/caf%C3%A9?q=%E2%82%AC"),
        ("/\"<>\\^`{|}", "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/?\"<>\\^`{|}", "/?%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
        ("/?-._~!$&'()*+,;=:@/?", "/?-._~!$&'()*+,;=:@/?"),
        ("/;a=b;c", "/;a=b;c"),
    ];
    for (path, expected) in cases {
        let request = received(&mut client, &server, json!({"url": server.url(path)}));
        assert_eq!(request.target, expected, "{path}");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn the_scheme_and_the_host_are_case_insensitive() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let url = format!("HTTP://A.Example:{}/Path", server.port());
    let resolve = json!({"a.example": ["127.0.0.1"]});
    let request = received(
        &mut client,
        &server,
        json!({"url": url, "resolve": resolve}),
    );
    let host = format!("a.example:{}", server.port());
    assert_eq!(request.field("host").map(str::to_lowercase), Some(host));
    assert_eq!(request.target, "/Path");
}

#[test]
fn the_default_port_is_not_named() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let socket = UnixRelay::start("hosts", server.address);
    for url in [
        "http://a.example/",
        "http://a.example:80/",
        "http://a.example:/",
    ] {
        let request = received(
            &mut client,
            &server,
            json!({"url": url, "unix": socket.path()}),
        );
        assert_eq!(request.field("host"), Some("a.example"), "{url}");
    }
    for (url, host) in [
        ("http://a.example:443/", "a.example:443"),
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://[2001:DB8:0:0::1]:81/", "[2001:db8::1]:81"),
    ] {
        let request = received(
            &mut client,
            &server,
            json!({"url": url, "unix": socket.path()}),
        );
        assert_eq!(request.field("host"), Some(host), "{url}");
    }
}

#[test]
fn names_are_sent_as_a_labels() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for (name, label) in [
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("B\u{dc}CHER.example", "xn--bcher-kva.example"),
        (
            "\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}",
            "xn--r8jz45g.xn--zckzah",
        ),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        let url = format!("http://{name}:{}/", server.port());
        let mut resolve = json!({});
        resolve[label] = json!(["127.0.0.1"]);
        let request = received(
            &mut client,
            &server,
            json!({"url": url, "resolve": resolve}),
        );
        let host = format!("{label}:{}", server.port());
        assert_eq!(request.field("host"), Some(host.as_str()), "{name}");
    }
}

#[test]
fn user_information_becomes_basic_authorization() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for (info, expected) in [
        ("user:password", "Basic dXNlcjpwYXNzd29yZA=="),
        ("us%40er:p%3Aass%20word", "Basic dXNAZXI6cDphc3Mgd29yZA=="),
        ("user", "Basic dXNlcjo="),
        ("user:", "Basic dXNlcjo="),
        (":password", "Basic OnBhc3N3b3Jk"),
        ("caf%C3%A9:a:b", "Basic Y2Fmw6k6YTpi"),
    ] {
        let url = format!("http://{info}@{}/x", server.address);
        let result = client.run(json!({"url": url}));
        assert_eq!(result.assert_ok().0["url"], server.url("/x"), "{info}");
        let request = server.last();
        assert_eq!(request.field("authorization"), Some(expected), "{info}");
        assert_eq!(
            request.field("host"),
            Some(server.address.to_string().as_str())
        );
        assert_eq!(request.target, "/x");
    }
    let url = format!("http://user:password@{}/", server.address);
    let headers = json!([["authorization", "Bearer own"]]);
    let request = received(
        &mut client,
        &server,
        json!({"url": url, "headers": headers}),
    );
    assert_eq!(request.field("authorization"), Some("Bearer own"));
}

#[test]
fn methods_without_a_body_announce_its_length_where_one_is_expected() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let is_head = request.method == "HEAD";
            peer.send(if is_head { &OK[..OK.len() - 2] } else { OK });
        }
    });
    let mut client = ClientProgram::start();
    for (method, length) in [
        ("GET", None),
        ("HEAD", None),
        ("OPTIONS", None),
        ("DELETE", None),
        ("POST", Some("0")),
        ("PUT", Some("0")),
        ("PATCH", Some("0")),
    ] {
        let request = received(
            &mut client,
            &server,
            json!({"url": server.url("/"), "method": method}),
        );
        assert_eq!(request.method, method);
        assert_eq!(request.field("content-length"), length, "{method}");
        assert_eq!(request.field("transfer-encoding"), None, "{method}");
    }
    for method in ["GET", "DELETE", "POST", "PUT", "PATCH", "OPTIONS"] {
        let request = json!({"url": server.url("/"), "method": method, "body": "caf\u{e9}"});
        let request = received(&mut client, &server, request);
        assert_eq!(request.field("content-length"), Some("5"), "{method}");
        assert_eq!(request.text(), "caf\u{e9}");
    }
    // A body that is present and empty has a length.
    let request = json!({"url": server.url("/"), "method": "POST", "body": ""});
    let request = received(&mut client, &server, request);
    assert_eq!(request.field("content-length"), Some("0"));
}

#[test]
fn methods_are_sent_as_they_are() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for method in [
        "get",
        "Post",
        "M-SEARCH",
        "PROPFIND",
        "a!#$%&'*+-.^_`|~0",
        "TRACE",
    ] {
        let request = received(
            &mut client,
            &server,
            json!({"url": server.url("/"), "method": method}),
        );
        assert_eq!(request.method, method);
    }
}

#[test]
fn an_own_content_length_that_is_right_is_sent_once() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let headers = json!([["content-length", "4"]]);
    let request =
        json!({"url": server.url("/"), "method": "POST", "body": "abcd", "headers": headers});
    let request = received(&mut client, &server, request);
    assert_eq!(request.field("content-length"), Some("4"));
    assert_eq!(request.text(), "abcd");
}

#[test]
fn invalid_requests_are_not_sent() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let header = |name: &str, value: &str| json!({"headers": [[name, value]]});
    let mut cases = vec![
        json!({"method": ""}),
        json!({"method": "G T"}),
        json!({"method": "GET\r\nX: y"}),
        json!({"method": "G\u{e9}T"}),
        json!({"method": "GET "}),
        json!({"method": "G(T)"}),
        json!({"method": "POST", "body": "abc", "headers": [["content-length", "4"]]}),
        json!({"method": "POST", "body": "abc", "headers": [["content-length", "2"]]}),
        json!({"method": "POST", "body": "abc", "headers": [["content-length", "-3"]]}),
        json!({"method": "POST", "body": "abc", "headers": [["content-length", "three"]]}),
        json!({"method": "POST", "body": "abc", "headers": [["content-length", "3"], ["content-length", "4"]]}),
        json!({"method": "POST", "headers": [["content-length", "4"]]}),
        json!({"method": "GET", "headers": [["content-length", "4"]]}),
        json!({"method": "POST", "body_zeros": 10, "headers": [["content-length", "11"]]}),
        json!({"method": "POST", "chunks": [{"data": "a"}], "headers": [["content-length", "x"]]}),
        json!({"method": "POST", "chunks": [{"data": "a"}], "headers": [["Transfer-Encoding", "chunked"]]}),
        header("transfer-encoding", "chunked"),
        header("Transfer-Encoding", "gzip, chunked"),
        header("transfer-encoding", "identity"),
    ];
    for name in [
        "", "a b", "a:", ":a", "a\r\nb", "a\u{e9}", "a\0", "(a)", "a\t", "a/b", " a", "{a}",
    ] {
        cases.push(header(name, "value"));
    }
    for value in [
        "a\r\nX-B: c",
        "a\rb",
        "a\nb",
        "a\0b",
        "\u{1}",
        "\u{7f}",
        "a\u{b}b",
        "\u{1b}[0m",
        "a\n b",
    ] {
        cases.push(header("x-a", value));
    }
    for mut request in cases {
        request["url"] = json!(server.url("/"));
        let result = client.run(request.clone());
        let kind = result.0["error"]["kind"].as_str();
        assert_eq!(kind, Some("invalid_request"), "{request}: {result:?}");
        assert_eq!(result.0["attempts"], 0, "{request}");
        assert!(!result.message().contains(['\r', '\n', '\0']), "{result:?}");
    }
    assert_eq!(server.requests().len(), 0);
    let tab = json!({"url": server.url("/"), "headers": [["x-a", "a\tb"]]});
    assert_eq!(
        received(&mut client, &server, tab).field("x-a"),
        Some("a\tb")
    );
}

#[test]
fn invalid_urls_are_refused() {
    let mut client = ClientProgram::start();
    for url in [
        "",
        "/path",
        "path",
        "//127.0.0.1/path",
        "?query",
        "http:///path",
        "http://",
        "http:",
        "http:path",
        "http:/path",
        "https:///path",
        "http://:80/",
        "http://user@/",
        "http://user@:80/",
        "http://?query",
        "http://#fragment",
        "http://a.example:port/",
        "http://a.example:65536/",
        "http://a.example:-1/",
        "http://a.example:99999999999/",
        "http://[::1/",
        "http://[::g]/",
        "http://[]/",
        "http://::1/",
        "http://a b/",
        "http://a\u{0}b/",
        "http://a.example\r\nX: y/",
        "http://a%00b/",
        "http://<a>/",
        "http://a|b/",
        "://a.example/",
        "1http://a.example/",
        "no url at all",
    ] {
        let result = client.run(json!({"url": url}));
        let kind = result.0["error"]["kind"].as_str();
        assert_eq!(kind, Some("invalid_url"), "{url:?}: {result:?}");
        result.assert_attempts(0);
    }
}

#[test]
fn other_schemes_are_refused() {
    let mut client = ClientProgram::start();
    for url in [
        "ftp://a.example/",
        "file:///etc/passwd",
        "ws://a.example/",
        "httpx://a.example/",
        "gopher://a.example",
        "unix:///tmp/socket",
        "javascript:alert(1)",
        "data:,x",
        "mailto:a@example.org",
    ] {
        let result = client.run(json!({"url": url}));
        let kind = result.0["error"]["kind"].as_str();
        assert_eq!(kind, Some("unsupported_scheme"), "{url}: {result:?}");
        result.assert_attempts(0);
    }
}

#[test]
fn white_space_in_a_url_never_splits_the_request_line() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for path in [
        "/a\tb",
        "/a\r\nX-Injected: y",
        "/a\nb",
        "/a HTTP/1.1\r\n\r\nGET /b",
        "/\u{0}",
        "/\u{7f}",
    ] {
        let result = client.run(json!({"url": server.url(path)}));
        if result.0["ok"] == false {
            result.assert_kind("invalid_url");
        }
    }
    for request in server.requests() {
        assert_eq!(request.version, "HTTP/1.1", "{request:?}");
        assert!(request.field("x-injected").is_none(), "{request:?}");
    }
}
