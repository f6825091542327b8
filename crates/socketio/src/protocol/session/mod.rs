//! A session of Engine.IO, as the server sees it.
//!
//! A [`Session`] gets [inputs](Input) and the time, and returns [actions](Action). It has no sockets and no clock. Packets leave it in the order in which they
//! were [sent](Session::send), each exactly once: in the response to a poll, or in frames of the WebSocket after an upgrade.
//!
//! Costs: an idle session owns no memory but itself. A packet that is sent over a WebSocket is not copied, and where [`Session::is_direct`] and
//! [`Session::receive`] apply, nothing is queued or allocated.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//! use uptick_socketio::protocol::packet::Encoder;
//! use uptick_socketio::protocol::session::{Action, Input, Session, SessionOptions, Transport};
//!
//! let now = Instant::now();
//! let mut session = Session::open(Arc::new(SessionOptions::new()), "lv_VI97HAXpY6yYWAAAC", Transport::Polling, now);
//! let Some(Action::RespondPoll(handshake)) = session.next_action() else { panic!("no handshake") };
//! assert!(handshake.starts_with(br#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"#));
//!
//! // The next poll waits until there is something to send.
//! session.handle(Input::Poll, now);
//! assert_eq!(session.next_action(), None);
//! session.send(&Encoder::event("/", None, "hello").unwrap().finish().unwrap()).unwrap();
//! session.handle(Input::Flush, now);
//! assert_eq!(session.next_action(), Some(Action::RespondPoll(r#"42["hello"]"#.into())));
//! ```

mod config;
mod event;
mod heartbeat;
mod queue;
mod upgrade;

pub use config::SessionOptions;
pub use event::{Action, CloseReason, Input, PostFailure, Transport};

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use uptick_websocket::{Message, Text};

use self::heartbeat::Heartbeat;
use self::queue::Queue;
use self::upgrade::Upgrade;
use super::engine::{Packet, ParseError, Payload, encode_payload};
use super::packet::Encoded;

/// A session of Engine.IO.
///
/// The owner passes each input to [`handle`](Session::handle), and then does what [`next_action`](Session::next_action) returns until that is `None`. Meanwhile,
/// it may send and close.
#[derive(Debug)]
pub struct Session {
    options: Arc<SessionOptions>,
    state: State,
    transport: Transport,
    queue: Queue,
    /// Whether a GET request waits.
    poll: bool,
    post: Post,
    /// The packets of the POST request that are left.
    incoming: Option<Box<Payload>>,
    /// Whether there is a WebSocket: the transport, or a candidate for it.
    websocket: bool,
    /// Whether the WebSocket takes no frames.
    blocked: bool,
    upgrade: Option<Box<Upgrade>>,
    heartbeat: Heartbeat,
    /// The time at which a session that is being closed is given up.
    close_by: Option<Instant>,
    /// The time of the last input.
    now: Instant,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The server closes the session as soon as what is queued has been taken.
    Closing,
    Closed,
}

/// The POST request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Post {
    None,
    /// Its body is being received.
    Receiving,
    /// Its packets are being delivered.
    Delivering,
}

/// A packet was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session is closed, or is being closed.
    #[error("sending a packet failed: the session is closed")]
    Closed,
    /// As many packets or bytes wait for the client as may.
    #[error("sending a packet failed: {packets} packets with {bytes} bytes wait for the client")]
    Full {
        /// The number of frames that wait.
        packets: usize,
        /// Their size.
        bytes: usize,
    },
}

impl Session {
    /// Opens a session, and queues its handshake.
    ///
    /// With polling, the GET request of the handshake waits already, and gets the handshake as its response. The id must be a secret.
    pub fn open(
        options: Arc<SessionOptions>,
        id: &str,
        transport: Transport,
        now: Instant,
    ) -> Session {
        let mut queue = Queue::default();
        queue.push(options.open_packet(id, transport));
        let mut session = Session {
            heartbeat: Heartbeat::new(now, &options),
            options,
            state: State::Open,
            transport,
            queue,
            poll: transport == Transport::Polling,
            post: Post::None,
            incoming: None,
            websocket: transport == Transport::WebSocket,
            blocked: false,
            upgrade: None,
            close_by: None,
            now,
            actions: VecDeque::new(),
        };
        session.flush();
        session
    }

    /// Returns the transport, which changes with [`Action::Upgraded`].
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns whether the session is open: it takes packets, and delivers those of the client.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Returns whether a WebSocket that the client opens now could be tried as the transport.
    pub fn can_upgrade(&self) -> bool {
        self.options.upgrades
            && self.state != State::Closed
            && self.transport == Transport::Polling
            && self.upgrade.is_none()
    }

    /// Returns whether a packet that is sent now would be written with the next flush. Volatile packets are dropped otherwise.
    pub fn is_writable(&self) -> bool {
        self.is_open() && self.queue.is_empty() && self.transport_takes()
    }

    /// Returns the number of frames that wait for the client, and their size in bytes.
    pub fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.queue.bytes())
    }

    /// Queues a packet, all of its frames or none. It is written with the next [`Input::Flush`] if the transport takes it then.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the session is not open, or its queue is full.
    ///
    /// # Limits
    ///
    /// [`SessionOptions::queue_packets`], [`SessionOptions::queue_bytes`].
    pub fn send(&mut self, packet: &Encoded) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        let (packets, bytes) = self.queued();
        if packets >= self.options.queue_packets || bytes >= self.options.queue_bytes {
            return Err(SendError::Full { packets, bytes });
        }
        packet.frames().for_each(|frame| self.queue.push(frame));
        Ok(())
    }

    /// Returns whether a packet could be sent to the WebSocket now, without the queue: the session is open, and nothing waits.
    pub fn is_direct(&self) -> bool {
        self.transport == Transport::WebSocket
            && self.state == State::Open
            && self.websocket
            && !self.blocked
            && self.queue.is_empty()
    }

    /// Takes the next frame for [`Action::SendFrames`].
    pub fn take_frame(&mut self) -> Option<Message> {
        self.queue.pop()
    }

    /// Receives a message of the WebSocket. The returned message has to be delivered at once; `None` if there is nothing to deliver, or
    /// [actions](Session::next_action) say what to do.
    ///
    /// It is a shorter way than [`Input::WebSocketMessage`] for the usual case: no action is made of a message.
    pub fn receive(&mut self, frame: Message, now: Instant) -> Option<Message> {
        let is_message = match &frame {
            Message::Text(text) => text.as_bytes().first() == Some(&b'4'),
            Message::Binary(_) => true,
        };
        let plain = is_message
            && self.websocket
            && self.state == State::Open
            && self.upgrade.is_none()
            && self.actions.is_empty()
            && frame.as_bytes().len() <= self.options.max_payload;
        if !plain {
            self.handle(Input::WebSocketMessage(frame), now);
            return None;
        }
        self.now = now;
        self.heartbeat.received(false, now, &self.options);
        Some(match frame {
            Message::Text(text) => Message::Text(text.slice(1..)),
            binary => binary,
        })
    }

    /// Closes the session when the client has taken what is queued. Messages of the client are not delivered any more.
    ///
    /// # Limits
    ///
    /// [`SessionOptions::close_timeout`].
    pub fn close(&mut self, now: Instant) {
        if self.state != State::Open {
            return;
        }
        self.now = now;
        self.state = State::Closing;
        self.close_by = Some(now + self.options.close_timeout);
        self.actions
            .retain(|action| !matches!(action, Action::Message(_)));
        match self.poll && self.queue.is_empty() {
            true => self.closed(CloseReason::ForcedClose),
            false => self.flush(),
        }
    }

    /// Closes the session without waiting for a client that does not take what is queued.
    pub fn abort(&mut self) {
        self.abort_for(CloseReason::ForcedClose);
    }

    /// Closes the session as [`abort`](Session::abort), with another reason.
    pub fn abort_for(&mut self, reason: CloseReason) {
        self.actions
            .retain(|action| !matches!(action, Action::Message(_)));
        self.closed(reason);
    }

    /// Passes an input to the session. Those that do not fit its state are ignored.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.now = now;
        match input {
            Input::Poll => self.on_poll(),
            Input::PollAborted if self.poll => {
                self.poll = false;
                self.closed(CloseReason::TransportError);
            }
            Input::PollReleased if self.poll => self.release_poll(),
            Input::PostStarted => self.on_post(),
            Input::PostBody(body) if self.post == Post::Receiving => self.on_post_body(body),
            Input::PostFailed(failure) if self.post == Post::Receiving => {
                self.on_post_failed(failure)
            }
            Input::WebSocketOpened => self.on_websocket(),
            Input::WebSocketMessage(frame) if self.websocket => self.on_frame(frame),
            Input::WebSocketClosed if self.websocket => {
                self.on_websocket_end(CloseReason::TransportClose)
            }
            Input::WebSocketFailed if self.websocket => {
                self.on_websocket_end(CloseReason::TransportError)
            }
            Input::WebSocketBlocked => self.blocked = true,
            Input::WebSocketDrained => {
                self.blocked = false;
                self.flush();
            }
            Input::Flush => self.flush(),
            Input::Time => self.on_time(),
            _ => {}
        }
    }

    /// Returns the next task. The packets of a POST request are decoded one by one meanwhile.
    pub fn next_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            let Some(payload) = &mut self.incoming else {
                self.queue.shrink();
                self.actions = VecDeque::new();
                return None;
            };
            match payload.next().filter(|_| self.state != State::Closed) {
                Some(packet) => self.on_packet(packet),
                None => {
                    self.incoming = None;
                    self.post = Post::None;
                    self.actions.push_back(Action::RespondPost);
                }
            }
        }
    }

    /// Returns the time at which [`Input::Time`] is due; `None` for a session that is over.
    pub fn deadline(&self) -> Option<Instant> {
        let heartbeat = match self.state {
            State::Open => Some(self.heartbeat.deadline()),
            State::Closing => self.heartbeat.pong_by(),
            State::Closed => return None,
        };
        let upgrade = self.upgrade.as_deref().map(Upgrade::deadline);
        [heartbeat, upgrade, self.close_by]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_time(&mut self) {
        if self.state == State::Closed {
            return;
        }
        if self.close_by.is_some_and(|at| at <= self.now) {
            return self.closed(CloseReason::ForcedClose);
        }
        if self.heartbeat.pong_by().is_some_and(|at| at <= self.now) {
            return self.closed(CloseReason::PingTimeout);
        }
        self.on_upgrade_time();
        if self.state == State::Open && self.heartbeat.deadline() <= self.now {
            self.heartbeat.ping(self.now, &self.options);
            self.queue.push(Packet::Ping(Text::new()).encode());
            self.flush();
        }
    }

    fn on_poll(&mut self) {
        if self.state == State::Closed || self.transport != Transport::Polling {
            return self.actions.push_back(Action::RejectPoll);
        }
        if self.poll {
            self.actions.push_back(Action::RejectPoll);
            return self.closed(CloseReason::TransportError);
        }
        self.poll = true;
        if self.state == State::Closing && self.queue.is_empty() {
            // The official server answers such a poll with both.
            self.queue.push(Packet::Noop.encode());
            return self.closed(CloseReason::ForcedClose);
        }
        self.flush();
    }

    /// Responds to the poll that waits.
    fn release_poll(&mut self) {
        if self.poll {
            if self.queue.is_empty() {
                self.queue.push(Packet::Noop.encode());
            }
            self.flush();
        }
    }

    fn on_post(&mut self) {
        if self.state == State::Closed || self.transport != Transport::Polling {
            return self.actions.push_back(Action::RejectPost(400));
        }
        if self.post != Post::None {
            self.actions.push_back(Action::RejectPost(400));
            return self.closed(CloseReason::TransportError);
        }
        self.post = Post::Receiving;
    }

    fn on_post_body(&mut self, body: Bytes) {
        match Payload::new(body, self.options.max_payload) {
            Ok(payload) => {
                self.post = Post::Delivering;
                self.incoming = Some(Box::new(payload));
            }
            Err(ParseError::TooLarge { .. }) => self.on_post_failed(PostFailure::TooLarge),
            Err(_) => self.fail(CloseReason::ParseError),
        }
    }

    fn on_post_failed(&mut self, failure: PostFailure) {
        self.post = Post::None;
        let status = match failure {
            PostFailure::TooLarge => Some(413),
            PostFailure::InvalidContent => Some(400),
            PostFailure::TimedOut => Some(408),
            PostFailure::Aborted => None,
        };
        self.actions.extend(status.map(Action::RejectPost));
        self.closed(CloseReason::TransportError);
    }

    /// A message of the WebSocket.
    fn on_frame(&mut self, frame: Message) {
        if self.upgrade.is_some() {
            return self.on_probe(frame);
        }
        if frame.as_bytes().len() > self.options.max_payload {
            self.websocket = false;
            self.actions.push_back(Action::CloseWebSocket(Some(1009)));
            return self.closed(CloseReason::TransportError);
        }
        self.on_packet(Packet::decode(frame));
    }

    fn on_websocket_end(&mut self, reason: CloseReason) {
        self.websocket = false;
        if self.upgrade.take().is_none() {
            self.closed(reason);
        }
    }

    /// A packet of the transport.
    fn on_packet(&mut self, packet: Result<Packet, ParseError>) {
        if self.state == State::Closing {
            // The client does not take what is queued any more.
            if packet == Ok(Packet::Close) {
                self.closed(CloseReason::ForcedClose);
            }
            return;
        }
        if self.state == State::Closed {
            return;
        }
        let Ok(packet) = packet else {
            return self.fail(CloseReason::ParseError);
        };
        let is_pong = matches!(packet, Packet::Pong(_));
        self.heartbeat.received(is_pong, self.now, &self.options);
        match packet {
            Packet::Message(message) => self.actions.push_back(Action::Message(message)),
            // Only servers send pings.
            Packet::Ping(_) => self.fail(CloseReason::TransportError),
            Packet::Close => self.closed(CloseReason::TransportClose),
            Packet::Pong(_) => self.actions.push_back(Action::Heartbeat),
            Packet::Open(_) | Packet::Upgrade | Packet::Noop => {}
        }
    }

    /// Whether the transport takes packets.
    fn transport_takes(&self) -> bool {
        match self.transport {
            Transport::Polling => self.poll,
            Transport::WebSocket => self.websocket && !self.blocked,
        }
    }

    /// Writes what is queued, if the transport takes it, and completes an orderly close.
    fn flush(&mut self) {
        if self.state == State::Closed || !self.transport_takes() {
            return;
        }
        // Over polling the close packet waits for the next poll: the official client handles it before the messages of the same payload.
        let last_poll = self.transport == Transport::Polling && !self.queue.is_empty();
        if self.state == State::Closing && !last_poll {
            return self.closed(CloseReason::ForcedClose);
        }
        if !self.queue.is_empty() {
            self.write(None);
        }
    }

    /// Writes what is queued, and one more frame in the response to a poll.
    fn write(&mut self, last: Option<&Message>) {
        match self.transport {
            Transport::Polling => {
                self.poll = false;
                let payload = encode_payload(self.queue.iter().chain(last));
                self.queue.clear();
                self.actions.push_back(Action::RespondPoll(payload));
            }
            Transport::WebSocket if self.actions.contains(&Action::SendFrames) => {}
            Transport::WebSocket => self.actions.push_back(Action::SendFrames),
        }
    }

    /// Closes the session because of what the client has sent.
    fn fail(&mut self, reason: CloseReason) {
        if self.post != Post::None {
            self.post = Post::None;
            self.incoming = None;
            self.actions.push_back(Action::RejectPost(400));
        }
        self.closed(reason);
    }

    /// Ends the session. What is queued is written if the transport takes it.
    fn closed(&mut self, reason: CloseReason) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        if self.poll {
            // A client that closes the session itself has no use for the packet.
            let last = match reason {
                CloseReason::TransportClose => Packet::Noop,
                _ => Packet::Close,
            };
            self.write(Some(&last.encode()));
        } else if self.transport == Transport::WebSocket
            && self.transport_takes()
            && !self.queue.is_empty()
        {
            self.write(None);
        }
        match self.post {
            Post::None => {}
            Post::Receiving => self.actions.push_back(Action::AbortPost),
            Post::Delivering => self.actions.push_back(Action::RespondPost),
        }
        self.post = Post::None;
        self.incoming = None;
        self.upgrade = None;
        if self.websocket {
            self.websocket = false;
            self.actions.push_back(Action::CloseWebSocket(None));
        }
        self.actions.push_back(Action::Closed(reason));
    }
}

#[cfg(test)]
mod tests;
