//! A server that requires client certificates, and greets clients by the name in the certificate.
//!
//! It generates its own certificate and one for alice, in a directory that it removes at SIGINT or SIGTERM. Then two clients
//! connect: alice, and one without a certificate.
//!
//! Run it on 127.0.0.1:8443, or on another address:
//! ```text
//! $ cargo run --example 14-mutual-tls --features self-signed
//! $ cargo run --example 14-mutual-tls --features self-signed -- tls://[::1]:9443
//! ```
//! Try it with the printed commands, which look like these. Without alice's certificate and key, the connection fails:
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

/// Creates a directory that only the user can read.
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
        // Usually the certificate of an authority that has issued the certificates of many clients.
        .cafile(&alice_cert)
        .load()?;
    let address = uri.strip_prefix("tls://").unwrap_or(uri);
    let server = SecureServer::new(Server::bind(address)?, tls);
    server.on("connection", |conn: Connection| {
        let tls = conn.tls();
        let subject = tls.as_ref().and_then(|tls| tls.peer_subject());
        let greeting = format!("Hello {}!\n", subject.unwrap_or("stranger"));
        // The response does not depend on the request, which arrives in one piece from clients like these.
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

    let anonymous = SecureConnector::new(Connector::new())
        .cafile(&server_cert)
        .peer_name("localhost");
    let alice = anonymous
        .clone()
        .local_cert(&alice_cert)
        .local_pk(&alice_key);
    uptick::spawn(async move {
        call("alice", &alice, &uri).await;
        call("anonymous", &anonymous, &uri).await;
    });
    uptick::run()
}

/// Generates a certificate and its key, and writes them to a separate directory; returns their paths.
fn identity(directory: &Path, client: &str, names: &[&str]) -> uptick::Result<(PathBuf, PathBuf)> {
    let own = directory.join(client);
    make_directory(&own)?;
    Ok(self_signed(names.iter().copied())?.write(own)?)
}

/// Prints the response of the server to a client.
async fn call(client: &'static str, connector: &SecureConnector, uri: &str) {
    let conn = match connector.connect(uri).await {
        Ok(conn) => conn,
        Err(e) => return println!("{client} is refused: {e}"),
    };
    conn.on("data", move |chunk: Bytes| {
        let answer = String::from_utf8_lossy(&chunk);
        println!(
            "{client} receives: {}",
            answer.lines().last().unwrap_or_default()
        );
    });
    // With TLS 1.3, the client's handshake completes before the server refuses it.
    conn.on("error", move |e: Error| {
        println!("{client} is refused: {e}")
    });
    conn.write("GET / HTTP/1.0\r\n\r\n");
    conn.next(Connection::CLOSE).await;
}
