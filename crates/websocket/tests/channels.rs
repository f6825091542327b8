//! WebSockets over a channel that is not a connection. The test implements the client end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller};
use uptick_http::HttpServer;
use uptick_http::channel::{Channel, ChannelSession};
use uptick_socket::Error as SocketError;
use uptick_websocket::protocol::{Decoder, Event, Limits, Role, frame};
use uptick_websocket::{
    CloseCode, Closed, Error, Message, Sent, SlowPolicy, WebSocket, WebSocketOptions,
    WebSocketRoutes,
};

/// A client that records received bytes and events.
#[derive(Default)]
struct Client {
    received: RefCell<Vec<u8>>,
    events: RefCell<Vec<String>>,
}

impl ChannelSession<SocketError> for Client {
    fn data(&self, bytes: &mut BytesMut) {
        self.received.borrow_mut().extend_from_slice(bytes);
    }

    fn end(&self) {
        self.events.borrow_mut().push("end".into());
    }

    fn drain(&self) {
        self.events.borrow_mut().push("drain".into());
    }

    fn error(&self, error: &SocketError) {
        self.events.borrow_mut().push(format!("error: {error}"));
    }

    fn close(&self) {
        self.events.borrow_mut().push("close".into());
    }
}

impl Client {
    /// Decodes the received bytes into messages and other events.
    fn events(&self) -> Vec<Event> {
        let received = std::mem::take(&mut *self.received.borrow_mut());
        let mut decoder = Decoder::new(Role::Client);
        decoder.push(BytesMut::from(&received[..]));
        let limits = Limits::default();
        std::iter::from_fn(|| decoder.next(&limits, None)).collect()
    }

    fn log(&self) -> String {
        std::mem::take(&mut *self.events.borrow_mut()).join(", ")
    }
}

/// A WebSocket of a server, with a client that is a session of the test.
struct Pair {
    http: HttpServer,
    server: WebSocket,
    channel: Channel,
    client: Rc<Client>,
    closed: Rc<RefCell<Option<Closed>>>,
    errors: Rc<RefCell<Vec<Error>>>,
}

/// Opens a WebSocket over a channel in memory, on a loop with a scripted poller and a manual clock.
fn open(options: WebSocketOptions) -> (Pair, ManualClock) {
    let clock = ManualClock::new();
    EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let http = HttpServer::new();
    let opened = Rc::new(RefCell::new(None));
    let closed = Rc::new(RefCell::new(None));
    let errors = Rc::new(RefCell::new(Vec::new()));
    let slot = (Rc::clone(&opened), Rc::clone(&closed), Rc::clone(&errors));
    http.websocket_with("/", options, move |_: uptick_http::Request| {
        let (opened, closed, errors) = slot.clone();
        uptick_websocket::Accept::new(move |ws: WebSocket| {
            ws.on(WebSocket::CLOSE, move |how| closed.replace(Some(how)));
            ws.on(WebSocket::ERROR, move |error| {
                errors.borrow_mut().push(error)
            });
            opened.replace(Some(ws));
        })
    });
    let exchange = http
        .test()
        .get("/")
        .peer(std::net::SocketAddr::from(([192, 0, 2, 1], 5000)))
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13")
        .start()
        .unwrap();
    assert_eq!(exchange.status().unwrap(), 101);
    let channel = exchange.take_channel().unwrap();
    let client = Rc::<Client>::default();
    channel.set_session(Rc::clone(&client));
    let server = opened.take().unwrap();
    let pair = Pair {
        http,
        server,
        channel,
        client,
        closed,
        errors,
    };
    (pair, clock)
}

/// Runs the loop until there is no more immediate work.
fn settle() {
    for _ in 0..10 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Sends a masked frame.
fn send(channel: Channel, opcode: frame::Opcode, payload: &[u8]) {
    channel.write_with(|out| {
        frame::append(out, opcode, frame::Flags::FIN, Some([1, 2, 3, 4]), payload);
    });
}

/// Returns the messages; all events must be messages.
fn messages(events: Vec<Event>) -> Vec<Message> {
    let count = events.len();
    let messages = events.into_iter().filter_map(|event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    });
    let messages: Vec<_> = messages.collect();
    assert_eq!(messages.len(), count);
    messages
}

#[test]
fn messages_are_exchanged_without_a_connection() {
    let (pair, _) = open(WebSocketOptions::new());
    let ws = pair.server;
    ws.on("message", move |message: Message| ws.send(message));
    assert!(ws.connection().is_none() && ws.is_open());
    assert_eq!(ws.peer().unwrap().to_string(), "tcp://192.0.2.1:5000");
    assert!(ws.id().is_some() && ws.id() != pair.channel.id());
    send(pair.channel, frame::Opcode::Text, b"Hello!");
    send(pair.channel, frame::Opcode::Ping, b"?");
    settle();
    let events = pair.client.events();
    assert!(matches!(&events[0], Event::Message(message) if *message == Message::from("Hello!")));
    assert!(matches!(&events[1], Event::Pong(payload) if payload == "?"));
    assert_eq!(events.len(), 2);
}

#[test]
fn a_slow_client_blocks_the_sender_until_it_reads() {
    let (pair, _) = open(WebSocketOptions::new());
    let ws = pair.server;
    let drained = Rc::new(RefCell::new(0));
    let seen = Rc::clone(&drained);
    ws.on("drain", move |()| *seen.borrow_mut() += 1);
    pair.channel.pause();
    let message = |n: usize| Message::from(vec![n as u8; 10_000]);
    let sent: Vec<Sent> = (0..40).map(|n| ws.send(message(n))).collect();
    // 64 KiB are in the channel, 64 KiB in the write queue, and the rest in the frame queue.
    assert_eq!(sent.iter().filter(|sent| **sent == Sent::Sent).count(), 13);
    assert_eq!(*sent.last().unwrap(), Sent::Buffered);
    assert!(ws.buffered() > 300_000);
    settle();
    assert_eq!((pair.client.events().len(), *drained.borrow()), (0, 0));
    pair.channel.resume();
    for _ in 0..10 {
        settle();
    }
    let received = messages(pair.client.events());
    assert_eq!(received, (0..40).map(message).collect::<Vec<_>>());
    assert_eq!((*drained.borrow(), ws.buffered()), (1, 0));
    assert_eq!(ws.send("more"), Sent::Sent);
}

#[test]
fn the_slow_client_policy_applies() {
    let options = WebSocketOptions::new()
        .max_buffered(100_000)
        .slow_policy(SlowPolicy::Drop);
    let (pair, _) = open(options);
    pair.channel.pause();
    let sent: Vec<Sent> = (0..30).map(|_| pair.server.send(vec![0; 10_000])).collect();
    assert!(sent.contains(&Sent::Dropped) && pair.server.dropped() > 0);
    assert!(pair.server.buffered() <= 100_000);
}

#[test]
fn after_the_closing_handshake_both_ends_are_closed() {
    let (pair, _) = open(WebSocketOptions::new());
    pair.server.send("last");
    pair.server.close(CloseCode::GOING_AWAY, "bye");
    settle();
    let events = pair.client.events();
    let [Event::Message(_), Event::Close(Some(close))] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((close.code, &*close.reason), (CloseCode::GOING_AWAY, "bye"));
    assert!(pair.closed.borrow().is_none());
    send(pair.channel, frame::Opcode::Close, &1001_u16.to_be_bytes());
    settle();
    let closed = pair.closed.take().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::GOING_AWAY, true));
    assert_eq!(pair.client.log(), "end, close");
    assert!(!pair.channel.is_open() && pair.server.peer().is_none());
    // The loop has no work left.
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn a_reset_of_the_channel_is_an_error_and_code_1006() {
    let (pair, _) = open(WebSocketOptions::new());
    pair.channel.reset();
    assert_eq!(pair.client.log(), "close");
    settle();
    let closed = pair.closed.take().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::ABNORMAL, false));
    let errors = pair.errors.take();
    let [Error::Connection(error)] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(error.errno_name(), Some("ECONNRESET"));
    assert!(!pair.server.is_open() && !EventLoop::current().is_alive());
}

fn check_abnormal(end: fn(Channel)) {
    let (pair, _) = open(WebSocketOptions::new());
    send(pair.channel, frame::Opcode::Text, b"unread");
    end(pair.channel);
    settle();
    let closed = pair.closed.take().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::ABNORMAL, false));
    assert!(pair.errors.borrow().is_empty());
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn an_end_without_a_close_frame_has_code_1006() {
    check_abnormal(Channel::end);
}

#[test]
fn a_closed_channel_without_a_close_frame_has_code_1006() {
    check_abnormal(Channel::close);
}

#[test]
fn a_terminated_websocket_ends_the_channel() {
    let (pair, _) = open(WebSocketOptions::new());
    pair.server.terminate();
    assert_eq!(pair.closed.take().unwrap().code, CloseCode::ABNORMAL);
    settle();
    assert_eq!(pair.client.log(), "end, close");
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn a_client_that_reads_nothing_for_30_s_times_out() {
    let (pair, clock) = open(WebSocketOptions::new());
    pair.channel.pause();
    while pair.server.send(vec![0; 10_000]) == Sent::Sent {}
    clock.advance(Duration::from_secs(29));
    settle();
    assert!(pair.closed.borrow().is_none());
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(pair.closed.take().unwrap().code, CloseCode::ABNORMAL);
    let error = pair.errors.borrow()[0].to_string();
    assert_eq!(
        error,
        "writing to tcp://192.0.2.1:5000 timed out after 30s (ETIMEDOUT)"
    );
}

#[test]
fn a_client_that_does_not_end_its_half_is_reset_after_a_second() {
    let (pair, clock) = open(WebSocketOptions::new());
    pair.channel.pause();
    send(pair.channel, frame::Opcode::Close, &1000_u16.to_be_bytes());
    settle();
    // The server has responded and ended its half, and the paused client has not read it.
    assert!(pair.closed.take().unwrap().clean);
    assert_eq!(pair.client.log(), "");
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(
        pair.client.log(),
        "error: reading from unix:(unnamed) failed: Connection reset by peer (ECONNRESET), close"
    );
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn a_panic_of_a_listener_fails_the_channel() {
    let (pair, _) = open(WebSocketOptions::new());
    pair.server.on("message", |_: Message| panic!("oh"));
    send(pair.channel, frame::Opcode::Text, b"?");
    settle();
    assert_eq!(pair.closed.take().unwrap().code, CloseCode::ABNORMAL);
    let error = pair.errors.borrow()[0].to_string();
    assert_eq!(
        error,
        "a callback of the connection with tcp://192.0.2.1:5000 panicked: oh"
    );
}

#[test]
fn a_shutdown_of_the_server_closes_with_1001() {
    let (pair, _) = open(WebSocketOptions::new());
    drop(pair.http.shutdown(Duration::from_secs(10)));
    settle();
    let events = pair.client.events();
    assert!(
        matches!(&events[..], [Event::Close(Some(close))] if close.code == CloseCode::GOING_AWAY),
        "{events:?}"
    );
}

#[test]
fn published_messages_reach_channels() {
    let (pair, _) = open(WebSocketOptions::new());
    pair.server.subscribe("news");
    assert_eq!(pair.http.publish("news", "first"), 1);
    settle();
    assert_eq!(messages(pair.client.events()), [Message::from("first")]);
}
