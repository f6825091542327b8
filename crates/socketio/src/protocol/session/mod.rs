//! The server side of an Engine.IO session.
//!
//! A [`Session`] receives [inputs](Input) and the current time, and returns [actions](Action). It has no sockets and no clock. Packets leave it in the order in which
//! they were [sent](Session::send), each exactly once: in the response to a poll, or as frames of the WebSocket after an upgrade.
//!
//! Costs: an idle session owns no memory except itself. A packet that is sent over a WebSocket is not copied. With [`Session::is_direct`] and
//! [`Session::receive`], nothing is queued or allocated.
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
//! // The next poll is pending until there is something to send.
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
use self::queue::SendQueue;
use self::upgrade::PendingUpgrade;
use super::engine::{Packet, ParseError, Payload, encode_payload};
use super::packet::Encoded;

/// An Engine.IO session.
///
/// The owner passes each input to [`handle`](Session::handle), and then performs the actions that [`next_action`](Session::next_action) returns until it returns
/// `None`. While it performs them, it may send packets and close the session.
#[derive(Debug)]
pub struct Session {
    options: Arc<SessionOptions>,
    state: SessionState,
    transport: Transport,
    queue: SendQueue,
    /// `true` while a GET request is pending.
    poll: bool,
    post: PostState,
    /// The remaining packets of the POST request.
    incoming: Option<Box<Payload>>,
    /// `true` while there is a WebSocket: the transport, or a candidate for an upgrade.
    websocket: bool,
    /// `true` while the write queue of the WebSocket is full.
    blocked: bool,
    upgrade: Option<Box<PendingUpgrade>>,
    heartbeat: Heartbeat,
    /// Time at which a closing session is closed without waiting any longer.
    close_by: Option<Instant>,
    /// Time of the last input.
    now: Instant,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionState {
    Open,
    /// The server closes the session once the client has received all queued packets.
    Closing,
    Closed,
}

/// State of the POST request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PostState {
    None,
    /// The body is being received.
    Receiving,
    /// The packets of the body are being delivered.
    Delivering,
}

/// Error of sending: a packet was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session is closed or closing.
    #[error("sending a packet failed: the session is closed")]
    Closed,
    /// The queue is full.
    #[error(
        "sending a packet failed: the queue for the client is full ({packets} frames, {bytes} bytes)"
    )]
    Full {
        /// The number of queued frames.
        packets: usize,
        /// The size of the queued frames, in bytes.
        bytes: usize,
    },
}

impl Session {
    /// Opens a session, and queues its handshake.
    ///
    /// With polling, the GET request of the handshake is already pending, and is answered with the handshake. The id must be secret.
    pub fn open(
        options: Arc<SessionOptions>,
        id: &str,
        transport: Transport,
        now: Instant,
    ) -> Session {
        let mut queue = SendQueue::default();
        queue.push(options.open_packet(id, transport));
        let mut session = Session {
            heartbeat: Heartbeat::new(now, &options),
            options,
            state: SessionState::Open,
            transport,
            queue,
            poll: transport == Transport::Polling,
            post: PostState::None,
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

    /// Returns `true` if the session is open: it accepts packets, and delivers packets from the client.
    pub fn is_open(&self) -> bool {
        self.state == SessionState::Open
    }

    /// Returns `true` if the session is over.
    pub fn is_closed(&self) -> bool {
        self.state == SessionState::Closed
    }

    /// Returns `true` if a WebSocket that the client opens now is accepted as a candidate for an upgrade.
    pub fn can_upgrade(&self) -> bool {
        self.options.upgrades
            && self.state != SessionState::Closed
            && self.transport == Transport::Polling
            && self.upgrade.is_none()
    }

    /// Returns `true` if a packet that is sent now is written with the next flush. Otherwise, volatile packets are dropped.
    pub fn is_writable(&self) -> bool {
        self.is_open() && self.queue.is_empty() && self.transport_takes()
    }

    /// Returns the number of frames that are queued for the client, and their size in bytes.
    pub fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.queue.bytes())
    }

    /// Queues a packet: all of its frames, or none. It is written with the next [`Input::Flush`] if the transport is writable at that time.
    ///
    /// # Errors
    ///
    /// Returns [`SendError`] if the session is not open, or its queue is full.
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

    /// Returns `true` if a packet can be sent directly to the WebSocket, bypassing the queue: the session is open, and nothing is queued.
    pub fn is_direct(&self) -> bool {
        self.transport == Transport::WebSocket
            && self.state == SessionState::Open
            && self.websocket
            && !self.blocked
            && self.queue.is_empty()
    }

    /// Removes and returns the next frame for [`Action::SendFrames`].
    pub fn take_frame(&mut self) -> Option<Message> {
        self.queue.pop()
    }

    /// Handles a message from the WebSocket. A returned message must be delivered immediately. `None` means that there is nothing to deliver, or that
    /// [actions](Session::next_action) must be performed.
    ///
    /// It is a fast path for [`Input::WebSocketMessage`], which creates no action for an ordinary message.
    pub fn receive(&mut self, frame: Message, now: Instant) -> Option<Message> {
        let is_message = match &frame {
            Message::Text(text) => text.as_bytes().first() == Some(&b'4'),
            Message::Binary(_) => true,
        };
        let plain = is_message
            && self.websocket
            && self.state == SessionState::Open
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

    /// Closes the session once the client has received all queued packets. Messages from the client are no longer delivered.
    ///
    /// # Limits
    ///
    /// [`SessionOptions::close_timeout`].
    pub fn close(&mut self, now: Instant) {
        if self.state != SessionState::Open {
            return;
        }
        self.now = now;
        self.state = SessionState::Closing;
        self.close_by = Some(now + self.options.close_timeout);
        self.actions
            .retain(|action| !matches!(action, Action::Message(_)));
        match self.poll && self.queue.is_empty() {
            true => self.closed(CloseReason::ForcedClose),
            false => self.flush(),
        }
    }

    /// Closes the session without waiting for the client to receive queued packets.
    pub fn abort(&mut self) {
        self.abort_for(CloseReason::ForcedClose);
    }

    /// Closes the session like [`abort`](Session::abort), with another reason.
    pub fn abort_for(&mut self, reason: CloseReason) {
        self.actions
            .retain(|action| !matches!(action, Action::Message(_)));
        self.closed(reason);
    }

    /// Passes an input to the session. Inputs that do not fit its state are ignored.
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
            Input::PostBody(body) if self.post == PostState::Receiving => self.on_post_body(body),
            Input::PostFailed(failure) if self.post == PostState::Receiving => {
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
            Input::Deadline => self.on_time(),
            _ => {}
        }
    }

    /// Returns the next action. The packets of a POST request are decoded one at a time, as their actions are requested.
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
            match payload
                .next()
                .filter(|_| self.state != SessionState::Closed)
            {
                Some(packet) => self.on_packet(packet),
                None => {
                    self.incoming = None;
                    self.post = PostState::None;
                    self.actions.push_back(Action::RespondPost);
                }
            }
        }
    }

    /// Returns the time at which [`Input::Deadline`] is due; `None` if the session is over.
    pub fn deadline(&self) -> Option<Instant> {
        let heartbeat = match self.state {
            SessionState::Open => Some(self.heartbeat.deadline()),
            SessionState::Closing => self.heartbeat.pong_by(),
            SessionState::Closed => return None,
        };
        let upgrade = self.upgrade.as_deref().map(PendingUpgrade::deadline);
        [heartbeat, upgrade, self.close_by]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_time(&mut self) {
        if self.state == SessionState::Closed {
            return;
        }
        if self.close_by.is_some_and(|at| at <= self.now) {
            return self.closed(CloseReason::ForcedClose);
        }
        if self.heartbeat.pong_by().is_some_and(|at| at <= self.now) {
            return self.closed(CloseReason::PingTimeout);
        }
        self.on_upgrade_time();
        if self.state == SessionState::Open && self.heartbeat.deadline() <= self.now {
            self.heartbeat.ping(self.now, &self.options);
            self.queue.push(Packet::Ping(Text::new()).encode());
            self.flush();
        }
    }

    fn on_poll(&mut self) {
        if self.state == SessionState::Closed || self.transport != Transport::Polling {
            return self.actions.push_back(Action::RejectPoll);
        }
        if self.poll {
            self.actions.push_back(Action::RejectPoll);
            return self.closed(CloseReason::TransportError);
        }
        self.poll = true;
        if self.state == SessionState::Closing && self.queue.is_empty() {
            // The official server answers such a poll with both packets.
            self.queue.push(Packet::Noop.encode());
            return self.closed(CloseReason::ForcedClose);
        }
        self.flush();
    }

    /// Answers the pending poll.
    fn release_poll(&mut self) {
        if self.poll {
            if self.queue.is_empty() {
                self.queue.push(Packet::Noop.encode());
            }
            self.flush();
        }
    }

    fn on_post(&mut self) {
        if self.state == SessionState::Closed || self.transport != Transport::Polling {
            return self.actions.push_back(Action::RejectPost(400));
        }
        if self.post != PostState::None {
            self.actions.push_back(Action::RejectPost(400));
            return self.closed(CloseReason::TransportError);
        }
        self.post = PostState::Receiving;
    }

    fn on_post_body(&mut self, body: Bytes) {
        match Payload::new(body, self.options.max_payload) {
            Ok(payload) => {
                self.post = PostState::Delivering;
                self.incoming = Some(Box::new(payload));
            }
            Err(ParseError::TooLarge { .. }) => self.on_post_failed(PostFailure::TooLarge),
            Err(_) => self.fail(CloseReason::ParseError),
        }
    }

    fn on_post_failed(&mut self, failure: PostFailure) {
        self.post = PostState::None;
        let status = match failure {
            PostFailure::TooLarge => Some(413),
            PostFailure::InvalidContent => Some(400),
            PostFailure::TimedOut => Some(408),
            PostFailure::Aborted => None,
        };
        self.actions.extend(status.map(Action::RejectPost));
        self.closed(CloseReason::TransportError);
    }

    /// Handles a message from the WebSocket.
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

    /// Handles a packet from the transport.
    fn on_packet(&mut self, packet: Result<Packet, ParseError>) {
        if self.state == SessionState::Closing {
            // The client will not receive the queued packets.
            if packet == Ok(Packet::Close) {
                self.closed(CloseReason::ForcedClose);
            }
            return;
        }
        if self.state == SessionState::Closed {
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

    /// Returns `true` if the transport is writable.
    fn transport_takes(&self) -> bool {
        match self.transport {
            Transport::Polling => self.poll,
            Transport::WebSocket => self.websocket && !self.blocked,
        }
    }

    /// Writes queued frames if the transport is writable, and completes a graceful close.
    fn flush(&mut self) {
        if self.state == SessionState::Closed || !self.transport_takes() {
            return;
        }
        // With polling, the close packet waits for the next poll, because the official client handles it before the messages of the same payload.
        let last_poll = self.transport == Transport::Polling && !self.queue.is_empty();
        if self.state == SessionState::Closing && !last_poll {
            return self.closed(CloseReason::ForcedClose);
        }
        if !self.queue.is_empty() {
            self.write(None);
        }
    }

    /// Writes queued frames. In the response to a poll, `last` is appended.
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

    /// Closes the session because of an invalid packet from the client.
    fn fail(&mut self, reason: CloseReason) {
        if self.post != PostState::None {
            self.post = PostState::None;
            self.incoming = None;
            self.actions.push_back(Action::RejectPost(400));
        }
        self.closed(reason);
    }

    /// Ends the session. Queued frames are written if the transport is writable.
    fn closed(&mut self, reason: CloseReason) {
        if self.state == SessionState::Closed {
            return;
        }
        self.state = SessionState::Closed;
        if self.poll {
            // A client that closes the session itself does not need the close packet.
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
            PostState::None => {}
            PostState::Receiving => self.actions.push_back(Action::AbortPost),
            PostState::Delivering => self.actions.push_back(Action::RespondPost),
        }
        self.post = PostState::None;
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
