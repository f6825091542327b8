//! What comes, on its way to the listeners.
//!
//! Cost of a message that came whole: the entry is looked up once before its listener and once after it. No allocation and
//! no decoder; the payload is a slice of the read buffer. What is not whole goes through a decoder, which the WebSocket has for as long.

use bytes::BytesMut;
use uptick_emitter::{emit, emit_frequent};
use uptick_event_loop::Id;
use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_stream::transport::{Session, Visit};

use super::entry::{Entry, Flags};
use super::{WebSocket, closing, sending, with_entry};
use crate::message::Message;
use crate::protocol::{Decoder, Event};
use crate::{Error, compression};

/// Serves a connection that is a WebSocket.
pub(super) struct Serving {
    pub(super) key: Id,
}

impl Session<Connection> for Serving {
    #[inline]
    fn data(&self, _: &Visit<Connection>, bytes: &mut BytesMut) {
        received(self.key, bytes);
    }

    fn end(&self, _: &Visit<Connection>) {
        // This side ends, too, and `close` follows.
        sending::write_all_waiting(self.key);
    }

    fn drain(&self, _: &Visit<Connection>) {
        sending::drained(self.key);
    }

    fn error(&self, _: &Visit<Connection>, error: &uptick_socket::Error) {
        let error = Error::Connection(error.clone());
        emit(&WebSocket::from_id(self.key), WebSocket::ERROR, error);
    }

    fn close(&self, _: &Visit<Connection>) {
        closing::lost(self.key);
    }
}

/// A message that came whole.
type Whole = Message;

/// What a decoder has found.
enum Next {
    /// A message.
    Message(Message),
    /// Something rarer.
    Other(Event),
    /// Something has to be waited for.
    Nothing,
}

#[inline]
fn received(key: Id, chunk: &mut BytesMut) {
    let ws = WebSocket::from_id(key);
    let mut next = None;
    with_entry(key, |entry| {
        if !entry.flags.intersects(Flags::CLOSING) {
            entry.seen = Timestamp::now();
            entry.flags.remove(Flags::PINGED);
        }
        entry.whole(chunk, &mut next);
    });
    while let Some(message) = next.take() {
        emit_frequent(&ws, WebSocket::MESSAGE, message);
        with_entry(key, |entry| entry.whole(chunk, &mut next));
    }
    if !chunk.is_empty() {
        decode(key, chunk.split());
    }
}

/// Hands on what is not a whole message, by way of a decoder.
#[inline(never)]
fn decode(key: Id, chunk: BytesMut) {
    let next = with_entry(key, |entry| {
        if entry.flags.intersects(Flags::OVER) {
            return Next::Nothing;
        }
        entry.push(chunk);
        if entry.flags.intersects(Flags::BUSY) {
            // What came before goes first.
            return Next::Nothing;
        }
        entry.flags.insert(Flags::BUSY);
        entry.next()
    });
    hand_on(key, next.unwrap_or(Next::Nothing));
}

fn hand_on(key: Id, mut next: Next) {
    let ws = WebSocket::from_id(key);
    loop {
        match next {
            Next::Message(message) => {
                emit_frequent(&ws, WebSocket::MESSAGE, message);
            }
            Next::Other(event) => other(ws, event),
            Next::Nothing => return,
        }
        next = go_on(key);
    }
}

fn go_on(key: Id) -> Next {
    with_entry(key, Entry::next).unwrap_or(Next::Nothing)
}

impl Entry {
    /// The next message, if it comes whole and nothing is in its way.
    #[inline]
    fn whole(&mut self, chunk: &mut BytesMut, place: &mut Option<Whole>) {
        let special = Flags::BUSY
            .or(Flags::CLOSING)
            .or(Flags::OVER)
            .or(Flags::PAUSED);
        if chunk.is_empty() || self.flags.intersects(special) || self.decoder.is_some() {
            return;
        }
        let limits = &self.route.options.limits;
        if let Some(message) = Decoder::whole_message(self.role(), chunk, limits) {
            *place = Some(message);
        }
    }

    /// The next thing that came.
    fn next(&mut self) -> Next {
        loop {
            if self.flags.intersects(Flags::OVER.or(Flags::PAUSED)) {
                break;
            }
            let Some(decoder) = self.decoder.as_mut().filter(|all| all.buffered() > 0) else {
                break;
            };
            let limits = &self.route.options.limits;
            let event = if self.flags.intersects(Flags::DEFLATE) {
                let deflation = self.rare.as_mut().and_then(|rare| rare.deflation.as_mut());
                compression::inflating(deflation, |inflater| decoder.next(limits, inflater))
            } else {
                decoder.next(limits, None)
            };
            return match event {
                Some(Event::Message(_)) if self.flags.intersects(Flags::CLOSING) => continue,
                Some(Event::Message(message)) => Next::Message(message),
                Some(event) => Next::Other(event),
                None => break,
            };
        }
        self.flags.remove(Flags::BUSY);
        self.decoder.take_if(|decoder| decoder.is_idle());
        Next::Nothing
    }
}

#[cold]
fn other(ws: WebSocket, event: Event) {
    match event {
        Event::Ping(payload) => {
            sending::pong(ws.key(), &payload);
            emit(&ws, WebSocket::PING, payload);
        }
        Event::Pong(payload) => {
            emit(&ws, WebSocket::PONG, payload);
        }
        Event::Close(frame) => closing::received(ws.key(), frame),
        Event::Error(invalid) => closing::refuse(ws.key(), invalid),
        Event::Message(_) => {}
    }
}

/// Lets a client's WebSocket read, whose connection was paused until it was handed out; gives whether it is open.
pub(crate) fn begin(ws: WebSocket) -> bool {
    let begun = with_entry(ws.key(), |entry| {
        let paused = entry.flags.intersects(Flags::PAUSED);
        (entry.conn, paused, entry.is_open())
    });
    let Some((conn, paused, open)) = begun else {
        return false;
    };
    if !paused {
        conn.resume();
    }
    open
}

pub(super) fn pause(key: Id) {
    let conn = with_entry(key, |entry| {
        // The answer to a close has to be read.
        entry.is_open().then(|| {
            entry.flags.insert(Flags::PAUSED);
            entry.conn
        })
    });
    if let Some(Some(conn)) = conn {
        conn.pause();
    }
}

pub(super) fn resume(key: Id) {
    let resumed = with_entry(key, |entry| {
        if !entry.flags.intersects(Flags::PAUSED) {
            return None;
        }
        entry.flags.remove(Flags::PAUSED);
        entry.seen = Timestamp::now();
        // Inside of a listener, what is left goes on after it.
        let busy = entry.flags.intersects(Flags::BUSY);
        entry.flags.insert(Flags::BUSY);
        Some((entry.conn, busy))
    });
    let Some(Some((conn, busy))) = resumed else {
        return;
    };
    // What waits here comes before what is still to be read, which may be the end.
    if !busy {
        super::deadlines::go_on_later(key);
    }
    conn.resume();
}

/// Hands on what waits since a pause.
pub(super) fn go_on_now(key: Id) {
    hand_on(key, go_on(key));
}
