//! A server that serves those only who show a certificate it knows, and greets them by the name that is in it.
//!
//! It makes its own certificate and one for alice, in a directory that it removes at SIGINT or SIGTERM, and lets two clients
//! try: alice, and somebody without a certificate.
//!
//! Run it, on 127.0.0.1:8443 or on an address of your own:
//! ```text
//! $ cargo run --example 14-mutual-tls --features self-signed
//! $ cargo run --example 14-mutual-tls --features self-signed -- tls://[::1]:9443
//! ```
//! Poke it with the commands that it prints, which are these; leave out what is alice's to be refused:
//! ```text
//! $ curl --cacert DIR/server/self-signed.pem \
//!     --cert DIR/alice/self-signed.pem --key DIR/alice/self-signed.key https://127.0.0.1:8443/
//! $ openssl s_client -quiet -CAfile DIR/server/self-signed.pem \
//!     -cert DIR/alice/self-signed.pem -key DIR/alice/self-signed.key -connect 127.0.0.1:8443
//! ```

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let uri = args.nth(1).unwrap_or("tls://127.0.0.1:8443".into());

    let name = format!("uptick-mutual-tls-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    make_directory(&directory)?;
    let served = serve(&uri, &directory);
    std::fs::remove_dir_all(&directory)?;
    served
}

/// Only the user may look into it.
fn make_directory(path: &Path) -> uptick::Result {
    Ok(DirBuilder::new().mode(0o700).create(path)?)
}

fn serve(uri: &str, directory: &Path) -> uptick::Result {
    let (server_cert, server_key) =
        identity(directory, "server", &["localhost", "127.0.0.1", "::1"])?;
    let (alice_cert, alice_key) = identity(directory, "alice", &["alice"])?;

    let tls = TlsContext::new()
        .local_cert(&server_cert)
        .local_pk(server_key)
        .verify_peer(true)
        // As a rule that of an authority, which has issued the certificates of many clients.
        .cafile(&alice_cert)
        .load()?;
    let address = uri.strip_prefix("tls://").unwrap_or(uri);
    let server = SecureServer::new(Server::bind(address)?, tls);
    server.on("connection", |conn: Connection| {
        let tls = conn.tls();
        let subject = tls.as_ref().and_then(|tls| tls.peer_subject());
        let greeting = format!("Hello {}!\n", subject.unwrap_or("stranger"));
        // Whatever it asks for. The request of a client like these comes in one piece.
        conn.once("data", move |_: Bytes| {
            conn.end_with(format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{greeting}"
            ));
        });
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    for signal in [SIGINT, SIGTERM] {
        uptick::add_signal(signal, |_| uptick::stop())?;
    }
    let uri = server.address().unwrap_or_default();
    println!("listening on {uri}");
    let address = uri.trim_start_matches("tls://");
    let (ca, cert, key) = (
        server_cert.display(),
        alice_cert.display(),
        alice_key.display(),
    );
    println!("curl --cacert {ca} --cert {cert} --key {key} https://{address}/");
    println!("openssl s_client -quiet -CAfile {ca} -cert {cert} -key {key} -connect {address}");

    let anybody = SecureConnector::new(Connector::new())
        .cafile(&server_cert)
        .peer_name("localhost");
    let alice = anybody.clone().local_cert(&alice_cert).local_pk(&alice_key);
    uptick::spawn(async move {
        call("alice", &alice, &uri).await;
        call("somebody", &anybody, &uri).await;
    });
    uptick::run()
}

/// Makes a certificate and its key, and writes them to a directory of their own; gives the paths.
fn identity(directory: &Path, who: &str, names: &[&str]) -> uptick::Result<(PathBuf, PathBuf)> {
    let own = directory.join(who);
    make_directory(&own)?;
    Ok(self_signed(names.iter().copied())?.write(own)?)
}

/// Prints what the server says to a client.
async fn call(who: &'static str, connector: &SecureConnector, uri: &str) {
    let conn = match connector.connect(uri).await {
        Ok(conn) => conn,
        Err(e) => return println!("{who} is refused: {e}"),
    };
    conn.on("data", move |chunk: Bytes| {
        let answer = String::from_utf8_lossy(&chunk);
        println!(
            "{who} is told: {}",
            answer.lines().last().unwrap_or_default()
        );
    });
    // In TLS 1.3 a client learns only after its handshake that it is refused.
    conn.on("error", move |e: Error| println!("{who} is refused: {e}"));
    conn.write("GET / HTTP/1.0\r\n\r\n");
    conn.next(Connection::CLOSE).await;
}
