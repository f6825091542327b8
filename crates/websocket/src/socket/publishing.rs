//! A message for many, as the frame that all of them get.

use bytes::Bytes;
use uptick_emitter::emit;

use super::handle::WebSocket;
use super::sending::{COPIED, Room, SOFT_LIMIT};
use super::state::{Flags, WebSocketSession, session};
use crate::compression;
use crate::message::Payload;
use crate::protocol::frame;
use crate::topics::message::HubMessage;

/// A message for many, encoded once.
pub(crate) struct Frame {
    message: HubMessage,
    /// The frame for those that have no compressor of their own; the inner `None` if compressing is not worth it.
    shared: Option<Option<Bytes>>,
}

impl Frame {
    pub(crate) fn new(payload: &impl Payload) -> Self {
        Frame::of(HubMessage::new(payload))
    }

    /// The frame of a message that is encoded already.
    pub(crate) fn of(message: HubMessage) -> Self {
        Frame {
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

    /// Returns the frame around a compressed payload.
    fn around(&self, deflated: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(deflated.len() + 14);
        let flags = frame::Flags::FIN | frame::Flags::RSV1;
        frame::append(&mut out, self.message.opcode(), flags, None, deflated);
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

/// Sends one of many the frame that all get; returns whether it was taken.
///
/// Cost of a short frame to a server's WebSocket: one look, and a copy into the connection's queue.
#[inline]
pub(crate) fn deliver(ws: WebSocket, frame: &mut Frame) -> bool {
    let length = frame.plain().len();
    let ordinary = |session: &WebSocketSession| {
        length <= COPIED && session.sends_plainly() && length + SOFT_LIMIT <= session.most()
    };
    let written = ws
        .channel()
        .write_for(ordinary, |out| out.extend_from_slice(frame.plain()));
    match written {
        Some(true) => true,
        Some(false) => {
            ws.channel().with_session(WebSocketSession::filled);
            true
        }
        None => session(ws).is_some_and(|session| session.deliver_specially(frame)),
    }
}

impl WebSocketSession {
    #[inline(never)]
    fn deliver_specially(&self, frame: &mut Frame) -> bool {
        if self.has(Flags::FRAGMENTS) && self.is_open() {
            // The peer is not slow, but this side is in the middle of a message.
            let bytes = frame.payload().len();
            self.count_dropped();
            emit(self, WebSocket::DROPPED, bytes);
            return false;
        }
        match self.room(frame.plain().len()) {
            Room::Free => {}
            Room::Slow => {
                self.dropped_for_slow(frame.payload().len());
                return false;
            }
            Room::Closed => return false,
        }
        if self.has(Flags::CLIENT) {
            let payload = frame.plain().slice(frame.message.range());
            let sent = self.write(frame.message.opcode(), frame::Flags::FIN, payload);
            return sent.is_taken();
        }
        let own = self.if_rare(|rare| {
            let deflation = rare.deflation.as_mut()?;
            deflation
                .has_own_context()
                .then(|| deflation.deflate(frame.payload()))
        });
        let bytes = match own.flatten() {
            Some(own) => own.map(|deflated| frame.around(&deflated)),
            None if self.has(Flags::DEFLATE) => frame.shared(),
            None => None,
        };
        let bytes = bytes.unwrap_or_else(|| frame.plain().clone());
        let sent = match bytes.len() <= COPIED {
            true => self.put(Bytes::new(), |out| out.extend_from_slice(&bytes)),
            false => self.put(bytes, |_| ()),
        };
        sent.is_taken()
    }
}
