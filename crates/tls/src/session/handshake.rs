//! A connection until its handshake is done.

use bytes::BytesMut;
use rustls::{HandshakeKind, ProtocolVersion, Side};

use super::Gate;
use super::explain::{self, Beginning};
use super::hello::{Answer, Hello};
use super::tls::{Processed, Tls};
use crate::error::Error;
use crate::records::HEADER;

/// The number of bytes that may be written before the handshake is done.
const EARLY: usize = 64 * 1024;

pub(super) struct Handshake {
    stage: Stage,
    beginning: Beginning,
    /// The bytes written so far.
    pub(super) early: Vec<u8>,
    /// Whether this side has ended.
    pub(super) ends: bool,
    /// The number of bytes that were held when the handshake began to wait for its turn.
    pub(super) waits: Option<usize>,
    verifies_clients: bool,
    /// Whether the keys can be taken over when it is done.
    has_secrets: bool,
    /// The number of held bytes that rustls has seen, and keeps as parts of a message.
    seen: usize,
}

enum Stage {
    /// A server waits for the whole ClientHello.
    Hello(Box<Hello>),
    Running(Tls),
    /// Refused before it has begun, or done.
    Over,
}

/// The result of a step of a server's handshake.
pub(super) enum Step {
    /// The ClientHello is not complete.
    Incomplete,
    /// The ClientHello is complete.
    Complete,
    /// What was received is for rustls.
    Process,
}

impl Handshake {
    pub(super) fn server() -> Self {
        Handshake::new(Stage::Hello(Box::default()), false)
    }

    pub(super) fn client(tls: Tls, has_secrets: bool) -> Self {
        Handshake::new(Stage::Running(tls), has_secrets)
    }

    fn new(stage: Stage, has_secrets: bool) -> Self {
        Handshake {
            stage,
            beginning: Beginning::default(),
            early: Vec::new(),
            ends: false,
            waits: None,
            verifies_clients: false,
            has_secrets,
            seen: 0,
        }
    }

    pub(super) fn side(&self) -> Side {
        match &self.stage {
            Stage::Running(tls) => tls.side(),
            Stage::Hello(_) | Stage::Over => Side::Server,
        }
    }

    /// Notes the first bytes of the peer.
    pub(super) fn note(&mut self, bytes: &[u8]) {
        self.beginning.note(bytes);
    }

    pub(super) fn explain(&self, error: &rustls::Error) -> Error {
        match self.side() {
            Side::Server => explain::handshake_with_client(error, &self.beginning),
            Side::Client => explain::handshake_with_server(error, &self.beginning),
        }
    }

    /// Looks at received bytes before rustls gets them. An error appends an alert to `out`.
    pub(super) fn look(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Step, Error> {
        let Stage::Hello(hello) = &mut self.stage else {
            return Ok(Step::Process);
        };
        match hello.collect(bytes) {
            Ok(true) => Ok(Step::Complete),
            Ok(false) => Ok(Step::Incomplete),
            Err((error, alert)) => {
                out.extend_from_slice(&alert);
                let error = self.explain(&error);
                self.stage = Stage::Over;
                Err(error)
            }
        }
    }

    /// Chooses the configuration with which a ClientHello is answered; returns the name that the client asks for.
    pub(super) fn answer(
        &mut self,
        out: &mut Vec<u8>,
        gate: Option<&dyn Gate>,
    ) -> Result<Option<Box<str>>, Error> {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let (Stage::Hello(hello), Some(gate)) = (stage, gate) else {
            return Ok(None);
        };
        match hello.answer(gate) {
            Ok(Answer {
                tls,
                server_name,
                has_secrets,
            }) => {
                self.stage = Stage::Running(Tls::Server(Box::new(tls)));
                self.has_secrets = has_secrets;
                self.verifies_clients = gate.verifies_clients();
                Ok(server_name)
            }
            Err((error, alert)) => {
                out.extend_from_slice(&alert);
                Err(error)
            }
        }
    }

    /// Returns whether what comes next is expensive to process: a ClientHello after the first, a certificate, a key exchange.
    pub(super) fn is_costly(&self) -> bool {
        let Stage::Running(tls @ Tls::Server(_)) = &self.stage else {
            return false;
        };
        self.verifies_clients
            || tls.protocol_version() == Some(ProtocolVersion::TLSv1_2)
            || tls.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(&self.stage, Stage::Running(tls) if !tls.is_handshaking())
    }

    /// Keeps bytes until the handshake is done.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if matches!(self.stage, Stage::Over) {
            return Ok(());
        }
        if self.early.len() + bytes.len() > EARLY {
            return Err(Error::protocol(
                "more than 64 KiB were written before the handshake was done",
            ));
        }
        self.early.extend_from_slice(bytes);
        Ok(())
    }

    /// Passes records to rustls until the handshake is done: one after the other, so that rustls has seen none of those behind
    /// the last one.
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
        let Stage::Running(tls) = &mut self.stage else {
            processed.count = incoming.len();
            return processed;
        };
        let mut seen = std::mem::take(&mut self.seen);
        while tls.is_handshaking() {
            let next = incoming.get(seen..).and_then(record_length);
            // A record that is not complete is only checked.
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

    /// Takes rustls' connection after the handshake, and whether the records can be taken over from it.
    pub(super) fn take_tls(&mut self) -> Option<(Tls, bool)> {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let Stage::Running(tls) = stage else {
            return None;
        };
        let is_tls_1_3 = tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let can_be_taken = self.has_secrets && is_tls_1_3 && self.seen == 0;
        Some((tls, can_be_taken))
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
