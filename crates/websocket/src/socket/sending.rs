//! What is sent, and what becomes of it when the peer does not read.
//!
//! Cost of a short message on a server: the entry is looked up once, and the frame is written straight into the
//! connection's queue. No allocation; all that is sent in one iteration of the loop goes out with one system call.
//!
//! While the connection's queue is full, frames wait in [`WaitingFrames`](super::waiting::WaitingFrames), where pongs overtake
//! them.

use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use uptick_emitter::emit;
use uptick_event_loop::Id;
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::entry::{Entry, Flags, SOFT_LIMIT};
use super::waiting::Waiting;
use super::{WebSocket, with_entry};
use crate::message::Payload;
use crate::protocol::frame::{self, Opcode};
use crate::protocol::{CloseFrame, close, mask};
use crate::{Error, SlowPolicy, compression};

/// Payloads up to this many bytes are copied into the connection's queue; longer ones are handed on as they are.
const COPIED: usize = 4096;

/// The longest payload of a ping.
const CONTROL: usize = 125;

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Sent,
    /// It waits behind much else: `drain` tells when that has gone out.
    Buffered,
    /// It was dropped: the WebSocket is closed, or its peer does not read and there is no more room.
    Dropped,
}

impl Sent {
    /// Whether the message was taken.
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

/// How a message is to be sent.
enum Way {
    /// As it is, into the connection's queue.
    Short(Connection),
    /// See [`send_other`].
    Other,
}

fn opcode(payload: &impl Payload) -> Opcode {
    if payload.is_text() {
        Opcode::Text
    } else {
        Opcode::Binary
    }
}

#[inline]
pub(super) fn send(key: Id, payload: impl Payload) -> Sent {
    let special = Flags::CLIENT
        .or(Flags::CLOSING)
        .or(Flags::OVER)
        .or(Flags::FULL)
        .or(Flags::FRAGMENTS)
        .or(Flags::DEFLATE);
    let short = payload.as_slice().len() <= COPIED;
    let way = with_entry(key, |entry| {
        if short && !entry.flags.intersects(special) {
            Way::Short(entry.conn)
        } else {
            Way::Other
        }
    });
    match way {
        Some(Way::Short(conn)) => {
            let opcode = opcode(&payload);
            let open = conn.write_with(|out| {
                frame::append(out, opcode, frame::Flags::FIN, None, payload.as_slice());
            });
            noted(key, open)
        }
        Some(Way::Other) => send_other(key, payload),
        None => Sent::Dropped,
    }
}

/// What a write tells.
#[inline]
fn noted(key: Id, open: Option<bool>) -> Sent {
    match open {
        Some(true) => Sent::Sent,
        Some(false) => {
            with_entry(key, |entry| entry.flags.insert(Flags::FULL));
            Sent::Buffered
        }
        None => Sent::Dropped,
    }
}

/// What an entry has to say about a message.
enum Room {
    Free(Connection, Flags),
    /// Too much waits already.
    Slow,
    /// This side is in the middle of a message.
    Between,
    Closed,
}

impl Entry {
    /// Whether there is room for so many bytes more.
    fn room(&self, length: usize) -> Room {
        if !self.is_open() {
            return Room::Closed;
        }
        let most = self.route.options.max_buffered;
        // As long as it is not full, less waits than the soft limit.
        if self.flags.intersects(Flags::FULL) || length.saturating_add(SOFT_LIMIT) > most {
            let waiting = self.buffered();
            if waiting > 0 && waiting.saturating_add(length) > most {
                return Room::Slow;
            }
        }
        Room::Free(self.conn, self.flags)
    }
}

/// Sends what is long, compressed or masked, or to a peer that does not read.
fn send_other(key: Id, payload: impl Payload) -> Sent {
    let length = payload.as_slice().len();
    let room = with_entry(key, |entry| {
        if entry.flags.intersects(Flags::FRAGMENTS) {
            return Room::Closed;
        }
        entry.room(length)
    });
    match room {
        Some(Room::Free(conn, flags)) => {
            let opcode = opcode(&payload);
            if flags.intersects(Flags::DEFLATE)
                && let Some(deflated) = deflated(key, payload.as_slice())
            {
                let flags_ = frame::Flags::FIN | frame::Flags::RSV1;
                return write(key, conn, flags, opcode, flags_, Bytes::from(deflated));
            }
            write(key, conn, flags, opcode, frame::Flags::FIN, payload)
        }
        Some(Room::Slow) => {
            told_of_slow(key, length);
            Sent::Dropped
        }
        Some(Room::Between | Room::Closed) | None => Sent::Dropped,
    }
}

/// The message compressed, if that is worth it.
fn deflated(key: Id, payload: &[u8]) -> Option<Vec<u8>> {
    with_entry(key, |entry| {
        let deflation = entry.rare_if_any()?.deflation.as_mut()?;
        deflation.deflate(payload)
    })
    .flatten()
}

thread_local! {
    static KEYS: RefCell<mask::Keys> = RefCell::new(mask::Keys::new());
}

/// What a frame is masked with, if it is a client's.
///
/// # Errors
/// The system has no random numbers: it is logged, and nothing can be sent.
fn mask_of(flags: Flags) -> io::Result<Option<[u8; 4]>> {
    if !flags.intersects(Flags::CLIENT) {
        return Ok(None);
    }
    let key = KEYS.with_borrow_mut(mask::Keys::next_key);
    key.map(Some).inspect_err(|error| {
        tracing::error!("masking a WebSocket's frame failed: {error}");
    })
}

/// Writes a frame.
fn write(
    key: Id,
    conn: Connection,
    flags: Flags,
    opcode: Opcode,
    frame_flags: frame::Flags,
    payload: impl Payload,
) -> Sent {
    let Ok(mask) = mask_of(flags) else {
        conn.close();
        return Sent::Dropped;
    };
    let length = payload.as_slice().len();
    if length <= COPIED {
        return put(key, conn, flags, Bytes::new(), |out| {
            frame::append(out, opcode, frame_flags, mask, payload.as_slice());
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
    put(key, conn, flags, payload, |out| {
        frame::append_head(out, opcode, frame_flags, mask, length as u64);
    })
}

/// Writes a frame, or adds it to those that wait while the connection is full: what `append` appends, with `payload`
/// behind it.
#[inline]
fn put(
    key: Id,
    conn: Connection,
    flags: Flags,
    payload: Bytes,
    append: impl FnOnce(&mut Vec<u8>),
) -> Sent {
    if flags.intersects(Flags::FULL) {
        with_entry(key, |entry| entry.waiting().push(payload, append));
        return Sent::Buffered;
    }
    let mut open = conn.write_with(append);
    if open.is_some() && !payload.is_empty() {
        open = Some(conn.write(payload));
    }
    noted(key, open)
}

/// The connection takes more: writes what waits, until it is full again.
pub(super) fn drained(key: Id) {
    with_entry(key, |entry| entry.flags.remove(Flags::FULL));
    write_waiting(key, Flags::FULL);
    let full = with_entry(key, |entry| entry.flags.intersects(Flags::FULL));
    if full == Some(false) {
        emit(&WebSocket::from_id(key), WebSocket::DRAIN, ());
    }
}

/// Writes all that waits to a connection that is about to end.
pub(super) fn write_all_waiting(key: Id) {
    write_waiting(key, Flags::default());
}

/// Writes what waits until a flag of `until` is set.
fn write_waiting(key: Id, until: Flags) {
    loop {
        let next = with_entry(key, |entry| {
            if entry.flags.intersects(until) {
                return None;
            }
            let waiting = &mut entry.rare_if_any()?.waiting;
            let next = waiting.as_mut()?.pop();
            if next.is_none() {
                *waiting = None;
            }
            let mut flags = entry.flags;
            flags.remove(Flags::FULL);
            next.map(|next| (entry.conn, flags, next))
        });
        match next.flatten() {
            Some((conn, flags, Waiting::Pong(payload))) => {
                let _ = control(key, conn, flags, Opcode::Pong, &payload);
            }
            Some((conn, flags, Waiting::Frames(piece))) => {
                let append = |out: &mut Vec<u8>| out.extend_from_slice(&piece.bytes);
                let _ = put(key, conn, flags, piece.payload, append);
            }
            None => return,
        }
    }
}

/// Sends a part of a message in fragments.
pub(super) fn send_part(key: Id, payload: impl Payload, part: Part) -> Sent {
    let length = payload.as_slice().len();
    let room = with_entry(key, |entry| {
        let begun = entry.flags.intersects(Flags::FRAGMENTS);
        if begun == (part == Part::First) {
            return Room::Closed;
        }
        let room = entry.room(length);
        if let Room::Free(..) = room {
            match part {
                Part::First => entry.flags.insert(Flags::FRAGMENTS),
                Part::Middle => {}
                Part::Last => entry.flags.remove(Flags::FRAGMENTS),
            }
        }
        room
    });
    let Some(Room::Free(conn, flags)) = room else {
        return Sent::Dropped;
    };
    let opcode = match part {
        Part::First => opcode(&payload),
        Part::Middle | Part::Last => Opcode::Continuation,
    };
    let last = match part {
        Part::Last => frame::Flags::FIN,
        Part::First | Part::Middle => frame::Flags::NONE,
    };
    write(key, conn, flags, opcode, last, payload)
}

/// Writes a ping or a pong, or adds it to the frames that wait.
fn control(key: Id, conn: Connection, flags: Flags, opcode: Opcode, payload: &[u8]) -> Sent {
    let Ok(mask) = mask_of(flags) else {
        return Sent::Dropped;
    };
    put(key, conn, flags, Bytes::new(), |out| {
        frame::append(out, opcode, frame::Flags::FIN, mask, payload);
    })
}

pub(super) fn ping(key: Id, payload: &[u8]) -> Sent {
    let payload = &payload[..payload.len().min(CONTROL)];
    match with_entry(key, |entry| entry.room(payload.len())) {
        Some(Room::Free(conn, flags)) => control(key, conn, flags, Opcode::Ping, payload),
        _ => Sent::Dropped,
    }
}

/// Answers a ping: at once, or as soon as the connection drains. Then only the latest is answered (RFC 6455, 5.5.3), so that
/// pings of a peer that does not read take no memory.
pub(super) fn pong(key: Id, payload: &[u8]) {
    let at_once = with_entry(key, |entry| {
        if !entry.is_open() {
            return None;
        }
        if entry.flags.intersects(Flags::FULL) {
            entry.waiting().set_pong(payload);
            return None;
        }
        Some((entry.conn, entry.flags))
    });
    if let Some(Some((conn, flags))) = at_once {
        let _ = control(key, conn, flags, Opcode::Pong, payload);
    }
}

/// Sends a close; it is the last that is sent, behind all that waits.
pub(super) fn close_frame(key: Id, says: Option<&CloseFrame>) {
    write_all_waiting(key);
    let place = with_entry(key, |entry| (entry.conn, entry.flags));
    let Some((conn, flags)) = place else { return };
    if let Ok(mask) = mask_of(flags) {
        conn.write_with(|out| close::append(out, says, mask));
    }
}

/// A message was dropped, because the peer does not read: the policy says what follows.
#[cold]
pub(crate) fn told_of_slow(key: Id, bytes: usize) {
    let policy = with_entry(key, |entry| {
        entry.rare().dropped += 1;
        (
            entry.route.options.slow_policy,
            entry.conn,
            entry.buffered(),
        )
    });
    let ws = WebSocket::from_id(key);
    match policy {
        Some((SlowPolicy::Drop, ..)) => {
            emit(&ws, WebSocket::DROPPED, bytes);
        }
        Some((SlowPolicy::Close, conn, _)) => conn.close(),
        Some((SlowPolicy::Error, _, waiting)) => {
            emit(&ws, WebSocket::ERROR, Error::Slow { bytes, waiting });
        }
        None => {}
    }
}

/// A message for many was dropped, though the peer is not slow.
#[cold]
fn told_of_drop(key: Id, bytes: usize) {
    with_entry(key, |entry| entry.rare().dropped += 1);
    emit(&WebSocket::from_id(key), WebSocket::DROPPED, bytes);
}

/// A message for many, as the frame that all of them get.
pub(crate) struct Frame {
    plain: Bytes,
    payload: std::ops::Range<usize>,
    text: bool,
    /// For those that have no compressor of their own; none if compressing is not worth it.
    shared: Option<Option<Bytes>>,
}

impl Frame {
    pub(crate) fn new(payload: &impl Payload) -> Self {
        let slice = payload.as_slice();
        let mut plain = Vec::with_capacity(slice.len() + 14);
        frame::append(&mut plain, opcode(payload), frame::Flags::FIN, None, slice);
        Frame {
            payload: plain.len() - slice.len()..plain.len(),
            plain: plain.into(),
            text: payload.is_text(),
            shared: None,
        }
    }

    fn payload(&self) -> &[u8] {
        &self.plain[self.payload.clone()]
    }

    /// The frame around a compressed payload.
    fn around(&self, deflated: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(deflated.len() + 14);
        let opcode = if self.text {
            Opcode::Text
        } else {
            Opcode::Binary
        };
        let flags = frame::Flags::FIN | frame::Flags::RSV1;
        frame::append(&mut out, opcode, flags, None, deflated);
        out.into()
    }

    fn shared(&mut self) -> Option<Bytes> {
        if self.shared.is_none() {
            let deflated = compression::deflate_shared(self.payload());
            self.shared = Some(deflated.map(|deflated| self.around(&deflated)));
        }
        self.shared.clone().flatten()
    }
}

/// Sends one of many the frame that all get; gives whether it was taken.
#[inline]
pub(crate) fn deliver(key: Id, frame: &mut Frame) -> bool {
    let room = with_entry(key, |entry| {
        if entry.flags.intersects(Flags::FRAGMENTS) && entry.is_open() {
            return Room::Between;
        }
        entry.room(frame.plain.len())
    });
    match room {
        Some(Room::Free(conn, flags)) => {
            if flags.intersects(Flags::DEFLATE.or(Flags::CLIENT)) {
                return deliver_otherwise(key, conn, flags, frame);
            }
            put_whole(key, conn, flags, &frame.plain).is_taken()
        }
        Some(Room::Slow) => {
            told_of_slow(key, frame.payload().len());
            false
        }
        Some(Room::Between) => {
            told_of_drop(key, frame.payload().len());
            false
        }
        Some(Room::Closed) | None => false,
    }
}

/// Writes a frame that is encoded, or adds it to those that wait.
#[inline]
fn put_whole(key: Id, conn: Connection, flags: Flags, bytes: &Bytes) -> Sent {
    if bytes.len() <= COPIED {
        put(key, conn, flags, Bytes::new(), |out| {
            out.extend_from_slice(bytes);
        })
    } else {
        put(key, conn, flags, bytes.clone(), |_| ())
    }
}

/// Sends a frame to one that has compressed ones, or is a client.
fn deliver_otherwise(key: Id, conn: Connection, flags: Flags, frame: &mut Frame) -> bool {
    if flags.intersects(Flags::CLIENT) {
        let payload = frame.plain.slice(frame.payload.clone());
        let opcode = if frame.text {
            Opcode::Text
        } else {
            Opcode::Binary
        };
        return write(key, conn, flags, opcode, frame::Flags::FIN, payload).is_taken();
    }
    let own = with_entry(key, |entry| {
        let deflation = entry.rare_if_any()?.deflation.as_mut()?;
        deflation
            .has_own_context()
            .then(|| deflation.deflate(frame.payload()))
    });
    let bytes = match own.flatten() {
        Some(own) => own.map(|deflated| frame.around(&deflated)),
        None => frame.shared(),
    };
    let bytes = bytes.unwrap_or_else(|| frame.plain.clone());
    put_whole(key, conn, flags, &bytes).is_taken()
}
