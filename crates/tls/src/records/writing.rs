//! Sending records.

use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, HandshakeType, ProtocolVersion,
    Tls13CipherSuite,
};

use super::{MAX_FRAGMENT, Records};

/// A destination for records.
pub(crate) trait Output {
    /// Sends a record.
    fn push(&mut self, record: Vec<u8>);
}

impl Output for Vec<u8> {
    fn push(&mut self, record: Vec<u8>) {
        self.extend_from_slice(&record);
    }
}

/// The maximum number of records that are sent with the same keys of any suite, so that sequence numbers do not wrap.
const MAX_RECORDS: u64 = u64::MAX - 0xffff;

/// The levels of alerts (RFC 8446, section 6).
const WARNING: u8 = 1;
pub(super) const FATAL: u8 = 2;

pub(super) struct RecordWriter {
    cipher: Box<dyn MessageEncrypter>,
    pub(super) sequence: u64,
    /// The maximum number of records for the keys.
    pub(super) limit: u64,
    state: WriterState,
}

#[derive(Clone, Copy, PartialEq)]
enum WriterState {
    Open,
    /// The peer has requested a key update, which is sent before the next record.
    UpdateRequested,
    /// `close_notify` or a fatal alert was sent.
    Closed,
}

impl RecordWriter {
    pub(super) fn new(
        suite: &'static Tls13CipherSuite,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (sequence, secrets) = secrets;
        let mut writer = RecordWriter {
            cipher: encrypter(suite, secrets)?,
            sequence: 0,
            limit: suite.common.confidentiality_limit.min(MAX_RECORDS),
            state: WriterState::Open,
        };
        if sequence > 0 {
            // AWS-LC assumes that the first nonce has the sequence number 0. The output is discarded.
            writer.record(ContentType::ApplicationData, &[], &mut Vec::new())?;
            writer.sequence = sequence;
        }
        Ok(writer)
    }

    /// Records that the peer has requested a key update.
    pub(super) fn request_update(&mut self) {
        if self.state == WriterState::Open {
            self.state = WriterState::UpdateRequested;
        }
    }

    /// Returns `true` if the next record needs new keys.
    #[inline]
    fn needs_update(&self) -> bool {
        self.state == WriterState::UpdateRequested || self.sequence + 1 >= self.limit
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
    /// Encrypts `bytes` and sends the records to `out`. After the write half is closed, `bytes` are discarded.
    pub(crate) fn send(&mut self, bytes: &[u8], out: &mut impl Output) -> Result<(), Error> {
        if self.writer.state == WriterState::Closed {
            return Ok(());
        }
        for fragment in bytes.chunks(MAX_FRAGMENT) {
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
        if self.writer.state == WriterState::UpdateRequested {
            self.update_sending_keys(out)?;
        }
        self.alert(WARNING, AlertDescription::CloseNotify, out)
    }

    /// Sends a fatal alert, which is the last record.
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
        if self.writer.state == WriterState::Closed {
            return Ok(());
        }
        self.writer.state = WriterState::Closed;
        let payload = [level, alert.into()];
        self.writer.record(ContentType::Alert, &payload, out)
    }

    /// Sends a KeyUpdate, and switches to the next sending keys (RFC 8446, section 4.6.3).
    ///
    /// If the peer did not request the update, the message requests one from the peer.
    #[cold]
    fn update_sending_keys(&mut self, out: &mut impl Output) -> Result<(), Error> {
        let request = u8::from(self.writer.state == WriterState::Open);
        let message = [HandshakeType::KeyUpdate.into(), 0, 0, 1, request];
        self.writer.record(ContentType::Handshake, &message, out)?;
        let (sequence, secrets) = self.keys.next_sending()?;
        self.writer.cipher = encrypter(self.suite, secrets)?;
        self.writer.sequence = sequence;
        self.writer.state = WriterState::Open;
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
        _ => Err(Error::General("unknown cipher".into())),
    }
}
