//! A model of a session, a well-behaved client and the network between them. The tests and the fuzzer choose the next step.
//!
//! For any choice, each peer receives the packets of the other in order and without duplicates, and all of them if the session stays open or the server closes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uptick_socketio::protocol::engine::{Packet, Payload, encode_payload};
use uptick_socketio::protocol::packet::{Body, Decoder, Encoder, Limits};
use uptick_socketio::protocol::session::{
    Action, CloseReason, Input, Session, SessionOptions, Transport,
};
use uptick_websocket::{Message, Text};

/// The state of the GET request.
#[derive(PartialEq)]
enum Poll {
    None,
    Request,
    Waiting,
    Response(Bytes),
}

/// The state of the POST request.
#[derive(PartialEq)]
enum Post {
    None,
    Head(Bytes),
    Body(Bytes),
    Waiting,
    Response,
}

/// The transport of the client.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Polling,
    /// The client has sent its probe.
    Probing,
    /// The client waits for its requests to complete before it completes the upgrade.
    Pausing,
    WebSocket,
}

struct Scene {
    session: Session,
    start: Instant,
    now: Instant,
    poll: Poll,
    post: Post,
    /// Frames of the open WebSocket to the server and to the client.
    up: VecDeque<Input>,
    down: VecDeque<Message>,
    websocket: bool,
    blocked: bool,
    mode: Mode,
    /// Packets that the client has not sent yet.
    outgoing: VecDeque<Message>,
    client_sent: u64,
    server_sent: u64,
    client_got: Vec<u64>,
    server_got: Vec<u64>,
    decoder: Decoder,
    client_closed: bool,
    closed: Option<CloseReason>,
    timed_out: bool,
}

impl Scene {
    fn new(transport: Transport) -> Scene {
        let now = Instant::now();
        let websocket = transport == Transport::WebSocket;
        let mut scene = Scene {
            session: Session::open(Arc::new(SessionOptions::new()), "id", transport, now),
            start: now,
            now,
            poll: if websocket { Poll::None } else { Poll::Waiting },
            post: Post::None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            websocket,
            blocked: false,
            mode: if websocket {
                Mode::WebSocket
            } else {
                Mode::Polling
            },
            outgoing: VecDeque::new(),
            client_sent: 0,
            server_sent: 0,
            client_got: Vec::new(),
            server_got: Vec::new(),
            decoder: Decoder::new(),
            client_closed: false,
            closed: None,
            timed_out: false,
        };
        scene.act();
        scene
    }

    fn handle(&mut self, input: Input) {
        self.session.handle(input, self.now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.session.next_action() {
            if self.closed.is_some() {
                // The client opens a WebSocket before it knows that the session is over.
                assert_eq!(action, Action::RejectWebSocket);
                self.websocket = false;
                continue;
            }
            match action {
                Action::Message(message) => {
                    self.server_got
                        .push(message.as_text().unwrap().parse().unwrap());
                }
                Action::RespondPoll(body) => {
                    assert!(self.poll == Poll::Waiting);
                    self.poll = Poll::Response(body);
                }
                Action::RespondPost => {
                    assert!(self.post == Post::Waiting);
                    self.post = Post::Response;
                }
                Action::AbortPost => self.post = Post::None,
                Action::SendFrame(frame) => self.down.push_back(frame),
                Action::SendFrames => {
                    assert!(!self.blocked, "frames were sent to a blocked WebSocket");
                    self.down
                        .extend(std::iter::from_fn(|| self.session.take_frame()));
                }
                Action::CloseWebSocket(_) => self.websocket = false,
                Action::Upgraded | Action::Heartbeat => {}
                Action::Closed(reason) => self.closed = Some(reason),
                other => panic!("unexpected action {other:?}"),
            }
        }
        self.client();
    }

    /// Performs the automatic actions of the client.
    fn client(&mut self) {
        if self.client_closed {
            return;
        }
        if self.mode == Mode::Pausing
            && self.poll == Poll::None
            && self.post == Post::None
            && self.websocket
        {
            self.mode = Mode::WebSocket;
            self.up
                .push_back(Input::WebSocketMessage(Packet::Upgrade.encode()));
        }
        match self.mode {
            Mode::Polling | Mode::Probing => {
                if self.poll == Poll::None {
                    self.poll = Poll::Request;
                }
                if self.post == Post::None && !self.outgoing.is_empty() {
                    self.post = Post::Head(encode_payload(&self.outgoing));
                    self.outgoing.clear();
                }
            }
            Mode::Pausing => {}
            Mode::WebSocket => self
                .up
                .extend(self.outgoing.drain(..).map(Input::WebSocketMessage)),
        }
    }

    /// Handles a packet at the client.
    fn receive(&mut self, packet: Packet) {
        match packet {
            Packet::Ping(_) => self.outgoing.push_back(Packet::Pong(Text::new()).encode()),
            Packet::Pong(text) if text == "probe" => {
                assert!(self.mode == Mode::Probing);
                self.mode = Mode::Pausing;
            }
            Packet::Message(message) => {
                if let Some(packet) = self.decoder.push(message, &Limits::default()).unwrap() {
                    let Body::Event {
                        name: Some(name),
                        arguments,
                    } = packet.body
                    else {
                        panic!()
                    };
                    let number = name.parse().unwrap();
                    let binary = arguments.binary(0).map(|bytes| bytes.len() as u64);
                    assert_eq!(binary, (number % 3 == 0).then_some(number % 50));
                    self.client_got.push(number);
                }
            }
            Packet::Close => self.client_closed = true,
            Packet::Open(_) | Packet::Noop => {}
            other => panic!("unexpected packet {other:?}"),
        }
    }

    /// Performs one step. Returns `false` if it is not possible in the current state.
    fn step(&mut self, choice: u8) -> bool {
        match choice % 16 {
            0 | 1 => self.send(choice),
            2 | 3 => self.handle(Input::Flush),
            4 => {
                self.outgoing.push_back(
                    Packet::Message(Message::Text(self.client_sent.to_string().into())).encode(),
                );
                self.client_sent += 1;
                self.client();
            }
            5 if self.poll == Poll::Request && self.closed.is_none() => {
                self.poll = Poll::Waiting;
                self.handle(Input::Poll);
            }
            6 if matches!(self.poll, Poll::Response(_)) => {
                if let Poll::Response(body) = std::mem::replace(&mut self.poll, Poll::None) {
                    for packet in Payload::new(body, usize::MAX).unwrap() {
                        self.receive(packet.unwrap());
                    }
                }
                self.client();
            }
            7 | 8 => return self.step_post(),
            9 | 10 if !self.up.is_empty() && self.websocket => {
                let input = self.up.pop_front().unwrap();
                self.handle(input);
            }
            11 | 12 if !self.down.is_empty() => {
                let frame = self.down.pop_front().unwrap();
                self.receive(Packet::decode(frame).unwrap());
                self.client();
            }
            13 if self.mode == Mode::Polling
                && self.closed.is_none()
                && self.session.can_upgrade() =>
            {
                self.mode = Mode::Probing;
                self.websocket = true;
                self.blocked = false;
                self.down.clear();
                self.up = [
                    Input::WebSocketOpened,
                    Input::WebSocketMessage("2probe".into()),
                ]
                .into();
            }
            14 => match choice / 16 {
                0 => self.session.close(self.now),
                1..6 => {
                    self.now += Duration::from_millis(u64::from(choice));
                    // An upgrade is abandoned after 10 s.
                    self.timed_out |= self.now - self.start > Duration::from_secs(9);
                    self.handle(Input::Deadline);
                }
                6..12 => {
                    self.timed_out = true;
                    self.now = self.session.deadline().unwrap_or(self.now);
                    self.handle(Input::Deadline);
                }
                _ if self.session.transport() == Transport::WebSocket => {
                    self.blocked = !self.blocked;
                    self.handle(if self.blocked {
                        Input::WebSocketBlocked
                    } else {
                        Input::WebSocketDrained
                    });
                }
                _ => return false,
            },
            // The WebSocket of a probe is lost, or its close arrives at the client.
            15 if matches!(self.mode, Mode::Probing | Mode::Pausing)
                && (choice > 128 || !self.websocket) =>
            {
                let open = std::mem::replace(&mut self.websocket, false);
                let opened = !self.up.contains(&Input::WebSocketOpened);
                self.mode = Mode::Polling;
                self.up.clear();
                self.down.clear();
                if open && opened {
                    self.handle(Input::WebSocketClosed);
                }
                self.client();
            }
            _ => return false,
        }
        self.act();
        true
    }

    fn send(&mut self, choice: u8) {
        for _ in 0..=choice / 64 {
            let number = self.server_sent;
            let mut encoder = Encoder::event("/", None, &number.to_string()).unwrap();
            if number.is_multiple_of(3) {
                encoder.binary(Bytes::from(vec![0x1e; (number % 50) as usize]));
            }
            if self.session.send(&encoder.finish().unwrap()).is_ok() {
                self.server_sent += 1;
            }
        }
    }

    fn step_post(&mut self) -> bool {
        match std::mem::replace(&mut self.post, Post::None) {
            Post::Head(body) if self.closed.is_none() => {
                self.post = Post::Body(body);
                self.handle(Input::PostStarted);
            }
            Post::Body(body) if self.closed.is_none() => {
                self.post = Post::Waiting;
                self.handle(Input::PostBody(body));
            }
            Post::Response => self.client(),
            other => {
                self.post = other;
                return false;
            }
        }
        true
    }

    /// Delivers everything in transit, and checks that nothing is lost.
    fn finish(mut self) {
        if self.blocked && self.closed.is_none() {
            self.blocked = false;
            self.handle(Input::WebSocketDrained);
        }
        self.handle(Input::Flush);
        // All steps except new packets, time, new upgrades and lost connections.
        let deliver = |scene: &mut Scene| {
            while [5, 6, 7, 9, 11]
                .into_iter()
                .any(|choice| scene.step(choice))
            {}
        };
        deliver(&mut self);
        if self.mode == Mode::Pausing && self.closed.is_none() {
            // The client sent another poll, which is released after a while.
            self.now += Duration::from_millis(100);
            self.handle(Input::Deadline);
            deliver(&mut self);
        }
        let complete = |got: &[u64], sent: u64| got.iter().copied().eq(0..sent);
        let prefix = |got: &[u64]| complete(got, got.len() as u64);
        assert!(prefix(&self.client_got), "{:?}", self.client_got);
        assert!(prefix(&self.server_got), "{:?}", self.server_got);
        match self.closed {
            None if !self.timed_out => {
                assert!(
                    complete(&self.client_got, self.server_sent),
                    "{:?} of {}",
                    self.client_got,
                    self.server_sent
                );
                assert!(
                    complete(&self.server_got, self.client_sent),
                    "{:?} of {}",
                    self.server_got,
                    self.client_sent
                );
            }
            Some(CloseReason::ForcedClose) if !self.timed_out => {
                assert!(
                    complete(&self.client_got, self.server_sent),
                    "{:?} of {}",
                    self.client_got,
                    self.server_sent
                );
            }
            Some(reason) => assert!(self.timed_out, "{reason}"),
            None => {}
        }
    }
}

/// Checks a session with a well-behaved client that performs the steps in `choices`.
pub(crate) fn check(choices: &[u8]) {
    let transport = match choices.first() {
        Some(255) => Transport::WebSocket,
        _ => Transport::Polling,
    };
    let mut scene = Scene::new(transport);
    for &choice in choices {
        scene.step(choice);
    }
    scene.finish();
}

/// Checks a session with arbitrary inputs, including inputs that a well-behaved client never causes.
pub(crate) fn check_any(choices: &[u8]) {
    let now = Instant::now();
    let transport = if choices.len().is_multiple_of(2) {
        Transport::Polling
    } else {
        Transport::WebSocket
    };
    let mut session = Session::open(Arc::new(SessionOptions::new()), "id", transport, now);
    let frames = ["", "1", "2", "2probe", "3", "4a", "5", "6", "x"];
    let (mut polls, mut closed) = (1, false);
    for &choice in choices {
        let text = frames[usize::from(choice / 16) % frames.len()];
        let now = now + Duration::from_millis(u64::from(choice) * 50);
        let mut rejects = 0;
        let input = match choice % 16 {
            0 => Input::Poll,
            1 => Input::PollAborted,
            2 | 3 => Input::PostStarted,
            4 => Input::PostBody(Bytes::from_static(text.as_bytes())),
            5 => Input::PostFailed(uptick_socketio::protocol::session::PostFailure::TooLarge),
            6 => Input::WebSocketOpened,
            7..=9 => Input::WebSocketMessage(text.into()),
            10 => Input::WebSocketClosed,
            11 => Input::WebSocketFailed,
            12 => Input::WebSocketBlocked,
            13 => Input::WebSocketDrained,
            14 => Input::Deadline,
            _ => {
                let packet = Encoder::event("/", None, "x").unwrap().finish().unwrap();
                let _ = session.send(&packet);
                if choice > 230 {
                    session.close(now);
                }
                Input::Flush
            }
        };
        if input == Input::Poll {
            polls += 1;
        }
        session.handle(input, now);
        while let Some(action) = session.next_action() {
            match action {
                Action::RejectPoll | Action::RejectPost(_) | Action::RejectWebSocket => {
                    rejects += 1
                }
                _ => assert!(!closed, "{action:?} after the end"),
            }
            match action {
                Action::RespondPoll(_) | Action::RejectPoll => polls -= 1,
                Action::SendFrames => while session.take_frame().is_some() {},
                Action::Closed(_) => closed = true,
                _ => {}
            }
        }
        assert!(polls >= 0 && rejects <= 1);
        assert_eq!(closed, session.is_closed());
        assert_eq!(closed, session.deadline().is_none());
    }
}
