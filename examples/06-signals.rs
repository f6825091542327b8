//! Shuts down with grace: at SIGINT or SIGTERM it takes no more clients, gives those it has 10 seconds, and ends.
//! A second signal ends it at once.
//!
//! Run it, on 127.0.0.1:8080 or on an address of your own:
//! ```text
//! $ cargo run --release --example 06-signals
//! $ cargo run --release --example 06-signals -- tcp://[::1]:9000
//! ```
//! Poke it: connect, then press Ctrl-C in the server's window, say something, say `exit`:
//! ```text
//! $ nc localhost 8080
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
        conn.on("data", move |chunk: Bytes| match chunk.trim_ascii() {
            b"exit" => conn.end_with("Bye!\n"),
            _ => drop(conn.write(chunk)),
        });
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    for signal in [uptick::SIGINT, uptick::SIGTERM] {
        let mut deadline = DEADLINE;
        uptick::add_signal(signal, move |_| {
            println!("shutting down, clients: {}", server.open_connections());
            uptick::spawn(async move {
                let cut_off = server.shutdown(deadline).await;
                println!("done, cut off: {cut_off}");
                uptick::stop();
            });
            // The second time nobody is waited for.
            deadline = Duration::ZERO;
        })?;
    }

    println!("listening on {}", server.address().unwrap_or_default());
    uptick::run()
}
