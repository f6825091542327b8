//! The server's side of TLS on one connection, without I/O: bytes in, bytes out.
//!
//! What comes is decrypted into one buffer for each chunk, and what goes is encrypted into one, so that a chunk is one
//! `data` event and one send, however many records it has.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::{AlertDescription, PeerIncompatible, ServerConfig, ServerConnection};

use crate::error::Error;

/// How many of the first bytes are kept, to tell what a client speaks that does not speak TLS.
const BEGINNING: usize = 8;

/// The content type of a handshake record, with which TLS begins (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

pub(crate) struct Session {
    tls: ServerConnection,
    beginning: [u8; BEGINNING],
    /// How many bytes have come, as far as it matters for the beginning.
    begun: usize,
    peer_closed: bool,
}

impl Session {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Session, Error> {
        Ok(Session {
            tls: ServerConnection::new(config)
                .map_err(|error| Error::protocol(error.to_string()))?,
            beginning: [0; BEGINNING],
            begun: 0,
            peer_closed: false,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether the peer has said that it will send no more.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Takes what has come, and appends what it says to `plaintext`; there may be an answer to be sent.
    pub(crate) fn receive(
        &mut self,
        mut bytes: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.note_beginning(bytes);
        while !bytes.is_empty() && !self.peer_closed {
            self.tls.read_tls(&mut bytes).map_err(Error::io)?;
            let state = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // What came before is whole.
                    let _ = self.tls.reader().read_to_end(plaintext);
                    return Err(self.explain(&error));
                }
            };
            let at = plaintext.len();
            plaintext.resize(at + state.plaintext_bytes_to_read(), 0);
            if let Some(room) = plaintext.get_mut(at..)
                && !room.is_empty()
            {
                self.tls.reader().read_exact(room).map_err(Error::io)?;
            }
            self.peer_closed = state.peer_has_closed();
        }
        Ok(())
    }

    /// Encrypts; what is to be sent is appended to `out`.
    pub(crate) fn send(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        while !bytes.is_empty() {
            let count = self.tls.writer().write(bytes).map_err(Error::io)?;
            self.take_output(out)?;
            if count == 0 {
                return Err(Error::protocol(
                    "more than 64 KiB were written before the handshake was done",
                ));
            }
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that no more will be sent.
    pub(crate) fn end(&mut self) {
        self.tls.send_close_notify();
    }

    /// The connection below has ended.
    pub(crate) fn ended_below(&self) -> Result<(), Error> {
        if self.peer_closed {
            return Ok(());
        }
        Err(Error::Truncated {
            handshake: self.tls.is_handshaking(),
        })
    }

    /// Appends what is to be sent to `out`.
    pub(crate) fn take_output(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        while self.tls.wants_write() {
            self.tls.write_tls(out).map_err(Error::io)?;
        }
        Ok(())
    }

    fn note_beginning(&mut self, bytes: &[u8]) {
        if let Some(room) = self.beginning.get_mut(self.begun..) {
            let count = room.len().min(bytes.len());
            room.iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            self.begun += count;
        }
    }

    /// Says what is wrong so that an operator knows whether to act.
    fn explain(&self, error: &rustls::Error) -> Error {
        if !self.tls.is_handshaking() {
            return Error::protocol(error.to_string());
        }
        match error {
            rustls::Error::InvalidMessage(_) if self.speaks_http() => {
                Error::protocol("the client speaks plain HTTP, not TLS: it has to use https://")
            }
            rustls::Error::InvalidMessage(_) if self.beginning[0] != HANDSHAKE => {
                Error::protocol("what the client sent is not TLS")
            }
            rustls::Error::PeerIncompatible(incompatible) => Error::protocol(match incompatible {
                PeerIncompatible::NoCipherSuitesInCommon => {
                    "the client offers no cipher suite that is spoken here".into()
                }
                PeerIncompatible::NoKxGroupsInCommon => {
                    "the client offers no key exchange group that is spoken here".into()
                }
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired => {
                    "the client offers no version of TLS that is spoken here".into()
                }
                // Not even an older client's version is looked at then.
                PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
                    "the client sends no signature algorithms, as those do that are older than TLS 1.2".into()
                }
                other => format!("the client offers nothing that is spoken here: {other:?}"),
            }),
            rustls::Error::NoApplicationProtocol => {
                Error::protocol("the client offers no ALPN protocol that is spoken here")
            }
            rustls::Error::AlertReceived(alert) => Error::protocol(format!(
                "the client refused: {}",
                match alert {
                    AlertDescription::UnknownCA =>
                        "it does not trust the certificate's issuer (UnknownCA)".into(),
                    AlertDescription::CertificateUnknown | AlertDescription::BadCertificate =>
                        format!("it does not accept the certificate ({alert:?})"),
                    other => format!("{other:?}"),
                }
            )),
            other => Error::protocol(other.to_string()),
        }
    }

    fn speaks_http(&self) -> bool {
        const METHODS: [&[u8]; 9] = [
            b"GET ",
            b"HEAD ",
            b"POST ",
            b"PUT ",
            b"DELETE ",
            b"OPTIONS ",
            b"PATCH ",
            b"CONNECT ",
            b"TRACE ",
        ];
        // A client that sends single bytes fails before its method is whole.
        let beginning = self.beginning.get(..self.begun).unwrap_or_default();
        METHODS.iter().any(|method| {
            let length = beginning.len().min(method.len());
            length > 0 && beginning.get(..length) == method.get(..length)
        })
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};

    use super::*;
    use crate::provider::provider;

    /// A server's side and a client's, whose handshake has not begun.
    struct Pair {
        server: Session,
        client: ClientConnection,
        plaintext: Vec<u8>,
    }

    struct Configs {
        server: Arc<ServerConfig>,
        client: Arc<ClientConfig>,
    }

    impl Configs {
        fn new() -> Self {
            let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let cert = CertificateDer::from(own.cert.der().to_vec());
            let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
            let mut roots = RootCertStore::empty();
            roots.add(cert.clone()).unwrap();
            let server = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![cert], key.into())
                .unwrap();
            let client = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            Configs {
                server: Arc::new(server),
                client: Arc::new(client),
            }
        }

        fn pair(&self) -> Pair {
            let name = ServerName::try_from("localhost").unwrap();
            Pair {
                server: Session::new(Arc::clone(&self.server)).unwrap(),
                client: ClientConnection::new(Arc::clone(&self.client), name).unwrap(),
                plaintext: Vec::new(),
            }
        }
    }

    impl Pair {
        /// What the client wants sent now.
        fn flight(&mut self) -> Vec<u8> {
            let mut flight = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut flight).unwrap();
            }
            flight
        }

        fn receive(&mut self, bytes: &[u8]) {
            self.server.receive(bytes, &mut self.plaintext).unwrap();
        }

        /// Has the client take what the server wants sent.
        fn answer(&mut self) {
            let mut out = Vec::new();
            self.server.take_output(&mut out).unwrap();
            let mut out = &out[..];
            while !out.is_empty() {
                self.client.read_tls(&mut out).unwrap();
                self.client.process_new_packets().unwrap();
            }
        }

        /// Exchanges until the client has said `text`, with each flight of its in pieces that `split` makes.
        fn talk(&mut self, text: &[u8], split: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
            self.client.writer().write_all(text).unwrap();
            for _ in 0..4 {
                for piece in split(&self.flight()) {
                    self.receive(&piece);
                }
                self.answer();
            }
        }
    }

    #[test]
    fn a_clients_bytes_may_come_one_at_a_time() {
        let mut pair = Configs::new().pair();
        pair.talk(b"hello", |flight| {
            flight.iter().map(|byte| vec![*byte]).collect()
        });
        assert!(!pair.server.is_handshaking());
        assert_eq!(pair.plaintext, b"hello");
    }

    #[test]
    fn a_clients_flights_may_be_split_anywhere() {
        let configs = Configs::new();
        let mut longest = 1;
        let mut at = 0;
        while at < longest {
            let mut pair = configs.pair();
            let seen = std::cell::Cell::new(longest);
            pair.talk(b"hello", |flight| {
                seen.set(seen.get().max(flight.len()));
                let (first, second) = flight.split_at(at.min(flight.len()));
                vec![first.to_vec(), second.to_vec()]
            });
            assert_eq!(pair.plaintext, b"hello", "split at {at}");
            longest = seen.get();
            at += 1;
        }
        assert!(longest > 200, "the longest flight had {longest} bytes");
    }

    #[test]
    fn many_records_are_one_piece_of_plaintext_and_half_of_one_waits() {
        let mut pair = Configs::new().pair();
        pair.talk(b"", |flight| vec![flight.to_vec()]);
        pair.client.set_buffer_limit(None);
        let text: Vec<u8> = (0..40_000).map(|i| i as u8).collect();
        pair.client.writer().write_all(&text).unwrap();
        let flight = pair.flight();
        let (most, rest) = flight.split_at(flight.len() - 1);
        pair.receive(most);
        assert_eq!(pair.plaintext, text[..32_768]);
        pair.receive(rest);
        assert_eq!(pair.plaintext, text);
    }

    #[test]
    fn what_is_sent_is_whole_however_much_it_is() {
        let mut pair = Configs::new().pair();
        pair.talk(b"", |flight| vec![flight.to_vec()]);
        let text = vec![7; 1_000_000];
        let mut out = Vec::new();
        pair.server.send(&text, &mut out).unwrap();
        let (mut out, mut received) = (&out[..], Vec::new());
        while !out.is_empty() {
            pair.client.read_tls(&mut out).unwrap();
            pair.client.process_new_packets().unwrap();
            // It says that no more is there yet.
            let _ = pair.client.reader().read_to_end(&mut received);
        }
        assert!(received == text);
    }

    #[test]
    fn keys_may_be_updated_in_the_middle() {
        let mut pair = Configs::new().pair();
        pair.talk(b"one", |flight| vec![flight.to_vec()]);
        pair.client.refresh_traffic_keys().unwrap();
        pair.talk(b" two", |flight| vec![flight.to_vec()]);
        assert_eq!(pair.plaintext, b"one two");
        let mut out = Vec::new();
        pair.server.send(b"three", &mut out).unwrap();
        pair.client.read_tls(&mut &out[..]).unwrap();
        let state = pair.client.process_new_packets().unwrap();
        assert_eq!(state.plaintext_bytes_to_read(), 5);
    }

    #[test]
    fn the_end_is_whole_only_after_close_notify() {
        let mut pair = Configs::new().pair();
        assert!(matches!(
            pair.server.ended_below(),
            Err(Error::Truncated { handshake: true })
        ));
        pair.talk(b"hello", |flight| vec![flight.to_vec()]);
        assert!(matches!(
            pair.server.ended_below(),
            Err(Error::Truncated { handshake: false })
        ));
        pair.client.send_close_notify();
        let mut flight = pair.flight();
        flight.extend(b"what comes after it is ignored");
        pair.receive(&flight);
        assert!(pair.server.peer_closed());
        pair.server.ended_below().unwrap();
        assert_eq!(pair.plaintext, b"hello");
    }
}
