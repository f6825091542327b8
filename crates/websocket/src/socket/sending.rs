//! Sending, backpressure and the slow-client policy.
//!
//! Cost of a short message on a server: one look for the session and the connection's queue, into which the frame is
//! written. No allocation; all that is sent in one iteration of the loop goes out with one system call.
//!
//! While the connection's queue is full, frames wait in [`WaitingFrames`](super::waiting::WaitingFrames), where pongs overtake
//! them.

use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use uptick_emitter::emit;

use super::handle::WebSocket;
use super::state::{Flags, WebSocketSession, session};
use super::waiting::Waiting;
use crate::error::Error;
use crate::message::Payload;
use crate::options::SlowPolicy;
use crate::protocol::frame::{self, MAX_CONTROL, Opcode};
use crate::protocol::{CloseFrame, close, mask};

/// The number of bytes that wait for the peer from which on [`Sent::Buffered`] is returned.
pub(super) const SOFT_LIMIT: usize = 64 * 1024;

/// Payloads up to this many bytes are copied into the connection's queue; longer ones are handed on as they are.
pub(super) const COPIED: usize = 4096;

/// The outcome of sending a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The message is on its way.
    Sent,
    /// The message waits behind many others: `drain` is emitted when they are sent.
    Buffered,
    /// The message was dropped: the WebSocket is closed, or its peer does not read and there is no more room.
    Dropped,
}

impl Sent {
    /// Returns whether the message was taken.
    pub fn is_taken(self) -> bool {
        self != Sent::Dropped
    }
}

/// A part of a message that is sent in fragments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    First,
    Middle,
    Last,
}

/// Whether a message may be sent.
#[derive(PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// Too much waits already.
    Slow,
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
    let ordinary = |session: &WebSocketSession| slice.len() <= COPIED && session.sends_plainly();
    let written = ws.channel().write_for(ordinary, |out| {
        frame::append(out, opcode(&payload), frame::Flags::FIN, None, slice);
    });
    match written {
        Some(true) => Sent::Sent,
        Some(false) => {
            ws.channel().with_session(WebSocketSession::filled);
            Sent::Buffered
        }
        None => session(ws).map_or(Sent::Dropped, |session| session.send_specially(payload)),
    }
}

thread_local! {
    static KEYS: RefCell<mask::Keys> = RefCell::new(mask::Keys::new());
}

impl WebSocketSession {
    /// Returns whether a short message is a frame at the end of the connection's queue, and nothing else.
    #[inline]
    pub(super) fn sends_plainly(&self) -> bool {
        let special = Flags::CLIENT
            .union(Flags::FULL)
            .union(Flags::FRAGMENTS)
            .union(Flags::DEFLATE);
        !self.has(special) && self.is_open()
    }

    /// Notes that the connection's queue is full.
    pub(super) fn filled(&self) {
        self.insert(Flags::FULL);
    }

    /// Returns the number of bytes that may wait for the peer.
    #[inline]
    pub(super) fn most(&self) -> usize {
        self.route.options.max_buffered
    }

    /// Returns whether there is room for so many bytes more.
    pub(super) fn room(&self, length: usize) -> Room {
        if !self.is_open() {
            return Room::Closed;
        }
        // As long as the connection is not full, less waits than the soft limit.
        if self.has(Flags::FULL) || length.saturating_add(SOFT_LIMIT) > self.most() {
            let waiting = self.buffered();
            if waiting > 0 && waiting.saturating_add(length) > self.most() {
                return Room::Slow;
            }
        }
        Room::Free
    }

    /// Sends a message that is long, compressed or masked, or whose peer does not read.
    fn send_specially(&self, payload: impl Payload) -> Sent {
        let length = payload.as_slice().len();
        if self.has(Flags::FRAGMENTS) {
            return Sent::Dropped;
        }
        match self.room(length) {
            Room::Free => {}
            Room::Slow => {
                self.dropped_for_slow(length);
                return Sent::Dropped;
            }
            Room::Closed => return Sent::Dropped,
        }
        let opcode = opcode(&payload);
        if self.has(Flags::DEFLATE) {
            let slice = payload.as_slice();
            let deflated = self.if_rare(|rare| rare.deflation.as_mut()?.deflate(slice));
            if let Some(deflated) = deflated.flatten() {
                let flags = frame::Flags::FIN | frame::Flags::RSV1;
                return self.write(opcode, flags, Bytes::from(deflated));
            }
        }
        self.write(opcode, frame::Flags::FIN, payload)
    }

    /// Sends a part of a message in fragments.
    pub(super) fn send_part(&self, payload: impl Payload, part: Part) -> Sent {
        let begun = self.has(Flags::FRAGMENTS);
        if begun == (part == Part::First) || self.room(payload.as_slice().len()) != Room::Free {
            return Sent::Dropped;
        }
        let (opcode, flags) = match part {
            Part::First => (opcode(&payload), frame::Flags::empty()),
            Part::Middle => (Opcode::Continuation, frame::Flags::empty()),
            Part::Last => (Opcode::Continuation, frame::Flags::FIN),
        };
        match part {
            Part::First => self.insert(Flags::FRAGMENTS),
            Part::Middle => {}
            Part::Last => self.remove(Flags::FRAGMENTS),
        }
        self.write(opcode, flags, payload)
    }

    /// Returns the key that the next frame is masked with, if this is a client.
    ///
    /// # Errors
    /// The system has no random numbers: it is logged, and nothing can be sent.
    fn mask(&self) -> io::Result<Option<[u8; 4]>> {
        if !self.has(Flags::CLIENT) {
            return Ok(None);
        }
        let key = KEYS.with_borrow_mut(mask::Keys::next_key);
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
        if length <= COPIED {
            return self.put(Bytes::new(), |out| {
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
        self.put(payload, |out| {
            frame::append_head(out, opcode, flags, mask, length as u64);
        })
    }

    /// Writes a frame, or adds it to those that wait while the connection is full: what `append` appends, with `payload`
    /// behind it.
    pub(super) fn put(&self, payload: Bytes, append: impl FnOnce(&mut Vec<u8>)) -> Sent {
        if self.has(Flags::FULL) {
            self.with_rare(|rare| {
                let waiting = rare.waiting.get_or_insert_default();
                waiting.push(payload, append);
            });
            return Sent::Buffered;
        }
        self.write_now(payload, append)
    }

    /// Writes a frame to the connection; see [`put`](Self::put).
    fn write_now(&self, payload: Bytes, append: impl FnOnce(&mut Vec<u8>)) -> Sent {
        let mut more = self.channel.write_with(append);
        if more.is_some() && !payload.is_empty() {
            more = Some(self.channel.write(payload));
        }
        match more {
            Some(true) => Sent::Sent,
            Some(false) => {
                self.filled();
                Sent::Buffered
            }
            None => Sent::Dropped,
        }
    }

    /// The connection takes more: writes what waits, until it is full again.
    pub(super) fn drained(&self) {
        self.remove(Flags::FULL);
        while !self.has(Flags::FULL) && self.write_next() {}
        if !self.has(Flags::FULL) {
            self.emit_drain();
        }
    }

    /// Writes all that waits to a connection that is about to end.
    pub(super) fn write_all_waiting(&self) {
        while self.write_next() {}
    }

    /// Writes what is next of what waits; returns whether there was anything.
    fn write_next(&self) -> bool {
        let next = self.if_rare(|rare| {
            let next = rare.waiting.as_mut()?.pop();
            if next.is_none() {
                rare.waiting = None;
            }
            next
        });
        match next.flatten() {
            Some(Waiting::Pong(payload)) => {
                if let Ok(mask) = self.mask() {
                    let fin = frame::Flags::FIN;
                    let pong = |out: &mut Vec<u8>| {
                        frame::append(out, Opcode::Pong, fin, mask, &payload);
                    };
                    let _ = self.write_now(Bytes::new(), pong);
                }
            }
            Some(Waiting::Frames(piece)) => {
                let frames = |out: &mut Vec<u8>| out.extend_from_slice(&piece.bytes);
                let _ = self.write_now(piece.payload, frames);
            }
            None => return false,
        }
        true
    }

    /// Sends a ping.
    pub(super) fn ping(&self, payload: &[u8]) -> Sent {
        let payload = &payload[..payload.len().min(MAX_CONTROL)];
        match self.room(payload.len()) {
            Room::Free => self.control(Opcode::Ping, payload),
            Room::Slow | Room::Closed => Sent::Dropped,
        }
    }

    /// Answers a ping: at once, or as soon as the connection drains. Then only the latest is answered (RFC 6455, 5.5.3), so that
    /// pings of a peer that does not read take no memory.
    pub(super) fn pong(&self, payload: &[u8]) {
        if !self.is_open() {
            return;
        }
        if self.has(Flags::FULL) {
            return self.with_rare(|rare| {
                let waiting = rare.waiting.get_or_insert_default();
                waiting.set_pong(payload);
            });
        }
        let _ = self.control(Opcode::Pong, payload);
    }

    /// Writes a ping or a pong, or adds it to the frames that wait.
    fn control(&self, opcode: Opcode, payload: &[u8]) -> Sent {
        let Ok(mask) = self.mask() else {
            return Sent::Dropped;
        };
        self.put(Bytes::new(), |out| {
            frame::append(out, opcode, frame::Flags::FIN, mask, payload);
        })
    }

    /// Sends a close; it is the last frame, behind all that wait.
    pub(super) fn send_close(&self, frame: Option<&CloseFrame>) {
        self.write_all_waiting();
        if let Ok(mask) = self.mask() {
            self.channel
                .write_with(|out| close::append(out, frame, mask));
        }
    }

    /// Counts a message that was dropped.
    pub(super) fn count_dropped(&self) {
        self.with_rare(|rare| rare.dropped += 1);
        if let Some(counts) = &self.route.counts {
            counts.dropped();
        }
    }

    /// Applies the slow-client policy to a message that was dropped.
    #[cold]
    pub(super) fn dropped_for_slow(&self, bytes: usize) {
        self.count_dropped();
        match self.route.options.slow_policy {
            SlowPolicy::Drop => drop(emit(self, WebSocket::DROPPED, bytes)),
            SlowPolicy::Close => self.channel.close(),
            SlowPolicy::Error => {
                let waiting = self.buffered();
                self.emit_error(Error::Slow { bytes, waiting });
            }
        }
    }
}
