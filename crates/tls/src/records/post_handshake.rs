//! Post-handshake messages (RFC 8446, section 4.6).

use rustls::{Error, HandshakeType, InvalidMessage, PeerMisbehaved};

use super::{KeySchedule, Records};

/// The maximum length of a message: 64 KiB, as in rustls.
pub(super) const MAX_MESSAGE: usize = 0xffff;

/// The maximum number of consecutive KeyUpdates without data in between.
const MAX_KEY_UPDATES: u8 = 32;

/// The state of receiving handshake messages.
#[derive(Default)]
pub(super) struct HandshakeMessages {
    /// An incomplete message.
    partial: Vec<u8>,
    key_updates: u8,
}

impl HandshakeMessages {
    /// Returns `true` if there is no incomplete message.
    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        self.partial.is_empty()
    }

    /// Records that data was received.
    #[inline]
    pub(super) fn receive_data(&mut self) {
        self.key_updates = 0;
    }
}

impl Records {
    /// Processes the content of a handshake record: messages and parts of messages.
    #[cold]
    pub(super) fn receive_handshake(&mut self, payload: &[u8]) -> Result<(), Error> {
        if payload.is_empty() {
            return Err(InvalidMessage::InvalidEmptyPayload.into());
        }
        let mut all = std::mem::take(&mut self.reader.messages.partial);
        all.extend_from_slice(payload);
        let consumed = self.receive_messages(&all)?;
        all.drain(..consumed);
        if !all.is_empty() {
            self.reader.messages.partial = all;
        }
        Ok(())
    }

    /// Processes the complete messages in `bytes`, and returns their total length.
    fn receive_messages(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut rest = bytes;
        while let [typ, high, middle, low, after @ ..] = rest {
            let typ = HandshakeType::from(*typ);
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if length > self.max_length(typ)? {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            let Some((message, after)) = after.split_at_checked(length) else {
                break;
            };
            if typ == HandshakeType::KeyUpdate {
                self.receive_key_update(message, after.is_empty())?;
            } else if let KeySchedule::Client(keys) = &mut self.keys {
                keys.handle_new_session_ticket(message)?;
            }
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Returns the maximum length of a message of the type, or an error if the type is unexpected.
    fn max_length(&self, typ: HandshakeType) -> Result<usize, Error> {
        match (typ, &self.keys) {
            (HandshakeType::KeyUpdate, _) => Ok(1),
            (HandshakeType::NewSessionTicket, KeySchedule::Client(_)) => Ok(MAX_MESSAGE),
            (got_type, KeySchedule::Client(_)) => Err(Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::NewSessionTicket, HandshakeType::KeyUpdate],
                got_type,
            }),
            (got_type, KeySchedule::Server(_)) => Err(Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::KeyUpdate],
                got_type,
            }),
        }
    }

    /// Switches to the next receiving keys. `is_last` is `true` if nothing follows in the record.
    fn receive_key_update(&mut self, message: &[u8], is_last: bool) -> Result<(), Error> {
        let requested = match message {
            [0] => false,
            [1] => true,
            [_] => return Err(InvalidMessage::InvalidKeyUpdate.into()),
            _ => return Err(InvalidMessage::MissingData("KeyUpdate").into()),
        };
        if !is_last {
            return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        let messages = &mut self.reader.messages;
        if messages.key_updates == MAX_KEY_UPDATES {
            return Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
        }
        messages.key_updates += 1;
        if requested {
            self.writer.request_update();
        }
        let secrets = self.keys.next_receiving()?;
        self.reader.update(self.suite, secrets)
    }
}
