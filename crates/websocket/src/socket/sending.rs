//! Sending, backpressure and the slow-client policy.
//!
//! Cost of a short message on a server: one lookup of the session and of the connection's write queue, into which the frame is
//! written. No allocation; everything sent in one iteration of the loop goes out with one system call.
//!
//! While the connection's write queue is full, frames are queued in [`FrameQueue`](super::frame_queue::FrameQueue), where pongs overtake
//! them.

use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use uptick_emitter::emit;

use super::frame_queue::QueuedItem;
use super::handle::WebSocket;
use super::state::{SocketFlags, WebSocketSession, session};
use crate::error::Error;
use crate::message::Payload;
use crate::options::SlowPolicy;
use crate::protocol::frame::{self, MAX_CONTROL, Opcode};
use crate::protocol::{CloseFrame, close, mask};

/// Number of queued bytes from which [`Sent::Buffered`] is returned.
pub(super) const SOFT_LIMIT: usize = 64 * 1024;

/// Maximum length of payloads that are copied into the connection's write queue; longer payloads are queued without a copy.
pub(super) const COPY_LIMIT: usize = 4096;

/// The outcome of sending a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The message was sent or queued, and less than 64 KiB is queued.
    Sent,
    /// The message was queued, and at least 64 KiB is queued: `drain` is emitted when the queue has been sent.
    Buffered,
    /// The message was dropped: the WebSocket is closed, or the write queue of a slow peer is full.
    Dropped,
}

impl Sent {
    /// Returns `true` unless the message was dropped.
    pub fn is_taken(self) -> bool {
        self != Sent::Dropped
    }
}

/// The position of a fragment in its message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FragmentPosition {
    First,
    Middle,
    Last,
}

/// The capacity for another message.
#[derive(PartialEq, Eq)]
pub(super) enum WriteCapacity {
    Available,
    /// The write queue has no room for it.
    Full,
    Closed,
}

pub(super) fn opcode(payload: &impl Payload) -> Opcode {
    match payload.is_text() {
        true => Opcode::Text,
        false => Opcode::Binary,
    }
}

#[inline]
pub(super) fn send(ws: WebSocket, payload: impl Payload) -> Sent {
    let slice = payload.as_slice();
    let is_direct =
        |session: &WebSocketSession| slice.len() <= COPY_LIMIT && session.can_append_directly();
    let written = ws.channel().write_for(is_direct, |out| {
        frame::append(out, opcode(&payload), frame::Flags::FIN, None, slice);
    });
    match written {
        Some(true) => Sent::Sent,
        Some(false) => {
            ws.channel().with_session(WebSocketSession::set_full);
            Sent::Buffered
        }
        None => session(ws).map_or(Sent::Dropped, |session| session.send_slow_path(payload)),
    }
}

thread_local! {
    static KEYS: RefCell<mask::MaskingKeys> = RefCell::new(mask::MaskingKeys::new());
}

impl WebSocketSession {
    /// Returns `true` if a short message only has to be appended to the connection's write queue as a frame.
    #[inline]
    pub(super) fn can_append_directly(&self) -> bool {
        let indirect = SocketFlags::CLIENT
            .union(SocketFlags::FULL)
            .union(SocketFlags::FRAGMENTS)
            .union(SocketFlags::DEFLATE);
        !self.has(indirect) && self.is_open()
    }

    /// Sets the flag that the connection's write queue is full.
    pub(super) fn set_full(&self) {
        self.insert(SocketFlags::FULL);
    }

    /// Returns the maximum number of bytes in the write queue.
    #[inline]
    pub(super) fn max_buffered(&self) -> usize {
        self.route.options.max_buffered
    }

    /// Returns the capacity for another message of this length.
    pub(super) fn capacity(&self, length: usize) -> WriteCapacity {
        if !self.is_open() {
            return WriteCapacity::Closed;
        }
        // While the connection's write queue is not full, it is below the soft limit.
        if self.has(SocketFlags::FULL) || length.saturating_add(SOFT_LIMIT) > self.max_buffered() {
            let waiting = self.buffered();
            if waiting > 0 && waiting.saturating_add(length) > self.max_buffered() {
                return WriteCapacity::Full;
            }
        }
        WriteCapacity::Available
    }

    /// Sends a message that is long, compressed or masked, or sent to a slow peer.
    fn send_slow_path(&self, payload: impl Payload) -> Sent {
        let length = payload.as_slice().len();
        if self.has(SocketFlags::FRAGMENTS) {
            return Sent::Dropped;
        }
        match self.capacity(length) {
            WriteCapacity::Available => {}
            WriteCapacity::Full => {
                self.apply_slow_policy(length);
                return Sent::Dropped;
            }
            WriteCapacity::Closed => return Sent::Dropped,
        }
        let opcode = opcode(&payload);
        if self.has(SocketFlags::DEFLATE) {
            let slice = payload.as_slice();
            let deflated = self.if_cold(|cold| cold.deflation.as_mut()?.deflate(slice));
            if let Some(deflated) = deflated.flatten() {
                let flags = frame::Flags::FIN | frame::Flags::RSV1;
                return self.write(opcode, flags, Bytes::from(deflated));
            }
        }
        self.write(opcode, frame::Flags::FIN, payload)
    }

    /// Sends a fragment of a message.
    pub(super) fn write_fragment(&self, payload: impl Payload, position: FragmentPosition) -> Sent {
        let has_started = self.has(SocketFlags::FRAGMENTS);
        if has_started == (position == FragmentPosition::First)
            || self.capacity(payload.as_slice().len()) != WriteCapacity::Available
        {
            return Sent::Dropped;
        }
        let (opcode, flags) = match position {
            FragmentPosition::First => (opcode(&payload), frame::Flags::empty()),
            FragmentPosition::Middle => (Opcode::Continuation, frame::Flags::empty()),
            FragmentPosition::Last => (Opcode::Continuation, frame::Flags::FIN),
        };
        match position {
            FragmentPosition::First => self.insert(SocketFlags::FRAGMENTS),
            FragmentPosition::Middle => {}
            FragmentPosition::Last => self.remove(SocketFlags::FRAGMENTS),
        }
        self.write(opcode, flags, payload)
    }

    /// Returns the masking key of the next frame, or `None` on a server.
    ///
    /// # Errors
    /// The system has no random numbers. The error is logged, and the frame cannot be sent.
    fn mask(&self) -> io::Result<Option<[u8; 4]>> {
        if !self.has(SocketFlags::CLIENT) {
            return Ok(None);
        }
        let key = KEYS.with_borrow_mut(mask::MaskingKeys::next_key);
        key.map(Some).inspect_err(|error| {
            tracing::error!("masking a WebSocket's frame failed: {error}");
        })
    }

    /// Writes a data frame.
    pub(super) fn write(&self, opcode: Opcode, flags: frame::Flags, payload: impl Payload) -> Sent {
        let Ok(mask) = self.mask() else {
            self.channel.close();
            return Sent::Dropped;
        };
        let length = payload.as_slice().len();
        if length <= COPY_LIMIT {
            return self.write_or_queue(Bytes::new(), |out| {
                frame::append(out, opcode, flags, mask, payload.as_slice());
            });
        }
        let payload = match mask {
            None => payload.into_bytes(),
            Some(key) => {
                let mut masked = payload.as_slice().to_vec();
                mask::apply(&mut masked, key, 0);
                masked.into()
            }
        };
        self.write_or_queue(payload, |out| {
            frame::append_head(out, opcode, flags, mask, length as u64);
        })
    }

    /// Writes a frame, or queues it while the connection's write queue is full. The frame consists of the bytes that `append` appends, followed by
    /// `payload`.
    pub(super) fn write_or_queue(&self, payload: Bytes, append: impl FnOnce(&mut Vec<u8>)) -> Sent {
        if self.has(SocketFlags::FULL) {
            self.with_cold(|cold| {
                let queue = cold.frame_queue.get_or_insert_default();
                queue.push(payload, append);
            });
            return Sent::Buffered;
        }
        self.write_now(payload, append)
    }

    /// Writes a frame to the connection; see [`write_or_queue`](Self::write_or_queue).
    fn write_now(&self, payload: Bytes, append: impl FnOnce(&mut Vec<u8>)) -> Sent {
        let mut has_room = self.channel.write_with(append);
        if has_room.is_some() && !payload.is_empty() {
            has_room = Some(self.channel.write(payload));
        }
        match has_room {
            Some(true) => Sent::Sent,
            Some(false) => {
                self.set_full();
                Sent::Buffered
            }
            None => Sent::Dropped,
        }
    }

    /// Writes queued frames until the connection's write queue is full again; emits `drain` if it is not.
    pub(super) fn write_until_full(&self) {
        self.remove(SocketFlags::FULL);
        while !self.has(SocketFlags::FULL) && self.write_next_queued() {}
        if !self.has(SocketFlags::FULL) {
            self.emit_drain();
        }
    }

    /// Writes all queued frames, to a connection that is about to end.
    pub(super) fn write_all_queued(&self) {
        while self.write_next_queued() {}
    }

    /// Writes the next queued frames; returns `false` if the queue is empty.
    fn write_next_queued(&self) -> bool {
        let next = self.if_cold(|cold| {
            let next = cold.frame_queue.as_mut()?.pop();
            if next.is_none() {
                cold.frame_queue = None;
            }
            next
        });
        match next.flatten() {
            Some(QueuedItem::Pong(payload)) => {
                if let Ok(mask) = self.mask() {
                    let fin = frame::Flags::FIN;
                    let pong = |out: &mut Vec<u8>| {
                        frame::append(out, Opcode::Pong, fin, mask, &payload);
                    };
                    let _ = self.write_now(Bytes::new(), pong);
                }
            }
            Some(QueuedItem::Frames(chunk)) => {
                let frames = |out: &mut Vec<u8>| out.extend_from_slice(&chunk.bytes);
                let _ = self.write_now(chunk.payload, frames);
            }
            None => return false,
        }
        true
    }

    /// Sends a ping.
    pub(super) fn ping(&self, payload: &[u8]) -> Sent {
        let payload = &payload[..payload.len().min(MAX_CONTROL)];
        match self.capacity(payload.len()) {
            WriteCapacity::Available => self.write_control(Opcode::Ping, payload),
            WriteCapacity::Full | WriteCapacity::Closed => Sent::Dropped,
        }
    }

    /// Sends a pong: immediately, or when the connection drains. In that case only the latest ping is answered (RFC 6455, section 5.5.3), so that
    /// pings of a slow peer use no memory.
    pub(super) fn pong(&self, payload: &[u8]) {
        if !self.is_open() {
            return;
        }
        if self.has(SocketFlags::FULL) {
            return self.with_cold(|cold| {
                let queue = cold.frame_queue.get_or_insert_default();
                queue.set_pong(payload);
            });
        }
        let _ = self.write_control(Opcode::Pong, payload);
    }

    /// Writes a ping or a pong, or queues it.
    fn write_control(&self, opcode: Opcode, payload: &[u8]) -> Sent {
        let Ok(mask) = self.mask() else {
            return Sent::Dropped;
        };
        self.write_or_queue(Bytes::new(), |out| {
            frame::append(out, opcode, frame::Flags::FIN, mask, payload);
        })
    }

    /// Sends a close frame, after all queued frames; it is the last frame.
    pub(super) fn send_close(&self, frame: Option<&CloseFrame>) {
        self.write_all_queued();
        if let Ok(mask) = self.mask() {
            self.channel
                .write_with(|out| close::append(out, frame, mask));
        }
    }

    /// Counts a dropped message.
    pub(super) fn count_dropped(&self) {
        self.with_cold(|cold| cold.dropped += 1);
        if let Some(counts) = &self.route.counts {
            counts.dropped();
        }
    }

    /// Applies the slow-client policy to a message that does not fit into the write queue.
    #[cold]
    pub(super) fn apply_slow_policy(&self, bytes: usize) {
        self.count_dropped();
        match self.route.options.slow_policy {
            SlowPolicy::Drop => drop(emit(self, WebSocket::DROPPED, bytes)),
            SlowPolicy::Close => self.channel.close(),
            SlowPolicy::Error => {
                let waiting = self.buffered();
                self.emit_error(Error::SlowClient {
                    bytes,
                    buffered: waiting,
                });
            }
        }
    }
}
