//! Received records.

use std::ops::Range;

use rustls::crypto::cipher::{InboundOpaqueMessage, InboundPlainMessage, MessageDecrypter};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, InvalidMessage, PeerMisbehaved,
    ProtocolVersion, Tls13CipherSuite,
};

use super::post_handshake::Messages;
use super::writing::key_and_iv;
use super::{FRAGMENT, Records, alert_of};

/// The length of a record's header (RFC 8446, section 5.1).
pub(crate) const HEADER: usize = 5;

/// The longest encrypted content of a record (RFC 8446, section 5.2).
const LONGEST: usize = FRAGMENT + 256;

/// The number of consecutive records without content, and of warnings, after which the next one is an error.
const EMPTY_RECORDS: u8 = 32;
const WARNINGS: u8 = 4;

/// The content type of encrypted records, and the major version in their header.
const APPLICATION_DATA: u8 = 23;
const MAJOR_VERSION: u8 = 3;

pub(super) struct Reader {
    cipher: Box<dyn MessageDecrypter>,
    sequence: u64,
    empty_records: u8,
    warnings: u8,
    pub(super) messages: Messages,
}

/// The result of receiving a chunk.
pub(crate) struct Received {
    /// The number of bytes that are processed; behind them is the beginning of a record.
    pub(crate) consumed: usize,
    /// The part of the chunk where the plaintext is now.
    pub(crate) plaintext: Range<usize>,
    /// Whether the peer has sent `close_notify`, after which everything is ignored.
    pub(crate) closed: Result<bool, Error>,
}

/// The consequence of a record.
enum Content {
    Data(usize),
    Message,
    CloseNotify,
}

impl Reader {
    pub(super) fn new(
        suite: &'static Tls13CipherSuite,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (sequence, secrets) = secrets;
        Ok(Reader {
            cipher: decrypter(suite, secrets)?,
            sequence,
            empty_records: 0,
            warnings: 0,
            messages: Messages::default(),
        })
    }

    /// Uses other keys from the next record on.
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
        if self.empty_records == EMPTY_RECORDS {
            return Err(PeerMisbehaved::TooManyEmptyFragments.into());
        }
        self.empty_records += 1;
        Ok(())
    }

    /// Returns whether an alert is `close_notify`; all others are errors, but `user_canceled` (RFC 8446, section 6).
    #[cold]
    fn receive_alert(&mut self, payload: &[u8]) -> Result<bool, Error> {
        const USER_CANCELED: u8 = 90;
        match *payload {
            [_, 0] => Ok(true),
            [1, USER_CANCELED] if self.warnings < WARNINGS => {
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
    /// Decrypts the whole records of a chunk in place, and moves their plaintext together. Answers are appended to `out`, as is
    /// the alert that goes with an error.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Received {
        let mut received = Received {
            consumed: 0,
            plaintext: 0..0,
            closed: Ok(false),
        };
        let closed = self.receive_records(bytes, &mut received);
        if let Err(error) = &closed
            && let Some(alert) = alert_of(error)
        {
            // Without it the peer only sees the connection close.
            let _ = self.fail(alert, out);
        }
        received.closed = closed;
        received
    }

    #[inline]
    fn receive_records(
        &mut self,
        bytes: &mut [u8],
        received: &mut Received,
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
                Content::Data(length) => {
                    let plaintext = &mut received.plaintext;
                    if plaintext.end == 0 {
                        *plaintext = begin..begin + length;
                    } else {
                        bytes.copy_within(begin..begin + length, plaintext.end);
                        plaintext.end += length;
                    }
                }
                Content::Message => {}
                Content::CloseNotify => return Ok(true),
            }
        }
        Ok(false)
    }

    #[inline]
    fn receive_record(&mut self, content: &mut [u8]) -> Result<Content, Error> {
        let InboundPlainMessage { typ, payload, .. } = self.reader.decrypt(content)?;
        if !self.reader.messages.is_complete() && typ != ContentType::Handshake {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        match typ {
            ContentType::ApplicationData if payload.is_empty() => {
                self.reader.receive_empty()?;
                return Ok(Content::Data(0));
            }
            ContentType::ApplicationData => {
                self.reader.empty_records = 0;
                self.reader.messages.receive_data();
                return Ok(Content::Data(payload.len()));
            }
            ContentType::Alert => {
                if self.reader.receive_alert(payload)? {
                    return Ok(Content::CloseNotify);
                }
            }
            ContentType::Handshake => self.receive_handshake(payload)?,
            typ => return Err(unexpected(typ)),
        }
        Ok(Content::Message)
    }
}

/// Returns the length of the encrypted content of the record that begins with `bytes`; `None` while its header is not complete.
#[inline]
fn content_length(bytes: &[u8]) -> Result<Option<usize>, Error> {
    match *bytes {
        [APPLICATION_DATA, MAJOR_VERSION, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            match length <= LONGEST {
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
