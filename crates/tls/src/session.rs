//! TLS on one connection, for clients and servers, without I/O: bytes in, bytes out.
//!
//! rustls does the handshake. After it, [`Records`] processes the records of TLS 1.3: they are decrypted in the receive buffer.
//! Records of TLS 1.2 are processed by rustls, which decrypts into another buffer. In both cases a chunk results in one `data`
//! event and one send, regardless of the number of its records. Between chunks a session stores only an incomplete record.

mod errors;
mod handshake;
mod hello;
mod rustls_connection;

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::server::ClientHello;
use rustls::{CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig, Side};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::error::Error;
use crate::records::{HEADER, Output, ReceivedRecords, Records};
use handshake::{Handshake, HelloStatus};
use rustls_connection::{Processed, RustlsConnection};

/// The maximum number of bytes that are held for a queued handshake: the bytes of one read, possibly through an underlying layer.
/// The connection does not read more in the meantime.
const MAX_HELD: usize = 128 * 1024;

/// The interface through which a server controls a handshake.
pub(crate) trait HandshakeControl {
    /// Returns `true` if the next expensive step may be taken now. Otherwise [`Session::resume`] is called later.
    fn may_step(&self) -> bool;

    /// Returns the configuration for the client that sent `hello`.
    fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error>;

    /// Returns `true` if client certificates are requested.
    fn verifies_clients(&self) -> bool;
}

/// A TLS session.
pub(crate) struct Session {
    phase: SessionPhase,
    /// The bytes received while the handshake was queued; after the handshake, an incomplete record.
    held: Vec<u8>,
    /// The requested server name.
    server_name: Option<Box<str>>,
    peer_closed: bool,
    /// Set after an error, after which nothing is received or sent.
    failed: bool,
}

enum SessionPhase {
    Handshake(Box<Handshake>),
    /// TLS 1.2, or keys that cannot be extracted.
    Rustls(RustlsConnection),
    Records(Box<Records>),
}

/// The negotiated parameters of a handshake.
pub(crate) struct Negotiated<'a> {
    pub(crate) version: ProtocolVersion,
    pub(crate) suite: CipherSuite,
    pub(crate) alpn_protocol: Option<&'a [u8]>,
    pub(crate) peer_certificates: &'a [CertificateDer<'static>],
    pub(crate) is_resumed: bool,
}

/// The plaintext of a chunk: a part of the chunk itself, or bytes appended to a buffer.
pub(crate) struct Plaintext<'a> {
    pub(crate) buffer: &'a mut BytesMut,
    pub(crate) within: Range<usize>,
}

impl<'a> Plaintext<'a> {
    /// Creates an empty plaintext with `buffer`, which is empty.
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
    /// Creates a server session, whose configuration is selected by the ClientHello.
    pub(crate) fn server() -> Session {
        Session::new(Handshake::server())
    }

    /// Creates a client session, which has a ClientHello to send.
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
        let tls = RustlsConnection::Client(Box::new(tls));
        Ok(Session {
            server_name,
            ..Session::new(Handshake::client(tls, has_secrets))
        })
    }

    fn new(handshake: Handshake) -> Session {
        Session {
            phase: SessionPhase::Handshake(Box::new(handshake)),
            held: Vec::new(),
            server_name: None,
            peer_closed: false,
            failed: false,
        }
    }

    /// Returns the requested server name.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.phase, SessionPhase::Handshake(_))
    }

    /// Returns `true` if the peer has sent `close_notify`.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Returns `true` if the handshake is queued.
    pub(crate) fn is_queued(&self) -> bool {
        matches!(&self.phase, SessionPhase::Handshake(handshake) if handshake.queued_at.is_some())
    }

    /// Returns the negotiated parameters when the handshake is complete.
    pub(crate) fn negotiated(&self) -> Option<Negotiated<'_>> {
        match &self.phase {
            SessionPhase::Handshake(_) => None,
            SessionPhase::Rustls(tls) => Some(Negotiated {
                version: tls.protocol_version()?,
                suite: tls.negotiated_cipher_suite()?.suite(),
                alpn_protocol: tls.alpn_protocol(),
                peer_certificates: tls.peer_certificates().unwrap_or_default(),
                is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            }),
            SessionPhase::Records(records) => Some(Negotiated {
                version: ProtocolVersion::TLSv1_3,
                suite: records.suite().common.suite,
                alpn_protocol: records.alpn_protocol(),
                peer_certificates: records.peer_certificates(),
                is_resumed: records.is_resumed(),
            }),
        }
    }

    /// Processes received bytes in place. A response is appended to `out`, including the alert for an error.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
        control: Option<&dyn HandshakeControl>,
    ) -> Result<(), Error> {
        let SessionPhase::Handshake(handshake) = &mut self.phase else {
            return self.process(bytes, plaintext, out);
        };
        handshake.record_first_bytes(bytes);
        match handshake.queued_at {
            Some(_) => self.hold(bytes),
            None => self.advance(bytes, plaintext, out, control),
        }
    }

    /// Continues a queued handshake, or starts the handshake of a client.
    pub(crate) fn resume(
        &mut self,
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
        control: Option<&dyn HandshakeControl>,
    ) -> Result<(), Error> {
        let SessionPhase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        match handshake.queued_at.take().is_some() || handshake.side() == Side::Client {
            true => self.advance(&mut [], plaintext, out, control),
            false => Ok(()),
        }
    }

    /// Continues the handshake.
    fn advance(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
        control: Option<&dyn HandshakeControl>,
    ) -> Result<(), Error> {
        let must_wait = || control.is_some_and(|control| !control.may_step());
        let SessionPhase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        match handshake.receive_hello(bytes, out)? {
            // rustls processes the held bytes once the configuration is selected.
            HelloStatus::Incomplete => self.hold(bytes),
            HelloStatus::Complete => {
                let wait = must_wait();
                self.hold(bytes)?;
                let SessionPhase::Handshake(handshake) = &mut self.phase else {
                    return Ok(());
                };
                if wait {
                    handshake.queued_at = Some(self.held.len());
                    return Ok(());
                }
                self.server_name = handshake.accept(out, control)?;
                self.process(&mut [], plaintext, out)
            }
            HelloStatus::Accepted if handshake.is_expensive() && must_wait() => {
                handshake.queued_at = Some(self.held.len());
                self.hold(bytes)
            }
            HelloStatus::Accepted => self.process(bytes, plaintext, out),
        }
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let SessionPhase::Handshake(handshake) = &self.phase
            && let Some(begin) = handshake.queued_at
            && self.held.len() + bytes.len() > begin + MAX_HELD
        {
            return Err(Error::protocol(
                "more than 128 KiB arrived while the handshake was queued",
            ));
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Processes the held bytes, followed by the received bytes.
    #[inline]
    fn process(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self.held.is_empty() {
            true => self.process_in_place(bytes, plaintext, out),
            false => self.process_after_held(bytes, plaintext, out),
        }
    }

    fn process_after_held(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let missing = match self.is_handshaking() {
            true => bytes.len(),
            // Only the rest of the held record is copied, not the records after it.
            false => self.missing_of_record(bytes.len()),
        };
        let (first, rest) = bytes.split_at_mut(missing);
        self.held.extend_from_slice(first);
        self.process_held(plaintext, out)?;
        if rest.is_empty() {
            return Ok(());
        }
        if !self.held.is_empty() {
            // rustls needs more bytes, such as the rest of a message in several records.
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

    /// Processes the held bytes, and copies their plaintext.
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

    /// Returns the number of missing bytes of the held record, `most` at most.
    fn missing_of_record(&self, most: usize) -> usize {
        let length = match *self.held {
            [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([high, low])),
            // The length is in the received bytes.
            _ => return most.min(HEADER - self.held.len()),
        };
        length.saturating_sub(self.held.len()).min(most)
    }

    /// Processes bytes in place, and holds the unprocessed rest.
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
            SessionPhase::Records(records) => {
                let ReceivedRecords {
                    consumed,
                    plaintext: within,
                    closed,
                } = records.receive(incoming, out);
                plaintext.within = within;
                (consumed, closed)
            }
            SessionPhase::Rustls(tls) => {
                let Processed { count, result } = tls.process(incoming, plaintext.buffer, out);
                (count, result)
            }
            SessionPhase::Handshake(_) => return self.process_handshake(incoming, plaintext, out),
        };
        self.processed(incoming, count, closed)
    }

    /// Holds the bytes after the first `count`, or records the end or the failure of the session.
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

    /// Continues the handshake, and processes the data after it.
    fn process_handshake(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let SessionPhase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        let Processed { count, result } = handshake.process(incoming, plaintext.buffer, out);
        if !handshake.is_complete() || !matches!(result, Ok(false)) {
            return self.processed(incoming, count, result);
        }
        self.open(out)?;
        let rest = incoming.get_mut(count..).unwrap_or_default();
        let result = self.process_in_place(rest, plaintext, out);
        let within = &mut plaintext.within;
        *within = within.start + count..within.end + count;
        result
    }

    /// Switches to processing records when the handshake is complete, and sends the data written before.
    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let SessionPhase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        let (early, end_requested) = (
            std::mem::take(&mut handshake.early),
            handshake.end_requested,
        );
        let Some((tls, can_extract)) = handshake.take_tls() else {
            return Ok(());
        };
        self.phase = match can_extract {
            true => {
                let records = tls.into_records().map_err(|error| {
                    self.failed = true;
                    errors::connection(&error)
                })?;
                SessionPhase::Records(Box::new(records))
            }
            false => SessionPhase::Rustls(tls),
        };
        self.send(&early, out)?;
        if end_requested {
            self.end(out)?;
        }
        Ok(())
    }

    /// Encrypts `bytes`, and sends the records to `out`.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8], out: &mut impl Output) -> Result<(), Error> {
        if bytes.is_empty() || self.failed {
            return Ok(());
        }
        let sent = match &mut self.phase {
            SessionPhase::Records(records) => records.send(bytes, out),
            SessionPhase::Rustls(tls) => {
                let mut records = Vec::new();
                let sent = tls.encrypt(bytes, &mut self.held, &mut records);
                out.push(records);
                sent
            }
            SessionPhase::Handshake(handshake) => return handshake.buffer_early(bytes),
        };
        sent.map_err(|error| self.explain(&error))
    }

    /// Sends `close_notify`, after the handshake if it is not complete yet.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.failed {
            return Ok(());
        }
        let ended = match &mut self.phase {
            SessionPhase::Records(records) => records.end(out),
            SessionPhase::Rustls(tls) => tls.close_notify(&mut self.held, out),
            SessionPhase::Handshake(handshake) => {
                handshake.end_requested = true;
                Ok(())
            }
        };
        ended.map_err(|error| self.explain(&error))
    }

    /// Handles the end of the underlying connection. Returns an error if the peer has not sent `close_notify`.
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
            SessionPhase::Handshake(handshake) => handshake.side(),
            SessionPhase::Rustls(tls) => tls.side(),
            SessionPhase::Records(records) => records.side(),
        }
    }

    fn explain(&self, error: &rustls::Error) -> Error {
        match &self.phase {
            SessionPhase::Handshake(handshake) => handshake.explain(error),
            SessionPhase::Rustls(_) | SessionPhase::Records(_) => errors::connection(error),
        }
    }
}

#[cfg(test)]
mod tests;
