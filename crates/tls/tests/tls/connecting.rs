//! Client connections.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use uptick_event_loop::spawn;
use uptick_socket::prelude::*;
use uptick_socket::{Connecting, FixedUriConnector, TcpConnector};
use uptick_tls::{
    SecureConnector, SecureServer, TlsConnection, TlsContext, TlsInfo, TlsVersion, VerifyPeer,
    handshake_stats,
};

use crate::support::{
    Directory, Identity, Log, address, certificate, logged, manual_clock, settle, tls_server, until,
};

/// Runs the loop until a connect has completed, and returns its result.
#[track_caller]
pub(crate) fn outcome(connecting: Connecting) -> Result<Connection, Error> {
    let slot = Rc::new(RefCell::new(None));
    let result = Rc::clone(&slot);
    spawn(async move {
        let outcome = connecting.await;
        *result.borrow_mut() = Some(outcome);
    });
    until(|| slot.borrow().is_some());
    slot.take().unwrap()
}

/// Returns a connector that always connects to a server, regardless of the target.
pub(crate) fn to<S: ServerInterface>(server: S) -> FixedUriConnector<TcpConnector> {
    FixedUriConnector::new(address(server).to_string(), TcpConnector::new()).unwrap()
}

/// Waits for the first data, and returns it.
#[track_caller]
fn first(conn: Connection) -> String {
    let log = Log::default();
    let seen = log.clone();
    conn.once("data", move |chunk: Bytes| {
        seen.add(String::from_utf8_lossy(&chunk))
    });
    until(|| log.len() == 1);
    log.take().remove(0)
}

fn echo(server: SecureServer) -> Rc<RefCell<Option<TlsInfo>>> {
    let info = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&info);
    server.on("connection", move |conn: Connection| {
        *slot.borrow_mut() = conn.tls();
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
    });
    info
}

/// Writes data and waits for the echo, after which tickets have been received too.
#[track_caller]
fn exchange(conn: Connection) {
    conn.write("hello");
    assert_eq!(first(conn), "hello");
}

#[test]
fn the_trusted_certificates_may_be_a_text() {
    let (cert, key) = certificate(|_| ());
    let config = TlsContext::new().local_cert_pem(&*cert).local_pk_pem(key);
    let server = tls_server(config.load().unwrap());
    echo(server);
    let connector = SecureConnector::new(to(server)).cafile_pem(cert);
    exchange(outcome(connector.connect("tls://localhost:443")).unwrap());
}

#[test]
fn certificates_may_be_trusted_in_addition_to_others() {
    let (cert, key) = certificate(|_| ());
    let config = TlsContext::new().local_cert_pem(&*cert).local_pk_pem(key);
    let server = tls_server(config.load().unwrap());
    echo(server);
    let (other, _) = certificate(|_| ());
    let directory = Directory::new();
    let file = directory.write("ca.pem", &cert);
    for connector in [
        SecureConnector::new(to(server)).add_cafile(&file),
        SecureConnector::new(to(server))
            .add_cafile_pem(&*other)
            .add_cafile_pem(&*cert),
        SecureConnector::new(to(server))
            .cafile_pem(&*other)
            .add_cafile(&file),
        // The order of the calls does not matter.
        SecureConnector::new(to(server))
            .add_cafile_pem(&*other)
            .cafile(&file),
    ] {
        exchange(outcome(connector.connect("tls://localhost:443")).unwrap());
    }
    let connector = SecureConnector::new(to(server)).add_cafile_pem(other);
    let error = outcome(connector.connect("tls://localhost:443")).unwrap_err();
    assert!(
        error.to_string().contains("self-signed and not trusted"),
        "{error}"
    );
    let connector = SecureConnector::new(to(server)).add_cafile(directory.path("missing.pem"));
    let error = outcome(connector.connect("tls://localhost:443")).unwrap_err();
    assert!(error.to_string().contains("missing.pem"), "{error}");
}

/// Set in the process of the test below that has no trusted CA certificates.
const WITHOUT_ROOTS: &str = "UPTICK_TEST_WITHOUT_ROOTS";

#[test]
fn a_system_without_ca_certificates_is_an_error_unless_others_are_trusted() {
    if std::env::var_os(WITHOUT_ROOTS).is_none() {
        let directory = Directory::new();
        let empty = directory.write("empty.pem", "");
        let name =
            "connecting::a_system_without_ca_certificates_is_an_error_unless_others_are_trusted";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(WITHOUT_ROOTS, "1")
            .env("SSL_CERT_FILE", &empty)
            .env("SSL_CERT_DIR", directory.path("missing"))
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && output.contains("1 passed"),
            "{output}"
        );
        return;
    }
    let (cert, key) = certificate(|_| ());
    let config = TlsContext::new().local_cert_pem(&*cert).local_pk_pem(key);
    let server = tls_server(config.load().unwrap());
    echo(server);
    let connector = SecureConnector::new(to(server));
    let error = outcome(connector.connect("tls://localhost:443")).unwrap_err();
    let expected = "this system has no trusted CA certificates";
    assert!(error.to_string().contains(expected), "{error}");
    for connector in [
        connector.clone().add_cafile_pem(&*cert),
        connector.clone().cafile_pem(cert),
        connector.dangerous_accept_any_certificate(),
    ] {
        exchange(outcome(connector.connect("tls://localhost:443")).unwrap());
    }
}

#[test]
fn both_sides_report_the_negotiated_parameters() {
    let identity = Identity::new();
    let config = identity.context().alpn_protocols(["h2", "http/1.1"]);
    let server = tls_server(config.load().unwrap());
    let theirs = echo(server);
    let connector = SecureConnector::new(to(server))
        .cafile(&identity.file)
        .alpn_protocols(["http/1.1"])
        .min_version(TlsVersion::V1_3);
    let conn = outcome(connector.connect("tls://localhost:443")).unwrap();
    assert!(conn.is_secure());
    let uri = format!("tls://{}", address(server));
    assert_eq!(conn.remote_address(), Some(uri));
    exchange(conn);

    let info = conn.tls().unwrap();
    assert_eq!(info.version(), TlsVersion::V1_3);
    assert_eq!(info.version().to_string(), "TLS 1.3");
    assert!(
        [
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256"
        ]
        .contains(&info.cipher_suite()),
        "{info:?}"
    );
    assert_eq!(info.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(conn.alpn().as_deref(), info.alpn_protocol());
    assert_eq!(info.server_name(), Some("localhost"));
    let cert = CertificateDer::from_pem_file(&identity.file).unwrap();
    assert_eq!(info.peer_certificates().collect::<Vec<_>>(), [&cert[..]]);
    assert_eq!(info.peer_subject(), Some("CN=rcgen self signed cert"));
    assert!(!info.is_resumed());

    let theirs = theirs.take().unwrap();
    assert_eq!(theirs.version(), info.version());
    assert_eq!(theirs.cipher_suite(), info.cipher_suite());
    assert_eq!(theirs.alpn_protocol(), info.alpn_protocol());
    assert_eq!(theirs.server_name(), info.server_name());
    assert_eq!(theirs.peer_certificates().count(), 0);
    assert_eq!(theirs.peer_subject(), None);
}

#[test]
fn the_negotiated_parameters_are_available_until_the_connection_is_gone() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = Log::default();
    let seen = log.clone();
    server.on("connection", move |conn: Connection| {
        let log = seen.clone();
        conn.on("data", move |_: Bytes| log.add(conn.tls().is_some()));
        let log = seen.clone();
        conn.on("close", move |()| log.add(conn.tls().is_some()));
    });
    let connector = SecureConnector::new(to(server)).cafile(&identity.file);
    let conn = outcome(connector.connect("tls://localhost:443")).unwrap();
    conn.end_with("hello");
    until(|| log.len() == 2 && !conn.is_open());
    assert_eq!(log.take(), ["true", "true"]);
    assert_eq!(conn.tls(), None);
}

#[test]
fn a_connection_without_tls_has_no_tls_info() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    server.on("connection", |_: Connection| ());
    let conn = outcome(to(server).connect("tcp://localhost:80")).unwrap();
    assert_eq!(conn.tls(), None);
}

#[test]
fn sessions_are_resumed_unless_resumption_is_disabled() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let theirs = echo(server);
    for (kept, expected) in [(true, [false, true]), (false, [false, false])] {
        let connector = SecureConnector::new(to(server))
            .cafile(&identity.file)
            .session_resumption(kept);
        for resumed in expected {
            // Clones and connectors over another inner connector share the sessions.
            let connector = connector.clone().over(to(server));
            let conn = outcome(connector.connect("tls://localhost:443")).unwrap();
            exchange(conn);
            assert_eq!(conn.tls().unwrap().is_resumed(), resumed);
            assert_eq!(theirs.take().unwrap().is_resumed(), resumed);
            conn.close();
        }
    }
    let stats = handshake_stats();
    assert_eq!((stats.completed, stats.resumed, stats.failed), (4, 1, 0));
}

#[test]
fn an_ip_address_is_verified_and_not_sent_as_the_server_name() {
    let directory = Directory::new();
    let (cert, key) = certificate(|params| {
        params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
    });
    let file = directory.write("server.pem", &format!("{cert}{key}"));
    let server = tls_server(TlsContext::new().local_cert(&file).load().unwrap());
    let theirs = echo(server);
    let connector = SecureConnector::new(Connector::new()).cafile(&file);
    let conn = outcome(connector.connect(server.address().unwrap())).unwrap();
    exchange(conn);
    assert_eq!(theirs.take().unwrap().server_name(), None);
    assert_eq!(conn.tls().unwrap().server_name(), None);
    // A scheme is not needed.
    outcome(connector.connect(address(server))).unwrap();
}

#[test]
fn a_unix_socket_requires_a_peer_name() {
    let identity = Identity::new();
    let directory = Directory::new();
    let path = directory.path("server.sock");
    let server = SecureServer::new(
        Server::bind(path.to_str().unwrap()).unwrap(),
        identity.config(),
    );
    let theirs = echo(server);
    let connector = SecureConnector::new(Connector::new()).cafile(&identity.file);
    let uri = format!("unix://{}", path.display());
    let error = outcome(connector.connect(&*uri)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "connecting to {uri} failed before the TLS handshake: creating a TLS context failed: a Unix socket has no host \
             name to verify: set `peer_name`"
        )
    );
    let connector = connector.peer_name("localhost");
    let conn = outcome(connector.connect(&*uri)).unwrap();
    exchange(conn);
    assert_eq!(theirs.take().unwrap().server_name(), Some("localhost"));
    // The addresses of a Unix socket have no TLS scheme.
    assert_eq!(conn.remote_address().as_deref(), Some(&*uri));
    assert_eq!(server.address().as_deref(), Some(&*uri));
    assert!(conn.is_secure());
    server.close();
}

/// A certificate authority, with its certificate in PEM.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Issues a certificate for a host name with a common name, followed by its key, in PEM.
    pub(crate) fn issue(&self, host: &str, name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        format!("{}{}", cert.pem(), key.serialize_pem())
    }
}

#[test]
fn a_server_that_verifies_clients_reports_their_subjects() {
    let directory = Directory::new();
    let authority = Authority::new();
    let ca = directory.write("ca.pem", &authority.pem);
    let server = directory.write("server.pem", &authority.issue("localhost", "server"));
    let client = directory.write("client.pem", &authority.issue("alice.test", "alice"));
    let context = TlsContext::new()
        .local_cert(server)
        .cafile(&ca)
        .verify_peer(VerifyPeer::Required);
    let server = tls_server(context.load().unwrap()).handshakes_per_iteration(1);
    let theirs = echo(server);
    let trusting = SecureConnector::new(to(server)).cafile(&ca);
    let connector = trusting.clone().local_cert(client);
    // Several clients connect at once, so that some handshakes are queued with the client's certificate.
    let connecting: Vec<_> = (0..5)
        .map(|_| connector.connect("tls://localhost:443"))
        .map(|connecting| {
            let slot = Rc::new(Cell::new(None));
            let result = Rc::clone(&slot);
            spawn(async move { result.set(Some(connecting.await)) });
            slot
        })
        .collect();
    for slot in connecting {
        let mut result = None;
        until(|| {
            result = result.take().or_else(|| slot.take());
            result.is_some()
        });
        exchange(result.unwrap().unwrap());
        let info = theirs.borrow().clone().unwrap();
        let subject = info.peer_subject().unwrap();
        assert!(subject.contains("CN=alice"), "{subject}");
        assert_eq!(info.peer_certificates().count(), 1);
    }

    // In TLS 1.3 the client's handshake is complete before it is refused.
    let errors = Log::default();
    let seen = errors.clone();
    server.on("error", move |error: Error| seen.add(error));
    let conn = outcome(trusting.connect("tls://localhost:443")).unwrap();
    let log = Log::default();
    let seen = log.clone();
    conn.on("error", move |error: Error| seen.add(error));
    until(|| log.len() == 1 && errors.len() == 1);
    let text = log.take().remove(0);
    assert!(
        text.ends_with(
            "failed: the peer sent an alert: it requires a client certificate (CertificateRequired)"
        ),
        "{text}"
    );
}

#[test]
fn a_connector_may_accept_any_certificate() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let _theirs = echo(server);
    let connector = SecureConnector::new(to(server)).dangerous_accept_any_certificate();
    exchange(outcome(connector.connect("tls://example.test:443")).unwrap());
}

#[test]
fn data_received_before_a_listener_is_registered_is_kept() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("connection", |conn: Connection| conn.end_with("welcome"));
    let connector = SecureConnector::new(to(server)).cafile(&identity.file);
    let conn = outcome(connector.connect("tls://localhost:443")).unwrap();
    settle();
    let log = Log::default();
    let seen = log.clone();
    conn.on("data", move |chunk: Bytes| {
        seen.add(String::from_utf8_lossy(&chunk))
    });
    for name in ["end", "close"] {
        let seen = log.clone();
        conn.on(name, move |()| seen.add(name));
    }
    until(|| log.has("close"));
    assert_eq!(log.take(), ["welcome", "end", "close"]);
}

#[test]
fn a_handshake_with_a_silent_server_times_out() {
    let clock = manual_clock();
    let silent = Server::bind("127.0.0.1:0").unwrap();
    let log = logged(silent);
    let connector = SecureConnector::new(to(silent)).dangerous_accept_any_certificate();
    let slot = Rc::new(RefCell::new(None));
    let result = Rc::clone(&slot);
    let connecting = connector.connect("tls://example.test:443");
    spawn(async move {
        let outcome = connecting.await;
        *result.borrow_mut() = Some(outcome);
    });
    // The server has received the ClientHello.
    until(|| log.len() == 2);
    clock.advance(Duration::from_millis(9_990));
    settle();
    assert!(slot.borrow().is_none());
    clock.advance(Duration::from_millis(10));
    until(|| slot.borrow().is_some());
    let error = slot.take().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the TLS handshake with tls://example.test:443 timed out after 10s (ETIMEDOUT)"
    );
    until(|| log.has("close"));
    silent.close();
    // No work is pending.
    run().unwrap();
}

#[test]
fn dropping_the_future_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = channel();
    let peer = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        sender.send(byte[0]).unwrap();
        let mut rest = Vec::new();
        // The connection ends or is reset.
        let _ = socket.read_to_end(&mut rest);
    });
    let connector = SecureConnector::new(Connector::new()).dangerous_accept_any_certificate();
    let handle = spawn(connector.connect(format!("tls://{address}")));
    until(|| received.try_recv().is_ok());
    handle.cancel();
    until(|| peer.is_finished());
    run().unwrap();
}
