//! Destinations, scripted peers, and addresses that do not answer.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use uptick_emitter::Emitter;
use uptick_event_loop::{block_on, sleep};
use uptick_socket::Connection;

use crate::connect::{
    ConnectOptions, Connected, Connectors, Destination, Http2Mode, Proxy, TlsOptions, connect,
};
use crate::error::Failure;
use crate::url::Scheme;

/// The timeout of all waits of the tests.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns a destination without TLS and without a proxy.
pub(super) fn destination(host: &str, port: u16) -> Destination {
    Destination {
        scheme: Scheme::Http,
        host: host.into(),
        port,
        proxy: None,
        tls: TlsOptions::new(),
        http2: Http2Mode::Auto,
        unix: None,
    }
}

/// Returns a destination whose connection is a tunnel without TLS.
pub(super) fn tunnel(host: &str, port: u16, proxy: &str) -> Destination {
    Destination {
        http2: Http2Mode::Only,
        proxy: Some(Proxy::parse(proxy).unwrap()),
        ..destination(host, port)
    }
}

/// Returns options in which a name has these addresses.
pub(super) fn resolving(name: &str, addresses: &[IpAddr]) -> ConnectOptions {
    let mut options = ConnectOptions::default();
    options.resolve.insert(name, addresses.iter().copied());
    options
}

/// Returns options with timeouts of 300 ms.
pub(super) fn impatient() -> ConnectOptions {
    ConnectOptions {
        connect_timeout: Some(Duration::from_millis(300)),
        tls_timeout: Some(Duration::from_millis(300)),
        ..ConnectOptions::default()
    }
}

/// Runs the loop until a future completes.
#[track_caller]
pub(super) fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    block_on(future).unwrap()
}

/// Connects with new connectors.
#[track_caller]
pub(super) fn connected(
    destination: Destination,
    options: ConnectOptions,
) -> Result<Connected, Failure> {
    run(async move { connect(&Connectors::default(), &destination, &options).await })
}

/// Connects, and returns kind and reason of the failure.
#[track_caller]
pub(super) fn failure(destination: Destination, options: ConnectOptions) -> String {
    let failure = connected(destination, options).unwrap_err();
    format!("{}: {}", failure.kind, failure.reason)
}

/// Sends bytes on a connection, and returns the first `length` received ones.
#[track_caller]
pub(super) fn exchange(conn: Connection, bytes: &'static str, length: usize) -> String {
    run(async move {
        if !bytes.is_empty() {
            conn.write(bytes);
        }
        let mut received = Vec::new();
        while received.len() < length {
            let chunk: Option<Bytes> = conn.next(Connection::DATA).await;
            received.extend_from_slice(&chunk.expect("the connection has ended"));
        }
        conn.close();
        String::from_utf8(received).unwrap()
    })
}

/// A server on a thread, which serves one connection.
pub(super) struct Peer<T> {
    pub(super) address: SocketAddr,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Peer<T> {
    pub(super) fn new(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> Peer<T> {
        Peer::on(Ipv4Addr::LOCALHOST, serve)
    }

    pub(super) fn on(ip: Ipv4Addr, serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> Peer<T> {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
            serve(stream)
        });
        Peer { address, thread }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the URL of the peer as a proxy.
    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Waits until the peer has served, and returns its result.
    #[track_caller]
    pub(super) fn join(self) -> T {
        self.thread.join().unwrap()
    }
}

/// A peer that sends nothing; its result is the data received until the connection closed.
pub(super) fn silent_peer() -> Peer<Vec<u8>> {
    Peer::new(|stream| read_to_end(&stream))
}

/// A server that returns all it receives, and prefixes it with `prefix`.
pub(super) fn echo_peer(prefix: &'static str) -> Peer<()> {
    Peer::new(move |stream| echo(stream, prefix))
}

pub(super) fn echo(mut stream: TcpStream, prefix: &str) {
    stream.write_all(prefix.as_bytes()).unwrap();
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Reads until the connection is closed or reset.
pub(super) fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return received,
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return received,
            Err(error) => panic!("the connection was not closed: {error}"),
        }
    }
}

/// Reads the head of a request.
pub(super) fn read_head(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Copies bytes between two connections until `a` has ended.
pub(super) fn splice(a: TcpStream, b: TcpStream) {
    let (mut from_a, mut to_b) = (a.try_clone().unwrap(), b.try_clone().unwrap());
    let forth = thread::spawn(move || {
        // An error ends the copy, as end of stream does.
        let _ = std::io::copy(&mut from_a, &mut to_b);
        let _ = to_b.shutdown(Shutdown::Both);
    });
    let (mut from_b, mut to_a) = (b, a);
    let _ = std::io::copy(&mut from_b, &mut to_a);
    let _ = to_a.shutdown(Shutdown::Write);
    forth.join().unwrap();
}

/// An address that does not answer: a listener whose backlog is full.
pub(super) struct SilentAddress {
    address: SocketAddr,
    _sockets: Vec<OwnedFd>,
}

impl SilentAddress {
    pub(super) fn new(ip: Ipv4Addr, port: u16) -> SilentAddress {
        let socket = || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap()
        };
        let listener = socket();
        sockopt::set_socket_reuseaddr(&listener, true).unwrap();
        rustix::net::bind(&listener, &SocketAddr::from((ip, port))).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = rustix::net::getsockname(&listener).unwrap();
        let address = SocketAddr::try_from(address).unwrap();
        let mut sockets = vec![listener];
        for _ in 0..4 {
            let socket = socket();
            // The connects of the last sockets stay in progress.
            let _ = rustix::net::connect(&socket, &address);
            sockets.push(socket);
        }
        SilentAddress {
            address,
            _sockets: sockets,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of sockets of this machine that connect to the address.
    pub(super) fn attempts(&self) -> usize {
        let SocketAddr::V4(address) = self.address else {
            unreachable!("the address is one of IPv4");
        };
        let ip = u32::from_ne_bytes(address.ip().octets());
        let remote = format!("{ip:08X}:{:04X}", address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let is_attempt = |line: &&str| line.split_whitespace().nth(2) == Some(&remote);
        table.lines().filter(is_attempt).count()
    }
}

/// Waits until a condition holds, while the loop runs.
pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TEST_TIMEOUT, "the condition is not met");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Checks that an operation took between `from` and `to` milliseconds.
#[track_caller]
pub(super) fn assert_elapsed(start: Instant, from: u64, to: u64) {
    let elapsed = start.elapsed().as_millis();
    let range = u128::from(from)..u128::from(to);
    assert!(range.contains(&elapsed), "it took {elapsed} ms");
}
