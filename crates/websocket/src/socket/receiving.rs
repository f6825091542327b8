//! What comes, on its way to the listeners.
//!
//! Cost of a message that came whole: the entry is looked up once before its listener and once after it. No allocation; the
//! payload is a slice of the read buffer.

use bytes::{Bytes, BytesMut};
use uptick_emitter::{Begun, emit, emit_begun, emit_rest};
use uptick_event_loop::Id;
use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_stream::transport::Protocol;

use super::entry::{Entry, Flags, Spare, with_decoders};
use super::{WebSocket, closing, sending, with_entry};
use crate::message::Message;
use crate::protocol::Event;
use crate::{Error, compression};

/// The protocol of all connections that are WebSockets.
pub(super) struct Serving;

impl Protocol<Connection> for Serving {
    #[inline]
    fn read(&self, _conn: Connection, key: Id, chunk: BytesMut) {
        received(key, chunk);
    }

    fn data(&self, _conn: Connection, key: Id, chunk: Bytes) {
        received(key, chunk.into());
    }

    fn end(&self, _conn: Connection, _key: Id) {
        // This side ends, too, and `close` follows.
    }

    fn drain(&self, _conn: Connection, key: Id) {
        with_entry(key, |entry| entry.flags.remove(Flags::FULL));
        emit(&WebSocket::from_id(key), WebSocket::DRAIN, ());
    }

    fn error(&self, _conn: Connection, key: Id, error: &uptick_socket::Error) {
        let error = Error::Connection(error.clone());
        emit(&WebSocket::from_id(key), WebSocket::ERROR, error);
    }

    fn close(&self, _conn: Connection, key: Id) {
        closing::lost(key);
    }
}

/// What is done while nothing is borrowed.
enum Next {
    /// A message, and the emission that has begun for it; none if nobody listens.
    Message(Message, Option<Begun>),
    /// Something rarer.
    Other(Event),
    /// Something has to be waited for.
    Nothing,
}

#[inline]
fn received(key: Id, chunk: BytesMut) {
    let next = with_decoders(key, |entry, spare| {
        if entry.flags.intersects(Flags::OVER) {
            return Next::Nothing;
        }
        if !entry.flags.intersects(Flags::CLOSING) {
            entry.seen = Timestamp::now();
            entry.flags.remove(Flags::PINGED);
        }
        entry.push(chunk, spare);
        if entry.flags.intersects(Flags::BUSY) {
            // What came before goes first.
            return Next::Nothing;
        }
        entry.flags.insert(Flags::BUSY);
        entry.next(spare)
    });
    hand_on(key, next.unwrap_or(Next::Nothing));
}

#[inline]
fn hand_on(key: Id, mut next: Next) {
    let ws = WebSocket::from_id(key);
    loop {
        match next {
            Next::Message(message, Some(mut begun)) if begun.is_only() => {
                begun.call(message);
                let mut begun = Some(begun);
                let after = with_decoders(key, |entry, spare| {
                    entry.listeners.complete(&mut begun);
                    match begun {
                        None => entry.next(spare),
                        // The listeners have changed: that comes first.
                        Some(_) => Next::Nothing,
                    }
                });
                next = after.unwrap_or(Next::Nothing);
                if let Some(begun) = begun {
                    emit_rest(&ws, WebSocket::MESSAGE, begun);
                    next = go_on(key);
                }
                continue;
            }
            Next::Message(message, Some(begun)) => {
                emit_begun(&ws, WebSocket::MESSAGE, begun, message);
            }
            Next::Message(message, None) => {
                emit(&ws, WebSocket::MESSAGE, message);
            }
            Next::Other(event) => other(ws, event),
            Next::Nothing => return,
        }
        next = go_on(key);
    }
}

fn go_on(key: Id) -> Next {
    with_decoders(key, Entry::next).unwrap_or(Next::Nothing)
}

impl Entry {
    /// The next thing that came.
    #[inline]
    fn next(&mut self, spare: &mut Spare) -> Next {
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
                Some(Event::Message(message)) => {
                    Next::Message(message, self.listeners.begin(&WebSocket::MESSAGE))
                }
                Some(event) => Next::Other(event),
                None => break,
            };
        }
        self.flags.remove(Flags::BUSY);
        self.put_back(spare);
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
        entry.flags.insert(Flags::PAUSED);
        entry.conn
    });
    if let Some(conn) = conn {
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
    conn.resume();
    if !busy {
        super::deadlines::go_on_later(key);
    }
}

/// Hands on what waits since a pause.
pub(super) fn go_on_now(key: Id) {
    hand_on(key, go_on(key));
}
