use std::io::{Read, Write};

use rustls::{ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};

use super::*;
use crate::provider::provider;

/// A control that never queues a handshake.
struct Unlimited(Arc<ServerConfig>);

impl HandshakeControl for Unlimited {
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

/// A server session and a rustls client before their handshake.
struct Pair {
    server: Session,
    control: Unlimited,
    client: ClientConnection,
    plaintext: BytesMut,
    /// Bytes from the server for the client.
    out: Vec<u8>,
    /// The plaintext that the client has received.
    received: Vec<u8>,
}

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Configs {
    /// Creates configurations for TLS 1.3 with extracted keys.
    fn new() -> Self {
        Configs::of(&version::TLS13, true)
    }

    /// Creates configurations for every kind of connection, including those whose records are processed by rustls.
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
            control: Unlimited(Arc::clone(&self.server)),
            client: ClientConnection::new(Arc::clone(&self.client), name).unwrap(),
            plaintext: BytesMut::new(),
            out: Vec::new(),
            received: Vec::new(),
        }
    }
}

/// Passes bytes to a session, and returns their plaintext.
fn receive(
    session: &mut Session,
    bytes: &[u8],
    out: &mut Vec<u8>,
    control: &dyn HandshakeControl,
) -> Result<Vec<u8>, Error> {
    let (mut bytes, mut buffer) = (bytes.to_vec(), BytesMut::new());
    let mut plaintext = Plaintext::new(&mut buffer);
    session.receive(&mut bytes, &mut plaintext, out, Some(control))?;
    let within = bytes[plaintext.within].to_vec();
    assert!(buffer.is_empty() || within.is_empty());
    Ok([buffer.to_vec(), within].concat())
}

impl Pair {
    /// Returns the bytes that the client sends now.
    fn flight(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut flight).unwrap();
        }
        flight
    }

    fn receive(&mut self, bytes: &[u8]) {
        let control: &dyn HandshakeControl = &self.control;
        let plaintext = receive(&mut self.server, bytes, &mut self.out, control).unwrap();
        self.plaintext.extend_from_slice(&plaintext);
    }

    /// Passes the bytes that the server has sent to the client.
    fn deliver(&mut self) {
        let out = std::mem::take(&mut self.out);
        let mut out = &out[..];
        while !out.is_empty() {
            self.client.read_tls(&mut out).unwrap();
            self.client.process_new_packets().unwrap();
            // Reading fails when there is no more data yet.
            let _ = self.client.reader().read_to_end(&mut self.received);
        }
    }

    /// Exchanges flights until the client has sent `text`. Each flight of the client is split into pieces by `split`.
    fn talk(&mut self, text: &[u8], split: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
        self.client.writer().write_all(text).unwrap();
        for _ in 0..4 {
            for piece in split(&self.flight()) {
                self.receive(&piece);
            }
            self.deliver();
        }
    }
}

#[test]
fn a_clients_bytes_may_arrive_one_at_a_time() {
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
fn the_plaintext_of_several_records_is_contiguous_and_half_a_record_waits() {
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
fn large_data_is_sent_completely() {
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
            // Reading fails when there is no more data yet.
            let _ = pair.client.reader().read_to_end(&mut received);
        }
        assert!(received == text);
    }
}

#[test]
fn keys_may_be_updated_between_data() {
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
fn the_end_is_valid_only_after_close_notify() {
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
        flight.extend(b"ignored data after it");
        pair.receive(&flight);
        assert!(pair.server.peer_closed());
        pair.server.ended_below().unwrap();
        assert_eq!(pair.plaintext[..], b"hello"[..]);
    }
}

/// A control that queues handshakes until the test allows a step.
struct Queueing {
    may_step: std::cell::Cell<bool>,
    config: Arc<ServerConfig>,
}

impl HandshakeControl for Queueing {
    fn may_step(&self) -> bool {
        self.may_step.get()
    }

    fn select(&self, _: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error> {
        Ok(Arc::clone(&self.config))
    }

    fn verifies_clients(&self) -> bool {
        true
    }
}

#[test]
fn each_expensive_flight_is_queued_and_bytes_that_arrive_meanwhile_are_held() {
    let configs = Configs::new();
    let mut pair = configs.pair();
    let control = Queueing {
        may_step: false.into(),
        config: Arc::clone(&configs.server),
    };
    let resume = |pair: &mut Pair| {
        let mut buffer = BytesMut::new();
        let mut plaintext = Plaintext::new(&mut buffer);
        pair.server
            .resume(&mut plaintext, &mut pair.out, Some(&control))
            .unwrap();
        buffer
    };
    let hello = pair.flight();
    let (most, rest) = hello.split_at(hello.len() - 1);
    receive(&mut pair.server, most, &mut pair.out, &control).unwrap();
    // An incomplete ClientHello is not queued.
    assert!(!pair.server.is_queued());
    receive(&mut pair.server, rest, &mut pair.out, &control).unwrap();
    assert!(pair.server.is_queued());
    // The step is not allowed yet.
    resume(&mut pair);
    assert!(pair.server.is_queued());
    control.may_step.set(true);
    resume(&mut pair);
    assert!(!pair.server.is_queued());
    pair.deliver();

    control.may_step.set(false);
    pair.client.writer().write_all(b"hello").unwrap();
    let second = pair.flight();
    for byte in second {
        receive(&mut pair.server, &[byte], &mut pair.out, &control).unwrap();
    }
    assert!(pair.server.is_queued() && pair.server.is_handshaking());
    control.may_step.set(true);
    assert_eq!(resume(&mut pair)[..], b"hello"[..]);
    assert!(!pair.server.is_handshaking());
}

#[test]
fn a_client_that_sends_too_much_while_it_is_queued_is_refused() {
    let configs = Configs::new();
    let mut pair = configs.pair();
    let control = Queueing {
        may_step: false.into(),
        config: Arc::clone(&configs.server),
    };
    let hello = pair.flight();
    let mut receive = |bytes: &[u8]| receive(&mut pair.server, bytes, &mut pair.out, &control);
    receive(&hello).unwrap();
    receive(&[0; MAX_HELD]).unwrap();
    let error = receive(&[0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "more than 128 KiB arrived while the handshake was queued"
    );
}

#[test]
fn data_written_before_the_handshake_is_sent_after_it_up_to_a_limit() {
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
            "more than 64 KiB were written before the handshake was complete"
        );
        pair.talk(b"", |flight| vec![flight.to_vec()]);
        assert_eq!(pair.received.len(), 64 * 1024);
        assert!(pair.received.starts_with(b"welcome"));
    }
}

#[test]
fn an_idle_session_has_no_buffer() {
    let mut pair = Configs::new().pair();
    pair.talk(b"hello", |flight| {
        vec![
            flight[..flight.len() / 2].to_vec(),
            flight[flight.len() / 2..].to_vec(),
        ]
    });
    assert!(!pair.server.is_handshaking());
    assert_eq!(pair.server.held.capacity(), 0);
    assert!(matches!(pair.server.phase, SessionPhase::Records(_)));
}

#[test]
fn an_end_before_the_handshake_sends_close_notify_after_the_written_data() {
    for configs in Configs::all() {
        let mut pair = configs.pair();
        pair.server.send(b"bye", &mut pair.out).unwrap();
        pair.server.end(&mut pair.out).unwrap();
        assert!(pair.out.is_empty());
        pair.talk(b"", |flight| vec![flight.to_vec()]);
        assert_eq!(pair.received, b"bye");
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn data_is_sent_between_two_parts_of_a_received_record() {
    for configs in Configs::all() {
        let mut pair = configs.pair();
        pair.talk(b"one", |flight| vec![flight.to_vec()]);
        pair.client.writer().write_all(b" two").unwrap();
        let flight = pair.flight();
        let (most, rest) = flight.split_at(flight.len() / 2);
        pair.receive(most);
        pair.server.send(b"three", &mut pair.out).unwrap();
        pair.receive(rest);
        pair.deliver();
        assert_eq!(pair.plaintext[..], b"one two"[..]);
        assert_eq!(pair.received, b"three");
    }
}

/// A client session and a rustls server.
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

    /// Passes the bytes that the client has sent to the server, and returns the server's bytes.
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
fn data_directly_after_the_servers_flight_is_delivered_with_any_split() {
    for configs in Configs::all() {
        let mut longest = 1;
        let mut at = 0;
        while at < longest {
            let mut dialogue = Dialogue::new(&configs);
            // The data follows the server's flight, before its tickets, if the server does not wait for the client.
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
            // The client can still send.
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
