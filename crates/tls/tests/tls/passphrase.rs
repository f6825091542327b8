//! Private keys that are encrypted in all the ways in which the openssl program does it.

use std::path::PathBuf;
use std::process::Command;

use uptick_tls::TlsContext;

use crate::support::{Directory, certificate};

const SECRET: &str = "öpen sesame";

/// A certificate, and what its key becomes.
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

    /// Runs openssl in the directory; `false` where there is none, or where it does not know this way.
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

    /// Why the key cannot be loaded.
    #[track_caller]
    fn refused(&self, context: &TlsContext) -> String {
        let text = context.load().unwrap_err().to_string();
        let start = format!(
            "loading the private key from {} failed: ",
            self.path().display()
        );
        text.strip_prefix(&start).unwrap_or(&text).to_owned()
    }

    /// Loads it with the passphrase, with a wrong one and without.
    #[track_caller]
    fn check(&self, way: &str) {
        let context = self.context();
        if let Err(error) = context.clone().passphrase(SECRET).load() {
            panic!("{way}: {error}");
        }
        assert_eq!(
            self.refused(&context.clone().passphrase("wrong")),
            "the passphrase does not decrypt it: check `passphrase`",
            "{way}"
        );
        assert_eq!(
            self.refused(&context),
            "it is encrypted: give the passphrase to `passphrase`, or decrypt it with `openssl pkey -in FILE -out OTHER`",
            "{way}"
        );
    }
}

#[test]
fn an_encrypted_pkcs8_key_is_decrypted() {
    let key = Key::new();
    for way in [
        "-v2 aes-256-cbc",
        "-v2 aes-192-cbc -iter 100",
        "-v2 aes-128-cbc -iter 100",
        "-v2 aes-256-cbc -iter 100 -v2prf hmacWithSHA512",
        "-scrypt -scrypt_N 256",
    ] {
        let arguments = "pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET";
        if key.openssl(&format!("{arguments} {way}")) {
            key.check(way);
        }
    }
}

/// Ways in which `openssl pkcs8` encrypts keys that need the feature `legacy-keys`, and how the error calls them.
const LEGACY_PKCS8: [(&str, &str); 2] = [
    (
        "-v2 aes-256-cbc -iter 100 -v2prf hmacWithSHA1",
        "its passphrase is hashed with SHA-1",
    ),
    ("-v2 des3 -iter 100", "it is encrypted with 3DES"),
];

#[cfg(feature = "legacy-keys")]
#[test]
fn a_pkcs8_key_that_is_encrypted_with_old_algorithms_is_decrypted() {
    let key = Key::new();
    for (way, _) in LEGACY_PKCS8 {
        let arguments = "pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET";
        if key.openssl(&format!("{arguments} {way}")) {
            key.check(way);
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
            "{what}, which needs the feature `legacy-keys` of uptick-tls; \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` encrypts it anew"
        )
    };
    for (way, what) in LEGACY_PKCS8 {
        let arguments = "pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET";
        if key.openssl(&format!("{arguments} {way}")) {
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
fn a_key_that_is_encrypted_in_the_old_way_is_decrypted() {
    let key = Key::new();
    for way in ["-aes128", "-aes192", "-aes256", "-des3"] {
        let arguments = "ec -in plain.key -out secret.key -passout env:SECRET";
        if key.openssl(&format!("{arguments} {way}")) {
            let text = std::fs::read_to_string(key.path()).unwrap();
            assert!(text.contains("Proc-Type: 4,ENCRYPTED"), "{text}");
            key.check(way);
        }
    }
}

#[test]
fn keys_and_certificates_of_openssl_alone_load() {
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
fn a_passphrase_for_a_key_that_is_not_encrypted_is_no_error() {
    let key = Key::new();
    let context = TlsContext::new()
        .local_cert(key.directory.path("cert.pem"))
        .local_pk(key.directory.path("plain.key"));
    context.passphrase(SECRET).load().unwrap();
}

#[test]
fn ways_that_are_not_supported_are_named_with_what_to_do() {
    let key = Key::new();
    let context = key.context().passphrase(SECRET);
    let anew = "`openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` encrypts it anew";
    #[cfg(feature = "legacy-keys")]
    if key.openssl("ec -in plain.key -out secret.key -passout env:SECRET -camellia256") {
        assert_eq!(
            key.refused(&context),
            format!("it is encrypted with CAMELLIA-256-CBC, which is not supported: {anew}")
        );
    }
    let v1 = "pkcs8 -topk8 -in plain.key -out secret.key -passout env:SECRET -v1 PBE-SHA1-3DES";
    if key.openssl(v1) {
        let text = key.refused(&context);
        assert!(
            text.starts_with("it is encrypted in a way that is not supported ("),
            "{text}"
        );
        assert!(text.ends_with(anew), "{text}");
    }
}

#[cfg(feature = "legacy-keys")]
#[test]
fn a_key_that_says_wrongly_how_it_is_encrypted_is_an_error() {
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
        "it is encrypted, and there is no `DEK-Info:` that says how"
    );
    for vector in ["", ",", ",xx", ",012"] {
        assert_eq!(
            refused(&format!("DEK-Info: AES-128-CBC{vector}\n")),
            "it is encrypted, and its `DEK-Info:` has no initialization vector"
        );
    }
    assert_eq!(
        refused("DEK-Info: AES-128-CBC,0123456789ABCDEF\n"),
        "the initialization vector in its `DEK-Info:` has a wrong length"
    );
}

#[test]
fn keys_that_are_broken_or_not_for_tls_are_errors() {
    let key = Key::new();
    let refused = |label: &str, text: &str| {
        let text = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
        key.directory.write("secret.key", &text);
        key.refused(&key.context())
    };
    assert_eq!(
        refused("PRIVATE KEY", "!"),
        "it is broken: what is between its BEGIN and END lines is not the Base64 of a key"
    );
    assert_eq!(
        refused("OPENSSH PRIVATE KEY", "AAAA"),
        "`OPENSSH PRIVATE KEY` is no kind of key that is used in TLS"
    );
    let text = refused("PRIVATE KEY", "AAAA");
    assert!(text.starts_with("it cannot be used: "), "{text}");
    assert!(
        text.ends_with(
            ": make one that is RSA of at least 2,048 bits, ECDSA on P-256 or P-384, or Ed25519"
        ),
        "{text}"
    );
}

#[test]
fn the_passphrase_is_never_shown() {
    let context = TlsContext::new().passphrase(SECRET);
    let text = format!("{context:?}");
    assert!(text.contains("passphrase: Some((hidden))"), "{text}");
    let cert = uptick_tls::ServerCert::from_pem("CERT", "KEY").passphrase(SECRET);
    assert!(!format!("{cert:?}").contains("sesame"));
    assert!(!format!("{cert:?}").contains("KEY"));
}
