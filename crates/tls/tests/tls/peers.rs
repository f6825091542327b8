//! Client certificates.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, HandshakeKind, SignatureScheme};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use uptick_socket::prelude::*;
use uptick_tls::{TlsContext, TlsVersion, VerifyPeer};

use crate::support::{Directory, Identity, Log, client, hang_up, join, tls_server};

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority {
            pem: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Adds a certificate to a client configuration.
    fn certify(&self, mut client: ClientConfig, params: &CertificateParams) -> ClientConfig {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let chain = vec![cert.der().clone()];
        let signer = CertifiedKey::from_der(chain, key, client.crypto_provider());
        let signer = SingleCertAndKey::from(signer.unwrap());
        client.client_auth_cert_resolver = Arc::new(signer);
        client
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// The files of a server.
struct Site {
    identity: Identity,
    directory: Directory,
}

impl Site {
    fn new() -> Self {
        Site {
            identity: Identity::new(),
            directory: Directory::new(),
        }
    }

    fn context(&self, authorities: &[&Authority], verify: impl Into<VerifyPeer>) -> TlsContext {
        let text: String = authorities.iter().map(|it| &it.pem[..]).collect();
        self.identity
            .context()
            .cafile(self.directory.write("ca.pem", &text))
            .verify_peer(verify)
    }

    /// Returns the kind of handshake of a client that exchanges a byte with a server that keeps no sessions; `None` if the
    /// server refuses it.
    fn visit(&self, context: TlsContext, client_config: &ClientConfig) -> Option<HandshakeKind> {
        let server = tls_server(context.session_cache(0).load().unwrap());
        server.on("connection", |conn: Connection| {
            conn.on("data", move |chunk: Bytes| conn.write(chunk));
        });
        server.on("error", |_: Error| ());
        let kind = join(client(server, client_config.clone(), |mut tls| {
            tls.write_all(b"x").ok()?;
            tls.read_exact(&mut [0; 1]).ok()?;
            let kind = tls.conn.handshake_kind();
            hang_up(tls);
            kind
        }));
        server.close();
        kind
    }

    /// Returns the greeting that a client receives, or the server's error.
    #[track_caller]
    fn greet(&self, context: &TlsContext, config: ClientConfig) -> String {
        let server = tls_server(context.load().unwrap());
        let log = Log::default();
        let errors = log.clone();
        server.on("error", move |error: Error| errors.add(error));
        server.on("connection", |conn: Connection| {
            conn.write("welcome");
            conn.on("data", |_: Bytes| ());
        });
        let greeted = join(client(server, config, |mut tls| {
            // In TLS 1.3 a client detects the refusal when it reads.
            let mut welcome = [0; 7];
            let greeted = tls
                .write_all(b"hello")
                .and_then(|()| tls.read_exact(&mut welcome));
            if greeted.is_ok() {
                hang_up(tls);
            }
            greeted.map(|()| String::from_utf8_lossy(&welcome).into_owned())
        }));
        match greeted {
            Ok(text) => {
                assert!(log.take().is_empty());
                text
            }
            Err(_) => {
                let text = log.take().join("\n");
                let (_, reason) = text.split_once(" failed: ").unwrap();
                reason.to_owned()
            }
        }
    }
}

#[test]
fn a_client_with_a_certificate_is_accepted_and_one_without_is_refused() {
    let site = Site::new();
    let (authority, other) = (Authority::new("Example CA"), Authority::new("Other CA"));
    for version in [TlsVersion::V1_3, TlsVersion::V1_2] {
        let versions: &[_] = match version {
            TlsVersion::V1_2 => &[&rustls::version::TLS12],
            _ => &[&rustls::version::TLS13],
        };
        let bare = || site.identity.client_of(versions);
        let context = site.context(&[&other, &authority], true);
        for authority in [&authority, &other] {
            let alice = authority.certify(bare(), &params("alice"));
            assert_eq!(site.greet(&context, alice), "welcome");
        }
        let refused = site.greet(&context, bare());
        assert_eq!(
            refused,
            "the client sent no certificate, but one is required"
        );
    }
}

#[test]
fn an_invalid_certificate_is_refused_even_if_certificates_are_optional() {
    let site = Site::new();
    let (authority, other) = (Authority::new("Example CA"), Authority::new("Other CA"));
    let context = site.context(&[&authority], VerifyPeer::Optional);
    assert_eq!(site.greet(&context, site.identity.client()), "welcome");
    let alice = authority.certify(site.identity.client(), &params("alice"));
    assert_eq!(site.greet(&context, alice), "welcome");

    let mallory = other.certify(site.identity.client(), &params("mallory"));
    // Most clients select a certificate by the root names that the server sends; this one does not.
    let refused = site.greet(&context, mallory);
    assert_eq!(
        refused,
        "the client's certificate was not issued by a CA in `cafile`"
    );
    let mut late = params("late");
    late.not_after = date_time_ymd(2020, 1, 1);
    late.not_before = date_time_ymd(2019, 1, 1);
    let late = authority.certify(site.identity.client(), &late);
    let refused = site.greet(&context, late);
    assert!(refused.starts_with("its certificate expired "), "{refused}");
}

#[test]
fn no_certificate_is_requested_unless_verification_is_enabled() {
    let site = Site::new();
    let authority = Authority::new("Example CA");
    let context = site.context(&[&authority], false);
    assert_eq!(site.greet(&context, site.identity.client()), "welcome");
}

#[test]
fn incomplete_settings_are_errors() {
    let site = Site::new();
    let text = |context: TlsContext| context.load().unwrap_err().to_string();
    assert_eq!(
        text(site.identity.context().verify_peer(true)),
        "creating a TLS context failed: `verify_peer` requires `cafile`: a PEM file with the CA certificates for client \
         certificates"
    );
    assert_eq!(
        text(site.identity.context().cafile("/nonexistent/ca.pem")),
        "creating a TLS context failed: `cafile` alone does not request client certificates: set `verify_peer` as well"
    );
}

#[test]
fn an_invalid_cafile_is_an_error() {
    let site = Site::new();
    let context = |text: &str| {
        let ca = site.directory.write("ca.pem", text);
        site.identity.context().verify_peer(true).cafile(ca)
    };
    let refused = |context: TlsContext| {
        let path = format!("{}/", site.directory.path("").display()).replace("//", "/");
        context.load().unwrap_err().to_string().replace(&path, "")
    };
    assert_eq!(
        refused(context("").cafile(site.directory.path("nothing.pem"))),
        "reading the CA certificates from nothing.pem failed: No such file or directory (ENOENT)"
    );
    assert_eq!(
        refused(context("nothing")),
        "loading the CA certificates from ca.pem failed: it contains no `-----BEGIN CERTIFICATE-----`: it must be a PEM \
         file with CA certificates"
    );
    let good = Authority::new("Example CA").pem;
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let text = refused(context(&format!("{good}{bad}")));
    assert!(
        text.starts_with(
            "loading the CA certificates from ca.pem failed: certificate number 2 cannot be used: "
        ),
        "{text}"
    );
    let text = refused(context(
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ));
    assert!(
        text.starts_with("loading the CA certificates from ca.pem failed: it is not valid PEM: "),
        "{text}"
    );
}

#[test]
fn the_names_of_the_accepted_cas_are_sent_to_clients() {
    let site = Site::new();
    let (one, two) = (Authority::new("First CA"), Authority::new("Second CA"));
    let context = site.context(&[&one, &two], true);
    let hints = Hints::default();
    let mut config = site.identity.client();
    config.client_auth_cert_resolver = Arc::new(hints.clone());
    site.greet(&context, config);
    let names = hints.0.lock().unwrap().clone();
    let has = |name: &[u8], part: &str| name.windows(part.len()).any(|it| it == part.as_bytes());
    assert_eq!(names.len(), 2);
    assert!(has(&names[0], "First CA") && has(&names[1], "Second CA"));
}

/// A client without a certificate that records the root names of the server.
#[derive(Clone, Debug, Default)]
struct Hints(Arc<Mutex<Vec<Vec<u8>>>>);

impl ResolvesClientCert for Hints {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_session_is_not_resumed_after_its_client_is_no_longer_trusted() {
    let site = Site::new();
    let (old, new) = (Authority::new("Old CA"), Authority::new("New CA"));
    let context = site.context(&[&old], true);
    let config = context.load().unwrap();
    let server = tls_server(config.clone());
    server.on("error", |_: Error| ());
    server.on("connection", |conn: Connection| {
        conn.write("welcome");
        conn.on("data", |_: Bytes| ());
    });
    let alice = old.certify(site.identity.client(), &params("alice"));
    let greet = || {
        join(client(server, alice.clone(), |mut tls| {
            let mut welcome = [0; 7];
            tls.read_exact(&mut welcome).ok()?;
            let kind = tls.conn.handshake_kind();
            hang_up(tls);
            kind
        }))
    };
    assert_eq!(greet(), Some(HandshakeKind::Full));
    assert_eq!(greet(), Some(HandshakeKind::Resumed));
    site.directory.write("ca.pem", &new.pem);
    config.reload().unwrap();
    assert_eq!(greet(), None);
}

#[test]
fn a_session_is_not_resumed_with_another_client_verification() {
    let site = Site::new();
    let (authority, other) = (Authority::new("Example CA"), Authority::new("Other CA"));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let bare = || site.identity.client_of(&[version]);
        let open = || site.context(&[&authority], false);
        let optional = || site.context(&[&authority], VerifyPeer::Optional);
        let required = || site.context(&[&authority], true);

        // A client without a certificate has a ticket of a server that requires none.
        for first in [&open as &dyn Fn() -> TlsContext, &optional] {
            let client = bare();
            assert_eq!(site.visit(first(), &client), Some(HandshakeKind::Full));
            assert_eq!(site.visit(first(), &client), Some(HandshakeKind::Resumed));
            assert_eq!(site.visit(required(), &client), None);
        }

        // A client with a certificate resumes its session with the same verification.
        let alice = authority.certify(bare(), &params("alice"));
        assert_eq!(site.visit(required(), &alice), Some(HandshakeKind::Full));
        assert_eq!(site.visit(required(), &alice), Some(HandshakeKind::Resumed));
        assert_eq!(site.visit(optional(), &alice), Some(HandshakeKind::Full));
        assert_eq!(site.visit(open(), &alice), Some(HandshakeKind::Full));

        // The issuer is no longer trusted.
        assert_eq!(site.visit(required(), &alice), Some(HandshakeKind::Full));
        let strict = site.context(&[&other], true);
        assert_eq!(site.visit(strict, &alice), None);
    }
}
