//! HTTP and SOCKS5 proxies, and those of the environment.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use serde_json::{Value, json};

use super::driver::{ClientProgram, Stopwatch};
use super::secure_server::{TestCertificate, TlsRelay};
use super::server::{OK, Peer, ReceivedRequest, ScriptedServer, response};

const CREDENTIALS: &str = "Basic dXNlcjpwYXNzd29yZA==";

/// Forwards bytes between a client and a server until one of them ends.
fn tunnel(peer: &mut Peer, to: SocketAddr) {
    let server = TcpStream::connect(to).unwrap();
    let mut client = peer.take_stream();
    let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let thread = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut into);
        let _ = into.shutdown(Shutdown::Write);
    });
    let mut server = server;
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Write);
    let _ = thread.join();
}

/// A proxy that opens tunnels to one server, whatever the target of CONNECT is.
fn connect_proxy(to: SocketAddr, answer: &'static str) -> ScriptedServer {
    ScriptedServer::start(move |peer| {
        if peer
            .head()
            .is_some_and(|request| request.method == "CONNECT")
        {
            peer.send(answer);
            tunnel(peer, to);
        }
    })
}

/// A SOCKS5 proxy that connects to one server, and records the address of each request as the target of a request. With credentials, it
/// requires them.
fn socks_proxy(
    to: SocketAddr,
    credentials: Option<(&'static str, &'static str)>,
) -> ScriptedServer {
    ScriptedServer::start(move |peer| {
        let method = if credentials.is_some() { 2 } else { 0 };
        let greeting = peer.exactly(2).unwrap();
        let offered = peer.exactly(greeting[1].into()).unwrap();
        if greeting[0] != 5 || !offered.contains(&method) {
            peer.send([5, 0xff]);
            return;
        }
        peer.send([5, method]);
        if let Some((user, password)) = credentials {
            assert_eq!(peer.exactly(1).unwrap(), [1]);
            let mut text = || {
                let length = peer.exactly(1).unwrap()[0];
                String::from_utf8(peer.exactly(length.into()).unwrap()).unwrap()
            };
            let (got_user, got_password) = (text(), text());
            let is_right = got_user == user && got_password == password;
            peer.send([1, u8::from(!is_right)]);
            if !is_right {
                return;
            }
        }
        let head = peer.exactly(4).unwrap();
        assert_eq!(head[..3], [5, 1, 0]);
        let host = match head[3] {
            1 => format!("{:?}", peer.exactly(4).unwrap()),
            3 => {
                let length = peer.exactly(1).unwrap()[0];
                String::from_utf8(peer.exactly(length.into()).unwrap()).unwrap()
            }
            _ => format!("{:?}", peer.exactly(16).unwrap()),
        };
        let port = peer.exactly(2).unwrap();
        let port = u16::from_be_bytes([port[0], port[1]]);
        peer.record(&ReceivedRequest {
            target: format!("{host}:{port}"),
            ..ReceivedRequest::default()
        });
        peer.send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        tunnel(peer, to);
    })
}

#[test]
fn plain_requests_are_sent_to_the_proxy_in_absolute_form() {
    let proxy = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for (url, target, host) in [
        (
            "http://a.example/path?query#fragment",
            "http://a.example/path?query",
            "a.example",
        ),
        (
            "http://a.example:8080",
            "http://a.example:8080/",
            "a.example:8080",
        ),
        ("http://A.example:80/", "http://a.example/", "a.example"),
        (
            "http://user:password@a.example/",
            "http://a.example/",
            "a.example",
        ),
        ("http://[::1]:81/", "http://[::1]:81/", "[::1]:81"),
    ] {
        let result = client.run(json!({"url": url, "proxy": proxy.url("")}));
        result.assert_ok();
        let request = proxy.last();
        assert_eq!(
            (request.target.as_str(), request.field("host")),
            (target, Some(host)),
            "{url}"
        );
        assert_eq!(request.field("proxy-authorization"), None);
        let basic = url.contains("user").then_some(CREDENTIALS);
        assert_eq!(request.field("authorization"), basic, "{url}");
    }
}

#[test]
fn the_connection_to_a_proxy_is_used_again() {
    let proxy = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    for reused in [false, true, true] {
        let request = json!({"url": "http://a.example/", "proxy": proxy.url("")});
        client.run(request).assert_ok().assert_reused(reused);
    }
}

#[test]
fn credentials_go_to_the_proxy_only() {
    let certificate = TestCertificate::new("proxy-credentials", "a.example");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    let plain = ScriptedServer::answering(OK);
    let with = |proxy: &ScriptedServer| format!("http://us%65r:p%61ssword@{}", proxy.address);
    client
        .run(json!({"url": "http://a.example/", "proxy": with(&plain)}))
        .assert_ok();
    assert_eq!(plain.last().field("proxy-authorization"), Some(CREDENTIALS));
    assert_eq!(plain.last().field("authorization"), None);
    let proxy = connect_proxy(relay.address, "HTTP/1.1 200 Connection Established\r\n\r\n");
    let request =
        json!({"url": "https://a.example/", "proxy": with(&proxy), "ca": certificate.cert});
    client.run(request).assert_ok();
    assert_eq!(proxy.last().field("proxy-authorization"), Some(CREDENTIALS));
    assert_eq!(target.last().field("proxy-authorization"), None);
    assert_eq!(target.last().field("authorization"), None);
}

#[test]
fn secure_requests_go_through_a_tunnel() {
    let certificate = TestCertificate::new("tunnel", "a.example");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    for answer in [
        "HTTP/1.1 200 Connection Established\r\n\r\n",
        "HTTP/1.0 200 OK\r\nProxy-Agent: a\r\n\r\n",
        "HTTP/1.1 204 Any\r\n\r\n",
        "HTTP/1.1 299 Any\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    ] {
        let proxy = connect_proxy(relay.address, answer);
        let mut client = ClientProgram::start();
        let headers = json!([["Authorization", "secret"], ["Cookie", "a=b"]]);
        let request = json!({"url": "https://a.example/path", "proxy": proxy.url(""), "ca": certificate.cert, "headers": headers});
        client.run(request.clone()).assert_ok();
        let connect = proxy.last();
        assert_eq!(
            (connect.method.as_str(), connect.target.as_str()),
            ("CONNECT", "a.example:443")
        );
        assert_eq!(connect.field("host"), Some("a.example:443"));
        assert_eq!(
            (connect.field("authorization"), connect.field("cookie")),
            (None, None)
        );
        assert_eq!(target.last().target, "/path");
        assert_eq!(target.last().field("host"), Some("a.example"));
        client.run(request).assert_ok().assert_reused(true);
        assert_eq!(proxy.connections(), 1);
    }
    assert!(
        relay
            .handshakes()
            .iter()
            .all(|(name, _)| name.as_deref() == Some("a.example"))
    );
}

#[test]
fn other_answers_to_connect_are_proxy_errors() {
    let mut client = ClientProgram::start();
    for (answer, part) in [
        (
            response(
                "407 Proxy Authentication Required",
                "Proxy-Authenticate: Basic\r\n",
                "no",
            ),
            "407",
        ),
        (response("502 Bad Gateway", "", "no"), "502"),
        (
            response("403 Forbidden", "Connection: close\r\n", ""),
            "403",
        ),
        (
            response("302 Found", "Location: http://a.example/\r\n", ""),
            "302",
        ),
        ("garbage\r\n\r\n".into(), ""),
        ("HTTP/1.1 200 OK\r\nbad header\r\n\r\n".into(), ""),
        (
            format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "x".repeat(1_000_000)),
            "",
        ),
        (String::new(), ""),
        ("HTTP/1.1 200".into(), ""),
    ] {
        let proxy = ScriptedServer::closing(answer.clone());
        let result = client.run(json!({"url": "https://a.example/", "proxy": proxy.url("")}));
        result
            .assert_kind("proxy")
            .assert_message(&[part, &proxy.address.to_string()]);
        assert_eq!(result.status(), None, "{result:?}");
    }
    client.wait_for_stats(|stats| stats.open == 0);
}

#[test]
fn a_proxy_that_cannot_be_reached_is_a_proxy_error() {
    let (_socket, refusing) = crate::clients::refusing_address();
    let mut client = ClientProgram::start();
    for scheme in ["http", "socks5"] {
        for url in ["http://a.example/", "https://a.example/"] {
            let proxy = format!("{scheme}://{refusing}");
            let result = client.run(json!({"url": url, "proxy": proxy}));
            result.assert_kind("proxy").assert_attempts(0);
            result.assert_message(&[&refusing, "ECONNREFUSED"]);
        }
    }
    let request = json!({"url": "http://a.example/", "proxy": "http://no.example:3128", "resolve": {"no.example": []}});
    client.run(request).assert_kinds(&["proxy", "dns"]);
}

#[test]
fn a_silent_proxy_times_out() {
    let proxy = ScriptedServer::start(|peer| _ = peer.rest());
    let mut client = ClientProgram::start();
    for scheme in ["http", "socks5"] {
        let watch = Stopwatch::start();
        let proxy = format!("{scheme}://{}", proxy.address);
        let result = client
            .run(json!({"url": "https://a.example/", "proxy": proxy, "connect_timeout_ms": 400}));
        result.assert_kind("connect_timeout");
        watch.assert_about(400);
    }
}

#[test]
fn a_failure_status_of_a_proxy_for_a_plain_request_is_a_response() {
    let proxy = ScriptedServer::answering(response("502 Bad Gateway", "", "no"));
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": "http://a.example/", "proxy": proxy.url("")}));
    assert_eq!((result.status(), result.text()), (Some(502), "no".into()));
}

#[test]
fn the_name_of_a_proxy_is_resolved() {
    let proxy = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let url = format!("http://proxy.example:{}", proxy.port());
    let resolve = json!({"proxy.example": ["127.0.0.1"]});
    client
        .run(json!({"url": "http://a.example/", "proxy": url, "resolve": resolve}))
        .assert_ok();
}

#[test]
fn a_socks_proxy_gets_names_and_credentials() {
    let target = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let proxy = socks_proxy(target.address, None);
    for (url, expected) in [
        ("http://a.example/path", "a.example:80"),
        ("http://a.example:8080/path", "a.example:8080"),
        ("http://127.0.0.9:81/path", "[127, 0, 0, 9]:81"),
    ] {
        let request = json!({"url": url, "proxy": format!("socks5://{}", proxy.address)});
        client.run(request).assert_ok();
        assert_eq!(proxy.last().target, expected);
        assert_eq!(target.last().target, "/path");
    }
    let proxy = socks_proxy(target.address, Some(("user", "pass:word")));
    let address = proxy.address;
    let run = |client: &mut ClientProgram, info: &str| {
        client
            .run(json!({"url": "http://a.example/", "proxy": format!("socks5://{info}{address}")}))
    };
    run(&mut client, "user:pass%3Aword@").assert_ok();
    assert_eq!(target.last().field("authorization"), None);
    run(&mut client, "user:wrong@").assert_kind("proxy");
    run(&mut client, "").assert_kind("proxy");
}

#[test]
fn tls_runs_through_a_socks_proxy() {
    let certificate = TestCertificate::new("socks", "a.example");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let proxy = socks_proxy(relay.address, None);
    let mut client = ClientProgram::start();
    let proxy_url = format!("socks5://{}", proxy.address);
    let request = json!({"url": "https://a.example/", "proxy": proxy_url, "ca": certificate.cert});
    client.run(request.clone()).assert_ok();
    client.run(request).assert_ok().assert_reused(true);
    assert_eq!(proxy.requests().len(), 1);
    assert_eq!(proxy.last().target, "a.example:443");
}

#[test]
fn refusals_of_a_socks_proxy_are_proxy_errors() {
    let mut client = ClientProgram::start();
    for answer in [
        &b"\x05\xff"[..],
        b"\x04\x00",
        b"\x05\x00\x05\x05\x00\x01\0\0\0\0\0\0",
        b"\x05\x00\x05\x02\x00\x03\x01a\0\0",
        b"\x05\x00\x04\x00\x00\x01\0\0\0\0\0\0",
        b"\x05\x00\x05\x00\x00\x09\0\0\0\0\0\0",
        b"\x05\x63",
        b"\x05",
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        let proxy = ScriptedServer::start(move |peer| {
            peer.exactly(3);
            peer.send(&answer[..answer.len().min(2)]);
            if answer.len() > 2 {
                peer.exactly(4);
                peer.send(&answer[2..]);
            }
            peer.sleep(20);
        });
        let url = format!("socks5://{}", proxy.address);
        let result = client.run(json!({"url": "http://a.example/", "proxy": url}));
        result.assert_kind("proxy").assert_attempts(0);
    }
}

#[test]
fn a_proxy_of_the_request_wins_and_null_means_none() {
    let (proxy, other, target) = (
        ScriptedServer::answering(response("200 OK", "", "proxy")),
        ScriptedServer::answering(response("200 OK", "", "other")),
        ScriptedServer::answering(response("200 OK", "", "target")),
    );
    let variables = [("http_proxy", proxy.url("")), ("all_proxy", proxy.url(""))];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let mut client = ClientProgram::start_with(&[], &variables);
    for (value, expected) in [
        (Value::Null, "target"),
        (json!("env"), "proxy"),
        (json!(other.url("")), "other"),
    ] {
        let result = client.run(json!({"url": target.url("/"), "proxy": value}));
        assert_eq!(result.assert_ok().text(), expected);
    }
}

#[test]
fn malformed_proxies_are_refused() {
    let mut client = ClientProgram::start();
    for proxy in [
        "ftp://127.0.0.1:21",
        "http://",
        "socks4://127.0.0.1:1080",
        "",
        "http://127.0.0.1:port",
    ] {
        let result = client.run(json!({"url": "http://a.example/", "proxy": proxy}));
        result.assert_kinds(&[
            "invalid_request",
            "invalid_url",
            "unsupported_scheme",
            "proxy",
        ]);
        result.assert_attempts(0);
    }
}
