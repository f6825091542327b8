//! Handshakes with tickets, in memory and on a manual clock.

use rcgen::date_time_ymd;
use rustls::client::WantsClientCert;
use rustls::server::Acceptor;
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, HandshakeKind, ServerConfig,
    SupportedProtocolVersion, version,
};
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};

use super::*;
use crate::pem::PemSource;
use crate::provider::provider;
use crate::{TlsConfig, TlsContext};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// A certificate for `localhost` with its key.
struct TestIdentity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl TestIdentity {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        TestIdentity {
            certificate: params.self_signed(&key).unwrap(),
            key,
        }
    }

    /// Returns the configuration of a server that keeps no sessions, so that they are resumed only with tickets.
    fn server(&self, keys: &TicketKeys) -> TlsConfig {
        self.context(keys).load().unwrap()
    }

    fn context(&self, keys: &TicketKeys) -> TlsContext {
        TlsContext::new()
            .local_cert_pem(self.certificate.pem())
            .local_pk_pem(self.key.serialize_pem())
            .ticket_keys(keys.clone())
            .session_cache(0)
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        Arc::new(self.client_builder(version).with_no_client_auth())
    }

    fn client_builder(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots(&[self.certificate.der()]))
    }
}

/// Exchanges flights until the client has its ticket, and returns the kind of the handshake, which is the same on both sides.
#[track_caller]
fn handshake(
    server: &TlsConfig,
    client: &Arc<ClientConfig>,
    change: impl FnOnce(&mut ServerConfig),
) -> HandshakeKind {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut flight = Vec::new();
    client.write_tls(&mut flight).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &flight[..]).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    let mut config = ServerConfig::clone(&server.select(&accepted.client_hello()).unwrap());
    change(&mut config);
    let mut server = accepted.into_connection(Arc::new(config)).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        client.read_tls(&mut &flight[..]).unwrap();
        client.process_new_packets().unwrap();
        flight.clear();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        server.read_tls(&mut &flight[..]).unwrap();
        server.process_new_packets().unwrap();
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(client.handshake_kind(), server.handshake_kind());
    client.handshake_kind().unwrap()
}

#[test]
fn a_session_is_resumed_after_the_keys_have_rotated_until_its_ticket_expires() {
    let identity = TestIdentity::new();
    for version in VERSIONS {
        let clock = TestClock::at(START + PERIOD - 1);
        let server = identity.server(&clock.keys());
        let visit = |client| handshake(&server, client, |_| ());
        let (client, late) = (identity.client(version), identity.client(version));
        assert_eq!(visit(&client), HandshakeKind::Full);
        assert_eq!(visit(&late), HandshakeKind::Full);
        clock.set(START + 2 * PERIOD);
        // Each handshake issues a new ticket.
        assert_eq!(visit(&client), HandshakeKind::Resumed);
        clock.set(START + 3 * PERIOD);
        assert_eq!(visit(&client), HandshakeKind::Resumed);
        assert_eq!(visit(&late), HandshakeKind::Full);
        assert_eq!(visit(&late), HandshakeKind::Resumed);
    }
}

/// A ticket producer that flips a bit of each ticket.
#[derive(Debug)]
struct Damaging(Arc<dyn ProducesTickets>);

impl ProducesTickets for Damaging {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut ticket = self.0.encrypt(plain)?;
        *ticket.last_mut()? ^= 1;
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(ticket)
    }
}

#[test]
fn a_modified_ticket_leads_to_a_full_handshake() {
    let identity = TestIdentity::new();
    for version in VERSIONS {
        let server = identity.server(&TestClock::at(START).keys());
        let client = identity.client(version);
        handshake(&server, &client, |config| {
            config.ticketer = Arc::new(Damaging(Arc::clone(&config.ticketer)));
        });
        let second = handshake(&server, &client, |_| ());
        assert_eq!(second, HandshakeKind::Full, "{version:?}");
        let third = handshake(&server, &client, |_| ());
        assert_eq!(third, HandshakeKind::Resumed, "{version:?}");
    }
}

#[test]
fn imported_keys_resume_sessions_of_the_exporter_after_a_rotation() {
    let identity = TestIdentity::new();
    for version in VERSIONS {
        let (here, there) = (TestClock::at(START), TestClock::at(START));
        let keys = here.keys();
        let first = identity.server(&keys);
        let second = identity.server(&there.import(&keys.export().unwrap()).unwrap());
        let client = identity.client(version);
        for (period, server) in [&first, &second, &first, &second].into_iter().enumerate() {
            let now = START + period as u64 * PERIOD;
            here.set(now);
            // The other clock is a minute ahead.
            there.set(now + 60);
            let kind = handshake(server, &client, |_| ());
            assert_eq!(kind == HandshakeKind::Resumed, period > 0, "{period}");
        }
    }
}

#[test]
fn a_client_whose_certificate_has_expired_in_the_meantime_is_verified_again() {
    let identity = TestIdentity::new();
    // A self-signed client certificate.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["alice".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2090, 1, 1);
    let not_after = params.not_after.unix_timestamp() as u64;
    let certificate = params.self_signed(&key).unwrap();
    for version in VERSIONS {
        for mode in [VerifyPeer::Optional, VerifyPeer::Required] {
            let clock = TestClock::at(not_after - 60);
            let mut server = identity.context(&clock.keys()).verify_peer(mode);
            server.cafile = Some(PemSource::text("cafile", certificate.pem()));
            let server = server.load().unwrap();
            let key = PrivatePkcs8KeyDer::from(key.serialize_der());
            let client = identity
                .client_builder(version)
                .with_client_auth_cert(vec![certificate.der().clone()], key.into());
            let (client, bare) = (Arc::new(client.unwrap()), identity.client(version));
            let visit = |client| handshake(&server, client, |_| ());
            assert_eq!(visit(&client), HandshakeKind::Full);
            assert_eq!(visit(&client), HandshakeKind::Resumed);
            clock.set(not_after);
            assert_eq!(visit(&client), HandshakeKind::Resumed);
            clock.set(not_after + 1);
            // On the system's clock the certificate is still valid.
            assert_eq!(visit(&client), HandshakeKind::Full);
            if mode == VerifyPeer::Optional {
                assert_eq!(visit(&bare), HandshakeKind::Full);
                assert_eq!(visit(&bare), HandshakeKind::Resumed);
            }
        }
    }
}
