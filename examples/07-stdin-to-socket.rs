//! Sends its standard input to a server and prints the responses, like `nc`.
//!
//! Run it with `01-echo` or `02-chat` on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 07-stdin-to-socket
//! $ cargo run --example 07-stdin-to-socket -- unix:///tmp/chat.sock
//! $ cargo run --example 07-stdin-to-socket < Cargo.lock > copy
//! ```
//! Try it: type lines; Ctrl-D ends the input.

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let uri = args.nth(1).unwrap_or("tcp://127.0.0.1:8080".into());

    let conn = uptick::block_on(Connector::new().connect(uri))??;
    let stdin = uptick::stream::stdin()?;
    let stdout = uptick::stream::stdout()?;

    // The end of the input shuts down writing, but the responses are still read.
    let keep_open = PipeOptions {
        end: false,
        ..PipeOptions::default()
    };
    stdin.pipe_with(conn, keep_open);
    stdin.on("end", move |()| conn.shutdown_write());
    conn.pipe(stdout);

    conn.on("close", move |()| {
        stdin.close();
        stdout.end();
    });
    conn.on("error", |e: Error| eprintln!("{e}"));
    stdin.on("error", |e: uptick::stream::Error| eprintln!("{e}"));
    stdout.on("error", move |e: uptick::stream::Error| {
        eprintln!("{e}");
        conn.close();
    });
    uptick::run()
}
