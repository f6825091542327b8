//! An echo server: sends back every byte that it receives.
//!
//! Run it on 127.0.0.1:8080, or on another address. For TLS it uses a given certificate, or generates one:
//! ```text
//! $ cargo run --example 01-echo
//! $ cargo run --example 01-echo -- tcp://[::1]:9000
//! $ cargo run --example 01-echo -- unix:///tmp/echo.sock
//! $ cargo run --example 01-echo --features self-signed -- tls://127.0.0.1:8443
//! $ cargo run --example 01-echo --features self-signed -- tls://127.0.0.1:8443 certificate.pem key.pem
//! $ systemd-socket-activate -l 8000 target/debug/examples/01-echo fd://3
//! ```
//! Try it:
//! ```text
//! $ nc localhost 8080
//! $ nc -U /tmp/echo.sock
//! $ openssl s_client -quiet -connect localhost:8443
//! ```

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let uri = args.next().unwrap_or("tcp://127.0.0.1:8080".into());

    let server: AnyServer = match uri.strip_prefix("tls://") {
        Some(address) => secure(Server::bind(address)?, args.next(), args.next())?,
        None => Server::bind(uri)?.into(),
    };
    // Connections behave the same on all kinds of servers.
    server.on("connection", |conn: Connection| {
        conn.write("Hello!\n");
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    let address = server.address().unwrap_or_default();
    println!("listening on {address}");
    if let Some(address) = address.strip_prefix("tls://") {
        println!("connect with: openssl s_client -quiet -connect {address}");
    }
    uptick::run()
}

#[cfg(feature = "self-signed")]
fn secure(server: Server, cert: Option<String>, key: Option<String>) -> uptick::Result<AnyServer> {
    let tls = match cert {
        Some(cert) => TlsContext::new().local_cert(cert),
        None => self_signed(["localhost", "127.0.0.1", "::1"])?.into(),
    };
    let tls = match key {
        Some(key) => tls.local_pk(key),
        None => tls,
    };
    Ok(SecureServer::new(server, tls.load()?).into())
}

/// TLS takes a while to build, so it is optional.
#[cfg(not(feature = "self-signed"))]
fn secure(_: Server, _: Option<String>, _: Option<String>) -> uptick::Result<AnyServer> {
    Err("this program was built without TLS: run it with `--features self-signed`".into())
}
