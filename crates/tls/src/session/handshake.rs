//! The handshake of a session.

use bytes::BytesMut;
use rustls::{HandshakeKind, ProtocolVersion, Side};

use super::HandshakeControl;
use super::errors::{self, FirstBytes};
use super::hello::{AcceptedHello, HelloReader};
use super::rustls_connection::{Processed, RustlsConnection};
use crate::error::Error;
use crate::records::HEADER;

/// The maximum number of bytes that may be written before the handshake is complete.
const MAX_EARLY: usize = 64 * 1024;

/// A handshake in progress.
pub(super) struct Handshake {
    stage: HandshakeStage,
    first_bytes: FirstBytes,
    /// The bytes written before the handshake is complete.
    pub(super) early: Vec<u8>,
    /// Set if `close_notify` is to be sent after the handshake.
    pub(super) end_requested: bool,
    /// The number of bytes that were held when the handshake was queued; `None` if it is not queued.
    pub(super) queued_at: Option<usize>,
    verifies_clients: bool,
    /// `true` if the keys can be extracted after the handshake.
    has_secrets: bool,
    /// The number of held bytes that rustls has processed as parts of an incomplete message.
    seen: usize,
}

enum HandshakeStage {
    /// A server that waits for the complete ClientHello.
    Hello(Box<HelloReader>),
    Running(RustlsConnection),
    /// Complete, or refused before it has begun.
    Finished,
}

/// The state of the ClientHello after bytes were received.
pub(super) enum HelloStatus {
    /// The ClientHello is not complete.
    Incomplete,
    /// The ClientHello is complete.
    Complete,
    /// The ClientHello was accepted earlier: the received bytes are for rustls.
    Accepted,
}

impl Handshake {
    pub(super) fn server() -> Self {
        Handshake::new(HandshakeStage::Hello(Box::default()), false)
    }

    pub(super) fn client(tls: RustlsConnection, has_secrets: bool) -> Self {
        Handshake::new(HandshakeStage::Running(tls), has_secrets)
    }

    fn new(stage: HandshakeStage, has_secrets: bool) -> Self {
        Handshake {
            stage,
            first_bytes: FirstBytes::default(),
            early: Vec::new(),
            end_requested: false,
            queued_at: None,
            verifies_clients: false,
            has_secrets,
            seen: 0,
        }
    }

    pub(super) fn side(&self) -> Side {
        match &self.stage {
            HandshakeStage::Running(tls) => tls.side(),
            HandshakeStage::Hello(_) | HandshakeStage::Finished => Side::Server,
        }
    }

    /// Records the first bytes of the peer.
    pub(super) fn record_first_bytes(&mut self, bytes: &[u8]) {
        self.first_bytes.record(bytes);
    }

    pub(super) fn explain(&self, error: &rustls::Error) -> Error {
        match self.side() {
            Side::Server => errors::handshake_with_client(error, &self.first_bytes),
            Side::Client => errors::handshake_with_server(error, &self.first_bytes),
        }
    }

    /// Passes received bytes to the reader of the ClientHello, if it is not accepted yet. An error appends an alert to `out`.
    pub(super) fn receive_hello(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<HelloStatus, Error> {
        let HandshakeStage::Hello(hello) = &mut self.stage else {
            return Ok(HelloStatus::Accepted);
        };
        match hello.collect(bytes) {
            Ok(true) => Ok(HelloStatus::Complete),
            Ok(false) => Ok(HelloStatus::Incomplete),
            Err((error, alert)) => {
                out.extend_from_slice(&alert);
                let error = self.explain(&error);
                self.stage = HandshakeStage::Finished;
                Err(error)
            }
        }
    }

    /// Selects the configuration for a complete ClientHello, and returns the requested server name.
    pub(super) fn accept(
        &mut self,
        out: &mut Vec<u8>,
        control: Option<&dyn HandshakeControl>,
    ) -> Result<Option<Box<str>>, Error> {
        let stage = std::mem::replace(&mut self.stage, HandshakeStage::Finished);
        let (HandshakeStage::Hello(hello), Some(control)) = (stage, control) else {
            return Ok(None);
        };
        match hello.accept(control) {
            Ok(AcceptedHello {
                tls,
                server_name,
                has_secrets,
            }) => {
                self.stage = HandshakeStage::Running(RustlsConnection::Server(Box::new(tls)));
                self.has_secrets = has_secrets;
                self.verifies_clients = control.verifies_clients();
                Ok(server_name)
            }
            Err((error, alert)) => {
                out.extend_from_slice(&alert);
                Err(error)
            }
        }
    }

    /// Returns `true` if the client's next flight is expensive to process: a second ClientHello, a certificate, a key exchange.
    pub(super) fn is_expensive(&self) -> bool {
        let HandshakeStage::Running(tls @ RustlsConnection::Server(_)) = &self.stage else {
            return false;
        };
        self.verifies_clients
            || tls.protocol_version() == Some(ProtocolVersion::TLSv1_2)
            || tls.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(&self.stage, HandshakeStage::Running(tls) if !tls.is_handshaking())
    }

    /// Buffers written bytes until the handshake is complete.
    pub(super) fn buffer_early(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if matches!(self.stage, HandshakeStage::Finished) {
            return Ok(());
        }
        if self.early.len() + bytes.len() > MAX_EARLY {
            return Err(Error::protocol(
                "more than 64 KiB were written before the handshake was complete",
            ));
        }
        self.early.extend_from_slice(bytes);
        Ok(())
    }

    /// Passes records to rustls until the handshake is complete, one at a time, so that rustls has not seen the records after
    /// the handshake.
    pub(super) fn process(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Processed {
        let mut processed = Processed {
            count: 0,
            result: Ok(false),
        };
        let HandshakeStage::Running(tls) = &mut self.stage else {
            processed.count = incoming.len();
            return processed;
        };
        let mut seen = std::mem::take(&mut self.seen);
        while tls.is_handshaking() {
            let next = incoming.get(seen..).and_then(record_length);
            // rustls only checks the header of an incomplete record.
            let end = next.map_or(incoming.len(), |length| seen + length);
            let records = incoming.get_mut(processed.count..end).unwrap_or_default();
            let Processed { count, result } = tls.process(records, plaintext, out);
            processed.count += count;
            processed.result = result;
            if next.is_none() || !matches!(processed.result, Ok(false)) {
                break;
            }
            seen = end;
        }
        self.seen = seen.saturating_sub(processed.count);
        processed
    }

    /// Takes the rustls connection after the handshake. The flag is `true` if its keys can be extracted.
    pub(super) fn take_tls(&mut self) -> Option<(RustlsConnection, bool)> {
        let stage = std::mem::replace(&mut self.stage, HandshakeStage::Finished);
        let HandshakeStage::Running(tls) = stage else {
            return None;
        };
        let is_tls_1_3 = tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let can_extract = self.has_secrets && is_tls_1_3 && self.seen == 0;
        Some((tls, can_extract))
    }
}

/// Returns the length of the first record in `bytes`, if it is complete.
fn record_length(bytes: &[u8]) -> Option<usize> {
    let &[_, _, _, high, low, ..] = bytes else {
        return None;
    };
    let length = HEADER + usize::from(u16::from_be_bytes([high, low]));
    (length <= bytes.len()).then_some(length)
}
