//! A server with two names, each with a certificate of its own, which it loads anew at SIGHUP and when a file has changed.
//!
//! It makes the certificates itself, in a directory that it removes at SIGINT or SIGTERM. Replace one of them: the next
//! client gets the new one, a second later at most, and clients that are connected notice nothing. A file that is not right
//! is told of, and the certificate before stays.
//!
//! Run it, on 127.0.0.1:8443 or on an address of your own:
//! ```text
//! $ cargo run --example 15-tls-reload-sni --features self-signed
//! $ cargo run --example 15-tls-reload-sni --features self-signed -- tls://[::1]:9443
//! ```
//! Poke it: ask for one name, for the other, and for one that it does not have; make a new certificate, and ask again. DIR
//! and PID are those that it prints:
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
    // Private keys are nobody else's business.
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
    // There is no `local_cert`, so who asks for another name, or for none, is refused.
    let tls = TlsContext::new()
        .sni_server_certs(certificates)
        .reload_on_change(Duration::from_secs(1))
        .load()?;
    tls.on("reload", |()| println!("the certificates are loaded anew"));
    tls.on("error", |e: uptick::tls::Error| {
        eprintln!("the certificates stay: {e}")
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

    // What went wrong is the `error` event's to say.
    uptick::add_signal(uptick::SIGHUP, move |_| drop(tls.reload()))?;
    for signal in [SIGINT, SIGTERM] {
        uptick::add_signal(signal, |_| uptick::stop())?;
    }
    println!("listening on {}", server.address().unwrap_or_default());
    println!("certificates are in {}", directory.display());
    println!("process id: {}", std::process::id());
    uptick::run()
}

/// Certificate and key in one file, so that one change is all it takes.
fn make_certificate(directory: &Path, name: &str) -> uptick::Result<PathBuf> {
    let own = self_signed([name])?;
    let path = directory.join(format!("{name}.pem"));
    let mut file = File::create(&path)?;
    file.write_all(own.cert_pem().as_bytes())?;
    file.write_all(own.key_pem().as_bytes())?;
    Ok(path)
}
