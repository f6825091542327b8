//! HTTP proxies.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use super::support::{
    Peer, assert_elapsed, connected, destination, echo, echo_peer, exchange, failure, impatient,
    read_head, read_to_end, resolving, silent_peer, splice, tunnel,
};
use crate::connect::{ConnectOptions, Destination, Protocol};

/// A proxy that sends `response` to a request, and then closes the connection. Its result is the request.
fn proxy_that_sends(response: impl Into<Vec<u8>>) -> Peer<String> {
    let response = response.into();
    Peer::new(move |mut stream| {
        let head = read_head(&stream);
        stream.write_all(&response).unwrap();
        head
    })
}

/// Returns the failure to open a tunnel through a proxy that sends `response`.
#[track_caller]
fn failure_after(response: impl Into<Vec<u8>>) -> String {
    let proxy = proxy_that_sends(response);
    let url = proxy.url("http");
    let prefix = format!("proxy: connecting to app.test:80 through the proxy {url} failed: ");
    let failure = failure(tunnel("app.test", 80, &url), ConnectOptions::default());
    proxy.join();
    failure.strip_prefix(&prefix).expect(&failure).to_owned()
}

#[test]
fn a_tunnel_leads_to_the_target() {
    let server = echo_peer("");
    let target = server.address;
    let proxy = Peer::new(move |mut stream| {
        let head = read_head(&stream);
        let server = TcpStream::connect(target).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .unwrap();
        splice(stream, server);
        head
    });
    let url = format!("http://Aladdin:open%20sesame@{}", proxy.address);
    let connected = connected(
        tunnel("app.test", server.port(), &url),
        ConnectOptions::default(),
    );
    let connected = connected.unwrap();
    assert_eq!(connected.protocol, Protocol::Http2);
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    let authority = format!("app.test:{}", server.port());
    assert_eq!(
        proxy.join(),
        format!(
            "CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\
             proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        )
    );
    server.join();
}

#[test]
fn an_ipv6_target_is_in_brackets_and_there_are_no_credentials_by_default() {
    let proxy = proxy_that_sends("HTTP/1.1 200 OK\r\n\r\n");
    let destination = tunnel("::1", 443, &proxy.url("http"));
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    connected.conn.close();
    assert_eq!(
        proxy.join(),
        "CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\n\r\n"
    );
}

#[test]
fn any_2xx_opens_the_tunnel_and_its_framing_is_ignored() {
    for head in [
        "HTTP/1.0 200 Connection established\r\n\r\n",
        "HTTP/1.1 204\r\n\r\n",
        "HTTP/1.1 299 Fine\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let proxy = Peer::new(move |mut stream| {
            read_head(&stream);
            stream.write_all(head.as_bytes()).unwrap();
            echo(stream, "");
        });
        let destination = tunnel("app.test", 80, &proxy.url("http"));
        let connected = connected(destination, ConnectOptions::default()).unwrap();
        assert_eq!(exchange(connected.conn, "hello", 5), "hello", "{head}");
        proxy.join();
    }
}

#[test]
fn bytes_after_the_response_belong_to_the_tunnel() {
    let proxy = Peer::new(|mut stream| {
        read_head(&stream);
        echo_after(&mut stream, b"HTTP/1.1 200 OK\r\n\r\nfirst ");
    });
    let destination = tunnel("app.test", 80, &proxy.url("http"));
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    assert_eq!(exchange(connected.conn, "second", 12), "first second");
    proxy.join();
}

fn echo_after(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    echo(stream.try_clone().unwrap(), "");
}

#[test]
fn a_response_may_arrive_byte_by_byte() {
    let proxy = Peer::new(|mut stream| {
        stream.set_nodelay(true).unwrap();
        read_head(&stream);
        for byte in b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nab" {
            stream.write_all(&[*byte]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        echo(stream, "");
    });
    let destination = tunnel("app.test", 80, &proxy.url("http"));
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    assert_eq!(exchange(connected.conn, "c", 3), "abc");
    proxy.join();
}

#[test]
fn a_refusal_is_reported_with_its_status() {
    assert_eq!(
        failure_after("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!"),
        "the proxy refused it with status 407 Proxy Authentication Required"
    );
    assert_eq!(
        failure_after("HTTP/1.1 502\r\nContent-Length: 0\r\n\r\n"),
        "the proxy refused it with status 502 Bad Gateway"
    );
    assert_eq!(
        failure_after("HTTP/1.1 301 Moved\r\nLocation: http://x/\r\n\r\n"),
        "the proxy refused it with status 301 Moved"
    );
}

#[test]
fn an_invalid_response_is_a_failure() {
    assert_eq!(
        failure_after("SSH-2.0-OpenSSH\r\n"),
        "the proxy sent an invalid response: the status line of the response is malformed"
    );
    let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), vec![b'a'; 100_000]].concat();
    assert_eq!(
        failure_after(endless),
        "the proxy sent an invalid response: the head of the response is too long"
    );
}

#[test]
fn a_proxy_that_closes_the_connection_is_a_failure() {
    assert_eq!(failure_after(""), "the proxy closed the connection");
    assert_eq!(
        failure_after("HTTP/1.1 200 OK\r\n"),
        "the proxy closed the connection"
    );
}

#[test]
fn the_exchange_counts_for_the_connect_timeout() {
    let proxy = silent_peer();
    let url = proxy.url("http");
    let start = Instant::now();
    assert_eq!(
        failure(tunnel("app.test", 80, &url), impatient()),
        format!(
            "connect_timeout: connecting to tcp://app.test:80 through the proxy {url} \
             timed out after 300ms (ETIMEDOUT)"
        )
    );
    assert_elapsed(start, 280, 800);
    assert!(proxy.join().starts_with(b"CONNECT app.test:80 "));
}

#[test]
fn http_without_a_tunnel_connects_to_the_proxy_only() {
    let proxy = Peer::new(|stream| read_to_end(&stream));
    let destination = Destination {
        proxy: Some(proxy.url("http").parse().unwrap()),
        ..destination("app.test", 80)
    };
    assert!(destination.forward_proxy().is_some());
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    assert_eq!(connected.protocol, Protocol::Http1);
    connected.conn.close();
    assert_eq!(proxy.join(), b"");
}

#[test]
fn a_proxy_that_cannot_be_reached_is_a_failure_of_the_proxy() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let address = url.replace("http", "tcp");
    assert_eq!(
        failure(tunnel("app.test", 80, &url), ConnectOptions::default()),
        format!(
            "proxy: the proxy {url} cannot be reached: \
             connecting to {address} failed: Connection refused (ECONNREFUSED)"
        )
    );
    assert_eq!(
        failure(
            tunnel("app.test", 80, "http://proxy.test:1"),
            resolving("proxy.test", &[])
        ),
        "proxy: the proxy http://proxy.test:1 cannot be reached: \
         looking up proxy.test failed: the name has no IP address (ENOENT)"
    );
}

#[test]
fn the_name_of_a_proxy_may_have_an_override() {
    let proxy = proxy_that_sends("HTTP/1.1 200 OK\r\n\r\n");
    let url = format!("http://proxy.test:{}", proxy.port());
    let options = resolving("proxy.test", &[Ipv4Addr::LOCALHOST.into()]);
    let connected = connected(tunnel("app.test", 80, &url), options).unwrap();
    connected.conn.close();
    proxy.join();
}
