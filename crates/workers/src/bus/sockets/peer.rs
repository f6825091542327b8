//! The connection to another process, and the handling of its frames.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use uptick_event_loop::driver;
use uptick_socket::engine::{Engine, Session, Visit};
use uptick_socket::{Connection, Error};

use crate::bus::frame::{self, Frame, FrameDecoder, FrameError, VERSION};
use crate::bus::transport::BusSink;

/// The number of bytes above the queue limit from which announcements are withheld: 1 MiB.
const ANNOUNCEMENT_ALLOWANCE: usize = 1024 * 1024;

/// The maximum time in which a detached transport sends its queued frames.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The transport that owns a peer. The peer calls these methods while it borrows nothing of the
/// transport.
pub(super) trait PeerOwner {
    /// Returns the sink of the bus.
    fn sink(&self) -> Option<BusSink>;

    /// Returns the topics that the bus has announced.
    fn topics(&self) -> Ref<'_, HashSet<Rc<str>>>;

    /// Records that a peer has subscribed to a topic.
    fn subscribe(&self, peer: &Peer, topic: &str);

    /// Records that a peer has unsubscribed from a topic.
    fn unsubscribe(&self, peer: &Peer, topic: &str);

    /// Removes all topics of a peer.
    fn forget(&self, peer: &Peer);

    /// Reports that the initial topics of a peer are known.
    fn connected(&self, peer: &Peer);

    /// Removes a peer whose connection has closed.
    fn lost(&self, peer: &Peer);
}

/// A connected process.
pub(super) struct Peer {
    pub(super) id: u64,
    pub(super) conn: Connection,
    /// The number of topics that the peer has announced.
    pub(super) topics: Cell<usize>,
    transport: Weak<dyn PeerOwner>,
    decoder: RefCell<FrameDecoder>,
    handshake: Cell<HandshakeState>,
    /// Set while announcements are withheld.
    announcements_withheld: Cell<bool>,
    /// `true` once the connection is ending or closed. The loop waits for the connection only while it
    /// is ending.
    is_closing: Cell<bool>,
}

/// The state of the handshake with the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HandshakeState {
    Silent,
    Greeted,
    Ready,
}

/// A reason to disconnect a peer.
#[derive(Debug, thiserror::Error)]
enum ProtocolViolation {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it uses version {0} of the bus protocol, this process uses version {VERSION}")]
    Version(u8),
    #[error("it sent a frame out of order")]
    Order,
}

impl Peer {
    pub(super) fn new(id: u64, conn: Connection, transport: Weak<dyn PeerOwner>) -> Self {
        Peer {
            id,
            conn,
            topics: Cell::new(0),
            transport,
            decoder: RefCell::default(),
            handshake: Cell::new(HandshakeState::Silent),
            announcements_withheld: Cell::new(false),
            is_closing: Cell::new(false),
        }
    }

    /// Returns whether the peer has announced its initial topics.
    pub(super) fn is_ready(&self) -> bool {
        self.handshake.get() == HandshakeState::Ready
    }

    /// Sends the hello frame and all topics that have subscribers.
    pub(super) fn send_hello(&self, topics: &HashSet<Rc<str>>) {
        self.conn.write_with(|out| {
            frame::append(out, &Frame::Hello(VERSION));
            append_topics(out, topics);
            frame::append(out, &Frame::Ready);
        });
    }

    /// Writes an announcement, or withholds it if the queue is too long.
    pub(super) fn announce(&self, announcement: &Frame<'_>, limit: usize) {
        if self.announcements_withheld.get() {
            return;
        }
        if self.conn.buffered() > limit.saturating_add(ANNOUNCEMENT_ALLOWANCE) {
            return self.announcements_withheld.set(true);
        }
        self.conn.write_with(|out| frame::append(out, announcement));
    }

    /// Sends the queued frames and ends the connection.
    pub(super) fn leave(&self) {
        self.finish();
        self.conn.set_write_timeout(Some(LEAVE_TIMEOUT));
        self.conn.end();
    }

    /// Marks the connection as closed, and stops keeping the loop alive for it.
    fn finish(&self) {
        if !self.is_closing.replace(true) {
            driver::hold();
        }
    }

    /// Closes the connection, unless it is ending.
    pub(super) fn abandon(&self) {
        if !self.is_closing.get() {
            self.conn.close();
        }
    }

    /// Handles the complete frames.
    fn handle_frames(
        &self,
        owner: &dyn PeerOwner,
        decoder: &mut FrameDecoder,
    ) -> Result<(), ProtocolViolation> {
        while let Some(frame) = decoder.next()? {
            if let Frame::Message { topic, payload } = frame {
                if self.handshake.get() == HandshakeState::Silent {
                    return Err(ProtocolViolation::Order);
                }
                if let Some(sink) = owner.sink() {
                    sink.deliver(topic, payload);
                }
            } else {
                self.handle(owner, frame)?;
            }
            // The callee may have removed the peer.
            if self.is_closing.get() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Handles a frame other than a message.
    fn handle(&self, owner: &dyn PeerOwner, frame: Frame<'_>) -> Result<(), ProtocolViolation> {
        match (self.handshake.get(), frame) {
            (HandshakeState::Silent, Frame::Hello(VERSION)) => {
                self.handshake.set(HandshakeState::Greeted)
            }
            (HandshakeState::Silent, Frame::Hello(version)) => {
                return Err(ProtocolViolation::Version(version));
            }
            (HandshakeState::Silent, _) | (_, Frame::Hello(_)) => {
                return Err(ProtocolViolation::Order);
            }
            (HandshakeState::Greeted, Frame::Ready) => {
                self.handshake.set(HandshakeState::Ready);
                owner.connected(self);
            }
            (HandshakeState::Ready, Frame::Ready) => return Err(ProtocolViolation::Order),
            (_, Frame::Subscribe(topic)) => owner.subscribe(self, topic),
            (_, Frame::Unsubscribe(topic)) => owner.unsubscribe(self, topic),
            (_, Frame::Reset) => owner.forget(self),
            (_, Frame::Message { .. }) => {}
        }
        Ok(())
    }
}

fn append_topics(out: &mut Vec<u8>, topics: &HashSet<Rc<str>>) {
    for topic in topics {
        frame::append(out, &Frame::Subscribe(topic));
    }
}

impl Session<Connection> for Peer {
    fn data(&self, _: &Visit<Connection>, bytes: &mut BytesMut) {
        let Some(owner) = self.transport.upgrade() else {
            return self.conn.close();
        };
        // Subscribers may call any method of this transport, so the decoder is not borrowed.
        let mut decoder = self.decoder.take();
        decoder.push(bytes);
        let handled = self.handle_frames(&*owner, &mut decoder);
        self.decoder.replace(decoder);
        if let Err(error) = handled {
            tracing::error!("disconnecting worker {} from the bus: {error}", self.id);
            self.conn.close();
        }
    }

    fn end(&self, _: &Visit<Connection>) {
        // The connection ends in this direction as well, and `close` follows.
    }

    fn drain(&self, _: &Visit<Connection>) {
        let Some(owner) = self.transport.upgrade() else {
            return;
        };
        if self.announcements_withheld.replace(false) {
            self.conn.write_with(|out| {
                frame::append(out, &Frame::Reset);
                append_topics(out, &owner.topics());
            });
        }
    }

    fn error(&self, _: &Visit<Connection>, error: &Error) {
        tracing::debug!("the bus connection to worker {} failed: {error}", self.id);
    }

    fn close(&self, _: &Visit<Connection>) {
        self.finish();
        if let Some(owner) = self.transport.upgrade() {
            owner.lost(self);
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
