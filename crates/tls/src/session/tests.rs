use std::io::{Read, Write};

use rustls::{ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};

use super::*;
use crate::provider::provider;

/// A gate that lets everything through.
struct Open(Arc<ServerConfig>);

impl Gate for Open {
    fn may_step(&self) -> bool {
        true
    }

    fn select(&self, _: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error> {
        Ok(Arc::clone(&self.0))
    }

    fn verifies_clients(&self) -> bool {
        false
    }
}

/// A server's side and a client's, whose handshake has not begun.
struct Pair {
    server: Session,
    gate: Open,
    client: ClientConnection,
    plaintext: BytesMut,
    /// Bytes from the server for the client.
    out: Vec<u8>,
    /// The plaintext that the client has received.
    heard: Vec<u8>,
}

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Configs {
    /// TLS 1.3 whose records are taken over.
    fn new() -> Self {
        Configs::of(&version::TLS13, true)
    }

    /// Every kind of connection: also those whose records stay with rustls.
    fn all() -> [Self; 3] {
        [
            Configs::new(),
            Configs::of(&version::TLS13, false),
            Configs::of(&version::TLS12, true),
        ]
    }

    fn of(version: &'static SupportedProtocolVersion, has_secrets: bool) -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let cert = CertificateDer::from(own.cert.der().to_vec());
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key.into())
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        server.enable_secret_extraction = has_secrets;
        Configs {
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }

    fn pair(&self) -> Pair {
        let name = ServerName::try_from("localhost").unwrap();
        Pair {
            server: Session::server(),
            gate: Open(Arc::clone(&self.server)),
            client: ClientConnection::new(Arc::clone(&self.client), name).unwrap(),
            plaintext: BytesMut::new(),
            out: Vec::new(),
            heard: Vec::new(),
        }
    }
}

/// Passes bytes to a session; returns their plaintext.
fn receive(
    session: &mut Session,
    bytes: &[u8],
    out: &mut Vec<u8>,
    gate: &dyn Gate,
) -> Result<Vec<u8>, Error> {
    let (mut bytes, mut buffer) = (bytes.to_vec(), BytesMut::new());
    let mut plaintext = Plaintext::new(&mut buffer);
    session.receive(&mut bytes, &mut plaintext, out, Some(gate))?;
    let within = bytes[plaintext.within].to_vec();
    assert!(buffer.is_empty() || within.is_empty());
    Ok([buffer.to_vec(), within].concat())
}

impl Pair {
    /// Returns what the client sends now.
    fn flight(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut flight).unwrap();
        }
        flight
    }

    fn receive(&mut self, bytes: &[u8]) {
        let gate: &dyn Gate = &self.gate;
        let plaintext = receive(&mut self.server, bytes, &mut self.out, gate).unwrap();
        self.plaintext.extend_from_slice(&plaintext);
    }

    /// Passes what the server sends to the client.
    fn answer(&mut self) {
        let out = std::mem::take(&mut self.out);
        let mut out = &out[..];
        while !out.is_empty() {
            self.client.read_tls(&mut out).unwrap();
            self.client.process_new_packets().unwrap();
            // It fails when there is no more yet.
            let _ = self.client.reader().read_to_end(&mut self.heard);
        }
    }

    /// Exchanges flights until the client has sent `text`, with each flight of the client in the pieces that `split` returns.
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
    for configs in Configs::all() {
        let mut pair = configs.pair();
        pair.talk(b"hello", |flight| {
            flight.iter().map(|byte| vec![*byte]).collect()
        });
        assert!(!pair.server.is_handshaking());
        assert_eq!(pair.plaintext[..], b"hello"[..]);
    }
}

#[test]
fn a_clients_flights_may_be_split_anywhere() {
    for configs in Configs::all() {
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
            assert_eq!(pair.plaintext[..], b"hello"[..], "split at {at}");
            longest = seen.get();
            at += 1;
        }
        assert!(longest > 200, "the longest flight had {longest} bytes");
    }
}

#[test]
fn many_records_are_one_piece_of_plaintext_and_half_of_one_waits() {
    for configs in Configs::all() {
        let mut pair = configs.pair();
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
}

#[test]
fn what_is_sent_is_whole_however_much_it_is() {
    for configs in Configs::all() {
        let mut pair = configs.pair();
        pair.talk(b"", |flight| vec![flight.to_vec()]);
        let text = vec![7; 1_000_000];
        let mut out = Vec::new();
        pair.server.send(&text, &mut out).unwrap();
        let (mut out, mut received) = (&out[..], Vec::new());
        while !out.is_empty() {
            pair.client.read_tls(&mut out).unwrap();
            pair.client.process_new_packets().unwrap();
            // It fails when there is no more yet.
            let _ = pair.client.reader().read_to_end(&mut received);
        }
        assert!(received == text);
    }
}

#[test]
fn keys_may_be_updated_in_the_middle() {
    for has_secrets in [true, false] {
        let mut pair = Configs::of(&version::TLS13, has_secrets).pair();
        pair.talk(b"one", |flight| vec![flight.to_vec()]);
        pair.client.refresh_traffic_keys().unwrap();
        pair.talk(b" two", |flight| vec![flight.to_vec()]);
        assert_eq!(pair.plaintext[..], b"one two"[..]);
        let mut out = Vec::new();
        pair.server.send(b"three", &mut out).unwrap();
        pair.client.read_tls(&mut &out[..]).unwrap();
        let state = pair.client.process_new_packets().unwrap();
        assert_eq!(state.plaintext_bytes_to_read(), 5);
    }
}

#[test]
fn the_end_is_whole_only_after_close_notify() {
    for configs in Configs::all() {
        let mut pair = configs.pair();
        assert!(matches!(
            pair.server.ended_below(),
            Err(Error::Truncated {
                handshake: Some("client")
            })
        ));
        pair.talk(b"hello", |flight| vec![flight.to_vec()]);
        assert!(matches!(
            pair.server.ended_below(),
            Err(Error::Truncated { handshake: None })
        ));
        pair.client.send_close_notify();
        let mut flight = pair.flight();
        flight.extend(b"what comes after it is ignored");
        pair.receive(&flight);
        assert!(pair.server.peer_closed());
        pair.server.ended_below().unwrap();
        assert_eq!(pair.plaintext[..], b"hello"[..]);
    }
}

/// A gate that is closed at first.
struct Turns {
    open: std::cell::Cell<bool>,
    config: Arc<ServerConfig>,
}

impl Gate for Turns {
    fn may_step(&self) -> bool {
        self.open.get()
    }

    fn select(&self, _: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error> {
        Ok(Arc::clone(&self.config))
    }

    fn verifies_clients(&self) -> bool {
        true
    }
}

#[test]
fn each_costly_flight_waits_for_its_turn_and_what_comes_meanwhile_is_kept() {
    let configs = Configs::new();
    let mut pair = configs.pair();
    let turns = Turns {
        open: false.into(),
        config: Arc::clone(&configs.server),
    };
    let resume = |pair: &mut Pair| {
        let mut buffer = BytesMut::new();
        let mut plaintext = Plaintext::new(&mut buffer);
        pair.server
            .resume(&mut plaintext, &mut pair.out, Some(&turns))
            .unwrap();
        buffer
    };
    let hello = pair.flight();
    let (most, rest) = hello.split_at(hello.len() - 1);
    receive(&mut pair.server, most, &mut pair.out, &turns).unwrap();
    // A part of a ClientHello costs nothing.
    assert!(!pair.server.waits());
    receive(&mut pair.server, rest, &mut pair.out, &turns).unwrap();
    assert!(pair.server.waits());
    // It is not its turn yet.
    resume(&mut pair);
    assert!(pair.server.waits());
    turns.open.set(true);
    resume(&mut pair);
    assert!(!pair.server.waits());
    pair.answer();

    turns.open.set(false);
    pair.client.writer().write_all(b"hello").unwrap();
    let second = pair.flight();
    for byte in second {
        receive(&mut pair.server, &[byte], &mut pair.out, &turns).unwrap();
    }
    assert!(pair.server.waits() && pair.server.is_handshaking());
    turns.open.set(true);
    assert_eq!(resume(&mut pair)[..], b"hello"[..]);
    assert!(!pair.server.is_handshaking());
}

#[test]
fn a_client_that_does_not_wait_for_its_turn_is_refused() {
    let configs = Configs::new();
    let mut pair = configs.pair();
    let turns = Turns {
        open: false.into(),
        config: Arc::clone(&configs.server),
    };
    let hello = pair.flight();
    let mut receive = |bytes: &[u8]| receive(&mut pair.server, bytes, &mut pair.out, &turns);
    receive(&hello).unwrap();
    receive(&[0; HELD]).unwrap();
    let error = receive(&[0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "more than 128 KiB came while the handshake waited for its turn"
    );
}

#[test]
fn what_is_written_before_the_handshake_is_sent_after_it_up_to_a_limit() {
    for configs in Configs::all() {
        let mut pair = configs.pair();
        let mut out = Vec::new();
        pair.server.send(b"welcome", &mut out).unwrap();
        assert!(out.is_empty());
        let most = vec![0; 64 * 1024 - 7];
        pair.server.send(&most, &mut out).unwrap();
        let error = pair.server.send(b"x", &mut out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "more than 64 KiB were written before the handshake was done"
        );
        pair.talk(b"", |flight| vec![flight.to_vec()]);
        assert_eq!(pair.heard.len(), 64 * 1024);
        assert!(pair.heard.starts_with(b"welcome"));
    }
}

#[test]
fn a_session_at_rest_keeps_no_buffer() {
    let mut pair = Configs::new().pair();
    pair.talk(b"hello", |flight| {
        vec![
            flight[..flight.len() / 2].to_vec(),
            flight[flight.len() / 2..].to_vec(),
        ]
    });
    assert!(!pair.server.is_handshaking());
    assert_eq!(pair.server.held.capacity(), 0);
    assert!(matches!(pair.server.phase, Phase::Records(_)));
}

#[test]
fn an_end_before_the_handshake_is_said_after_it_behind_what_was_written() {
    for configs in Configs::all() {
        let mut pair = configs.pair();
        pair.server.send(b"bye", &mut pair.out).unwrap();
        pair.server.end(&mut pair.out).unwrap();
        assert!(pair.out.is_empty());
        pair.talk(b"", |flight| vec![flight.to_vec()]);
        assert_eq!(pair.heard, b"bye");
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn what_is_written_between_the_halves_of_a_record_is_sent_and_the_record_stays_whole() {
    for configs in Configs::all() {
        let mut pair = configs.pair();
        pair.talk(b"one", |flight| vec![flight.to_vec()]);
        pair.client.writer().write_all(b" two").unwrap();
        let flight = pair.flight();
        let (most, rest) = flight.split_at(flight.len() / 2);
        pair.receive(most);
        pair.server.send(b"three", &mut pair.out).unwrap();
        pair.receive(rest);
        pair.answer();
        assert_eq!(pair.plaintext[..], b"one two"[..]);
        assert_eq!(pair.heard, b"three");
    }
}

/// A client's side, with a server of rustls.
struct Dialogue {
    client: Session,
    server: rustls::ServerConnection,
    plaintext: Vec<u8>,
    out: Vec<u8>,
}

impl Dialogue {
    fn new(configs: &Configs) -> Self {
        let mut client = ClientConfig::clone(&configs.client);
        client.enable_secret_extraction = configs.server.enable_secret_extraction;
        let mut server = ServerConfig::clone(&configs.server);
        server.send_half_rtt_data = true;
        let name = ServerName::try_from("localhost").unwrap();
        let mut dialogue = Dialogue {
            client: Session::client(Arc::new(client), name).unwrap(),
            server: rustls::ServerConnection::new(Arc::new(server)).unwrap(),
            plaintext: Vec::new(),
            out: Vec::new(),
        };
        let mut buffer = BytesMut::new();
        let mut plaintext = Plaintext::new(&mut buffer);
        dialogue
            .client
            .resume(&mut plaintext, &mut dialogue.out, None)
            .unwrap();
        dialogue
    }

    /// Passes what the client sends to the server; returns what that sends.
    fn flight(&mut self) -> Vec<u8> {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).unwrap();
            self.server.process_new_packets().unwrap();
        }
        let mut flight = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut flight).unwrap();
        }
        flight
    }

    fn receive(&mut self, bytes: &[u8]) {
        let (mut bytes, mut buffer) = (bytes.to_vec(), BytesMut::new());
        let mut plaintext = Plaintext::new(&mut buffer);
        let received = self
            .client
            .receive(&mut bytes, &mut plaintext, &mut self.out, None);
        received.unwrap();
        let within = &bytes[plaintext.within];
        assert!(buffer.is_empty() || within.is_empty());
        self.plaintext.extend_from_slice(&buffer);
        self.plaintext.extend_from_slice(within);
    }
}

#[test]
fn data_right_behind_the_flight_of_a_server_is_delivered_wherever_it_is_split() {
    for configs in Configs::all() {
        let mut longest = 1;
        let mut at = 0;
        while at < longest {
            let mut dialogue = Dialogue::new(&configs);
            // Sent behind the handshake of the server, before its tickets where it does not wait for the client.
            dialogue.server.writer().write_all(b"early").unwrap();
            for _ in 0..4 {
                let flight = dialogue.flight();
                longest = longest.max(flight.len());
                let (first, second) = flight.split_at(at.min(flight.len()));
                dialogue.receive(first);
                dialogue.receive(second);
            }
            dialogue.server.writer().write_all(b" late").unwrap();
            dialogue.server.send_close_notify();
            let flight = dialogue.flight();
            dialogue.receive(&flight);
            assert_eq!(dialogue.plaintext, b"early late", "split at {at}");
            assert!(dialogue.client.peer_closed());
            // This side still sends.
            dialogue.client.send(b"bye", &mut dialogue.out).unwrap();
            dialogue.flight();
            let mut received = [0; 3];
            dialogue.server.reader().read_exact(&mut received).unwrap();
            assert_eq!(&received, b"bye");
            at += 1;
        }
        assert!(longest > 200, "the longest flight had {longest} bytes");
    }
}
