//! Errors of connecting.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, SanType,
    date_time_ymd,
};
use uptick_socket::prelude::*;
use uptick_tls::{SecureConnector, TlsContext, TlsVersion};

use crate::connecting::{outcome, to};
use crate::support::{Directory, Identity, address, certificate, tls_server};

const DURING: &str = "connecting to tls://localhost:443 failed during the TLS handshake: ";
const BEFORE: &str = "connecting to tls://localhost:443 failed before the TLS handshake: ";

/// Returns the error of connecting to `localhost`.
#[track_caller]
fn refusal(connector: &SecureConnector) -> String {
    let error = outcome(connector.connect("tls://localhost:443")).unwrap_err();
    let text = error.to_string();
    let rest = text.strip_prefix(DURING);
    rest.unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// Starts a server that responds to the first bytes and closes.
fn respond_with(response: &'static [u8], reset: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 4096]).unwrap();
        socket.write_all(response).unwrap();
        if reset {
            socket2::SockRef::from(&socket)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
    });
    address
}

#[track_caller]
fn refusal_of(address: SocketAddr) -> String {
    let below = uptick_socket::FixedUriConnector::new(
        address.to_string(),
        uptick_socket::TcpConnector::new(),
    );
    refusal(&SecureConnector::new(below.unwrap()).dangerous_accept_any_certificate())
}

#[test]
fn errors_distinguish_other_protocols_from_a_closed_connection() {
    assert_eq!(
        refusal_of(respond_with(b"HTTP/1.1 400 Bad Request\r\n\r\n", false)),
        "the server answered with plain HTTP, not TLS"
    );
    assert_eq!(
        refusal_of(respond_with(b"220 mail.example.org ESMTP\r\n", false)),
        "the server did not answer with TLS; it sent \"220 mail.example.org ESMTP\""
    );
    assert_eq!(
        refusal_of(respond_with(
            b"SSH-2.0-\"OpenSSH\"_9.2p1 Debian-2+deb12u3\r\n",
            false
        )),
        "the server did not answer with TLS; it sent \"SSH-2.0-\\\"OpenSSH\\\"_9.2p1 Debian-2\""
    );
    assert_eq!(
        refusal_of(respond_with(b"\0\0\x12\x04\0\0\0\0\0", false)),
        "the server did not answer with TLS"
    );
    assert_eq!(
        refusal_of(respond_with(b"", false)),
        "the server closed the connection before the handshake was complete"
    );
    assert_eq!(
        refusal_of(respond_with(b"", true)),
        "Connection reset by peer (ECONNRESET)"
    );
}

#[test]
fn the_error_for_an_alert_of_the_server_contains_its_meaning() {
    for (description, text) in [
        (
            70,
            "the server sent an alert: it supports none of the offered TLS versions (ProtocolVersion)",
        ),
        (
            112,
            "the server sent an alert: it has no certificate for that name (UnrecognisedName)",
        ),
        (
            120,
            "the server sent an alert: it supports none of the offered ALPN protocols (NoApplicationProtocol)",
        ),
        (
            40,
            "the server sent an alert: it supports none of the offered parameters, or requires a client certificate (HandshakeFailure)",
        ),
        (80, "the server sent an alert: InternalError"),
    ] {
        let alert: Vec<u8> = vec![21, 3, 3, 0, 2, 2, description];
        assert_eq!(refusal_of(respond_with(alert.leak(), false)), text);
    }
}

#[test]
fn the_error_for_a_wrong_name_contains_the_names_of_the_certificate() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("error", |_: Error| ());
    server.on("connection", |_: Connection| ());
    let connector = SecureConnector::new(to(server)).cafile(&identity.file);
    let refused = |name: &str| refusal(&connector.clone().peer_name(name));
    assert_eq!(
        refused("example.test"),
        "its certificate is not valid for example.test, only for localhost"
    );
    assert_eq!(
        refused("127.0.0.1"),
        "its certificate is not valid for 127.0.0.1, only for localhost"
    );
    let error = outcome(connector.peer_name("a name").connect("tls://localhost:443")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{BEFORE}creating a TLS context failed: \"a name\" is not a valid host name")
    );
}

#[test]
fn an_ip_address_in_a_dns_name_or_the_common_name_is_not_accepted() {
    let directory = Directory::new();
    let refused = |names: Vec<SanType>| {
        let (cert, key) = certificate(|params| {
            params
                .distinguished_name
                .push(DnType::CommonName, "127.0.0.1");
            params.subject_alt_names = names;
        });
        let file = directory.write("server.pem", &format!("{cert}{key}"));
        let below = uptick_socket::FixedUriConnector::new(
            serve_with(&cert, &key).to_string(),
            uptick_socket::TcpConnector::new(),
        );
        let connector = SecureConnector::new(below.unwrap()).cafile(&file);
        refusal(&connector.peer_name("127.0.0.1"))
    };
    assert_eq!(
        refused(vec![SanType::DnsName("127.0.0.1".try_into().unwrap())]),
        "its certificate lists 127.0.0.1 as a DNS name, not as an IP address: reissue it with `IP:127.0.0.1`"
    );
    assert_eq!(
        refused(vec![]),
        "its certificate lists no names (subjectAltName), so it is not valid for 127.0.0.1; its common name (CN) is \
         ignored"
    );
}

#[test]
fn errors_distinguish_self_signed_certificates_from_unknown_issuers() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("error", |_: Error| ());
    server.on("connection", |_: Connection| ());
    let self_signed = "its certificate is self-signed and not trusted: add it to `cafile`";
    let other = Identity::new();
    let connector = SecureConnector::new(to(server));
    assert_eq!(refusal(&connector.clone().cafile(&other.file)), self_signed);

    // A trusted certificate with the same name, and a key of another kind.
    let directory = Directory::new();
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = CertificateParams::new(["localhost".into()]).unwrap();
    let cert = params.self_signed(&key).unwrap();
    let file = directory.write("rsa.pem", &cert.pem());
    assert_eq!(refusal(&connector.clone().cafile(file)), self_signed);

    let authority = crate::connecting::Authority::new();
    let issued = authority.issue("localhost", "server");
    let file = directory.write("server.pem", &issued);
    let server = tls_server(TlsContext::new().local_cert(file).load().unwrap());
    server.on("error", |_: Error| ());
    server.on("connection", |_: Connection| ());
    let text = refusal(&connector.over(to(server)).cafile(&other.file));
    assert!(
        text.starts_with(
            "the issuer of its certificate is not trusted: add the issuer's certificate to `cafile`"
        ),
        "{text}"
    );
}

#[test]
fn a_test_certificate_is_not_trusted_by_the_system() {
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        eprintln!("SKIPPED: this system has no trusted CA certificates");
        return;
    }
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("error", |_: Error| ());
    server.on("connection", |_: Connection| ());
    let port = address(server).port();
    let uri = format!("tls://localhost:{port}");
    let error = outcome(uptick_tls::connector().connect(&*uri)).unwrap_err();
    let expected = format!(
        "connecting to {uri} failed during the TLS handshake: its certificate is self-signed"
    );
    assert!(error.to_string().contains(&expected), "{error}");
}

#[test]
fn an_expired_or_not_yet_valid_certificate_is_refused() {
    let directory = Directory::new();
    // A server of this crate does not start with such a certificate.
    for (begin, end, text) in [
        (2019, 2020, "its certificate expired "),
        (3000, 3001, "its certificate becomes valid in "),
    ] {
        let (cert, key) = certificate(|params| {
            params.not_before = date_time_ymd(begin, 1, 1);
            params.not_after = date_time_ymd(end, 1, 1);
        });
        let file = directory.write("server.pem", &format!("{cert}{key}"));
        let address = serve_with(&cert, &key);
        let below = uptick_socket::FixedUriConnector::new(
            address.to_string(),
            uptick_socket::TcpConnector::new(),
        );
        let refused = refusal(&SecureConnector::new(below.unwrap()).cafile(&file));
        assert!(refused.starts_with(text), "{refused}");
        assert!(
            refused.ends_with(" days ago, unless the clock of this machine is wrong")
                || refused.ends_with(" days, unless the clock of this machine is wrong"),
            "{refused}"
        );
    }
}

/// Starts a plain rustls server with this certificate that serves one client.
fn serve_with(cert: &str, key: &str) -> SocketAddr {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};

    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = rustls::crypto::ring::default_provider();
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut tls = rustls::ServerConnection::new(config.into()).unwrap();
        while tls.complete_io(&mut socket).is_ok_and(|(read, _)| read > 0) {}
    });
    address
}

#[test]
fn a_ca_certificate_is_refused_as_a_server_certificate() {
    let directory = Directory::new();
    let (cert, key) = certificate(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let file = directory.write("server.pem", &format!("{cert}{key}"));
    let server = tls_server(TlsContext::new().local_cert(&file).load().unwrap());
    server.on("error", |_: Error| ());
    server.on("connection", |_: Connection| ());
    assert_eq!(
        refusal(&SecureConnector::new(to(server)).cafile(&file)),
        "its certificate is a CA certificate (CA:TRUE), not a server certificate"
    );
}

#[test]
fn errors_of_files_are_reported_before_connecting() {
    let directory = Directory::new();
    let connector = SecureConnector::new(Connector::new()).cafile(directory.path("nothing.pem"));
    let error = outcome(connector.connect("tls://localhost:443")).unwrap_err();
    assert_eq!(error.errno_name(), Some("ENOENT"));
    let text = error.to_string();
    let reading = format!("{BEFORE}reading the CA certificates from ");
    assert!(text.starts_with(&reading), "{text}");

    let connector = SecureConnector::new(Connector::new()).cafile_pem("nonsense");
    let error = outcome(connector.connect("tls://localhost:443")).unwrap_err();
    let text = error.to_string();
    let loading = format!("{BEFORE}loading the CA certificates from `cafile_pem` failed: ");
    assert!(text.starts_with(&loading), "{text}");

    let (cert, _) = certificate(|_| ());
    let connector = SecureConnector::new(Connector::new())
        .dangerous_accept_any_certificate()
        .local_cert(directory.write("cert.pem", &cert));
    let error = outcome(connector.connect("tls://localhost:443")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("it contains no private key"), "{text}");
}

#[test]
fn a_server_without_a_version_in_common_is_refused() {
    // A TLS 1.2 ServerHello: record, handshake, version, random, no session, suite, no compression.
    let mut hello = vec![22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x2b, 0]);
    let address = respond_with(hello.leak(), false);
    let below = uptick_socket::FixedUriConnector::new(
        address.to_string(),
        uptick_socket::TcpConnector::new(),
    );
    let connector = SecureConnector::new(below.unwrap())
        .dangerous_accept_any_certificate()
        .min_version(TlsVersion::V1_3);
    assert_eq!(
        refusal(&connector),
        "the server offers no supported TLS version"
    );
}

#[test]
fn another_scheme_is_refused() {
    let error = outcome(SecureConnector::new(Connector::new()).connect("ws://localhost:443"));
    assert_eq!(
        error.unwrap_err().to_string(),
        "invalid address \"ws://localhost:443\": this connector supports tls://, not \"ws\" (EINVAL)"
    );
}
