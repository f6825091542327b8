//! TLS on one connection, either side, without I/O: bytes in, bytes out. All of rustls' I/O is in here.
//!
//! What comes is decrypted into one buffer for each chunk, and what goes is encrypted into one, so that a chunk is one
//! `data` event and one send, however many records it has.

mod explain;
mod hello;

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use rustls::server::ClientHello;
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, ProtocolVersion, ServerConfig, Side,
};
use rustls_pki_types::ServerName;

use crate::error::Error;
use explain::Beginning;
use hello::Hello;

/// How many bytes are kept of a client whose handshake waits for its turn.
const HELD: usize = 64 * 1024;

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
    /// What has come while the handshake waited for its turn.
    held: Vec<u8>,
    waits: bool,
    verifies_clients: bool,
    /// The name that a client asks for.
    server_name: Option<Box<str>>,
    peer_closed: bool,
}

#[allow(
    clippy::large_enum_variant,
    reason = "nearly all sessions are in the large one"
)]
enum Phase {
    /// A server waits for the whole ClientHello.
    Hello(Box<Hello>),
    Running(Connection),
    /// Refused before it has begun; the alert is still to be sent.
    Refused(Vec<u8>),
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
        let tls = ClientConnection::new(config, name)
            .map_err(|error| Error::protocol(error.to_string()))?;
        Ok(Session {
            server_name,
            ..Session::new(Phase::Running(tls.into()))
        })
    }

    /// The name that this side asks for as a client.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    fn new(phase: Phase) -> Session {
        Session {
            phase,
            beginning: Beginning::default(),
            held: Vec::new(),
            waits: false,
            verifies_clients: false,
            server_name: None,
            peer_closed: false,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.phase {
            Phase::Running(tls) => tls.is_handshaking(),
            Phase::Hello(_) | Phase::Refused(_) => true,
        }
    }

    /// Whether the peer has said that it will send no more.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Whether the handshake waits for its turn.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// What rustls knows of the connection, once there is one.
    pub(crate) fn tls(&self) -> Option<&Connection> {
        match &self.phase {
            Phase::Running(tls) => Some(tls),
            Phase::Hello(_) | Phase::Refused(_) => None,
        }
    }

    /// Takes what has come, and appends what it says to `plaintext`; there may be an answer to be sent.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        plaintext: &mut BytesMut,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        self.beginning.note(bytes);
        if self.waits {
            return self.hold(bytes);
        }
        self.advance(bytes, plaintext, gate)
    }

    /// Goes on with a handshake that has waited for its turn.
    pub(crate) fn resume(
        &mut self,
        plaintext: &mut BytesMut,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        if !std::mem::take(&mut self.waits) {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        self.advance(&held, plaintext, gate)
    }

    fn advance(
        &mut self,
        mut bytes: &[u8],
        plaintext: &mut BytesMut,
        gate: Option<&dyn Gate>,
    ) -> Result<(), Error> {
        if let Phase::Hello(hello) = &mut self.phase {
            match hello.collect(&mut bytes) {
                Ok(false) => return Ok(()),
                Ok(true) => {}
                Err((error, alert)) => {
                    let error = self.explain(&error);
                    self.phase = Phase::Refused(alert);
                    return Err(error);
                }
            }
            if gate.is_some_and(|gate| !gate.may_step()) {
                return self.wait(bytes);
            }
            self.answer(plaintext, gate)?;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if self.is_costly() && gate.is_some_and(|gate| !gate.may_step()) {
            return self.wait(bytes);
        }
        self.process(bytes, plaintext)
    }

    /// Answers the ClientHello.
    fn answer(&mut self, plaintext: &mut BytesMut, gate: Option<&dyn Gate>) -> Result<(), Error> {
        let phase = std::mem::replace(&mut self.phase, Phase::Refused(Vec::new()));
        let (Phase::Hello(hello), Some(gate)) = (phase, gate) else {
            return Ok(());
        };
        match hello.answer(gate) {
            Ok(tls) => self.phase = Phase::Running(tls.into()),
            Err(refusal) => {
                self.phase = Phase::Refused(refusal.alert);
                return Err(refusal.reason.unwrap_or_else(|error| self.explain(&error)));
            }
        }
        self.verifies_clients = gate.verifies_clients();
        // Something may have come along with it.
        self.take_packets(plaintext)
    }

    /// Whether what comes next is expensive to process: a ClientHello after the first, a certificate, a key exchange.
    fn is_costly(&self) -> bool {
        let Phase::Running(Connection::Server(tls)) = &self.phase else {
            return false;
        };
        tls.is_handshaking()
            && (self.verifies_clients
                || tls.protocol_version() == Some(ProtocolVersion::TLSv1_2)
                || tls.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest))
    }

    fn wait(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.waits = true;
        self.hold(bytes)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.held.len() + bytes.len() > HELD {
            return Err(Error::protocol(
                "more than 64 KiB came while the handshake waited for its turn",
            ));
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn process(&mut self, mut bytes: &[u8], plaintext: &mut BytesMut) -> Result<(), Error> {
        while !bytes.is_empty() && !self.peer_closed {
            let Phase::Running(tls) = &mut self.phase else {
                return Ok(());
            };
            tls.read_tls(&mut bytes).map_err(Error::io)?;
            self.take_packets(plaintext)?;
        }
        Ok(())
    }

    fn take_packets(&mut self, plaintext: &mut BytesMut) -> Result<(), Error> {
        let Phase::Running(tls) = &mut self.phase else {
            return Ok(());
        };
        let state = match tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // What came before is whole.
                let mut whole = Vec::new();
                let _ = tls.reader().read_to_end(&mut whole);
                plaintext.extend_from_slice(&whole);
                return Err(self.explain(&error));
            }
        };
        let count = state.plaintext_bytes_to_read();
        if count > 0 {
            let at = plaintext.len();
            plaintext.resize(at + count, 0);
            let room = plaintext.get_mut(at..).unwrap_or_default();
            tls.reader().read_exact(room).map_err(Error::io)?;
        }
        self.peer_closed = state.peer_has_closed();
        Ok(())
    }

    /// How long that many bytes are when they are encrypted: exactly so in TLS 1.3.
    pub(crate) fn encrypted_len(&self, length: usize) -> usize {
        // The longest plaintext of a record; what is added to it: header, content type and tag (RFC 8446, section 5.2),
        // or header, nonce and tag (RFC 5288, section 3).
        const FRAGMENT: usize = 16 * 1024;
        let added = match self.tls().and_then(|tls| tls.protocol_version()) {
            Some(ProtocolVersion::TLSv1_3) => 5 + 1 + 16,
            _ => 5 + 8 + 16,
        };
        length + length.div_ceil(FRAGMENT) * added
    }

    /// Encrypts; what is to be sent is appended to `out`.
    pub(crate) fn send(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        const TOO_EARLY: &str = "more than 64 KiB were written before the handshake was done";
        while !bytes.is_empty() {
            let count = match &mut self.phase {
                Phase::Running(tls) => tls.writer().write(bytes).map_err(Error::io)?,
                Phase::Hello(hello) => hello.write(bytes),
                Phase::Refused(_) => return Ok(()),
            };
            self.take_output(out)?;
            if count == 0 {
                return Err(Error::protocol(TOO_EARLY));
            }
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that no more will be sent.
    pub(crate) fn end(&mut self) {
        if let Phase::Running(tls) = &mut self.phase {
            tls.send_close_notify();
        }
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

    /// Appends what is to be sent to `out`.
    pub(crate) fn take_output(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.phase {
            Phase::Hello(_) => {}
            Phase::Running(tls) => {
                while tls.wants_write() {
                    tls.write_tls(out).map_err(Error::io)?;
                }
            }
            Phase::Refused(alert) => out.append(alert),
        }
        Ok(())
    }

    fn side(&self) -> Side {
        match &self.phase {
            Phase::Running(Connection::Client(_)) => Side::Client,
            _ => Side::Server,
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
