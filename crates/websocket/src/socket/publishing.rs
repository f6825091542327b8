//! Messages for many receivers, encoded once.

use bytes::Bytes;
use uptick_emitter::emit;

use super::handle::WebSocket;
use super::sending::{COPY_LIMIT, SOFT_LIMIT, WriteCapacity};
use super::state::{SocketFlags, WebSocketSession, session};
use crate::compression;
use crate::message::Payload;
use crate::protocol::frame;
use crate::topics::message::HubMessage;

/// A message for many receivers, encoded once.
pub(crate) struct PublishedFrame {
    message: HubMessage,
    /// The compressed frame for receivers without a compressor of their own; the inner `None` if compression does not make it smaller.
    shared: Option<Option<Bytes>>,
}

impl PublishedFrame {
    pub(crate) fn new(payload: &impl Payload) -> Self {
        PublishedFrame::of(HubMessage::new(payload))
    }

    /// Creates a frame from an encoded message.
    pub(crate) fn of(message: HubMessage) -> Self {
        PublishedFrame {
            message,
            shared: None,
        }
    }

    pub(crate) fn message(&self) -> &HubMessage {
        &self.message
    }

    fn plain(&self) -> &Bytes {
        self.message.frame()
    }

    fn payload(&self) -> &[u8] {
        self.message.payload()
    }

    /// Returns a frame with a compressed payload.
    fn compressed_frame(&self, deflated: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(deflated.len() + 14);
        let flags = frame::Flags::FIN | frame::Flags::RSV1;
        frame::append(&mut out, self.message.opcode(), flags, None, deflated);
        out.into()
    }

    fn shared(&mut self) -> Option<Bytes> {
        if self.shared.is_none() {
            let deflated = compression::deflate_shared(self.payload());
            self.shared = Some(deflated.map(|deflated| self.compressed_frame(&deflated)));
        }
        self.shared.clone().flatten()
    }
}

/// Sends the frame to one receiver; returns `true` if it was sent or queued.
///
/// Cost of a short frame on a server: one lookup, and a copy into the connection's write queue.
#[inline]
pub(crate) fn deliver(ws: WebSocket, frame: &mut PublishedFrame) -> bool {
    let length = frame.plain().len();
    let is_direct = |session: &WebSocketSession| {
        length <= COPY_LIMIT
            && session.can_append_directly()
            && length + SOFT_LIMIT <= session.max_buffered()
    };
    let written = ws
        .channel()
        .write_for(is_direct, |out| out.extend_from_slice(frame.plain()));
    match written {
        Some(true) => true,
        Some(false) => {
            ws.channel().with_session(WebSocketSession::set_full);
            true
        }
        None => session(ws).is_some_and(|session| session.deliver_slow_path(frame)),
    }
}

impl WebSocketSession {
    #[inline(never)]
    fn deliver_slow_path(&self, frame: &mut PublishedFrame) -> bool {
        if self.has(SocketFlags::FRAGMENTS) && self.is_open() {
            // The peer is not slow; this side is sending a fragmented message.
            let bytes = frame.payload().len();
            self.count_dropped();
            emit(self, WebSocket::DROPPED, bytes);
            return false;
        }
        match self.capacity(frame.plain().len()) {
            WriteCapacity::Available => {}
            WriteCapacity::Full => {
                self.apply_slow_policy(frame.payload().len());
                return false;
            }
            WriteCapacity::Closed => return false,
        }
        if self.has(SocketFlags::CLIENT) {
            let payload = frame.plain().slice(frame.message.range());
            let sent = self.write(frame.message.opcode(), frame::Flags::FIN, payload);
            return sent.is_taken();
        }
        let own = self.if_cold(|cold| {
            let deflation = cold.deflation.as_mut()?;
            deflation
                .has_own_context()
                .then(|| deflation.deflate(frame.payload()))
        });
        let bytes = match own.flatten() {
            Some(own) => own.map(|deflated| frame.compressed_frame(&deflated)),
            None if self.has(SocketFlags::DEFLATE) => frame.shared(),
            None => None,
        };
        let bytes = bytes.unwrap_or_else(|| frame.plain().clone());
        let sent = match bytes.len() <= COPY_LIMIT {
            true => self.write_or_queue(Bytes::new(), |out| out.extend_from_slice(&bytes)),
            false => self.write_or_queue(bytes, |_| ()),
        };
        sent.is_taken()
    }
}
