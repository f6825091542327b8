//! TLS on one connection, either side, without I/O: bytes in, bytes out. All of rustls' I/O is in here.
//!
//! What comes is decrypted into one buffer for each chunk, and what goes is encrypted into one, so that a chunk is one
//! `data` event and one send, however many records it has. Between chunks a session keeps nothing but the beginning of a
//! record that is not whole.

mod explain;
mod hello;
mod tls;

use std::sync::Arc;

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::server::ClientHello;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig, Side};
use rustls_pki_types::ServerName;

use crate::error::Error;
use explain::Beginning;
use hello::Hello;
use tls::{Processed, Tls};

/// How many bytes are kept of a client whose handshake waits for its turn: what one read gives, also through a layer below.
/// Nothing more is read meanwhile.
const HELD: usize = 128 * 1024;

/// How many bytes may be written before the handshake is done.
const EARLY: usize = 64 * 1024;

/// The length of a record's header (RFC 8446, section 5.1).
const HEADER: usize = 5;

/// Who decides about a handshake.
pub(crate) trait Gate {
    /// Whether the next costly step may be taken now. If not, [`Session::resume`] is called when it may.
    fn may_step(&self) -> bool;

    /// What the client that says `hello` is answered with.
    fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error>;

    /// Whether clients are asked for certificates.
    fn verifies_clients(&self) -> bool;
}

pub(crate) struct Session {
    phase: Phase,
    beginning: Beginning,
    /// What has come while the handshake waited for its turn; after that the beginning of a record.
    held: Vec<u8>,
    /// What was written before the handshake was done.
    early: Vec<u8>,
    /// This side has ended before the handshake was done.
    ends: bool,
    /// How much was held when the handshake began to wait for its turn.
    waits: Option<usize>,
    verifies_clients: bool,
    /// The name that a client asks for.
    server_name: Option<Box<str>>,
    peer_closed: bool,
    /// rustls has failed, and is not to be used any more.
    failed: bool,
}

enum Phase {
    /// A server waits for the whole ClientHello.
    Hello(Box<Hello>),
    Running(Tls),
    /// Refused before it has begun.
    Refused,
}

impl Session {
    /// The server's side, which learns from the ClientHello what it needs.
    pub(crate) fn server() -> Session {
        Session::new(Phase::Hello(Box::default()))
    }

    /// The client's side, which has something to say at once.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Session, Error> {
        let server_name = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().into()),
            _ => None,
        };
        let tls = UnbufferedClientConnection::new(config, name)
            .map_err(|error| Error::protocol(error.to_string()))?;
        Ok(Session {
            server_name,
            ..Session::new(Phase::Running(Tls::Client(Box::new(tls))))
        })
    }

    /// The name that the client asks for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    fn new(phase: Phase) -> Session {
        Session {
            phase,
            beginning: Beginning::default(),
            held: Vec::new(),
            early: Vec::new(),
            ends: false,
            waits: None,
            verifies_clients: false,
            server_name: None,
            peer_closed: false,
            failed: false,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.phase {
            Phase::Running(tls) => tls.is_handshaking(),
            Phase::Hello(_) | Phase::Refused => true,
        }
    }

    /// Whether the peer has said that it will send no more.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Whether the handshake waits for its turn.
    pub(crate) fn waits(&self) -> bool {
        self.waits.is_some()
    }

    /// What rustls knows of the connection, once there is one.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match &self.phase {
            Phase::Running(tls) => Some(tls),
            Phase::Hello(_) | Phase::Refused => None,
        }
    }

    /// Takes what has come, and appends what it says to `plaintext` and an answer to `out`: also an alert when it fails.
    pub(crate) fn receive(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut BytesMut,
        out: &mut Vec<u8>,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        self.beginning.note(bytes);
        if self.waits() {
            return self.hold(bytes);
        }
        self.advance(bytes, plaintext, out, gate)
    }

    /// Goes on with a handshake that has waited for its turn, or begins that of a client.
    pub(crate) fn resume(
        &mut self,
        plaintext: &mut BytesMut,
        out: &mut Vec<u8>,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        if self.waits.take().is_some() || self.side() == Side::Client {
            return self.advance(&mut [], plaintext, out, gate);
        }
        Ok(())
    }

    fn advance(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut BytesMut,
        out: &mut Vec<u8>,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        if let Phase::Hello(hello) = &mut self.phase {
            // rustls gets it all once it is known with which configuration.
            match hello.collect(bytes) {
                Ok(whole) => self.hold(bytes).map(|()| whole),
                Err((error, alert)) => {
                    out.extend_from_slice(&alert);
                    let error = self.explain(&error);
                    self.phase = Phase::Refused;
                    Err(error)
                }
            }
            .and_then(|whole| match whole {
                false => Ok(()),
                true if gate.is_some_and(|gate| !gate.may_step()) => {
                    self.waits = Some(self.held.len());
                    Ok(())
                }
                true => {
                    self.answer(out, gate)?;
                    self.process(&mut [], plaintext, out)
                }
            })
        } else if self.is_costly() && gate.is_some_and(|gate| !gate.may_step()) {
            self.waits = Some(self.held.len());
            self.hold(bytes)
        } else {
            self.process(bytes, plaintext, out)
        }
    }

    /// Finds out what to answer the ClientHello with.
    fn answer(&mut self, out: &mut Vec<u8>, gate: Option<&dyn Gate>) -> Result<(), Error> {
        let phase = std::mem::replace(&mut self.phase, Phase::Refused);
        let (Phase::Hello(hello), Some(gate)) = (phase, gate) else {
            return Ok(());
        };
        match hello.answer(gate) {
            Ok((tls, server_name)) => {
                self.phase = Phase::Running(Tls::Server(Box::new(tls)));
                self.server_name = server_name;
                self.verifies_clients = gate.verifies_clients();
                Ok(())
            }
            Err((error, alert)) => {
                out.extend_from_slice(&alert);
                Err(error)
            }
        }
    }

    /// Whether what comes next is expensive to process: a ClientHello after the first, a certificate, a key exchange.
    fn is_costly(&self) -> bool {
        let Phase::Running(tls @ Tls::Server(_)) = &self.phase else {
            return false;
        };
        tls.is_handshaking()
            && (self.verifies_clients
                || tls.protocol_version() == Some(ProtocolVersion::TLSv1_2)
                || tls.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest))
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(begin) = self.waits
            && self.held.len() + bytes.len() > begin + HELD
        {
            return Err(Error::protocol(
                "more than 128 KiB came while the handshake waited for its turn",
            ));
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Passes what is held to rustls and, behind it, received bytes, which are decrypted in place.
    fn process(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.held.is_empty() {
            return self.process_in_place(bytes, plaintext, out);
        }
        let mut rest = bytes;
        if !self.is_handshaking() {
            // The record whose beginning is held; those behind it need not be moved.
            let missing = self.missing_of_record(rest.len());
            let (first, behind) = rest.split_at_mut(missing);
            self.held.extend_from_slice(first);
            rest = behind;
        } else {
            self.held.extend_from_slice(rest);
            rest = &mut [];
        }
        let mut held = std::mem::take(&mut self.held);
        self.process_in_place(&mut held, plaintext, out)?;
        match (self.held.is_empty(), rest.is_empty()) {
            (_, true) => Ok(()),
            (true, false) => self.process_in_place(rest, plaintext, out),
            // rustls waits for more, such as the rest of a message in several records.
            (false, false) => {
                let mut all = std::mem::take(&mut self.held);
                all.extend_from_slice(rest);
                self.process_in_place(&mut all, plaintext, out)
            }
        }
    }

    /// The number of bytes, `most` at most, that the record lacks whose beginning is held.
    fn missing_of_record(&self, most: usize) -> usize {
        let length = match *self.held {
            [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([high, low])),
            // Its length is among what was received.
            _ => return most.min(HEADER - self.held.len()),
        };
        length.saturating_sub(self.held.len()).min(most)
    }

    /// Passes bytes to rustls, which changes them, and holds those that it has not taken yet.
    fn process_in_place(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Phase::Running(tls) = &mut self.phase else {
            return Ok(());
        };
        if self.peer_closed || self.failed {
            return Ok(());
        }
        let Processed { count, result } = tls.process(incoming, plaintext, out);
        let is_open = !tls.is_handshaking();
        match result {
            Ok(true) => self.peer_closed = true,
            Ok(false) => {
                let rest = incoming.get(count..).unwrap_or_default();
                self.held.extend_from_slice(rest);
            }
            Err(error) => {
                self.failed = true;
                return Err(self.explain(&error));
            }
        }
        if is_open && (!self.early.is_empty() || self.ends) {
            return self.catch_up(out);
        }
        Ok(())
    }

    /// The handshake is done: sends what was written before.
    fn catch_up(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let early = std::mem::take(&mut self.early);
        self.send(&early, out)?;
        if std::mem::take(&mut self.ends) {
            return self.end(out);
        }
        Ok(())
    }

    /// Encrypts; what is to be sent is appended to `out`.
    pub(crate) fn send(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if bytes.is_empty() || self.failed {
            return Ok(());
        }
        let sent = match &mut self.phase {
            Phase::Running(tls) => tls.encrypt(bytes, &mut self.held, out),
            Phase::Hello(_) => Ok(false),
            Phase::Refused => return Ok(()),
        };
        match sent {
            Ok(true) => Ok(()),
            Ok(false) if self.early.len() + bytes.len() > EARLY => Err(Error::protocol(
                "more than 64 KiB were written before the handshake was done",
            )),
            Ok(false) => {
                self.early.extend_from_slice(bytes);
                Ok(())
            }
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Says that no more will be sent.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let said = match &mut self.phase {
            Phase::Running(_) if self.failed => return Ok(()),
            Phase::Running(tls) => tls.close_notify(&mut self.held, out),
            Phase::Hello(_) => Ok(false),
            Phase::Refused => return Ok(()),
        };
        match said {
            Ok(said) => self.ends = !said,
            Err(error) => return Err(self.explain(&error)),
        }
        Ok(())
    }

    /// The connection below has ended.
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
            Phase::Running(tls) => tls.side(),
            Phase::Hello(_) | Phase::Refused => Side::Server,
        }
    }

    fn explain(&self, error: &rustls::Error) -> Error {
        match (self.is_handshaking(), self.side()) {
            (true, Side::Server) => explain::handshake_with_client(error, &self.beginning),
            (true, Side::Client) => explain::handshake_with_server(error, &self.beginning),
            (false, _) => explain::connection(error),
        }
    }
}

#[cfg(test)]
mod tests;
