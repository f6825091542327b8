//! The connection to another process, and the frames that come from there.

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

/// The number of bytes beyond the limit from which on announcements are kept back: 1 MiB.
const ANNOUNCEMENTS: usize = 1024 * 1024;

/// The time for which a transport that leaves goes on sending what waits.
const LEAVING: Duration = Duration::from_secs(1);

/// The transport of a peer. Nothing of it is borrowed while the peer calls a method.
pub(super) trait PeerOwner {
    /// Returns the way of messages to the bus.
    fn sink(&self) -> Option<BusSink>;

    /// Returns the topics that the bus has announced.
    fn topics(&self) -> Ref<'_, HashSet<Rc<str>>>;

    /// Notes that a peer is interested in a topic.
    fn subscribe(&self, peer: &Peer, topic: &str);

    /// Notes that a peer is not interested in a topic any more.
    fn unsubscribe(&self, peer: &Peer, topic: &str);

    /// Forgets the topics of a peer.
    fn forget(&self, peer: &Peer);

    /// Notes that the topics of a peer are known.
    fn connected(&self, peer: &Peer);

    /// Removes a peer whose connection has closed.
    fn lost(&self, peer: &Peer);
}

/// Another process.
pub(super) struct Peer {
    pub(super) id: u64,
    pub(super) conn: Connection,
    /// The number of topics that it has announced.
    pub(super) topics: Cell<usize>,
    transport: Weak<dyn PeerOwner>,
    decoder: RefCell<FrameDecoder>,
    progress: Cell<Progress>,
    /// Announcements were kept back.
    is_behind: Cell<bool>,
    /// The connection is ending or closed. Only while it ends, the loop waits for it.
    is_over: Cell<bool>,
}

/// How far the peer has introduced itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Silent,
    Greeted,
    Ready,
}

/// A reason to cut a peer off.
#[derive(Debug, thiserror::Error)]
enum Misbehaviour {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it speaks version {0} of the bus, and this process version {VERSION}")]
    Version(u8),
    #[error("it sent a frame out of its order")]
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
            progress: Cell::new(Progress::Silent),
            is_behind: Cell::new(false),
            is_over: Cell::new(false),
        }
    }

    /// Returns whether the peer has sent all topics that it began with.
    pub(super) fn is_ready(&self) -> bool {
        self.progress.get() == Progress::Ready
    }

    /// Begins the conversation: with all topics that have subscribers.
    pub(super) fn greet(&self, topics: &HashSet<Rc<str>>) {
        self.conn.write_with(|out| {
            frame::append(out, &Frame::Hello(VERSION));
            append_topics(out, topics);
            frame::append(out, &Frame::Ready);
        });
    }

    /// Writes an announcement, unless so much waits that it is kept back.
    pub(super) fn announce(&self, announcement: &Frame<'_>, limit: usize) {
        if self.is_behind.get() {
            return;
        }
        if self.conn.buffered() > limit.saturating_add(ANNOUNCEMENTS) {
            return self.is_behind.set(true);
        }
        self.conn.write_with(|out| frame::append(out, announcement));
    }

    /// Sends what waits and ends the connection.
    pub(super) fn leave(&self) {
        self.finish();
        self.conn.set_write_timeout(Some(LEAVING));
        self.conn.end();
    }

    /// Notes the end, and takes back that the loop does not wait for the connection.
    fn finish(&self) {
        if !self.is_over.replace(true) {
            driver::hold();
        }
    }

    /// Closes the connection, unless it is ending.
    pub(super) fn abandon(&self) {
        if !self.is_over.get() {
            self.conn.close();
        }
    }

    /// Handles the frames that are complete.
    fn handle_frames(
        &self,
        owner: &dyn PeerOwner,
        decoder: &mut FrameDecoder,
    ) -> Result<(), Misbehaviour> {
        while let Some(frame) = decoder.next()? {
            if let Frame::Message { topic, payload } = frame {
                if self.progress.get() == Progress::Silent {
                    return Err(Misbehaviour::Order);
                }
                if let Some(sink) = owner.sink() {
                    sink.deliver(topic, payload);
                }
            } else {
                self.handle(owner, frame)?;
            }
            // Whoever was called may have removed the peer.
            if self.is_over.get() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Handles a frame that is not a message.
    fn handle(&self, owner: &dyn PeerOwner, frame: Frame<'_>) -> Result<(), Misbehaviour> {
        match (self.progress.get(), frame) {
            (Progress::Silent, Frame::Hello(VERSION)) => self.progress.set(Progress::Greeted),
            (Progress::Silent, Frame::Hello(version)) => {
                return Err(Misbehaviour::Version(version));
            }
            (Progress::Silent, _) | (_, Frame::Hello(_)) => return Err(Misbehaviour::Order),
            (Progress::Greeted, Frame::Ready) => {
                self.progress.set(Progress::Ready);
                owner.connected(self);
            }
            (Progress::Ready, Frame::Ready) => return Err(Misbehaviour::Order),
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
        // Subscribers may do anything with this transport, so the decoder is not borrowed.
        let mut decoder = self.decoder.take();
        decoder.push(bytes);
        let handled = self.handle_frames(&*owner, &mut decoder);
        self.decoder.replace(decoder);
        if let Err(error) = handled {
            tracing::error!("cutting off the worker {} from the bus: {error}", self.id);
            self.conn.close();
        }
    }

    fn end(&self, _: &Visit<Connection>) {
        // This side ends, too, and `close` follows.
    }

    fn drain(&self, _: &Visit<Connection>) {
        let Some(owner) = self.transport.upgrade() else {
            return;
        };
        if self.is_behind.replace(false) {
            self.conn.write_with(|out| {
                frame::append(out, &Frame::Reset);
                append_topics(out, &owner.topics());
            });
        }
    }

    fn error(&self, _: &Visit<Connection>, error: &Error) {
        tracing::debug!("the connection to the worker {} failed: {error}", self.id);
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
