//! TLS sessions of async-tls over Uptick connections, on both sides.
//!
//! Run it. It ends when its client has received the response:
//! ```text
//! $ cargo run --release --example 19-async-tls
//! ```

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "an example prints"
)]

use std::error::Error;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use uptick_async_std::{block_on, tls};
use uptick_socket::prelude::{Connection, Emitter as _, Server};

fn main() -> Result<(), Box<dyn Error>> {
    // A self-signed certificate; a production server reads certificate and key from files.
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let acceptor = tls::acceptor(own.cert.pem() + &own.signing_key.serialize_pem())?;
    let connector = tls::connector(own.cert.pem())?;

    let server = Server::bind("tcp://127.0.0.1:0")?;
    server.on("connection", move |conn: Connection| {
        let acceptor = acceptor.clone();
        uptick_event_loop::spawn(async move {
            if let Err(e) = echo(conn, acceptor).await {
                eprintln!("the server failed: {e}");
            }
        });
    });
    let address = server.address().unwrap_or_default();
    println!("listening on {address}");
    let port = address.rsplit(':').next().unwrap_or_default();

    block_on(async {
        let mut session = tls::connect(&format!("localhost:{port}"), &connector).await?;
        session.write_all(b"hello").await?;
        session.close().await?;
        let mut answer = String::new();
        session.read_to_string(&mut answer).await?;
        println!("response: {answer}");
        Ok(())
    })?
}

/// Sends received text back in upper case.
async fn echo(conn: Connection, acceptor: tls::TlsAcceptor) -> std::io::Result<()> {
    let mut session = tls::accept(conn, &acceptor).await?;
    let mut text = String::new();
    session.read_to_string(&mut text).await?;
    session.write_all(text.to_uppercase().as_bytes()).await?;
    session.close().await
}
