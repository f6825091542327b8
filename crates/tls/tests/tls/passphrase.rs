//! Private keys in all encryption formats of the openssl program.

use std::path::PathBuf;
use std::process::Command;

use uptick_tls::TlsContext;

use crate::support::{Directory, certificate};

const SECRET: &str = "öpen sesame";

/// A certificate and its key, which openssl encrypts.
struct Key {
    directory: Directory,
}

impl Key {
    fn new() -> Self {
        let directory = Directory::new();
        let (cert, key) = certificate(|_| ());
        directory.write("cert.pem", &cert);
        directory.write("plain.key", &key);
        Key { directory }
    }

    /// Runs openssl in the directory. Returns `false` if it is not installed, or does not support the format.
    fn openssl(&self, arguments: &str) -> bool {
        let run = Command::new("openssl")
            .args(arguments.split(' '))
            .env("SECRET", SECRET)
            .current_dir(self.directory.path(""))
            .output();
        match run {
            Ok(output) if output.status.success() => true,
            other => {
                eprintln!("SKIPPED: openssl {arguments}: {other:?}");
                false
            }
        }
    }

    fn context(&self) -> TlsContext {
        TlsContext::new()
            .local_cert(self.directory.path("cert.pem"))
            .local_pk(self.path())
    }

    fn path(&self) -> PathBuf {
        self.directory.path("secret.key")
    }

    /// Returns the error of loading the key.
    #[track_caller]
    fn refused(&self, context: &TlsContext) -> String {
        let text = context.load().unwrap_err().to_string();
        let start = format!(
            "loading the private key from {} failed: ",
            self.path().display()
        );
        text.strip_prefix(&start).unwrap_or(&text).to_owned()
    }

    /// Loads the key with the passphrase, with a wrong one and without one.
    #[track_caller]
    fn check(&self, format: &str) {
        let context = self.context();
        if let Err(error) = context.clone().passphrase(SECRET).load() {
            panic!("{format}: {error}");
        }
        assert_eq!(
            self.refused(&context.clone().passphrase("wrong")),
            "the passphrase does not decrypt it: check `passphrase`",
            "{format}"
        );
        assert_eq!(
            self.refused(&context),
            "it is encrypted: set `passphrase`, or decrypt it with `openssl pkey -in FILE -out OTHER`",
            "{format}"
        );
    }
}

#[test]
fn an_encrypted_pkcs8_key_is_decrypted() {
    let key = Key::new();
    for format in [
        "-v2 aes-256-cbc",
        "-v2 aes-192-cbc -iter 100",
        "-v2 aes-128-cbc -iter 100",
        "-v2 aes-256-cbc -iter 100 -v2prf hmacWithSHA512",
        "-scrypt -scrypt_N 256",
    ] {
        let arguments = "pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET";
        if key.openssl(&format!("{arguments} {format}")) {
            key.check(format);
        }
    }
}

/// Options of `openssl pkcs8` for formats that require the feature `legacy-keys`, with their description in the error.
const LEGACY_PKCS8: [(&str, &str); 2] = [
    (
        "-v2 aes-256-cbc -iter 100 -v2prf hmacWithSHA1",
        "its passphrase is hashed with SHA-1",
    ),
    ("-v2 des3 -iter 100", "it is encrypted with 3DES"),
];

#[cfg(feature = "legacy-keys")]
#[test]
fn a_pkcs8_key_encrypted_with_legacy_algorithms_is_decrypted() {
    let key = Key::new();
    for (format, _) in LEGACY_PKCS8 {
        let arguments = "pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET";
        if key.openssl(&format!("{arguments} {format}")) {
            key.check(format);
        }
    }
}

#[cfg(not(feature = "legacy-keys"))]
#[test]
fn the_error_for_a_key_in_a_legacy_format_names_the_feature() {
    let key = Key::new();
    let context = key.context().passphrase(SECRET);
    let expected = |what: &str| {
        format!(
            "{what}, which requires the feature `legacy-keys` of uptick-tls; \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` re-encrypts it"
        )
    };
    for (format, what) in LEGACY_PKCS8 {
        let arguments = "pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET";
        if key.openssl(&format!("{arguments} {format}")) {
            assert_eq!(key.refused(&context), expected(what));
        }
    }
    if key.openssl("ec -in plain.key -out secret.key -passout env:SECRET -aes128") {
        assert_eq!(
            key.refused(&context),
            expected("it is encrypted as `Proc-Type: 4,ENCRYPTED`")
        );
    }
}

#[cfg(feature = "legacy-keys")]
#[test]
fn a_key_in_the_legacy_pem_encryption_is_decrypted() {
    let key = Key::new();
    for format in ["-aes128", "-aes192", "-aes256", "-des3"] {
        let arguments = "ec -in plain.key -out secret.key -passout env:SECRET";
        if key.openssl(&format!("{arguments} {format}")) {
            let text = std::fs::read_to_string(key.path()).unwrap();
            assert!(text.contains("Proc-Type: 4,ENCRYPTED"), "{text}");
            key.check(format);
        }
    }
}

#[test]
fn keys_and_certificates_created_by_openssl_load() {
    let key = Key::new();
    for (generate, traditional) in [
        (
            "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
            "rsa -traditional -aes256",
        ),
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
            "ec -aes256",
        ),
    ] {
        let generate = format!("genpkey {generate} -aes256 -pass env:SECRET -out secret.key");
        let certify = "req -x509 -new -key secret.key -passin env:SECRET -days 2 -subj /CN=localhost \
                       -addext subjectAltName=DNS:localhost -out cert.pem";
        let convert = format!(
            "{traditional} -in secret.key -passin env:SECRET -passout env:SECRET -out old.key"
        );
        if key.openssl(&generate) && key.openssl(certify) && key.openssl(&convert) {
            key.check(&generate);
            std::fs::rename(key.directory.path("old.key"), key.path()).unwrap();
            #[cfg(feature = "legacy-keys")]
            key.check(&convert);
        }
    }
}

#[test]
fn certificate_and_encrypted_key_may_be_in_one_file() {
    let key = Key::new();
    if key.openssl("pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET") {
        let read = |name| std::fs::read_to_string(key.directory.path(name)).unwrap();
        for text in [
            read("cert.pem") + &read("secret.key"),
            read("secret.key") + &read("cert.pem"),
        ] {
            let both = key.directory.write("both.pem", &text);
            let context = TlsContext::new().local_cert(both).passphrase(SECRET);
            context.load().unwrap();
        }
    }
}

#[test]
fn a_passphrase_for_an_unencrypted_key_is_ignored() {
    let key = Key::new();
    let context = TlsContext::new()
        .local_cert(key.directory.path("cert.pem"))
        .local_pk(key.directory.path("plain.key"));
    context.passphrase(SECRET).load().unwrap();
}

#[test]
fn the_error_for_an_unsupported_format_names_it_and_a_remedy() {
    let key = Key::new();
    let context = key.context().passphrase(SECRET);
    let remedy = "`openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` re-encrypts it";
    #[cfg(feature = "legacy-keys")]
    if key.openssl("ec -in plain.key -out secret.key -passout env:SECRET -camellia256") {
        assert_eq!(
            key.refused(&context),
            format!("it is encrypted with CAMELLIA-256-CBC, which is not supported: {remedy}")
        );
    }
    let v1 = "pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET -v1 PBE-SHA1-3DES";
    if key.openssl(v1) {
        let text = key.refused(&context);
        assert!(
            text.starts_with("its encryption is not supported ("),
            "{text}"
        );
        assert!(text.ends_with(remedy), "{text}");
    }
}

#[cfg(feature = "legacy-keys")]
#[test]
fn a_key_with_invalid_encryption_headers_is_an_error() {
    let key = Key::new();
    let context = key.context().passphrase(SECRET);
    let refused = |headers: &str| {
        let text = format!(
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n{headers}\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END EC PRIVATE KEY-----\n"
        );
        key.directory.write("secret.key", &text);
        key.refused(&context)
    };
    assert_eq!(
        refused(""),
        "it is encrypted, but has no `DEK-Info:` header"
    );
    for vector in ["", ",", ",xx", ",012"] {
        assert_eq!(
            refused(&format!("DEK-Info: AES-128-CBC{vector}\n")),
            "it is encrypted, but its `DEK-Info:` has no initialization vector"
        );
    }
    assert_eq!(
        refused("DEK-Info: AES-128-CBC,0123456789ABCDEF\n"),
        "the initialization vector in its `DEK-Info:` has the wrong length"
    );
}

#[test]
fn malformed_and_unsupported_keys_are_errors() {
    let key = Key::new();
    let refused = |label: &str, text: &str| {
        let text = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
        key.directory.write("secret.key", &text);
        key.refused(&key.context())
    };
    assert_eq!(
        refused("PRIVATE KEY", "!"),
        "it is malformed: the text between its BEGIN and END lines is not valid Base64"
    );
    assert_eq!(
        refused("OPENSSH PRIVATE KEY", "AAAA"),
        "a key of the type `OPENSSH PRIVATE KEY` cannot be used in TLS"
    );
    let text = refused("PRIVATE KEY", "AAAA");
    assert!(text.starts_with("it cannot be used: "), "{text}");
    assert!(
        text.ends_with(
            ": create an RSA key of at least 2,048 bits, an ECDSA key on P-256 or P-384, or an Ed25519 key"
        ),
        "{text}"
    );
}

#[test]
fn debug_output_does_not_contain_the_passphrase() {
    let context = TlsContext::new().passphrase(SECRET);
    let text = format!("{context:?}");
    assert!(text.contains("passphrase: Some((hidden))"), "{text}");
    let cert = uptick_tls::ServerCert::from_pem("CERT", "KEY").passphrase(SECRET);
    assert!(!format!("{cert:?}").contains("sesame"));
    assert!(!format!("{cert:?}").contains("KEY"));
}
