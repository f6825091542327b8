//! Connectors with real sockets, and on a manual clock.
//!
//! Descriptors are counted, so only one test runs at a time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod callbacks;
mod cancelling;
mod dialling;
mod layers;
mod refusals;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use socket2::{Domain, SockAddr, Socket, Type};
use uptick_event_loop::{
    EventLoop, ManualClock, MioPoller, block_on, future_tick, run, sleep, spawn,
};
use uptick_socket::prelude::*;
use uptick_socket::{
    ConnectTarget, ConnectUri, Connecting, DnsConnector, FixedUriConnector, HappyEyeballsConnector,
    Resolver, TcpConnector, TimeoutConnector, UnixConnector,
};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a test on its own thread while no other test runs. Fails if it times out or leaves descriptors open.
fn alone(test: impl FnOnce() + Send + 'static) {
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let before = descriptors();
    let (over, wait) = channel();
    let thread = thread::spawn(move || {
        test();
        over.send(()).unwrap();
    });
    let timed_out = wait.recv_timeout(Duration::from_secs(60))
        == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
    assert!(!timed_out, "the test hangs");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
    assert_eq!(descriptors(), before, "descriptors are left");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn manual_clock() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    clock
}

fn settle() {
    for _ in 0..10 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Cancels an attempt, and checks that its resources are released.
fn cancel(connecting: Connecting, before: usize) {
    drop(connecting);
    settle();
    assert_eq!(descriptors(), before);
    assert!(
        !EventLoop::current().is_alive(),
        "{:?}",
        EventLoop::current()
    );
}

/// Runs the loop and polls the attempt, which must stay pending.
fn stays_pending(connecting: &mut Connecting) {
    for _ in 0..5 {
        assert!(connecting.now_or_never().is_none());
        settle();
    }
}

/// Returns a server that echoes data, and closes together with its only client.
fn echo(uri: &str) -> Server {
    let server = Server::bind(uri).unwrap();
    server.on("connection", move |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        conn.on("close", move |()| server.close());
    });
    server
}

fn exchange(connector: impl ConnectorInterface + 'static, uri: &str) {
    let server = echo(uri);
    let address = server.address().unwrap();
    let expected = address.clone();
    let answer = block_on(async move {
        let conn = connector.connect(address.as_str()).await.unwrap();
        assert_eq!(conn.remote_address().unwrap(), address);
        conn.write("hello");
        let answer = conn.next(Connection::DATA).await;
        conn.end();
        answer
    });
    assert_eq!(
        answer.unwrap().as_deref(),
        Some(&b"hello"[..]),
        "{expected}"
    );
    run().unwrap();
}

fn socket_path(name: &str) -> PathBuf {
    let name = format!("uptick-{}-{name}.sock", std::process::id());
    std::env::temp_dir().join(name)
}

fn error_of(connecting: Connecting) -> Error {
    block_on(connecting).unwrap().unwrap_err()
}

/// Returns a port on 127.0.0.1 without a listener.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A listening socket with a full backlog: the kernel drops further attempts, which stay pending.
struct Blackhole {
    address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl Blackhole {
    fn new() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    fn at(address: SocketAddr) -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..8 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            drop(socket.connect(&address));
            sockets.push(socket);
        }
        Blackhole {
            address: address.as_socket().unwrap(),
            _sockets: sockets,
        }
    }
}

/// An inner connector that never connects, and records the requested targets.
#[derive(Clone, Default)]
struct NeverConnects(Rc<RefCell<Vec<ConnectTarget>>>);

impl ConnectorInterface for NeverConnects {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        self.0.borrow_mut().push(target);
        Connecting::new(pending())
    }
}

fn localhost() -> Resolver {
    Resolver::new(|_| ready(Ok(vec![Ipv4Addr::LOCALHOST.into()])))
}
