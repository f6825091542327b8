//! Errors of files when a context is loaded.

use rcgen::date_time_ymd;
use uptick_tls::{Error, TlsContext};

use crate::support::{Directory, certificate};

/// Returns the text of the error, without the directory.
#[track_caller]
fn refused(directory: &Directory, context: &TlsContext) -> String {
    let path = format!("{}/", directory.path("").display()).replace("//", "/");
    context.load().unwrap_err().to_string().replace(&path, "")
}

#[test]
fn a_certificate_and_its_key_load_from_one_file_in_either_order_or_from_two() {
    let directory = Directory::new();
    let (cert, key) = certificate(|_| ());
    let both = directory.write("both.pem", &format!("{cert}{key}"));
    let reverse = directory.write("reverse.pem", &format!("{key}{cert}"));
    let cert = directory.write("cert.pem", &cert);
    let key = directory.write("key.pem", &key);
    TlsContext::new().local_cert(both).load().unwrap();
    TlsContext::new().local_cert(reverse).load().unwrap();
    TlsContext::new()
        .local_cert(cert)
        .local_pk(key)
        .load()
        .unwrap();
}

#[test]
fn the_error_for_a_context_without_a_certificate_names_the_setter() {
    let error = TlsContext::new().load().unwrap_err();
    assert_eq!(
        error.to_string(),
        "creating a TLS context failed: a server needs a certificate: set `local_cert` to a PEM file"
    );
}

#[test]
fn the_error_for_a_wrong_path_contains_it_and_the_cause() {
    let directory = Directory::new();
    let context = TlsContext::new().local_cert(directory.path("nothing.pem"));
    assert_eq!(
        refused(&directory, &context),
        "reading the certificate from nothing.pem failed: No such file or directory (ENOENT)"
    );
    let (cert, _) = certificate(|_| ());
    let cert = directory.write("cert.pem", &cert);
    let context = TlsContext::new()
        .local_cert(cert)
        .local_pk(directory.path("nothing.key"));
    assert_eq!(
        refused(&directory, &context),
        "reading the private key from nothing.key failed: No such file or directory (ENOENT)"
    );
}

#[test]
fn the_error_for_a_file_without_a_certificate_describes_its_contents() {
    let directory = Directory::new();
    let (_, key) = certificate(|_| ());
    let context = TlsContext::new().local_cert(directory.write("key.pem", &key));
    assert_eq!(
        refused(&directory, &context),
        "loading the certificate from key.pem failed: it contains a private key but no certificate: set `local_cert` to the \
         file with the certificate, and `local_pk` to this one"
    );
    let context = TlsContext::new().local_cert(directory.write("empty.pem", "\n"));
    let text = refused(&directory, &context);
    assert!(
        text.starts_with("loading the certificate from empty.pem failed: it contains no `-----BEGIN CERTIFICATE-----`"),
        "{text}"
    );
}

#[test]
fn the_error_for_a_file_mistaken_for_a_certificate_names_its_format() {
    let directory = Directory::new();
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let refused_file = |name: &str, bytes: &[u8]| {
        let file = directory.path(name);
        std::fs::write(&file, bytes).unwrap();
        let own = refused(&directory, &TlsContext::new().local_cert(&file));
        let (cert, key) = certificate(|_| ());
        let both = directory.write("both.pem", &format!("{cert}{key}"));
        let context = TlsContext::new().local_cert(both);
        let roots = refused(&directory, &context.verify_peer(true).cafile(&file));
        let [own, roots] =
            [("certificate", own), ("CA certificates", roots)].map(|(what, text)| {
                let start = format!("loading the {what} from {name} failed: ");
                let reason = text.strip_prefix(&start);
                reason.unwrap_or_else(|| panic!("{text}")).to_owned()
            });
        assert_eq!(own, roots);
        own
    };
    assert_eq!(
        refused_file("server.csr", pem("CERTIFICATE REQUEST").as_bytes()),
        "it contains a certificate signing request (CSR), not a certificate: use the certificate that the CA issued for it"
    );
    assert_eq!(
        refused_file("trusted.pem", pem("TRUSTED CERTIFICATE").as_bytes()),
        "it contains a `TRUSTED CERTIFICATE`, a format of OpenSSL only: `openssl x509 -in FILE -out OTHER` converts it"
    );
    assert_eq!(
        refused_file("server.p7b", pem("PKCS7").as_bytes()),
        "it contains PKCS#7, not certificates: `openssl pkcs7 -print_certs -in FILE -out OTHER` extracts the certificates"
    );
    let reason = "it is a PKCS#12 file, but must be PEM: `openssl pkcs12 -in FILE -nodes -out OTHER` converts it, \
                  including the key";
    for bytes in [
        &[0x30, 0x82, 9, 0, 2, 1, 3, 0x30][..],
        &[0x30, 0x80, 2, 1, 3],
        &[0x30, 0x20, 2, 1, 3],
    ] {
        assert_eq!(refused_file("server.p12", bytes), reason);
    }
    let (cert, _) = certificate(|_| ());
    let context = TlsContext::new()
        .local_cert(directory.write("cert.pem", &cert))
        .local_pk(directory.path("server.p12"));
    assert_eq!(
        refused(&directory, &context),
        format!("loading the private key from server.p12 failed: {reason}")
    );
}

#[test]
fn a_special_file_is_an_error_and_does_not_block() {
    let directory = Directory::new();
    let pipe = directory.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let (cert, _) = certificate(|_| ());
    let cert = directory.write("cert.pem", &cert);
    for (path, is) in [
        (pipe, "pipe (FIFO)"),
        (directory.path("."), "directory"),
        ("/dev/zero".into(), "device"),
    ] {
        let reason = format!("failed: it is a {is}, but must be a regular file");
        let text = refused(&directory, &TlsContext::new().local_cert(&path));
        assert!(text.starts_with("loading the certificate from "), "{text}");
        assert!(text.ends_with(&reason), "{text}");
        let context = TlsContext::new().local_cert(&cert).local_pk(&path);
        let text = refused(&directory, &context);
        assert!(text.starts_with("loading the private key from "), "{text}");
        assert!(text.ends_with(&reason), "{text}");
    }
}

#[test]
fn an_oversized_file_is_not_read() {
    let directory = Directory::new();
    let context =
        TlsContext::new().local_cert(directory.write("long.pem", &"x".repeat(1024 * 1024 + 1)));
    assert_eq!(
        refused(&directory, &context),
        "loading the certificate from long.pem failed: it is longer than 1 MiB, so it is not a PEM file"
    );
}

#[test]
fn a_malformed_certificate_is_an_error() {
    let directory = Directory::new();
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let context = TlsContext::new().local_cert(directory.write("bad.pem", pem));
    let text = refused(&directory, &context);
    assert!(
        text.starts_with("loading the certificate from bad.pem failed: it cannot be parsed: "),
        "{text}"
    );
}

#[test]
fn the_error_for_a_missing_key_contains_a_remedy() {
    let directory = Directory::new();
    let (cert, _) = certificate(|_| ());
    let context = TlsContext::new().local_cert(directory.write("cert.pem", &cert));
    assert_eq!(
        refused(&directory, &context),
        "loading the private key from cert.pem failed: it contains no private key: append the key to the file, or set \
         `local_pk` to the file with the key"
    );
    let context = context.local_pk(directory.write("key.der", "\u{30}\u{7f}"));
    assert_eq!(
        refused(&directory, &context),
        "loading the private key from key.der failed: it contains no `-----BEGIN PRIVATE KEY-----`: it must be a \
         PEM file (`openssl pkey -inform der -in FILE` converts from DER)"
    );
}

#[test]
fn a_truncated_certificate_is_an_error() {
    let directory = Directory::new();
    let (cert, key) = certificate(|_| ());
    let cut = cert.split_at(cert.len() / 2).0;
    let context = TlsContext::new()
        .local_cert(directory.write("cert.pem", cut))
        .local_pk(directory.write("key.pem", &key));
    assert_eq!(
        refused(&directory, &context),
        "loading the certificate from cert.pem failed: it is not valid PEM: the text between \
         `-----BEGIN CERTIFICATE-----` and `-----END CERTIFICATE-----` is not Base64"
    );
}

#[test]
fn the_error_for_a_key_of_another_certificate_names_both_files() {
    let directory = Directory::new();
    let (cert, _) = certificate(|_| ());
    let (_, key) = certificate(|_| ());
    let context = TlsContext::new()
        .local_cert(directory.write("cert.pem", &cert))
        .local_pk(directory.write("other.key", &key));
    let text = refused(&directory, &context);
    assert!(
        text.starts_with(
            "loading the private key from other.key failed: it does not match the first certificate in cert.pem"
        ),
        "{text}"
    );
}

#[test]
fn an_expired_or_not_yet_valid_certificate_is_an_error() {
    let directory = Directory::new();
    let (cert, key) = certificate(|params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let context = TlsContext::new().local_cert(directory.write("old.pem", &format!("{cert}{key}")));
    let text = refused(&directory, &context);
    assert!(
        text.starts_with("loading the certificate from old.pem failed: it expired "),
        "{text}"
    );
    assert!(
        text.ends_with(" days ago: renew it, or check the clock of this machine"),
        "{text}"
    );

    let (cert, key) = certificate(|params| params.not_before = date_time_ymd(3000, 1, 1));
    let context = TlsContext::new().local_cert(directory.write("new.pem", &format!("{cert}{key}")));
    let text = refused(&directory, &context);
    assert!(
        text.starts_with("loading the certificate from new.pem failed: it becomes valid in "),
        "{text}"
    );
}

#[test]
fn the_length_of_an_alpn_protocol_name_is_checked() {
    let directory = Directory::new();
    let (cert, key) = certificate(|_| ());
    let both = directory.write("both.pem", &format!("{cert}{key}"));
    let load = |name: String| {
        TlsContext::new()
            .local_cert(&both)
            .alpn_protocols([name])
            .load()
    };
    for length in [0, 256] {
        let error = load("x".repeat(length)).unwrap_err();
        assert!(matches!(error, Error::Context { .. }), "{error}");
        assert!(
            error.to_string().ends_with(&format!("has {length}")),
            "{error}"
        );
    }
    load("x".repeat(255)).unwrap();
}
