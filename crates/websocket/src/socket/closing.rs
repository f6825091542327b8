//! The end of a WebSocket (RFC 6455, 7): told, answered, refused, or just there.

use uptick_emitter::emit;
use uptick_event_loop::driver::{self, Timestamp};
use uptick_event_loop::{Id, catch};

use super::entry::{self, Flags};
use super::{Closed, WebSocket, deadlines, receiving, sending, with_entry};
use crate::Error;
use crate::Text;
use crate::protocol::{CloseCode, CloseFrame, Invalid};

/// Tells the peer that this side closes, and waits for its answer.
pub(super) fn close(key: Id, code: CloseCode, reason: &str) {
    let code = if code.is_sendable() {
        code
    } else {
        CloseCode::NORMAL
    };
    let frame = CloseFrame::new(code, Text::copy_from(reason));
    let closed = frame.clone();
    let begun = with_entry(key, |entry| {
        if !entry.is_open() {
            return None;
        }
        entry.flags.insert(Flags::CLOSING);
        entry.seen = Timestamp::now();
        entry.rare().closed = Some(closed);
        Some(entry.flags.intersects(Flags::PAUSED))
    });
    let Some(Some(paused)) = begun else { return };
    sending::close_frame(key, Some(&frame));
    deadlines::arm(key);
    if paused {
        // The answer has to be read.
        receiving::resume(key);
    }
}

/// The peer closes, or answers a close.
pub(super) fn received(key: Id, frame: Option<CloseFrame>) {
    let ours = with_entry(key, |entry| {
        entry.rare_if_any().and_then(|rare| rare.closed.take())
    });
    let closed = match ours {
        Some(Some(ours)) => Closed {
            code: ours.code,
            reason: ours.reason,
            clean: true,
        },
        Some(None) => {
            let code = frame.as_ref().map(|frame| frame.code);
            let echo = code.map(|code| CloseFrame::new(code, Text::new()));
            sending::close_frame(key, echo.as_ref());
            Closed {
                code: code.unwrap_or(CloseCode::NO_STATUS),
                reason: frame.map(|frame| frame.reason).unwrap_or_default(),
                clean: true,
            }
        }
        None => return,
    };
    finish(key, closed);
}

/// The peer has sent what it must not.
pub(super) fn refuse(key: Id, invalid: Invalid) {
    let open = with_entry(key, |entry| {
        let open = entry.is_open();
        // Nothing is sent behind the close, also by listeners of the error.
        entry.flags.insert(Flags::CLOSING);
        open
    });
    if open == Some(true) {
        let frame = CloseFrame::new(invalid.code(), invalid.reason());
        sending::close_frame(key, Some(&frame));
    }
    let closed = Closed {
        code: invalid.code(),
        reason: Text::from(invalid.reason()),
        clean: false,
    };
    let error = Error::Protocol(invalid);
    emit(&WebSocket::from_id(key), WebSocket::ERROR, error);
    finish(key, closed);
}

/// The connection is gone.
pub(super) fn lost(key: Id) {
    finish(
        key,
        Closed {
            code: CloseCode::ABNORMAL,
            reason: Text::default(),
            clean: false,
        },
    );
}

/// Emits `close`, once, and forgets the WebSocket. What is written still goes out.
fn finish(key: Id, closed: Closed) {
    let ending = with_entry(key, |entry| {
        if entry.flags.intersects(Flags::OVER) {
            return None;
        }
        entry.flags.insert(Flags::OVER);
        if let Some(deadline) = entry.deadline.take() {
            driver::disarm_deadline(deadline);
        }
        Some((entry.conn, entry.route.topics, entry.take_topics()))
    });
    let Some(Some((conn, topics, names))) = ending else {
        return;
    };
    let ws = WebSocket::from_id(key);
    topics.leave(&names, ws);
    conn.end();
    // Whatever panics, nothing stays behind.
    let told = catch(|| emit(&ws, WebSocket::CLOSE, closed));
    let dropped = catch(|| drop(entry::remove(key)));
    for message in [told.err(), dropped.err()].into_iter().flatten() {
        tracing::error!("a callback panicked as its WebSocket closed: {message}");
    }
}
