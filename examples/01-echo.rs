//! Sends back what it gets.
//!
//! Run it, on 127.0.0.1:8080 or on an address of your own:
//! ```text
//! $ cargo run --release --example 01-echo
//! $ cargo run --release --example 01-echo -- tcp://[::1]:9000
//! $ cargo run --release --example 01-echo -- unix:///tmp/echo.sock
//! $ systemd-socket-activate -l 8000 target/release/examples/01-echo fd://3
//! ```
//! Poke it:
//! ```text
//! $ nc localhost 8080
//! $ nc -U /tmp/echo.sock
//! ```

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let uri = args.nth(1).unwrap_or("tcp://127.0.0.1:8080".into());

    let server = Server::bind(uri)?;
    server.on("connection", |conn: Connection| {
        conn.write("Hello!\n");
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    println!("listening on {}", server.address().unwrap_or_default());
    uptick::run()
}
