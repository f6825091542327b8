//! Tests with `openssl s_client`, a client that does not use rustls.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use uptick_socket::prelude::*;
use uptick_tls::{SecureConnector, SecureServer, TicketKeys, TlsContext};

use crate::connecting::{outcome, to};
use crate::support::{Directory, Identity, address, join, logged, tls_server, until};

/// Runs a client that sends `input` and then ends. Returns `None` if openssl is not installed.
fn s_client(
    server: SecureServer,
    trusted: &Path,
    arguments: &[&str],
    input: &str,
) -> Option<Output> {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: openssl is not installed");
        return None;
    }
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-servername",
            "localhost",
            "-verify_return_error",
            "-CAfile",
        ])
        .arg(trusted)
        .args(["-connect", &address(server).to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    Some(join(thread::spawn(move || {
        // A client that was refused does not read its input.
        let _ = stdin.write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        output
    })))
}

#[test]
fn openssl_exchanges_data_with_both_versions() {
    let identity = Identity::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let server = tls_server(identity.config());
        server.on("connection", |conn: Connection| {
            conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
        });
        let Some(output) = s_client(server, &identity.file, &[version, "-quiet"], "hello\n") else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("hello"), "{output:?}");
    }
}

#[test]
fn openssl_resumes_its_session_with_a_server_that_imports_the_keys() {
    let identity = Identity::new();
    let directory = Directory::new();
    let keys = TicketKeys::new().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let path = directory.path(version);
        let session = path.to_str().unwrap();
        let visit = |keys: TicketKeys, direction: &str| {
            let context = identity.context().session_cache(0).ticket_keys(keys);
            let server = tls_server(context.load().unwrap());
            server.on("connection", |conn: Connection| {
                conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
            });
            let arguments = [version, direction, session];
            let output = s_client(server, &identity.file, &arguments, "hello\n")?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("hello"), "{output:?}");
            Some(text)
        };
        let Some(first) = visit(keys.clone(), "-sess_out") else {
            return;
        };
        assert!(first.contains("\nNew, TLSv1"), "{first}");
        let imported = TicketKeys::import(&keys.export().unwrap()).unwrap();
        let second = visit(imported, "-sess_in").unwrap();
        assert!(second.contains("\nReused, TLSv1"), "{second}");
        let third = visit(TicketKeys::new().unwrap(), "-sess_in").unwrap();
        assert!(third.contains("\nNew, TLSv1"), "{third}");
    }
}

#[test]
fn a_requested_name_may_end_with_a_dot() {
    let identity = Identity::new();
    let certs = [("localhost", identity.file.clone())];
    let server = tls_server(TlsContext::new().sni_server_certs(certs).load().unwrap());
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
    });
    let arguments = ["-servername", "localhost.", "-quiet"];
    let Some(output) = s_client(server, &identity.file, &arguments, "hello\n") else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("hello"), "{output:?}");
}

#[test]
fn openssl_with_tls_1_1_is_refused() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let arguments = ["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"];
    let Some(output) = s_client(server, &identity.file, &arguments, "hello\n") else {
        return;
    };
    assert!(!output.status.success(), "{output:?}");
    until(|| log.len() == 1);
    let text = log.take().remove(0);
    assert!(
        text.ends_with("it probably supports only versions before TLS 1.2"),
        "{text}"
    );
}

#[test]
fn openssl_cannot_renegotiate() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    // `R` starts a renegotiation.
    let Some(output) = s_client(server, &identity.file, &["-tls1_2"], "R\n") else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("RENEGOTIATING"), "{output:?}");
    assert!(text.contains("no renegotiation"), "{output:?}");
    until(|| log.has("close"));
    let connections = log.take();
    let connections = connections.iter().filter(|line| *line == "connection");
    assert_eq!(connections.count(), 1);
}

#[test]
fn the_certificate_of_the_readme_is_accepted_by_openssl_and_by_the_connector() {
    let recipe = include_str!("../../README.md")
        .split_once("openssl req -x509 ")
        .and_then(|(_, rest)| rest.split_once("\nopenssl s_client"))
        .map(|(recipe, _)| recipe.replace('\\', " "))
        .unwrap();
    let directory = Directory::new();
    let made = Command::new("openssl")
        .args(["req", "-x509"])
        .args(recipe.split_whitespace())
        .current_dir(directory.path(""))
        .output();
    let Ok(made) = made else {
        eprintln!("SKIPPED: openssl is not installed");
        return;
    };
    assert!(made.status.success(), "{made:?}");
    let cert = directory.path("server.pem");
    let context = TlsContext::new()
        .local_cert(&cert)
        .local_pk(directory.path("server.key"));
    let server = tls_server(context.load().unwrap());
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
    });
    let output = s_client(server, &cert, &["-quiet"], "hello\n").unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("hello"), "{output:?}");
    let connector = SecureConnector::new(to(server)).cafile(&cert);
    outcome(connector.connect("tls://localhost:443")).unwrap();
}
