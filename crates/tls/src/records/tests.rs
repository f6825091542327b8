use std::io::{Read, Write};
use std::sync::Arc;

use proptest::prelude::*;
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::{
    ClientConfig, ClientConnection, Connection, ContentType, HandshakeType, PeerMisbehaved,
    RootCertStore, ServerConfig, ServerConnection,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};

use super::post_handshake::MAX_MESSAGE;
use super::writing::FATAL;
use super::*;
use crate::peers::VerifyPeer;
use crate::provider::provider;
use crate::tickets::{ClientPolicy, TicketKeys, Ticketer};

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Configs {
    fn new() -> Self {
        Configs::with(provider())
    }

    /// Creates configurations with one of the TLS 1.3 cipher suites.
    fn of_suite(at: usize) -> Self {
        let mut provider = CryptoProvider::clone(&provider());
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some());
        provider.cipher_suites = vec![provider.cipher_suites[at]];
        Configs::with(Arc::new(provider))
    }

    fn with(provider: Arc<CryptoProvider>) -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let cert = CertificateDer::from(own.cert.der().to_vec());
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let policy = ClientPolicy::new(VerifyPeer::No, None).unwrap();
        let policy = policy.for_server(&cert).unwrap();
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key.into())
            .unwrap();
        server.enable_secret_extraction = true;
        server.send_tls13_tickets = 2;
        server.ticketer = Arc::new(Ticketer::new(TicketKeys::new().unwrap(), policy));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.enable_secret_extraction = true;
        client.alpn_protocols.clone_from(&server.alpn_protocols);
        client.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
        Configs {
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }

    /// Connects a server's records with a rustls client.
    fn server(&self) -> Pair {
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut peer = Connection::from(client);
        let mut tls = UnbufferedServerConnection::new(Arc::clone(&self.server)).unwrap();
        let mut incoming = Vec::new();
        while tls.is_handshaking() {
            incoming.extend(flight(&mut peer));
            let out = drive(&mut incoming, |bytes| step(tls.process_tls_records(bytes)));
            feed(&mut peer, &out);
        }
        assert!(incoming.is_empty());
        Pair::new(Records::server(tls).unwrap(), peer)
    }

    /// Connects a client's records with a rustls server, whose tickets are not received yet.
    fn client(&self) -> Pair {
        let name = ServerName::try_from("localhost").unwrap();
        let server = ServerConnection::new(Arc::clone(&self.server)).unwrap();
        let mut peer = Connection::from(server);
        let mut tls = UnbufferedClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut incoming = Vec::new();
        while tls.is_handshaking() {
            let out = drive(&mut incoming, |bytes| step(tls.process_tls_records(bytes)));
            feed(&mut peer, &out);
            if tls.is_handshaking() {
                incoming.extend(flight(&mut peer));
            }
        }
        assert!(incoming.is_empty());
        Pair::new(Records::client(tls).unwrap(), peer)
    }
}

/// Runs the rustls state machine until it waits for bytes, and returns the bytes to send.
fn drive(
    incoming: &mut Vec<u8>,
    mut process: impl FnMut(&mut [u8]) -> (usize, bool, Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let (discard, more, sent) = process(incoming);
        incoming.drain(..discard);
        out.extend(sent);
        if !more {
            return out;
        }
    }
}

fn step<D>(status: rustls::unbuffered::UnbufferedStatus<'_, '_, D>) -> (usize, bool, Vec<u8>) {
    use rustls::unbuffered::ConnectionState;
    let mut sent = vec![0; 64 * 1024];
    let (length, more) = match status.state.unwrap() {
        ConnectionState::EncodeTlsData(mut data) => (data.encode(&mut sent).unwrap(), true),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            (0, true)
        }
        _ => (0, false),
    };
    sent.truncate(length);
    (status.discard, more, sent)
}

/// Returns the bytes that the peer sends now.
fn flight(peer: &mut Connection) -> Vec<u8> {
    let mut flight = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut flight).unwrap();
    }
    flight
}

/// Passes bytes to the peer, and returns their plaintext.
fn feed(peer: &mut Connection, mut bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    while !bytes.is_empty() {
        peer.read_tls(&mut bytes).unwrap();
        peer.process_new_packets().unwrap();
        // Reading fails when there is no more data yet.
        let _ = peer.reader().read_to_end(&mut text);
    }
    text
}

/// Records and their peer.
struct Pair {
    records: Records,
    peer: Connection,
    /// An incomplete record.
    held: Vec<u8>,
    /// The bytes to send.
    out: Vec<u8>,
}

impl Pair {
    fn new(records: Records, mut peer: Connection) -> Self {
        peer.set_buffer_limit(None);
        Pair {
            records,
            peer,
            held: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Passes bytes to the records, and returns their plaintext.
    fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let received = self.records.receive(&mut all, &mut self.out);
        received.closed?;
        self.held = all[received.consumed..].to_vec();
        Ok(all[received.plaintext].to_vec())
    }

    /// Passes the bytes that the peer sends to the records.
    fn receive_flight(&mut self) -> Result<Vec<u8>, Error> {
        let flight = flight(&mut self.peer);
        self.receive(&flight)
    }

    fn peer_sends(&mut self, text: &[u8]) -> Vec<u8> {
        self.peer.writer().write_all(text).unwrap();
        flight(&mut self.peer)
    }

    /// Passes the bytes that the records have sent to the peer, and returns their plaintext.
    fn deliver(&mut self) -> Vec<u8> {
        let out = std::mem::take(&mut self.out);
        feed(&mut self.peer, &out)
    }

    fn send(&mut self, text: &[u8]) {
        self.records.send(text, &mut self.out).unwrap();
    }

    /// Returns the alert that the peer has received.
    fn alert(&mut self) -> AlertDescription {
        let out = std::mem::take(&mut self.out);
        self.peer.read_tls(&mut &out[..]).unwrap();
        match self.peer.process_new_packets().unwrap_err() {
            Error::AlertReceived(alert) => alert,
            other => panic!("{other}"),
        }
    }

    /// Sends a few bytes in each direction.
    fn check(&mut self) {
        let bytes = self.peer_sends(b"ping");
        assert_eq!(self.receive(&bytes).unwrap(), b"ping");
        self.send(b"pong");
        assert_eq!(self.deliver(), b"pong");
    }
}

/// Records on both ends, so that a test can send records that rustls does not send.
struct TwoRecords {
    receiver: Records,
    sender: Records,
}

impl TwoRecords {
    /// Connects a server, which receives, with a client.
    fn new() -> Self {
        let configs = Configs::new();
        let name = ServerName::try_from("localhost").unwrap();
        let mut server = UnbufferedServerConnection::new(Arc::clone(&configs.server)).unwrap();
        let mut client =
            UnbufferedClientConnection::new(Arc::clone(&configs.client), name).unwrap();
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        while server.is_handshaking() {
            to_server.extend(drive(&mut to_client, |bytes| {
                step(client.process_tls_records(bytes))
            }));
            to_client.extend(drive(&mut to_server, |bytes| {
                step(server.process_tls_records(bytes))
            }));
        }
        let mut two = TwoRecords {
            receiver: Records::server(server).unwrap(),
            sender: Records::client(client).unwrap(),
        };
        // Receives the tickets.
        let received = two.sender.receive(&mut to_client, &mut Vec::new());
        assert!(!received.closed.unwrap());
        two
    }

    /// Returns a record of any type.
    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.sender.writer.record(typ, payload, &mut out).unwrap();
        out
    }

    /// Passes a record of any type to the receiver, and returns its result.
    fn pass(&mut self, typ: ContentType, payload: &[u8]) -> Result<bool, Error> {
        let mut record = self.record(typ, payload);
        self.receiver.receive(&mut record, &mut Vec::new()).closed
    }

    /// Passes bytes to the receiver, and returns its error and the alert that it sends.
    fn fail(&mut self, mut bytes: Vec<u8>) -> (Error, AlertDescription) {
        let mut out = Vec::new();
        let error = self
            .receiver
            .receive(&mut bytes, &mut out)
            .closed
            .unwrap_err();
        match self.sender.receive(&mut out, &mut Vec::new()).closed {
            Err(Error::AlertReceived(alert)) => (error, alert),
            other => panic!("{error}: {other:?}"),
        }
    }
}

fn key_update(request: u8) -> [u8; 5] {
    [HandshakeType::KeyUpdate.into(), 0, 0, 1, request]
}

#[test]
fn data_is_exchanged_with_every_cipher_suite() {
    for suite in 0..3 {
        let configs = Configs::of_suite(suite);
        for mut pair in [configs.server(), configs.client()] {
            for _ in 0..300 {
                pair.check();
            }
            let text: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
            let bytes = pair.peer_sends(&text);
            assert!(pair.receive(&bytes).unwrap() == text);
            pair.send(&text);
            assert!(pair.deliver() == text);
        }
    }
}

#[test]
fn the_results_of_the_handshake_are_kept() {
    let configs = Configs::new();
    let server = configs.server().records;
    assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(server.peer_certificates().is_empty() && !server.is_resumed());
    let client = configs.client().records;
    assert_eq!(client.peer_certificates().len(), 1);
    assert_eq!((client.side(), server.side()), (Side::Client, Side::Server));
}

#[test]
fn tickets_received_after_the_handshake_resume_sessions() {
    let configs = Configs::new();
    let mut pair = configs.client();
    assert!(!pair.records.is_resumed());
    // Two messages, one byte at a time.
    let tickets = flight(&mut pair.peer);
    for byte in &tickets {
        assert!(pair.receive(&[*byte]).unwrap().is_empty());
    }
    pair.check();
    let mut pair = configs.client();
    assert!(pair.records.is_resumed());
    pair.receive_flight().unwrap();
    pair.check();
}

#[test]
fn a_requested_key_update_is_answered_once_before_the_next_data() {
    let configs = Configs::new();
    for mut pair in [configs.server(), configs.client()] {
        for _ in 0..3 {
            pair.peer.refresh_traffic_keys().unwrap();
        }
        assert!(pair.receive_flight().unwrap().is_empty());
        assert!(pair.out.is_empty());
        pair.send(b"data");
        // The KeyUpdate, and the data.
        assert_eq!(pair.out.len(), (5 + 5 + 17) + (5 + 4 + 17));
        assert_eq!(pair.deliver(), b"data");
        pair.check();
    }
}

#[test]
fn a_key_update_without_a_request_is_not_answered() {
    let mut two = TwoRecords::new();
    assert!(!two.pass(ContentType::Handshake, &key_update(0)).unwrap());
    let secrets = two.sender.keys.next_sending().unwrap();
    two.sender.writer = RecordWriter::new(two.sender.suite, secrets).unwrap();
    assert!(!two.pass(ContentType::ApplicationData, b"data").unwrap());
    let mut out = Vec::new();
    two.receiver.send(b"data", &mut out).unwrap();
    assert_eq!(out.len(), 5 + 4 + 17);
}

#[test]
fn keys_are_updated_before_their_limit() {
    let configs = Configs::new();
    for mut pair in [configs.server(), configs.client()] {
        for _ in 0..5 {
            pair.records.writer.limit = 4;
            let text = vec![7; 4 * MAX_FRAGMENT];
            pair.send(&text);
            assert!(pair.out.len() > text.len() + 4 * 22);
            assert!(pair.deliver() == text);
            // The peer answers the requested update.
            pair.check();
        }
        assert!(pair.records.writer.sequence < 4);
    }
}

#[test]
fn each_side_ends_with_close_notify() {
    let configs = Configs::new();
    for mut pair in [configs.server(), configs.client()] {
        pair.receive_flight().unwrap();
        pair.send(b"last");
        pair.records.end(&mut pair.out).unwrap();
        let length = pair.out.len();
        pair.records.end(&mut pair.out).unwrap();
        pair.send(b"too late");
        assert_eq!(pair.out.len(), length);
        assert_eq!(pair.deliver(), b"last");
        assert!(pair.peer.process_new_packets().unwrap().peer_has_closed());

        let mut bytes = pair.peer_sends(b"last");
        pair.peer.send_close_notify();
        bytes.extend(flight(&mut pair.peer));
        bytes.extend(b"ignored data after it");
        let received = pair.records.receive(&mut bytes, &mut pair.out);
        assert!(received.closed.unwrap());
        assert_eq!(&bytes[received.plaintext], b"last");
    }
}

#[test]
fn data_before_an_error_is_delivered() {
    let mut two = TwoRecords::new();
    let mut bytes = two.record(ContentType::ApplicationData, b"one");
    bytes.extend(two.record(ContentType::ApplicationData, b"two"));
    bytes.extend([23, 3, 3, 0, 20]);
    bytes.extend([0; 20]);
    let received = two.receiver.receive(&mut bytes, &mut Vec::new());
    assert!(matches!(received.closed, Err(Error::DecryptError)));
    assert_eq!(&bytes[received.plaintext], b"onetwo");
}

#[test]
fn changed_records_are_answered_with_bad_record_mac() {
    let configs = Configs::new();
    for mut pair in [configs.server(), configs.client()] {
        pair.receive_flight().unwrap();
        let mut bytes = pair.peer_sends(b"data");
        *bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(pair.receive(&bytes), Err(Error::DecryptError)));
        assert_eq!(pair.alert(), AlertDescription::BadRecordMac);
    }
    let short = [23, 3, 3, 0, 0].to_vec();
    let (error, alert) = TwoRecords::new().fail(short);
    assert!(matches!(error, Error::DecryptError));
    assert_eq!(alert, AlertDescription::BadRecordMac);
}

#[test]
fn oversized_records_are_answered_with_record_overflow() {
    let header = [23, 3, 3, 0x41, 0x01].to_vec();
    let (error, alert) = TwoRecords::new().fail(header);
    assert!(matches!(error, Error::PeerSentOversizedRecord));
    assert_eq!(alert, AlertDescription::RecordOverflow);

    let mut two = TwoRecords::new();
    assert!(
        !two.pass(ContentType::ApplicationData, &[0; MAX_FRAGMENT])
            .unwrap()
    );
    let longer = two.record(ContentType::ApplicationData, &[0; MAX_FRAGMENT + 1]);
    let (error, alert) = two.fail(longer);
    assert!(matches!(error, Error::PeerSentOversizedRecord));
    assert_eq!(alert, AlertDescription::RecordOverflow);
}

#[test]
fn other_invalid_records_are_answered_with_the_matching_alert() {
    use AlertDescription::{DecodeError, UnexpectedMessage};
    let cases: [(&[u8], AlertDescription, &str); 5] = [
        (
            &[20, 3, 3, 0, 1, 1],
            UnexpectedMessage,
            "received unexpected message: got ChangeCipherSpec when expecting ApplicationData or Handshake",
        ),
        (
            &[22, 3, 3, 0, 1, 1],
            UnexpectedMessage,
            "received unexpected message: got Handshake when expecting ApplicationData or Handshake",
        ),
        (
            b"GET / HTTP/1.1",
            DecodeError,
            "received corrupt message of type InvalidContentType",
        ),
        (
            &[23, 2, 0, 0, 1],
            DecodeError,
            "received corrupt message of type UnknownProtocolVersion",
        ),
        (
            &[25, 3, 3, 0, 1],
            DecodeError,
            "received corrupt message of type InvalidContentType",
        ),
    ];
    for (bytes, alert, text) in cases {
        let (error, sent) = TwoRecords::new().fail(bytes.to_vec());
        assert_eq!((error.to_string().as_str(), sent), (text, alert));
    }
}

#[test]
fn handshake_messages_may_be_split_but_not_interleaved_with_data() {
    let mut two = TwoRecords::new();
    let message = key_update(0);
    for byte in &message[..4] {
        assert!(!two.pass(ContentType::Handshake, &[*byte]).unwrap());
    }
    let data = two.record(ContentType::ApplicationData, b"data");
    let (error, alert) = two.fail(data);
    assert_eq!(
        error,
        PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into()
    );
    assert_eq!(alert, AlertDescription::UnexpectedMessage);

    let mut two = TwoRecords::new();
    for byte in &message {
        assert!(!two.pass(ContentType::Handshake, &[*byte]).unwrap());
    }
    assert!(two.receiver.reader.messages.is_complete());
}

#[test]
fn unexpected_handshake_messages_are_refused() {
    use AlertDescription::{DecodeError, IllegalParameter, UnexpectedMessage};
    let cases: [(&[u8], AlertDescription); 7] = [
        // A ClientHello, a ticket to a server, an empty record.
        (&[1, 0, 0, 0], UnexpectedMessage),
        (&[4, 0, 0, 0], UnexpectedMessage),
        (&[], DecodeError),
        // KeyUpdates with an invalid value, too long, empty, and followed by another message.
        (&[24, 0, 0, 1, 2], IllegalParameter),
        (&[24, 0, 0, 2, 0, 0], DecodeError),
        (&[24, 0, 0, 0], DecodeError),
        (&[24, 0, 0, 1, 0, 24], UnexpectedMessage),
    ];
    for (message, alert) in cases {
        let mut two = TwoRecords::new();
        let record = two.record(ContentType::Handshake, message);
        assert_eq!(two.fail(record).1, alert, "{message:?}");
    }
}

#[test]
fn the_length_of_a_ticket_is_limited() {
    let mut two = TwoRecords::new();
    std::mem::swap(&mut two.sender, &mut two.receiver);
    let [_, high, low, ..] = (MAX_MESSAGE as u32 + 1).to_be_bytes()[..] else {
        panic!();
    };
    let record = two.record(ContentType::Handshake, &[4, high, low, 0]);
    assert_eq!(two.fail(record).1, AlertDescription::DecodeError);
}

#[test]
fn floods_of_records_without_data_fail_the_connection() {
    let mut two = TwoRecords::new();
    for _ in 0..3 {
        for _ in 0..32 {
            assert!(!two.pass(ContentType::ApplicationData, b"").unwrap());
        }
        assert!(!two.pass(ContentType::ApplicationData, b"data").unwrap());
    }
    for _ in 0..32 {
        two.pass(ContentType::ApplicationData, b"").unwrap();
    }
    let error = two.pass(ContentType::ApplicationData, b"").unwrap_err();
    assert_eq!(error, PeerMisbehaved::TooManyEmptyFragments.into());

    let configs = Configs::new();
    let mut pair = configs.server();
    for _ in 0..3 {
        for _ in 0..32 {
            pair.peer.refresh_traffic_keys().unwrap();
        }
        pair.check();
    }
    for _ in 0..33 {
        pair.peer.refresh_traffic_keys().unwrap();
    }
    let error = pair.receive_flight().unwrap_err();
    assert_eq!(error, PeerMisbehaved::TooManyKeyUpdateRequests.into());
}

#[test]
fn alerts_are_errors_except_close_notify_and_a_few_user_canceled() {
    let mut two = TwoRecords::new();
    for _ in 0..4 {
        assert!(!two.pass(ContentType::Alert, &[1, 90]).unwrap());
    }
    assert!(two.pass(ContentType::Alert, &[1, 90]).is_err());
    let error = TwoRecords::new().pass(ContentType::Alert, &[FATAL, 80]);
    assert_eq!(
        error,
        Err(Error::AlertReceived(AlertDescription::InternalError))
    );
    assert!(TwoRecords::new().pass(ContentType::Alert, &[1]).is_err());
    assert!(
        TwoRecords::new()
            .pass(ContentType::Alert, &[1, 0, 0])
            .is_err()
    );
    assert_eq!(
        TwoRecords::new().pass(ContentType::Alert, &[2, 0]),
        Ok(true)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_split_of_the_bytes_results_in_the_same_data(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 1..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        updates in any::<u8>(),
    ) {
        let mut pair = Configs::new().server();
        let mut bytes = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            bytes.extend(pair.peer_sends(text));
            if updates >> at & 1 == 1 {
                pair.peer.refresh_traffic_keys().unwrap();
            }
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let (mut begin, mut received) = (0, Vec::new());
        for cut in cuts {
            received.extend(pair.receive(&bytes[begin..cut]).unwrap());
            begin = cut;
        }
        prop_assert!(received == texts.concat());
        prop_assert!(pair.held.is_empty());
        pair.receive_flight().unwrap();
        pair.check();
    }
}
