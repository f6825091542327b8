//! Receiving records.

use std::ops::Range;

use rustls::crypto::cipher::{InboundOpaqueMessage, InboundPlainMessage, MessageDecrypter};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, InvalidMessage, PeerMisbehaved,
    ProtocolVersion, Tls13CipherSuite,
};

use super::post_handshake::HandshakeMessages;
use super::writing::key_and_iv;
use super::{MAX_FRAGMENT, Records, alert_of};

/// The length of a record's header (RFC 8446, section 5.1).
pub(crate) const HEADER: usize = 5;

/// The maximum length of a record's encrypted content (RFC 8446, section 5.2).
const MAX_CONTENT: usize = MAX_FRAGMENT + 256;

/// The maximum number of consecutive records without content.
const MAX_EMPTY_RECORDS: u8 = 32;
/// The maximum number of warning alerts.
const MAX_WARNINGS: u8 = 4;

/// The content type of encrypted records, and the major version in their header.
const APPLICATION_DATA: u8 = 23;
const MAJOR_VERSION: u8 = 3;

pub(super) struct RecordReader {
    cipher: Box<dyn MessageDecrypter>,
    sequence: u64,
    empty_records: u8,
    warnings: u8,
    pub(super) messages: HandshakeMessages,
}

/// The result of receiving a chunk.
pub(crate) struct ReceivedRecords {
    /// The number of processed bytes. An incomplete record may follow them.
    pub(crate) consumed: usize,
    /// The part of the chunk that contains the plaintext.
    pub(crate) plaintext: Range<usize>,
    /// `true` if the peer has sent `close_notify`, after which all data is ignored.
    pub(crate) closed: Result<bool, Error>,
}

/// The result of receiving a record.
enum RecordContent {
    Data(usize),
    Message,
    CloseNotify,
}

impl RecordReader {
    pub(super) fn new(
        suite: &'static Tls13CipherSuite,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (sequence, secrets) = secrets;
        Ok(RecordReader {
            cipher: decrypter(suite, secrets)?,
            sequence,
            empty_records: 0,
            warnings: 0,
            messages: HandshakeMessages::default(),
        })
    }

    /// Replaces the keys, from the next record on.
    pub(super) fn update(
        &mut self,
        suite: &'static Tls13CipherSuite,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<(), Error> {
        let (sequence, secrets) = secrets;
        self.cipher = decrypter(suite, secrets)?;
        self.sequence = sequence;
        Ok(())
    }

    /// Decrypts the content of a record in place.
    #[inline]
    fn decrypt<'a>(&mut self, content: &'a mut [u8]) -> Result<InboundPlainMessage<'a>, Error> {
        let message = InboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            content,
        );
        let plain = self.cipher.decrypt(message, self.sequence)?;
        self.sequence = self.sequence.checked_add(1).ok_or(Error::DecryptError)?;
        Ok(plain)
    }

    fn receive_empty(&mut self) -> Result<(), Error> {
        if self.empty_records == MAX_EMPTY_RECORDS {
            return Err(PeerMisbehaved::TooManyEmptyFragments.into());
        }
        self.empty_records += 1;
        Ok(())
    }

    /// Returns `true` if an alert is `close_notify`. All others except `user_canceled` are errors (RFC 8446, section 6).
    #[cold]
    fn receive_alert(&mut self, payload: &[u8]) -> Result<bool, Error> {
        const USER_CANCELED: u8 = 90;
        match *payload {
            [_, 0] => Ok(true),
            [1, USER_CANCELED] if self.warnings < MAX_WARNINGS => {
                self.warnings += 1;
                Ok(false)
            }
            [1, USER_CANCELED] => Err(PeerMisbehaved::TooManyWarningAlertsReceived.into()),
            [_, alert] => Err(Error::AlertReceived(AlertDescription::from(alert))),
            [_, _, ..] => Err(InvalidMessage::TrailingData("AlertMessagePayload").into()),
            _ => Err(InvalidMessage::MissingData("AlertMessagePayload").into()),
        }
    }
}

impl Records {
    /// Decrypts the complete records of a chunk in place, and moves their plaintext together. Responses are appended to `out`, including
    /// the alert for an error.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> ReceivedRecords {
        let mut received = ReceivedRecords {
            consumed: 0,
            plaintext: 0..0,
            closed: Ok(false),
        };
        let closed = self.receive_records(bytes, &mut received);
        if let Err(error) = &closed
            && let Some(alert) = alert_of(error)
        {
            // The connection closes even if the alert cannot be encrypted.
            let _ = self.fail(alert, out);
        }
        received.closed = closed;
        received
    }

    #[inline]
    fn receive_records(
        &mut self,
        bytes: &mut [u8],
        received: &mut ReceivedRecords,
    ) -> Result<bool, Error> {
        while let Some(length) = content_length(bytes.get(received.consumed..).unwrap_or_default())?
        {
            let begin = received.consumed + HEADER;
            let end = begin + length;
            let Some(content) = bytes.get_mut(begin..end) else {
                break;
            };
            received.consumed = end;
            match self.receive_record(content)? {
                RecordContent::Data(length) => {
                    let plaintext = &mut received.plaintext;
                    if plaintext.end == 0 {
                        *plaintext = begin..begin + length;
                    } else {
                        bytes.copy_within(begin..begin + length, plaintext.end);
                        plaintext.end += length;
                    }
                }
                RecordContent::Message => {}
                RecordContent::CloseNotify => return Ok(true),
            }
        }
        Ok(false)
    }

    #[inline]
    fn receive_record(&mut self, content: &mut [u8]) -> Result<RecordContent, Error> {
        let InboundPlainMessage { typ, payload, .. } = self.reader.decrypt(content)?;
        if !self.reader.messages.is_complete() && typ != ContentType::Handshake {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        match typ {
            ContentType::ApplicationData if payload.is_empty() => {
                self.reader.receive_empty()?;
                return Ok(RecordContent::Data(0));
            }
            ContentType::ApplicationData => {
                self.reader.empty_records = 0;
                self.reader.messages.receive_data();
                return Ok(RecordContent::Data(payload.len()));
            }
            ContentType::Alert => {
                if self.reader.receive_alert(payload)? {
                    return Ok(RecordContent::CloseNotify);
                }
            }
            ContentType::Handshake => self.receive_handshake(payload)?,
            typ => return Err(unexpected(typ)),
        }
        Ok(RecordContent::Message)
    }
}

/// Returns the length of the encrypted content of the record that begins with `bytes`; `None` if its header is incomplete.
#[inline]
fn content_length(bytes: &[u8]) -> Result<Option<usize>, Error> {
    match *bytes {
        [APPLICATION_DATA, MAJOR_VERSION, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            match length <= MAX_CONTENT {
                true => Ok(Some(length)),
                false => Err(Error::PeerSentOversizedRecord),
            }
        }
        [typ, major, _, _, _, ..] => Err(invalid_header(typ, major)),
        _ => Ok(None),
    }
}

#[cold]
fn invalid_header(typ: u8, major: u8) -> Error {
    match ContentType::from(typ) {
        ContentType::Unknown(_) => InvalidMessage::InvalidContentType.into(),
        _ if major != MAJOR_VERSION => InvalidMessage::UnknownProtocolVersion.into(),
        typ => unexpected(typ),
    }
}

#[cold]
fn unexpected(got_type: ContentType) -> Error {
    Error::InappropriateMessage {
        expect_types: vec![ContentType::ApplicationData, ContentType::Handshake],
        got_type,
    }
}

fn decrypter(
    suite: &Tls13CipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, Error> {
    let (key, iv) = key_and_iv(secrets)?;
    Ok(suite.aead_alg.decrypter(key, iv))
}
