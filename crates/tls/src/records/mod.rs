//! The TLS 1.3 record protocol after the handshake (RFC 8446, section 5), without I/O: bytes in, bytes out.
//!
//! rustls does the handshake, derives the keys and provides the ciphers. Records are decrypted in the receive buffer.
//!
//! Cost of a received record: one call of the cipher, no allocation, and no copy unless it follows another one in the chunk. Cost of a
//! sent record: one call of the cipher, which allocates once, and a copy if the record is short.

mod post_handshake;
mod reading;
mod writing;

use std::cell::RefCell;
use std::rc::Rc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, CommonState, ConnectionTrafficSecrets, Error, ExtractedSecrets,
    HandshakeKind, InvalidMessage, Side, Tls13CipherSuite,
};
use rustls_pki_types::CertificateDer;

use reading::RecordReader;
use writing::RecordWriter;

pub(crate) use reading::{HEADER, ReceivedRecords};
pub(crate) use writing::Output;

/// The maximum length of a record's plaintext (RFC 8446, section 5.1).
pub(crate) const MAX_FRAGMENT: usize = 16 * 1024;

/// An established TLS 1.3 connection.
pub(crate) struct Records {
    reader: RecordReader,
    writer: RecordWriter,
    keys: KeySchedule,
    suite: &'static Tls13CipherSuite,
    resumed: bool,
    /// `None` if there is neither an ALPN protocol nor a certificate of the peer.
    negotiated: Option<Rc<NegotiatedExtras>>,
}

/// The rustls connection that derives further keys and stores tickets.
enum KeySchedule {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// Results of the handshake that many connections do not have or have in common.
struct NegotiatedExtras {
    alpn_protocol: Option<Box<[u8]>>,
    peer_certificates: Box<[CertificateDer<'static>]>,
}

thread_local! {
    /// The last results with a protocol and without certificates. Connections with the same protocol share them.
    static LAST: RefCell<Option<Rc<NegotiatedExtras>>> = const { RefCell::new(None) };
}

impl Records {
    /// Creates the record layer from a client connection whose handshake is complete.
    pub(crate) fn client(tls: UnbufferedClientConnection) -> Result<Self, Error> {
        let (negotiated, resumed) = (NegotiatedExtras::of(&tls), is_resumed(&tls));
        let (secrets, keys) = tls.dangerous_into_kernel_connection()?;
        Records::new(secrets, KeySchedule::Client(keys), negotiated, resumed)
    }

    /// Creates the record layer from a server connection whose handshake is complete.
    pub(crate) fn server(tls: UnbufferedServerConnection) -> Result<Self, Error> {
        let (negotiated, resumed) = (NegotiatedExtras::of(&tls), is_resumed(&tls));
        let (secrets, keys) = tls.dangerous_into_kernel_connection()?;
        Records::new(secrets, KeySchedule::Server(keys), negotiated, resumed)
    }

    fn new(
        secrets: ExtractedSecrets,
        keys: KeySchedule,
        negotiated: Option<Rc<NegotiatedExtras>>,
        resumed: bool,
    ) -> Result<Self, Error> {
        let suite = match &keys {
            KeySchedule::Client(keys) => keys.negotiated_cipher_suite(),
            KeySchedule::Server(keys) => keys.negotiated_cipher_suite(),
        };
        let suite = suite.tls13().ok_or(Error::HandshakeNotComplete)?;
        Ok(Records {
            reader: RecordReader::new(suite, secrets.rx)?,
            writer: RecordWriter::new(suite, secrets.tx)?,
            keys,
            suite,
            resumed,
            negotiated,
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

    /// Returns `true` if the session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub(crate) fn alpn_protocol(&self) -> Option<&[u8]> {
        self.negotiated.as_ref()?.alpn_protocol.as_deref()
    }

    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        let negotiated = self.negotiated.as_ref();
        negotiated.map_or(&[], |negotiated| &negotiated.peer_certificates)
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

impl NegotiatedExtras {
    fn of(tls: &CommonState) -> Option<Rc<Self>> {
        let protocol = tls.alpn_protocol();
        let has_certificates = tls
            .peer_certificates()
            .is_some_and(|certificates| !certificates.is_empty());
        if protocol.is_some() && !has_certificates {
            let last = LAST.try_with(|last| last.borrow().clone()).ok().flatten();
            if let Some(last) = last
                && last.alpn_protocol.as_deref() == protocol
            {
                return Some(last);
            }
        }
        let negotiated = NegotiatedExtras {
            alpn_protocol: tls.alpn_protocol().map(Into::into),
            peer_certificates: tls.peer_certificates().unwrap_or_default().into(),
        };
        let is_empty =
            negotiated.alpn_protocol.is_none() && negotiated.peer_certificates.is_empty();
        if is_empty {
            return None;
        }
        let negotiated = Rc::new(negotiated);
        if !has_certificates {
            // It fails while the thread ends.
            let _ = LAST.try_with(|last| last.replace(Some(Rc::clone(&negotiated))));
        }
        Some(negotiated)
    }
}

fn is_resumed(tls: &CommonState) -> bool {
    tls.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Returns the alert to send for an error, if any.
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
