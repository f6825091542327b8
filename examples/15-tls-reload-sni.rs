//! A server with two names and a certificate for each, which it reloads at SIGHUP and when a file has changed.
//!
//! It generates the certificates in a directory that it removes at SIGINT or SIGTERM. Replace one of them: after at most a
//! second, new clients get the new certificate; connected clients are not affected. If a file is not valid, an error is
//! printed and the previous certificate stays in use.
//!
//! Run it on 127.0.0.1:8443, or on another address:
//! ```text
//! $ cargo run --example 15-tls-reload-sni --features self-signed
//! $ cargo run --example 15-tls-reload-sni --features self-signed -- tls://[::1]:9443
//! ```
//! Try it: connect with one name, with the other, and with an unknown one; generate a new certificate, and connect again.
//! DIR and PID are printed by the program:
//! ```text
//! $ openssl s_client -connect 127.0.0.1:8443 -servername one.example </dev/null | openssl x509 -noout -subject -dates
//! $ openssl s_client -connect 127.0.0.1:8443 -servername three.example </dev/null
//! $ openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=renewed \
//!     -addext subjectAltName=DNS:one.example -addext basicConstraints=critical,CA:FALSE \
//!     -keyout DIR/one.example.pem -out DIR/one.example.pem
//! $ kill -HUP PID
//! ```

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uptick::prelude::*;

const NAMES: [&str; 2] = ["one.example", "two.example"];

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let uri = args.nth(1).unwrap_or("tls://127.0.0.1:8443".into());

    let name = format!("uptick-tls-reload-sni-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    // Only the user can read the private keys.
    DirBuilder::new().mode(0o700).create(&directory)?;
    let served = serve(&uri, &directory);
    std::fs::remove_dir_all(&directory)?;
    served
}

fn serve(uri: &str, directory: &Path) -> uptick::Result {
    let mut certificates = Vec::new();
    for name in NAMES {
        certificates.push((name, make_certificate(directory, name)?));
    }
    // There is no `local_cert`, so clients that request another name, or none, are refused.
    let tls = TlsContext::new()
        .sni_server_certs(certificates)
        .reload_on_change(Duration::from_secs(1))
        .load()?;
    tls.on("reload", |()| {
        println!("the certificates have been reloaded")
    });
    tls.on("error", |e: uptick::tls::Error| {
        eprintln!("the previous certificates stay in use: {e}")
    });

    let address = uri.strip_prefix("tls://").unwrap_or(uri);
    let server = SecureServer::new(Server::bind(address)?, tls.clone());
    server.on("connection", |conn: Connection| {
        let tls = conn.tls();
        let name = tls.as_ref().and_then(|tls| tls.server_name());
        conn.write(format!("This is {}.\n", name.unwrap_or("nobody")));
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    // The `error` event reports failures.
    uptick::add_signal(uptick::SIGHUP, move |_| drop(tls.reload()))?;
    for signal in [SIGINT, SIGTERM] {
        uptick::add_signal(signal, |_| uptick::stop())?;
    }
    println!("listening on {}", server.address().unwrap_or_default());
    println!("certificates are in {}", directory.display());
    println!("process id: {}", std::process::id());
    uptick::run()
}

/// Certificate and key are in one file, so that one change replaces both.
fn make_certificate(directory: &Path, name: &str) -> uptick::Result<PathBuf> {
    let own = self_signed([name])?;
    let path = directory.join(format!("{name}.pem"));
    let mut file = File::create(&path)?;
    file.write_all(own.cert_pem().as_bytes())?;
    file.write_all(own.key_pem().as_bytes())?;
    Ok(path)
}
