//! Invariants of the frame decoder for any input, shared by the tests and the fuzz target.

use std::io::{self, Read, Write};

use tungstenite::Message as TheirMessage;
use tungstenite::protocol::Role as TheirRole;
use tungstenite::protocol::{WebSocket, WebSocketConfig};
use uptick_websocket::Message;
use uptick_websocket::protocol::frame::{self, Flags, Opcode};
use uptick_websocket::protocol::{Decoder, Event, Inflater, Limits, Role, close};

/// Returns the events of bytes received in pieces, up to the last possible event.
pub(crate) fn decode<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    role: Role,
    compressed: bool,
    limits: &Limits,
) -> Vec<Event> {
    let mut decoder = Decoder::new(role).compressed(compressed);
    let mut inflater = Inflater::new();
    let mut events = Vec::new();
    let mut finished = false;
    for piece in pieces {
        decoder.push(piece.into());
        while let Some(event) = decoder.next(limits, Some(&mut inflater)) {
            assert!(!finished, "{event:?} after {events:?}");
            finished = matches!(event, Event::Close(_) | Event::Error(_));
            events.push(event);
        }
    }
    assert!(!finished || (!decoder.is_idle() && decoder.buffered() == 0));
    events
}

/// Checks the invariants for any bytes, received in pieces of `size`.
pub(crate) fn check(bytes: &[u8], size: usize, role: Role, compressed: bool, limits: &Limits) {
    let whole = decode([bytes], role, compressed, limits);
    for size in [1, 2, size.max(1)] {
        let split = decode(bytes.chunks(size), role, compressed, limits);
        assert_eq!(split, whole, "in pieces of {size}");
    }
    let again = encode(&whole, role);
    let errors = usize::from(matches!(whole.last(), Some(Event::Error(_))));
    assert_eq!(
        decode([&again[..]], role, false, limits),
        whole[..whole.len() - errors]
    );
    if !compressed && *limits == Limits::default() {
        agrees_with_tungstenite(bytes, role, &whole);
    }
}

/// Returns frames that decode to these events.
fn encode(events: &[Event], role: Role) -> Vec<u8> {
    let mask = (role == Role::Server).then_some([0x12, 0x34, 0x56, 0xff]);
    let mut out = Vec::new();
    let mut append = |opcode, payload: &[u8]| {
        frame::append(&mut out, opcode, Flags::FIN, mask, payload);
    };
    for event in events {
        match event {
            Event::Message(Message::Text(text)) => append(Opcode::Text, text.as_bytes()),
            Event::Message(Message::Binary(bytes)) => append(Opcode::Binary, bytes),
            Event::Ping(payload) => append(Opcode::Ping, payload),
            Event::Pong(payload) => append(Opcode::Pong, payload),
            Event::Close(_) | Event::Error(_) => {}
        }
    }
    if let Some(Event::Close(frame)) = events.last() {
        close::append(&mut out, frame.as_ref(), mask);
    }
    out
}

/// A socket that reads from a slice and discards written bytes.
struct Socket<'a>(&'a [u8]);

impl Read for Socket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the messages that tungstenite decodes before an error, and whether there was an error.
pub(crate) fn their_messages(bytes: &[u8], role: Role) -> (Vec<TheirMessage>, bool) {
    let role = match role {
        Role::Server => TheirRole::Server,
        Role::Client => TheirRole::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(1024 * 1024))
        .max_frame_size(Some(1024 * 1024));
    let mut socket = WebSocket::from_raw_socket(Socket(bytes), role, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => {
                let last = message.is_close();
                messages.push(message);
                if last {
                    return (messages, false);
                }
            }
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (messages, false);
            }
            Err(_) => return (messages, true),
        }
    }
}

/// Returns `true` if an event equals a message of tungstenite.
fn is_same(event: &Event, theirs: &TheirMessage) -> bool {
    match (event, theirs) {
        (Event::Message(Message::Text(text)), TheirMessage::Text(theirs)) => {
            text == theirs.as_str()
        }
        (Event::Message(Message::Binary(bytes)), TheirMessage::Binary(theirs)) => bytes == theirs,
        (Event::Ping(bytes), TheirMessage::Ping(theirs))
        | (Event::Pong(bytes), TheirMessage::Pong(theirs)) => bytes == theirs,
        (Event::Close(None), TheirMessage::Close(None)) => true,
        (Event::Close(Some(frame)), TheirMessage::Close(Some(theirs))) => {
            // Tungstenite does not know this code.
            frame.code.as_u16() == 1014
                || (frame.code.as_u16() == u16::from(theirs.code)
                    && frame.reason == *theirs.reason.as_str())
        }
        _ => false,
    }
}

/// Checks that both decoders agree, except that tungstenite detects fewer errors: invalid text only at the end of a frame, lengths not in
/// their shortest form never, and invalid close codes never, because it replaces them.
fn agrees_with_tungstenite(bytes: &[u8], role: Role, events: &[Event]) {
    let (theirs, failed) = their_messages(bytes, role);
    let agree = match events.split_last() {
        Some((Event::Error(_), before)) => {
            theirs.len() >= before.len() && before.iter().zip(&theirs).all(|(a, b)| is_same(a, b))
        }
        _ => {
            !failed
                && theirs.len() == events.len()
                && events.iter().zip(&theirs).all(|(a, b)| is_same(a, b))
        }
    };
    assert!(agree, "{events:?}, but {theirs:?}, failed: {failed}");
}
