//! TLS on one connection, either side, without I/O: bytes in, bytes out.
//!
//! rustls does the handshake. The records of TLS 1.3 are [`Records`] from then on: they are decrypted in the buffer in which they
//! were received. Those of TLS 1.2 stay with rustls, which decrypts into a buffer of its own. Either way a chunk is one `data`
//! event and one send, however many records it has. Between chunks a session keeps nothing but the beginning of a record that is
//! not complete.

mod explain;
mod handshake;
mod hello;
mod tls;

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::server::ClientHello;
use rustls::{CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig, Side};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::error::Error;
use crate::records::{HEADER, Output, Received, Records};
use handshake::{Handshake, Step};
use tls::{Processed, Tls};

/// The number of bytes that are kept of a client whose handshake waits for its turn: those of one read, also through a layer below.
/// Nothing more is read meanwhile.
const HELD: usize = 128 * 1024;

/// The decisions of a server about a handshake.
pub(crate) trait Gate {
    /// Returns whether the next costly step may be taken now. If not, [`Session::resume`] is called when it may.
    fn may_step(&self) -> bool;

    /// Returns the configuration for the client that sent `hello`.
    fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error>;

    /// Returns whether clients are asked for certificates.
    fn verifies_clients(&self) -> bool;
}

pub(crate) struct Session {
    phase: Phase,
    /// The bytes received while the handshake waited for its turn; after that the beginning of a record.
    held: Vec<u8>,
    /// The name that a client asks for.
    server_name: Option<Box<str>>,
    peer_closed: bool,
    /// Whether there was an error, after which nothing is received or sent.
    failed: bool,
}

enum Phase {
    Handshake(Box<Handshake>),
    /// TLS 1.2, or keys that cannot be taken over.
    Rustls(Tls),
    Records(Box<Records>),
}

/// The results of a handshake.
pub(crate) struct Agreed<'a> {
    pub(crate) version: ProtocolVersion,
    pub(crate) suite: CipherSuite,
    pub(crate) alpn_protocol: Option<&'a [u8]>,
    pub(crate) peer_certificates: &'a [CertificateDer<'static>],
    pub(crate) is_resumed: bool,
}

/// The plaintext of a chunk: a part of the chunk itself, or what was appended to a buffer.
pub(crate) struct Plaintext<'a> {
    pub(crate) buffer: &'a mut BytesMut,
    pub(crate) within: Range<usize>,
}

impl<'a> Plaintext<'a> {
    /// Creates an empty plaintext around `buffer`, which is empty.
    pub(crate) fn new(buffer: &'a mut BytesMut) -> Self {
        Plaintext {
            buffer,
            within: 0..0,
        }
    }

    /// Copies a part of `bytes` to the buffer.
    fn copy(&mut self, bytes: &[u8], part: Range<usize>) {
        let part = bytes.get(part).unwrap_or_default();
        self.buffer.extend_from_slice(part);
    }
}

impl Session {
    /// Creates the server's side, whose configuration is chosen by the ClientHello.
    pub(crate) fn server() -> Session {
        Session::new(Handshake::server())
    }

    /// Creates the client's side, which has something to send at once.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Session, Error> {
        let server_name = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().into()),
            _ => None,
        };
        let has_secrets = config.enable_secret_extraction;
        let tls = UnbufferedClientConnection::new(config, name)
            .map_err(|error| Error::protocol(error.to_string()))?;
        let tls = Tls::Client(Box::new(tls));
        Ok(Session {
            server_name,
            ..Session::new(Handshake::client(tls, has_secrets))
        })
    }

    fn new(handshake: Handshake) -> Session {
        Session {
            phase: Phase::Handshake(Box::new(handshake)),
            held: Vec::new(),
            server_name: None,
            peer_closed: false,
            failed: false,
        }
    }

    /// Returns the name that the client asks for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.phase, Phase::Handshake(_))
    }

    /// Returns whether the peer has sent `close_notify`.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Returns whether the handshake waits for its turn.
    pub(crate) fn waits(&self) -> bool {
        matches!(&self.phase, Phase::Handshake(handshake) if handshake.waits.is_some())
    }

    /// Returns the results of the handshake, once it is done.
    pub(crate) fn agreed(&self) -> Option<Agreed<'_>> {
        match &self.phase {
            Phase::Handshake(_) => None,
            Phase::Rustls(tls) => Some(Agreed {
                version: tls.protocol_version()?,
                suite: tls.negotiated_cipher_suite()?.suite(),
                alpn_protocol: tls.alpn_protocol(),
                peer_certificates: tls.peer_certificates().unwrap_or_default(),
                is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            }),
            Phase::Records(records) => Some(Agreed {
                version: ProtocolVersion::TLSv1_3,
                suite: records.suite().common.suite,
                alpn_protocol: records.alpn_protocol(),
                peer_certificates: records.peer_certificates(),
                is_resumed: records.is_resumed(),
            }),
        }
    }

    /// Processes received bytes, and changes them. An answer is appended to `out`, also the alert that goes with an error.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return self.process(bytes, plaintext, out);
        };
        handshake.note(bytes);
        match handshake.waits {
            Some(_) => self.hold(bytes),
            None => self.advance(bytes, plaintext, out, gate),
        }
    }

    /// Goes on with a handshake that has waited for its turn, or begins that of a client.
    pub(crate) fn resume(
        &mut self,
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        match handshake.waits.take().is_some() || handshake.side() == Side::Client {
            true => self.advance(&mut [], plaintext, out, gate),
            false => Ok(()),
        }
    }

    /// Goes on with the handshake.
    fn advance(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        let must_wait = || gate.is_some_and(|gate| !gate.may_step());
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        match handshake.look(bytes, out)? {
            // rustls gets everything once the configuration is known.
            Step::Incomplete => self.hold(bytes),
            Step::Complete => {
                let wait = must_wait();
                self.hold(bytes)?;
                let Phase::Handshake(handshake) = &mut self.phase else {
                    return Ok(());
                };
                if wait {
                    handshake.waits = Some(self.held.len());
                    return Ok(());
                }
                self.server_name = handshake.answer(out, gate)?;
                self.process(&mut [], plaintext, out)
            }
            Step::Process if handshake.is_costly() && must_wait() => {
                handshake.waits = Some(self.held.len());
                self.hold(bytes)
            }
            Step::Process => self.process(bytes, plaintext, out),
        }
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Phase::Handshake(handshake) = &self.phase
            && let Some(begin) = handshake.waits
            && self.held.len() + bytes.len() > begin + HELD
        {
            return Err(Error::protocol(
                "more than 128 KiB came while the handshake waited for its turn",
            ));
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Processes what is held and, behind it, received bytes.
    #[inline]
    fn process(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self.held.is_empty() {
            true => self.process_in_place(bytes, plaintext, out),
            false => self.process_behind_held(bytes, plaintext, out),
        }
    }

    fn process_behind_held(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let missing = match self.is_handshaking() {
            true => bytes.len(),
            // The record whose beginning is held; those behind it need not be moved.
            false => self.missing_of_record(bytes.len()),
        };
        let (first, rest) = bytes.split_at_mut(missing);
        self.held.extend_from_slice(first);
        self.process_held(plaintext, out)?;
        if rest.is_empty() {
            return Ok(());
        }
        if !self.held.is_empty() {
            // rustls waits for more, such as the rest of a message in several records.
            self.held.extend_from_slice(rest);
            return self.process_held(plaintext, out);
        }
        let result = self.process_in_place(rest, plaintext, out);
        let within = std::mem::take(&mut plaintext.within);
        match plaintext.buffer.is_empty() {
            true => plaintext.within = within.start + missing..within.end + missing,
            false => plaintext.copy(rest, within),
        }
        result
    }

    /// Processes what is held, and copies its plaintext.
    fn process_held(
        &mut self,
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut held = std::mem::take(&mut self.held);
        let result = self.process_in_place(&mut held, plaintext, out);
        let within = std::mem::take(&mut plaintext.within);
        plaintext.copy(&held, within);
        result
    }

    /// Returns the number of bytes, `most` at most, that the record lacks whose beginning is held.
    fn missing_of_record(&self, most: usize) -> usize {
        let length = match *self.held {
            [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([high, low])),
            // Its length is among what was received.
            _ => return most.min(HEADER - self.held.len()),
        };
        length.saturating_sub(self.held.len()).min(most)
    }

    /// Processes bytes where they are, and holds those that are not processed yet.
    #[inline]
    fn process_in_place(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.peer_closed || self.failed {
            return Ok(());
        }
        let (count, closed) = match &mut self.phase {
            Phase::Records(records) => {
                let Received {
                    consumed,
                    plaintext: within,
                    closed,
                } = records.receive(incoming, out);
                plaintext.within = within;
                (consumed, closed)
            }
            Phase::Rustls(tls) => {
                let Processed { count, result } = tls.process(incoming, plaintext.buffer, out);
                (count, result)
            }
            Phase::Handshake(_) => return self.shake_hands(incoming, plaintext, out),
        };
        self.processed(incoming, count, closed)
    }

    /// Holds the bytes behind the first `count`, or notes why there are no more.
    #[inline]
    fn processed(
        &mut self,
        incoming: &[u8],
        count: usize,
        closed: Result<bool, rustls::Error>,
    ) -> Result<(), Error> {
        match closed {
            Ok(false) if count < incoming.len() => {
                let rest = incoming.get(count..).unwrap_or_default();
                self.held.extend_from_slice(rest);
            }
            Ok(closed) => self.peer_closed = closed,
            Err(error) => {
                self.failed = true;
                return Err(self.explain(&error));
            }
        }
        Ok(())
    }

    /// Goes on with the handshake, and with what comes behind it.
    fn shake_hands(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        let Processed { count, result } = handshake.process(incoming, plaintext.buffer, out);
        if !handshake.is_done() || !matches!(result, Ok(false)) {
            return self.processed(incoming, count, result);
        }
        self.open(out)?;
        let rest = incoming.get_mut(count..).unwrap_or_default();
        let result = self.process_in_place(rest, plaintext, out);
        let within = &mut plaintext.within;
        *within = within.start + count..within.end + count;
        result
    }

    /// Takes the records over when the handshake is done, and sends what was written before.
    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        let (early, ends) = (std::mem::take(&mut handshake.early), handshake.ends);
        let Some((tls, can_be_taken)) = handshake.take_tls() else {
            return Ok(());
        };
        self.phase = match can_be_taken {
            true => {
                let records = tls.into_records().map_err(|error| {
                    self.failed = true;
                    explain::connection(&error)
                })?;
                Phase::Records(Box::new(records))
            }
            false => Phase::Rustls(tls),
        };
        self.send(&early, out)?;
        if ends {
            self.end(out)?;
        }
        Ok(())
    }

    /// Encrypts, and sends the records to `out`.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8], out: &mut impl Output) -> Result<(), Error> {
        if bytes.is_empty() || self.failed {
            return Ok(());
        }
        let sent = match &mut self.phase {
            Phase::Records(records) => records.send(bytes, out),
            Phase::Rustls(tls) => {
                let mut records = Vec::new();
                let sent = tls.encrypt(bytes, &mut self.held, &mut records);
                out.push(records);
                sent
            }
            Phase::Handshake(handshake) => return handshake.keep(bytes),
        };
        sent.map_err(|error| self.explain(&error))
    }

    /// Sends `close_notify`, after the handshake.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.failed {
            return Ok(());
        }
        let ended = match &mut self.phase {
            Phase::Records(records) => records.end(out),
            Phase::Rustls(tls) => tls.close_notify(&mut self.held, out),
            Phase::Handshake(handshake) => {
                handshake.ends = true;
                Ok(())
            }
        };
        ended.map_err(|error| self.explain(&error))
    }

    /// Returns an error if the end of the connection below comes too early.
    pub(crate) fn ended_below(&self) -> Result<(), Error> {
        if self.peer_closed {
            return Ok(());
        }
        Err(Error::Truncated {
            handshake: self.is_handshaking().then_some(match self.side() {
                Side::Client => "server",
                Side::Server => "client",
            }),
        })
    }

    fn side(&self) -> Side {
        match &self.phase {
            Phase::Handshake(handshake) => handshake.side(),
            Phase::Rustls(tls) => tls.side(),
            Phase::Records(records) => records.side(),
        }
    }

    fn explain(&self, error: &rustls::Error) -> Error {
        match &self.phase {
            Phase::Handshake(handshake) => handshake.explain(error),
            Phase::Rustls(_) | Phase::Records(_) => explain::connection(error),
        }
    }
}

#[cfg(test)]
mod tests;
