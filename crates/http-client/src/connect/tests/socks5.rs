//! SOCKS5 proxies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::support::{
    Peer, assert_elapsed, connected, destination, echo, exchange, failure, impatient, silent_peer,
};
use crate::connect::{ConnectOptions, Destination, Protocol};

const GREETING: &[u8] = b"\x05\x01\x00";
const GREETING_WITH_CREDENTIALS: &[u8] = b"\x05\x02\x00\x02";
const REQUEST: &[u8] = b"\x05\x01\x00\x03\x08app.test\x00\x50";
const GRANTED: &[u8] = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";

/// A proxy that follows a script: it expects bytes, then sends bytes. Afterwards it returns all it receives.
fn scripted_proxy(script: &'static [(&'static [u8], &'static [u8])]) -> Peer<()> {
    Peer::new(move |mut stream| {
        for (expected, response) in script {
            expect(&mut stream, expected);
            stream.write_all(response).unwrap();
        }
        echo(stream, "");
    })
}

fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(received, expected);
}

fn through(proxy: &str) -> Destination {
    Destination {
        proxy: Some(proxy.parse().unwrap()),
        ..destination("app.test", 80)
    }
}

/// Returns the failure to connect through a proxy that follows a script.
#[track_caller]
fn failure_of(user_info: &str, script: &'static [(&'static [u8], &'static [u8])]) -> String {
    let proxy = Peer::new(move |mut stream| {
        for (expected, response) in script {
            expect(&mut stream, expected);
            stream.write_all(response).unwrap();
        }
    });
    let address = proxy.address;
    let url = format!("socks5://{user_info}{address}");
    let failure = failure(through(&url), ConnectOptions::default());
    proxy.join();
    let prefix =
        format!("proxy: connecting to app.test:80 through the proxy socks5://{address} failed: ");
    failure.strip_prefix(&prefix).expect(&failure).to_owned()
}

#[test]
fn the_proxy_connects_to_the_name() {
    let proxy = scripted_proxy(&[(GREETING, b"\x05\x00"), (REQUEST, GRANTED)]);
    let destination = through(&proxy.url("socks5"));
    assert!(destination.forward_proxy().is_none());
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    assert_eq!(connected.protocol, Protocol::Http1);
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    proxy.join();
}

#[test]
fn bytes_after_the_reply_belong_to_the_tunnel() {
    for reply in [
        &b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00first "[..],
        b"\x05\x00\x00\x03\x03abc\x00\x00first ",
        b"\x05\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00first ",
    ] {
        let proxy = Peer::new(move |mut stream| {
            expect(&mut stream, GREETING);
            stream.write_all(b"\x05\x00").unwrap();
            expect(&mut stream, REQUEST);
            stream.write_all(reply).unwrap();
            echo(stream, "");
        });
        let destination = through(&proxy.url("socks5h"));
        let connected = connected(destination, ConnectOptions::default()).unwrap();
        assert_eq!(exchange(connected.conn, "second", 12), "first second");
        proxy.join();
    }
}

#[test]
fn replies_may_arrive_byte_by_byte() {
    let proxy = Peer::new(|mut stream| {
        stream.set_nodelay(true).unwrap();
        for (expected, response) in [(GREETING, &b"\x05\x00"[..]), (REQUEST, GRANTED)] {
            expect(&mut stream, expected);
            for byte in response {
                stream.write_all(&[*byte]).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        echo(stream, "");
    });
    let destination = through(&proxy.url("socks5"));
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    proxy.join();
}

#[test]
fn user_name_and_password_are_sent_if_the_proxy_selects_them() {
    let proxy = scripted_proxy(&[
        (GREETING_WITH_CREDENTIALS, b"\x05\x02"),
        (b"\x01\x04user\x03a b", b"\x01\x00"),
        (REQUEST, GRANTED),
    ]);
    let destination = through(&format!("socks5://user:a%20b@{}", proxy.address));
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    proxy.join();

    let proxy = scripted_proxy(&[(GREETING_WITH_CREDENTIALS, b"\x05\x00"), (REQUEST, GRANTED)]);
    let destination = through(&format!("socks5://user:a%20b@{}", proxy.address));
    connected_and_closed(destination);
    proxy.join();
}

#[track_caller]
fn connected_and_closed(destination: Destination) {
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    connected.conn.close();
}

#[test]
fn a_refusal_is_reported_with_its_reason() {
    assert_eq!(
        failure_of("", &[(GREETING, b"\x05\xff")]),
        "the proxy requires authentication"
    );
    assert_eq!(
        failure_of("u:p@", &[(GREETING_WITH_CREDENTIALS, b"\x05\xff")]),
        "the proxy does not accept user name and password"
    );
    assert_eq!(
        failure_of(
            "u:p@",
            &[
                (GREETING_WITH_CREDENTIALS, b"\x05\x02"),
                (b"\x01\x01u\x01p", b"\x01\x01"),
            ]
        ),
        "the proxy refused user name and password with status 1"
    );
    assert_eq!(
        failure_of(
            "",
            &[(GREETING, b"\x05\x00"), (REQUEST, b"\x05\x05\x00\x01")]
        ),
        "the proxy refused it: connection refused (reply 5)"
    );
}

#[test]
fn an_invalid_reply_is_a_failure() {
    assert_eq!(
        failure_of("", &[(GREETING, b"HTTP/1.1 400 Bad Request\r\n\r\n")]),
        "the proxy does not use SOCKS5: it sent version 72"
    );
    assert_eq!(
        failure_of("", &[(GREETING, b"\x05\x02")]),
        "the proxy selected the authentication method 2, which was not offered"
    );
    assert_eq!(
        failure_of(
            "",
            &[(GREETING, b"\x05\x00"), (REQUEST, b"\x05\x00\x00\x09")]
        ),
        "the proxy sent an invalid reply: address type 9"
    );
    assert_eq!(
        failure_of("", &[(GREETING, b"\x05")]),
        "the proxy closed the connection"
    );
}

#[test]
fn the_exchange_counts_for_the_connect_timeout() {
    let proxy = silent_peer();
    let url = proxy.url("socks5");
    let start = Instant::now();
    assert_eq!(
        failure(through(&url), impatient()),
        format!(
            "connect_timeout: connecting to tcp://app.test:80 through the proxy {url} \
             timed out after 300ms (ETIMEDOUT)"
        )
    );
    assert_elapsed(start, 280, 800);
    assert_eq!(proxy.join(), GREETING);
}
