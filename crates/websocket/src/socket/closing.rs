//! The end of a WebSocket (RFC 6455, 7): by a close of either side, by an error, or with the connection.

use uptick_event_loop::catch;
use uptick_event_loop::driver::Timestamp;

use super::handle::{Closed, WebSocket};
use super::state::{Phase, WebSocketSession};
use crate::error::Error;
use crate::message::Text;
use crate::protocol::{CloseCode, CloseFrame, Invalid};

impl WebSocketSession {
    /// Sends a close, and waits for the peer's answer.
    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        if !self.is_open() {
            return;
        }
        let code = match code.is_sendable() || code == CloseCode::NO_STATUS {
            true => code,
            false => CloseCode::NORMAL,
        };
        let has_code = code != CloseCode::NO_STATUS;
        let reason = if has_code { reason } else { "" };
        let frame = CloseFrame::new(code, Text::copy_from(reason));
        self.phase.set(Phase::Closing);
        self.seen.set(Timestamp::now());
        self.with_rare(|rare| rare.closed = Some(frame.clone()));
        self.send_close(has_code.then_some(&frame));
        self.arm();
        // The answer has to be read.
        self.resume_for_close();
    }

    /// Closes the connection at once. In `close` it does nothing: what was written before is still sent.
    pub(super) fn terminate(&self) {
        if !self.is_over() {
            self.channel.close();
        }
    }

    /// The peer closes, or answers a close.
    pub(super) fn close_received(&self, frame: Option<CloseFrame>) {
        if let Some(ours) = self.if_rare(|rare| rare.closed.take()).flatten() {
            return self.finish(ours.code, ours.reason, true);
        }
        let code = frame.as_ref().map(|frame| frame.code);
        let echo = code.map(|code| CloseFrame::new(code, Text::new()));
        self.send_close(echo.as_ref());
        let reason = frame.map(|frame| frame.reason).unwrap_or_default();
        self.finish(code.unwrap_or(CloseCode::NO_STATUS), reason, true);
    }

    /// The peer has sent what it must not.
    pub(super) fn refuse(&self, invalid: Invalid) {
        let (code, reason) = (invalid.code(), invalid.reason());
        // Nothing is sent behind the close, also by listeners of the error.
        if self.phase.replace(Phase::Closing) == Phase::Open {
            self.send_close(Some(&CloseFrame::new(code, reason)));
        }
        self.emit_error(Error::Protocol(invalid));
        self.finish(code, Text::from(reason), false);
    }

    /// The connection is gone.
    pub(super) fn lost(&self) {
        self.finish(CloseCode::ABNORMAL, Text::new(), false);
    }

    /// Emits `close`, once, and detaches the WebSocket from its connection. What is written is still sent.
    fn finish(&self, code: CloseCode, reason: Text, clean: bool) {
        if self.phase.replace(Phase::Over) == Phase::Over {
            return;
        }
        self.with(|parts| parts.deadline.cancel());
        if let Some(counts) = &self.route.counts {
            counts.closed();
        }
        let topics = self.if_rare(|rare| std::mem::take(&mut rare.topics));
        let topics = topics.unwrap_or_default();
        self.route.hub.leave(&topics, WebSocket::of(self.channel));
        self.channel.end();
        let closed = Closed {
            code,
            reason,
            clean,
        };
        // Whatever panics, nothing stays behind.
        let emitted = catch(|| self.emit_close(closed));
        self.channel.clear_session();
        let dropped = catch(|| drop(self.take_parts()));
        for message in [emitted.err(), dropped.err()].into_iter().flatten() {
            tracing::error!("a callback panicked as its WebSocket closed: {message}");
        }
    }
}
