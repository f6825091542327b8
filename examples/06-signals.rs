//! A graceful shutdown: at SIGINT or SIGTERM, the server accepts no more clients, closes the remaining connections after 10
//! seconds, and ends. A second signal closes them at once. At SIGUSR1, it prints the number of connected clients.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 06-signals
//! $ cargo run --example 06-signals -- tcp://[::1]:9000
//! ```
//! Try it: connect, send SIGUSR1, then press Ctrl-C in the server's terminal, send a line, send `exit`:
//! ```text
//! $ nc localhost 8080
//! $ pkill -USR1 06-signals
//! ```

use std::time::Duration;

use uptick::prelude::*;

const DEADLINE: Duration = Duration::from_secs(10);

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let uri = args.nth(1).unwrap_or("tcp://127.0.0.1:8080".into());

    let server = Server::bind(uri)?;
    server.on("connection", |conn: Connection| {
        conn.write("Say something, or `exit`.\n");
        LineStream::new(conn).on("data", move |line: Bytes| match &line[..] {
            b"exit" => conn.end_with("Bye!\n"),
            _ => drop(conn.write([&line, &b"\n"[..]].concat())),
        });
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));
    server.on("close", |()| println!("closed"));

    server.shutdown_on([SIGINT, SIGTERM], DEADLINE)?;
    uptick::add_signal(uptick::SIGUSR1, move |_| {
        println!("clients: {}", server.open_connections());
    })?;

    println!("listening on {}", server.address().unwrap_or_default());
    // Signal listeners do not keep the loop running: it ends when the server is closed.
    uptick::run()
}
