//! Closing a WebSocket (RFC 6455, section 7): by a close frame of either side, by an error, or with the connection.

use uptick_event_loop::catch;
use uptick_event_loop::driver::Timestamp;

use super::handle::{Closed, WebSocket};
use super::state::{SocketPhase, WebSocketSession};
use crate::error::Error;
use crate::message::Text;
use crate::protocol::{CloseCode, CloseFrame, Invalid};

impl WebSocketSession {
    /// Sends a close frame and waits for the close frame of the peer.
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
        self.phase.set(SocketPhase::Closing);
        self.last_activity.set(Timestamp::now());
        self.with_cold(|cold| cold.close_sent = Some(frame.clone()));
        self.send_close(has_code.then_some(&frame));
        self.arm();
        // The peer's close frame has to be read.
        self.resume_for_close();
    }

    /// Closes the connection immediately. During `close` it does nothing, so that bytes written before are still sent.
    pub(super) fn terminate(&self) {
        if !self.is_over() {
            self.channel.close();
        }
    }

    /// Handles a close frame of the peer, which starts or completes the closing handshake.
    pub(super) fn close_received(&self, frame: Option<CloseFrame>) {
        if let Some(ours) = self.if_cold(|cold| cold.close_sent.take()).flatten() {
            return self.finish(ours.code, ours.reason, true);
        }
        let code = frame.as_ref().map(|frame| frame.code);
        let echo = code.map(|code| CloseFrame::new(code, Text::new()));
        self.send_close(echo.as_ref());
        let reason = frame.map(|frame| frame.reason).unwrap_or_default();
        self.finish(code.unwrap_or(CloseCode::NO_STATUS), reason, true);
    }

    /// Handles a protocol violation by the peer.
    pub(super) fn protocol_error(&self, invalid: Invalid) {
        let (code, reason) = (invalid.code(), invalid.reason());
        // Set first, so that listeners of `error` cannot send anything after the close frame.
        if self.phase.replace(SocketPhase::Closing) == SocketPhase::Open {
            self.send_close(Some(&CloseFrame::new(code, reason)));
        }
        self.emit_error(Error::Protocol(invalid));
        self.finish(code, Text::from(reason), false);
    }

    /// Handles the loss of the connection.
    pub(super) fn connection_lost(&self) {
        self.finish(CloseCode::ABNORMAL, Text::new(), false);
    }

    /// Emits `close` once, and detaches the WebSocket from its connection. Written bytes are still sent.
    fn finish(&self, code: CloseCode, reason: Text, clean: bool) {
        if self.phase.replace(SocketPhase::Closed) == SocketPhase::Closed {
            return;
        }
        self.with(|parts| parts.deadline.cancel());
        if let Some(counts) = &self.route.counts {
            counts.closed();
        }
        let topics = self.if_cold(|cold| std::mem::take(&mut cold.topics));
        let topics = topics.unwrap_or_default();
        self.route.hub.leave(&topics, WebSocket::of(self.channel));
        self.channel.end();
        let closed = Closed {
            code,
            reason,
            clean,
        };
        // A panicking callback must not prevent the clean-up.
        let emitted = catch(|| self.emit_close(closed));
        self.channel.clear_session();
        let dropped = catch(|| drop(self.take_parts()));
        for message in [emitted.err(), dropped.err()].into_iter().flatten() {
            tracing::error!("a callback panicked while its WebSocket closed: {message}");
        }
    }
}
