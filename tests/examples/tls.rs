//! Tests of `01-echo` over TLS, `13-tls-client`, `14-mutual-tls` and `15-tls-reload-sni`, with `openssl` and `curl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Signal;
use uptick::tls::self_signed;

use crate::clients::refusing_address;
use crate::program::{ProcessOutput, Program, TIMEOUT};

/// A directory that is removed with its content when this is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Directory {
        let name = format!("uptick-examples-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a new certificate for a host name and 127.0.0.1, and its key, to the directory. Returns their paths.
    pub(crate) fn certificate(&self, name: &str) -> (String, String) {
        let own = self_signed([name, "127.0.0.1"]).unwrap();
        let (cert, key) = own.write(&self.0).unwrap();
        (cert.display().to_string(), key.display().to_string())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Files left in the temporary directory are harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs an installed program until it exits.
fn run(line: &str, arguments: &[&str]) -> Option<ProcessOutput> {
    let mut words = line.split(' ').collect::<Vec<_>>();
    words.extend(arguments);
    let mut program = Program::installed(words[0], &words[1..])?;
    program.end_input();
    Some(program.wait())
}

/// Starts a server on a free port of 127.0.0.1. Returns its address, too.
fn serve(name: &str, arguments: &[&str]) -> (Program, String) {
    let mut all = vec!["tls://127.0.0.1:0"];
    all.extend(arguments);
    let server = Program::start(name, &all);
    let uri = server.listening_on();
    let address = uri.strip_prefix("tls://").unwrap();
    (server, address.to_string())
}

#[test]
fn the_echo_server_generates_its_own_certificate() {
    let (server, address) = serve("01-echo", &[]);
    let line = server.line();
    let command = line.strip_prefix("connect with: openssl ").unwrap();
    assert!(command.ends_with(&format!("-connect {address}")), "{line}");
    let arguments: Vec<&str> = command.split(' ').collect();
    let Some(mut client) = Program::installed("openssl", &arguments) else {
        return;
    };
    assert_eq!(client.line(), "Hello!");
    client.input("one\ntwo\n");
    assert_eq!((client.line(), client.line()), ("one".into(), "two".into()));
}

#[test]
fn the_echo_server_uses_a_certificate_from_a_file() {
    let directory = Directory::new("echo");
    let (cert, key) = directory.certificate("localhost");
    let (_server, address) = serve("01-echo", &[&cert, &key]);
    let arguments = ["-CAfile", &cert, "-connect", &address];
    let mut all = "s_client -quiet -verify_return_error -verify_hostname localhost"
        .split(' ')
        .collect::<Vec<_>>();
    all.extend(arguments);
    let Some(client) = Program::installed("openssl", &all) else {
        return;
    };
    assert_eq!(client.line(), "Hello!");
}

#[test]
fn the_echo_server_does_not_start_without_its_certificate() {
    let ended = Program::start("01-echo", &["tls://127.0.0.1:0", "nothing.pem"]).wait();
    assert_eq!(ended.status.code(), Some(1));
    let reason = "No such file or directory (ENOENT)";
    let expected = format!("Error: reading the certificate from nothing.pem failed: {reason}");
    assert_eq!(ended.stderr, [expected]);
    assert_eq!(ended.stdout, [""; 0]);
}

#[test]
fn the_client_fetches_a_page_from_its_own_server() {
    let ended = Program::start("13-tls-client", &[]).wait();
    assert!(ended.status.success(), "{ended:?}");
    let [refused, rest @ ..] = &ended.stdout[..] else {
        panic!("{ended:?}");
    };
    assert!(
        refused.starts_with("a client that does not trust it says: connecting to tls://localhost:")
            && refused.contains("its certificate is self-signed and not trusted"),
        "{refused}"
    );
    let [version, suite, rest @ ..] = rest else {
        panic!("{ended:?}");
    };
    assert_eq!(version, "version: TLS 1.3");
    assert!(suite.starts_with("cipher suite: TLS_"), "{suite}");
    assert_eq!(
        rest,
        [
            "ALPN: http/1.1",
            "certificate: CN=localhost",
            "HTTP/1.1 200 OK",
            "Connection: close",
            "",
            "It works.",
        ]
    );
    let [refusal] = &ended.stderr[..] else {
        panic!("{ended:?}");
    };
    assert!(refusal.contains("the client refused"), "{refusal}");
}

#[test]
fn the_client_fetches_a_page_from_openssl() {
    let directory = Directory::new("client");
    let (cert, key) = directory.certificate("localhost");
    let arguments = ["s_server", "-www", "-tls1_2", "-accept", "127.0.0.1:0"];
    let arguments = [&arguments[..], &["-cert", &cert, "-key", &key]].concat();
    let Some(server) = Program::installed("openssl", &arguments) else {
        return;
    };
    let deadline = Instant::now() + TIMEOUT;
    let address = loop {
        let line = server.line();
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            break address.to_string();
        }
        assert!(Instant::now() < deadline, "{line}");
    };
    let url = format!("https://{address}/");

    let ended = Program::start("13-tls-client", &[&url, &cert]).wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout[0], "version: TLS 1.2");
    assert_eq!(ended.stdout[3], "certificate: CN=localhost");
    assert!(ended.stdout[4].starts_with("HTTP/1.0 200"), "{ended:?}");

    let elsewhere = Directory::new("other");
    let (other, _) = elsewhere.certificate("other.example");
    let ended = Program::start("13-tls-client", &[&url, &other]).wait();
    assert_eq!(ended.status.code(), Some(1));
    let error = ended.stderr.concat();
    let expected = format!("Error: connecting to tls://{address} failed during the TLS handshake");
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn the_client_reports_invalid_arguments_and_connection_errors() {
    let ended = Program::start("13-tls-client", &["http://localhost/"]).wait();
    assert_eq!(ended.status.code(), Some(1));
    let usage = "Error: usage: 13-tls-client [https://HOST[:PORT]/PATH [CAFILE]]";
    assert_eq!(ended.stderr, [usage]);

    let (_socket, address) = refusing_address();
    let directory = Directory::new("refused");
    let (cert, _) = directory.certificate("localhost");
    let url = format!("https://{address}");
    let ended = Program::start("13-tls-client", &[&url, &cert]).wait();
    assert_eq!(ended.status.code(), Some(1));
    let error = ended.stderr.concat();
    assert!(error.contains("(ECONNREFUSED)"), "{error}");
}

#[test]
fn mutual_tls_serves_only_clients_with_a_certificate() {
    let (server, address) = serve("14-mutual-tls", &[]);
    let (curl, openssl) = (server.line(), server.line());
    assert_eq!(server.line(), "alice is told: Hello CN=alice!");
    let refused = server.line();
    let reason = "it requires a client certificate (CertificateRequired)";
    assert!(refused.starts_with("somebody is refused: "), "{refused}");
    assert!(refused.ends_with(reason), "{refused}");

    assert!(curl.ends_with(&format!(" https://{address}/")), "{curl}");
    if let Some(ended) = run(&curl, &["--silent", "--show-error"]) {
        assert_eq!(ended.stdout, ["Hello CN=alice!"], "{ended:?}");
    }
    // Without the certificate and key of alice.
    let words: Vec<&str> = curl.split(' ').collect();
    let ca = words[2];
    let without = format!("curl --silent --cacert {ca} https://{address}/");
    if let Some(ended) = run(&without, &[]) {
        assert!(!ended.status.success(), "{ended:?}");
        assert_eq!(ended.stdout, [""; 0]);
    }

    let arguments: Vec<&str> = openssl.split(' ').skip(1).collect();
    if let Some(mut client) = Program::installed("openssl", &arguments) {
        client.input("hello\n");
        let deadline = Instant::now() + TIMEOUT;
        while client.line() != "Hello CN=alice!" {
            assert!(Instant::now() < deadline);
        }
    }

    let directory = Path::new(ca).ancestors().nth(2).unwrap();
    assert!(directory.exists());
    server.signal(Signal::TERM);
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert!(!directory.exists(), "private keys are left behind");
}

/// Connects with a server name, and returns the line that the server sends; `None` if its certificate is not issued by `ca`, or it refuses the name.
fn request_page(address: &str, name: &str, ca: &str) -> Option<String> {
    let arguments = ["-connect", address, "-servername", name, "-CAfile", ca];
    let mut all = vec!["s_client", "-quiet", "-verify_return_error"];
    all.extend(arguments);
    let client = Program::installed("openssl", &all).unwrap();
    client.line_before_end()
}

#[test]
fn each_name_has_its_certificate_and_changes_are_loaded() {
    if run("openssl version", &[]).is_none() {
        return;
    }
    let (server, address) = serve("15-tls-reload-sni", &[]);
    let line = server.line();
    let directory = PathBuf::from(line.strip_prefix("certificates are in ").unwrap());
    assert!(server.line().starts_with("process id: "));
    let file = |name: &str| directory.join(name).display().to_string();
    let (one, two) = (file("one.example.pem"), file("two.example.pem"));

    let page_of = |name| Some(format!("This is {name}."));
    assert_eq!(
        request_page(&address, "one.example", &one),
        page_of("one.example")
    );
    assert_eq!(
        request_page(&address, "two.example", &two),
        page_of("two.example")
    );
    assert_eq!(request_page(&address, "one.example", &two), None);
    assert_eq!(request_page(&address, "three.example", &one), None);

    // On a signal: an invalid file changes nothing.
    let good = fs::read(&one).unwrap();
    fs::write(&one, "nonsense").unwrap();
    server.signal(Signal::HUP);
    loop {
        let error = server.error_line();
        if error.starts_with("the certificates stay: loading the certificate from ") {
            break;
        }
    }
    assert_eq!(
        request_page(&address, "two.example", &two),
        page_of("two.example")
    );
    fs::write(&one, good).unwrap();
    server.signal(Signal::HUP);
    assert_eq!(server.line(), "the certificates are loaded anew");
    assert_eq!(
        request_page(&address, "one.example", &one),
        page_of("one.example")
    );

    // Automatically: a handshake detects a changed file, at most once a second.
    let new = self_signed(["one.example"]).unwrap();
    let (cert, both) = (file("cert.pem"), file("both.pem"));
    fs::write(&cert, new.cert_pem()).unwrap();
    fs::write(&both, new.cert_pem().to_owned() + new.key_pem()).unwrap();
    fs::rename(&both, &one).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    while request_page(&address, "one.example", &cert) != page_of("one.example") {
        assert!(
            Instant::now() < deadline,
            "the new certificate is not served"
        );
    }
    assert_eq!(server.line(), "the certificates are loaded anew");

    server.signal(Signal::INT);
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert!(!directory.exists(), "private keys are left behind");
}
