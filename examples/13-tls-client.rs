//! Fetches a page over TLS, and prints the negotiated parameters and the subject of the server's certificate.
//!
//! Run it. Without a URL it starts its own server, whose certificate it trusts; a second client that does not trust it
//! fails. With a URL it trusts the certificates of the system, or those in a PEM file:
//! ```text
//! $ cargo run --example 13-tls-client --features self-signed
//! $ cargo run --example 13-tls-client --features self-signed -- https://example.com/
//! $ cargo run --example 13-tls-client --features self-signed -- https://localhost:8443/ ca.pem
//! ```
//! Try it with a certificate that is not valid for the host, that has expired, or that is self-signed:
//! ```text
//! $ cargo run --example 13-tls-client --features self-signed -- https://wrong.host.badssl.com/
//! $ cargo run --example 13-tls-client --features self-signed -- https://expired.badssl.com/
//! $ cargo run --example 13-tls-client --features self-signed -- https://self-signed.badssl.com/
//! ```

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let Some(url) = args.next() else {
        return fetch_from_own_server();
    };
    let connector = SecureConnector::new(Connector::new());
    let connector = match args.next() {
        Some(cafile) => connector.cafile(cafile),
        None => connector,
    };
    uptick::block_on(fetch(connector, url))?
}

fn fetch_from_own_server() -> uptick::Result {
    let own = self_signed(["localhost"])?;
    let url = serve(&own)?;

    let other = self_signed(["other.example"])?;
    let stranger = SecureConnector::new(Connector::new()).cafile_pem(other.cert_pem());
    if let Err(e) = uptick::block_on(fetch(stranger, url.clone()))? {
        println!("a client that does not trust it fails: {e}");
    }

    let connector = SecureConnector::new(Connector::new()).cafile_pem(own.cert_pem());
    uptick::block_on(fetch(connector, url))?
}

/// Starts a server with one page; returns its URL.
fn serve(own: &SelfSigned) -> uptick::Result<String> {
    let tls = own.context().alpn_protocols(["http/1.1"]).load()?;
    let server = SecureServer::new(Server::bind("127.0.0.1:0")?, tls);
    server.on("connection", |conn: Connection| {
        // A request as short as this one arrives in one piece.
        conn.once("data", move |_: Bytes| {
            conn.end_with("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nIt works.\n");
        });
        conn.on("error", |e: Error| eprintln!("server: {e}"));
    });
    server.on("error", |e: Error| eprintln!("server: {e}"));
    let address = server.address().unwrap_or_default();
    Ok(address.replace("tls://127.0.0.1", "https://localhost"))
}

/// Prints the page at a URL with all its headers.
async fn fetch(connector: SecureConnector, url: String) -> uptick::Result {
    let rest = url.strip_prefix("https://");
    let rest = rest.ok_or("usage: 13-tls-client [https://HOST[:PORT]/PATH [CAFILE]]")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let has_port = host.contains(':') && !host.ends_with(']');
    let port = if has_port { "" } else { ":443" };

    let connector = connector.alpn_protocols(["http/1.1"]);
    let conn = connector.connect(format!("tls://{host}{port}")).await?;
    if let Some(tls) = conn.tls() {
        let alpn = tls.alpn_protocol().unwrap_or(b"none");
        println!("version: {}", tls.version());
        println!("cipher suite: {}", tls.cipher_suite());
        println!("ALPN: {}", String::from_utf8_lossy(alpn));
        println!("certificate: {}", tls.peer_subject().unwrap_or("none"));
    }
    conn.on("data", |chunk: Bytes| {
        print!("{}", String::from_utf8_lossy(&chunk))
    });
    // A connection that is closed before `close_notify` is an error, not the end of the response.
    conn.on("error", |e: Error| eprintln!("{e}"));
    conn.write(format!(
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    ));
    conn.next(Connection::CLOSE).await;
    Ok(())
}
