//! Upgrades to a protocol on a channel, over connections and in memory.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller, block_on};
use uptick_http::channel::{Channel, ChannelSession};
use uptick_http::{HttpServer, Request, Response};
use uptick_socket::{Connection, ConnectorInterface, Error};

/// A session that echoes received text in upper case, logs its events, and ends after `.`.
struct UpperCaseEcho {
    channel: Channel,
    events: Rc<RefCell<Vec<&'static str>>>,
}

impl ChannelSession<Error> for UpperCaseEcho {
    fn data(&self, bytes: &mut BytesMut) {
        bytes.make_ascii_uppercase();
        let last = bytes.ends_with(b".");
        self.channel.write(bytes.split());
        if last {
            self.channel.end();
        }
    }

    fn end(&self) {
        self.events.borrow_mut().push("end");
    }

    fn drain(&self) {
        self.events.borrow_mut().push("drain");
    }

    fn close(&self) {
        assert!(self.channel.is_open());
        self.events.borrow_mut().push("close");
    }
}

/// A session that collects received bytes.
#[derive(Default)]
struct Client {
    received: RefCell<Vec<u8>>,
}

impl ChannelSession<Error> for Client {
    fn data(&self, bytes: &mut BytesMut) {
        self.received.borrow_mut().extend_from_slice(bytes);
    }

    fn end(&self) {}

    fn close(&self) {}
}

type Events = Rc<RefCell<Vec<&'static str>>>;

fn server() -> (HttpServer, Events) {
    let http = HttpServer::new();
    let events = Events::default();
    let seen = Rc::clone(&events);
    http.get("/", move |_: Request| {
        let events = Rc::clone(&seen);
        Response::upgrade_channel("upper", move |channel: Channel| {
            channel.set_session(Rc::new(UpperCaseEcho { channel, events }));
        })
    });
    (http, events)
}

fn settle() {
    for _ in 0..20 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Returns the client's end of an upgrade in memory.
fn in_memory(http: HttpServer) -> Channel {
    let request = http.test().get("/").header("connection", "upgrade");
    let exchange = request.header("upgrade", "upper").start().unwrap();
    assert_eq!(exchange.status().unwrap(), 101);
    assert_eq!(exchange.headers().unwrap()["upgrade"], "upper");
    exchange.take_channel().unwrap()
}

/// Returns the client's end of an upgrade over a connection, which has sent no bytes after its request.
fn connected(http: HttpServer) -> Channel {
    let target = "tcp://127.0.0.1:1".parse().unwrap();
    let connecting = http.test().connector().connect_target(target);
    let conn: Connection = block_on(connecting).unwrap().unwrap();
    conn.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: upper\r\n\r\n");
    let channel = Channel::from(conn);
    let client = Rc::<Client>::default();
    channel.set_session(Rc::clone(&client));
    settle();
    let head = client.received.take();
    assert!(head.starts_with(b"HTTP/1.1 101 ") && head.ends_with(b"\r\n\r\n"));
    channel
}

fn check(open: fn(HttpServer) -> Channel) {
    let (http, events) = server();
    let channel = open(http);
    let client = Rc::<Client>::default();
    channel.set_session(Rc::clone(&client));
    assert!(channel.id().is_some() && Channel::all().len() == 2);
    channel.write("one, ");
    channel.write_with(|out| out.extend_from_slice(b"two, "));
    settle();
    assert_eq!(client.received.take(), b"ONE, TWO, ");

    // While the channel is paused, no bytes are delivered. Afterwards they are in order.
    channel.pause();
    channel.write("three, ");
    settle();
    assert!(client.received.borrow().is_empty());
    channel.unshift("zero, ", false);
    channel.resume();
    settle();
    assert_eq!(client.received.take(), b"zero, THREE, ");

    assert!(channel.session::<Client>().is_some() && channel.session::<UpperCaseEcho>().is_none());
    assert_eq!(
        channel.write_for(|_: &Client| false, |out| out.push(b'!')),
        None
    );
    assert!(
        channel
            .write_for(|_: &Client| true, |out| out.push(b'.'))
            .is_some()
    );
    settle();
    assert_eq!(client.received.take(), b".");
    assert_eq!(*events.borrow(), ["close"]);
    assert!(!channel.is_open() && channel.id().is_none() && Channel::all().is_empty());
    // A stale handle does nothing.
    assert!(!channel.write("x") && channel.write_with(|_| ()).is_none());
    channel.end();
    channel.close();
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn a_protocol_is_served_over_a_connection() {
    check(connected);
}

#[test]
fn a_protocol_is_served_in_memory() {
    check(in_memory);
}

fn check_backpressure(open: fn(HttpServer) -> Channel) {
    let (http, events) = server();
    let channel = open(http);
    let client = Rc::<Client>::default();
    channel.set_session(Rc::clone(&client));
    let mut all = Channel::all().into_iter();
    let server = all.find(|other| *other != channel).unwrap();
    channel.pause();
    let mut written = 0;
    while server.write(vec![b'x'; 10_000]) {
        written += 10_000;
        settle();
    }
    written += 10_000;
    assert!(server.is_sending() && server.buffered() >= 64 * 1024);
    assert!(server.acknowledged() <= server.bytes_written());
    assert_eq!(*events.borrow(), Vec::<&str>::new());
    channel.resume();
    for _ in 0..100 {
        settle();
    }
    assert_eq!(*events.borrow(), ["drain"]);
    assert_eq!(client.received.borrow().len(), written);
    assert!(!server.is_sending());
}

#[test]
fn a_full_connection_drains() {
    check_backpressure(connected);
}

#[test]
fn a_full_channel_in_memory_drains() {
    check_backpressure(in_memory);
}

#[test]
fn a_write_above_the_hard_limit_fails_the_channel() {
    let (http, events) = server();
    let channel = in_memory(http);
    let server = Channel::all().into_iter().find(|other| *other != channel);
    let server = server.unwrap();
    server.set_write_limits(1000, 100_000);
    assert!(!server.write(vec![0; 200_000]));
    assert!(server.write_with(|_| ()).is_none());
    settle();
    assert_eq!(*events.borrow(), ["close"]);
}

#[test]
fn a_channel_with_a_stalled_peer_fails_although_more_is_written() {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    let (http, events) = server();
    let channel = in_memory(http);
    let server = Channel::all().into_iter().find(|other| *other != channel);
    let server = server.unwrap();
    while server.write(vec![b'x'; 10_000]) {}
    for _ in 0..31 {
        clock.advance(Duration::from_secs(1));
        server.write("x");
        settle();
    }
    assert_eq!(*events.borrow(), ["close"]);
}

#[test]
fn a_channel_that_the_test_does_not_take_is_closed() {
    let (http, events) = server();
    let request = http.test().get("/").header("connection", "upgrade");
    let response = request.header("upgrade", "upper").send().unwrap();
    assert_eq!(response.status(), 101);
    settle();
    assert_eq!(*events.borrow(), ["end", "close"]);
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn a_callback_that_needs_a_connection_is_not_called_in_memory() {
    let http = HttpServer::new();
    http.get("/", |_: Request| {
        Response::upgrade("upper", |_: Connection| panic!("there is none"))
    });
    let request = http.test().get("/").header("connection", "upgrade");
    let exchange = request.header("upgrade", "upper").start().unwrap();
    assert_eq!(exchange.status().unwrap(), 101);
    assert!(exchange.take_channel().is_none());
}
