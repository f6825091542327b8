//! Self-signed certificates.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use uptick_socket::prelude::*;
use uptick_tls::{SecureServer, SelfSigned, TlsConfig, TlsContext, self_signed};

use crate::support::{Client, Directory, Trust, address, connect, join, say};

/// Returns `true` if a client accepts the certificate for a name.
fn accepts(certificate: &SelfSigned, config: impl Into<TlsConfig>, name: &'static str) -> bool {
    let server = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), config);
    server.on("connection", |conn: Connection| {
        conn.on("data", |_: Bytes| ());
    });
    server.on("error", |_: Error| ());
    let mut trust = Trust::new();
    trust.add(certificate.cert_pem());
    let (address, client) = (address(server), trust.client());
    join(thread::spawn(move || {
        let name = ServerName::try_from(name).unwrap();
        let session = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut tls: Client = StreamOwned::new(session, connect(address));
        if tls.conn.complete_io(&mut tls.sock).is_err() {
            return false;
        }
        say(tls, "hello");
        true
    }))
}

#[test]
fn a_self_signed_certificate_is_valid_for_all_its_names_and_addresses() {
    let certificate = self_signed(["localhost", "*.example.org", "127.0.0.1", "::1"]).unwrap();
    for name in ["localhost", "www.example.org", "127.0.0.1", "::1"] {
        assert!(accepts(&certificate, certificate.clone(), name), "{name}");
    }
    assert!(!accepts(&certificate, certificate.clone(), "example.org"));
}

#[test]
fn a_self_signed_certificate_can_be_used_as_text_and_from_files() {
    let certificate = self_signed(["localhost"]).unwrap();
    let directory = Directory::new();
    let (cert, key) = certificate.write(directory.path("")).unwrap();
    let from_files = TlsContext::new().local_cert(cert).local_pk(&key);
    let from_text = TlsContext::new()
        .local_cert_pem(certificate.cert_pem())
        .local_pk_pem(certificate.key_pem());
    let in_one_text =
        TlsContext::new().local_cert_pem(certificate.cert_pem().to_owned() + certificate.key_pem());
    let by_name = TlsContext::new().sni_server_certs([("localhost", certificate.clone())]);
    for context in [
        from_files,
        from_text,
        in_one_text,
        by_name,
        certificate.clone().into(),
    ] {
        assert!(accepts(&certificate, context.load().unwrap(), "localhost"));
    }
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Writing again replaces the files.
    certificate.write(directory.path("")).unwrap();
    assert_eq!(std::fs::read_dir(directory.path("")).unwrap().count(), 2);
}

#[test]
fn a_self_signed_certificate_is_valid_from_yesterday_for_30_days() {
    let certificate = self_signed(["localhost"]).unwrap();
    let directory = Directory::new();
    let (cert, _) = certificate.write(directory.path("")).unwrap();
    let checked = |seconds: u32| {
        Command::new("openssl")
            .args(["x509", "-noout", "-checkend", &seconds.to_string(), "-in"])
            .arg(&cert)
            .output()
            .map(|output| output.status.success())
    };
    let (Ok(before), Ok(after)) = (checked(30 * 86_400 - 600), checked(30 * 86_400 + 600)) else {
        eprintln!("SKIPPED: openssl is not installed");
        return;
    };
    assert!(before && !after);
}

#[test]
fn each_certificate_has_a_new_key_which_is_not_in_debug_output() {
    let (one, two) = (self_signed(["a"]).unwrap(), self_signed(["a"]).unwrap());
    assert_ne!(one.key_pem(), two.key_pem());
    assert_eq!(format!("{one:?}"), "SelfSigned { .. }");
}

#[test]
fn invalid_names_are_errors() {
    let text = |names: &[&str]| self_signed(names.iter().copied()).unwrap_err().to_string();
    assert_eq!(
        text(&[]),
        "creating a TLS context failed: a certificate needs a name: pass one to `self_signed`, such as \"localhost\""
    );
    assert_eq!(
        text(&["a", ""]),
        "creating a TLS context failed: a certificate cannot be created for an empty name: remove it from the names of `self_signed`"
    );
    let bad = text(&["bücher.example"]);
    assert!(
        bad.starts_with(
            "creating a TLS context failed: a certificate cannot be created for [\"bücher.example\"]: "
        ),
        "{bad}"
    );
    self_signed(["x".repeat(63) + ".example.org"]).unwrap();
}

#[test]
fn the_error_of_a_failed_write_contains_the_path() {
    let certificate = self_signed(["localhost"]).unwrap();
    let error = certificate.write("/nonexistent").unwrap_err();
    assert_eq!(
        error.to_string(),
        "writing the certificate to /nonexistent/self-signed.pem failed: No such file or directory (ENOENT)"
    );
}
