//! Connects to a server, sends a line, and prints the response until the server closes the
//! connection.
//!
//! Run it with `01-echo` in another terminal, on 127.0.0.1:8080 or on another address:
//! ```text
//! $ cargo run --example 11-tcp-client
//! $ cargo run --example 11-tcp-client -- tcp://localhost:9000
//! $ cargo run --example 11-tcp-client -- unix:///tmp/echo.sock
//! ```

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let uri = args.nth(1).unwrap_or("tcp://127.0.0.1:8080".into());

    let conn = uptick::block_on(Connector::new().connect(uri))??;
    conn.on("data", |chunk: Bytes| {
        print!("{}", String::from_utf8_lossy(&chunk))
    });
    conn.on("error", |e: Error| eprintln!("{e}"));
    conn.on("close", |()| println!("closed"));

    println!("connected to {}", conn.remote_address().unwrap_or_default());
    conn.write("Hello World!\n");
    // The client sends no more, but still reads the response.
    conn.shutdown_write();
    uptick::run()
}
