//! Sent records.

use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, HandshakeType, ProtocolVersion,
    Tls13CipherSuite,
};

use super::{FRAGMENT, Records};

/// The place where records are sent to.
pub(crate) trait Output {
    /// Sends a record.
    fn push(&mut self, record: Vec<u8>);
}

impl Output for Vec<u8> {
    fn push(&mut self, record: Vec<u8>) {
        self.extend_from_slice(&record);
    }
}

/// The largest number of records that are sent with the same keys, whatever their suite: sequence numbers do not wrap.
const MOST_RECORDS: u64 = u64::MAX - 0xffff;

/// The levels of alerts (RFC 8446, section 6).
const WARNING: u8 = 1;
pub(super) const FATAL: u8 = 2;

pub(super) struct Writer {
    cipher: Box<dyn MessageEncrypter>,
    pub(super) sequence: u64,
    /// The number of records that the keys may protect.
    pub(super) limit: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    /// The peer has requested new keys: they are used from the next record on.
    UpdateRequested,
    /// `close_notify` or a fatal alert is sent.
    Closed,
}

impl Writer {
    pub(super) fn new(
        suite: &'static Tls13CipherSuite,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (sequence, secrets) = secrets;
        let mut writer = Writer {
            cipher: encrypter(suite, secrets)?,
            sequence: 0,
            limit: suite.common.confidentiality_limit.min(MOST_RECORDS),
            state: State::Open,
        };
        if sequence > 0 {
            // AWS-LC takes the first nonce that it sees for that of sequence number 0. What comes out is discarded.
            writer.record(ContentType::ApplicationData, &[], &mut Vec::new())?;
            writer.sequence = sequence;
        }
        Ok(writer)
    }

    /// Notes that the peer has requested new keys.
    pub(super) fn request_update(&mut self) {
        if self.state == State::Open {
            self.state = State::UpdateRequested;
        }
    }

    /// Returns whether the next record needs new keys.
    #[inline]
    fn needs_update(&self) -> bool {
        self.state == State::UpdateRequested || self.sequence + 1 >= self.limit
    }

    /// Sends a record.
    #[inline]
    pub(super) fn record(
        &mut self,
        typ: ContentType,
        payload: &[u8],
        out: &mut impl Output,
    ) -> Result<(), Error> {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(payload),
        };
        let record = self.cipher.encrypt(message, self.sequence)?;
        self.sequence += 1;
        out.push(record.encode());
        Ok(())
    }
}

impl Records {
    /// Encrypts `bytes` and sends the records to `out`; discards them after the end of this side.
    pub(crate) fn send(&mut self, bytes: &[u8], out: &mut impl Output) -> Result<(), Error> {
        if self.writer.state == State::Closed {
            return Ok(());
        }
        for fragment in bytes.chunks(FRAGMENT) {
            if self.writer.needs_update() {
                self.update_sending_keys(out)?;
            }
            self.writer
                .record(ContentType::ApplicationData, fragment, out)?;
        }
        Ok(())
    }

    /// Sends `close_notify`, once.
    pub(crate) fn end(&mut self, out: &mut impl Output) -> Result<(), Error> {
        if self.writer.state == State::UpdateRequested {
            self.update_sending_keys(out)?;
        }
        self.alert(WARNING, AlertDescription::CloseNotify, out)
    }

    /// Sends a fatal alert: the last record.
    pub(super) fn fail(
        &mut self,
        alert: AlertDescription,
        out: &mut impl Output,
    ) -> Result<(), Error> {
        self.alert(FATAL, alert, out)
    }

    fn alert(
        &mut self,
        level: u8,
        alert: AlertDescription,
        out: &mut impl Output,
    ) -> Result<(), Error> {
        if self.writer.state == State::Closed {
            return Ok(());
        }
        self.writer.state = State::Closed;
        let payload = [level, alert.into()];
        self.writer.record(ContentType::Alert, &payload, out)
    }

    /// Sends a KeyUpdate, and uses the next keys from then on (RFC 8446, section 4.6.3).
    ///
    /// An update that the peer has not requested requests one in turn.
    #[cold]
    fn update_sending_keys(&mut self, out: &mut impl Output) -> Result<(), Error> {
        let request = u8::from(self.writer.state == State::Open);
        let message = [HandshakeType::KeyUpdate.into(), 0, 0, 1, request];
        self.writer.record(ContentType::Handshake, &message, out)?;
        let (sequence, secrets) = self.keys.next_sending()?;
        self.writer.cipher = encrypter(self.suite, secrets)?;
        self.writer.sequence = sequence;
        self.writer.state = State::Open;
        Ok(())
    }
}

fn encrypter(
    suite: &Tls13CipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageEncrypter>, Error> {
    let (key, iv) = key_and_iv(secrets)?;
    Ok(suite.aead_alg.encrypter(key, iv))
}

pub(super) fn key_and_iv(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("the cipher is not known".into())),
    }
}
