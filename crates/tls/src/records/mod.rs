//! The TLS 1.3 record protocol after the handshake (RFC 8446, section 5), without I/O: bytes in, bytes out.
//!
//! rustls does the handshake, derives the keys and has the ciphers. Records are decrypted where they are received.
//!
//! Cost of a received record: one call of the cipher, no allocation, no copy unless it follows another one in the chunk. Of a
//! sent record: one call of the cipher, one allocation in it, and a copy if it is short.

mod post_handshake;
mod reading;
mod writing;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, CommonState, ConnectionTrafficSecrets, Error, ExtractedSecrets,
    HandshakeKind, InvalidMessage, Side, Tls13CipherSuite,
};
use rustls_pki_types::CertificateDer;

use reading::Reader;
use writing::Writer;

pub(crate) use reading::{HEADER, Received};
pub(crate) use writing::Output;

/// The longest plaintext of a record (RFC 8446, section 5.1).
pub(crate) const FRAGMENT: usize = 16 * 1024;

/// An established TLS 1.3 connection.
pub(crate) struct Records {
    reader: Reader,
    writer: Writer,
    keys: KeySchedule,
    suite: &'static Tls13CipherSuite,
    resumed: bool,
    /// Absent without a protocol and a certificate of the peer.
    agreed: Option<Box<Agreed>>,
}

/// The part of rustls that derives further keys and stores tickets.
enum KeySchedule {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// Results of the handshake that most connections do not have.
struct Agreed {
    alpn_protocol: Option<Box<[u8]>>,
    peer_certificates: Box<[CertificateDer<'static>]>,
}

impl Records {
    /// Takes over the connection of a client, whose handshake is done.
    pub(crate) fn client(tls: UnbufferedClientConnection) -> Result<Self, Error> {
        let (agreed, resumed) = (Agreed::of(&tls), is_resumed(&tls));
        let (secrets, keys) = tls.dangerous_into_kernel_connection()?;
        Records::new(secrets, KeySchedule::Client(keys), agreed, resumed)
    }

    /// Takes over the connection of a server, whose handshake is done.
    pub(crate) fn server(tls: UnbufferedServerConnection) -> Result<Self, Error> {
        let (agreed, resumed) = (Agreed::of(&tls), is_resumed(&tls));
        let (secrets, keys) = tls.dangerous_into_kernel_connection()?;
        Records::new(secrets, KeySchedule::Server(keys), agreed, resumed)
    }

    fn new(
        secrets: ExtractedSecrets,
        keys: KeySchedule,
        agreed: Option<Box<Agreed>>,
        resumed: bool,
    ) -> Result<Self, Error> {
        let suite = match &keys {
            KeySchedule::Client(keys) => keys.negotiated_cipher_suite(),
            KeySchedule::Server(keys) => keys.negotiated_cipher_suite(),
        };
        let suite = suite.tls13().ok_or(Error::HandshakeNotComplete)?;
        Ok(Records {
            reader: Reader::new(suite, secrets.rx)?,
            writer: Writer::new(suite, secrets.tx)?,
            keys,
            suite,
            resumed,
            agreed,
        })
    }

    pub(crate) fn side(&self) -> Side {
        match self.keys {
            KeySchedule::Client(_) => Side::Client,
            KeySchedule::Server(_) => Side::Server,
        }
    }

    pub(crate) fn suite(&self) -> &'static Tls13CipherSuite {
        self.suite
    }

    /// Returns whether the session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub(crate) fn alpn_protocol(&self) -> Option<&[u8]> {
        self.agreed.as_ref()?.alpn_protocol.as_deref()
    }

    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        let agreed = self.agreed.as_ref();
        agreed.map_or(&[], |agreed| &agreed.peer_certificates)
    }
}

impl KeySchedule {
    /// Derives the next keys for sending.
    fn next_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            KeySchedule::Client(keys) => keys.update_tx_secret(),
            KeySchedule::Server(keys) => keys.update_tx_secret(),
        }
    }

    /// Derives the next keys for receiving.
    fn next_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            KeySchedule::Client(keys) => keys.update_rx_secret(),
            KeySchedule::Server(keys) => keys.update_rx_secret(),
        }
    }
}

impl Agreed {
    fn of(tls: &CommonState) -> Option<Box<Self>> {
        let agreed = Agreed {
            alpn_protocol: tls.alpn_protocol().map(Into::into),
            peer_certificates: tls.peer_certificates().unwrap_or_default().into(),
        };
        let is_empty = agreed.alpn_protocol.is_none() && agreed.peer_certificates.is_empty();
        (!is_empty).then(|| Box::new(agreed))
    }
}

fn is_resumed(tls: &CommonState) -> bool {
    tls.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Returns the alert that goes with an error, if one is sent.
fn alert_of(error: &Error) -> Option<AlertDescription> {
    Some(match error {
        Error::AlertReceived(_) => return None,
        Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => {
            AlertDescription::IllegalParameter
        }
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => AlertDescription::UnexpectedMessage,
        _ => AlertDescription::InternalError,
    })
}

#[cfg(test)]
mod tests;
