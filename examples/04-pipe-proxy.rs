//! A proxy: what a client sends goes to another server, and what that one answers goes to the client.
//!
//! Run it with the server to connect to, on 127.0.0.1:8080 or on an address of your own:
//! ```text
//! $ cargo run --example 04-pipe-proxy -- example.com:80
//! $ cargo run --example 04-pipe-proxy -- unix:///tmp/echo.sock tcp://[::1]:9000
//! ```
//! Poke it:
//! ```text
//! $ curl -H 'Host: example.com' localhost:8080
//! ```

use std::time::Duration;

use uptick::prelude::*;

/// A client and its server may be silent for that long.
const IDLE: Duration = Duration::from_secs(600);

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let usage = "usage: 04-pipe-proxy TARGET [URI]";
    let target: ConnectTarget = args.next().ok_or(usage)?.parse()?;
    let uri = args.next().unwrap_or("tcp://127.0.0.1:8080".into());

    let server = Server::bind(uri)?;
    let connector = Connector::new().timeout(Some(Duration::from_secs(10)));
    server.on("connection", move |client: Connection| {
        client.on("error", |e: Error| eprintln!("{e}"));
        // What the client sends meanwhile waits, since nobody listens to its data yet.
        connector.connect_then(target.clone(), move |result| match result {
            Ok(upstream) => {
                upstream.on("error", |e: Error| eprintln!("{e}"));
                pass(client, upstream);
                pass(upstream, client);
            }
            Err(e) => {
                eprintln!("{e}");
                client.close();
            }
        });
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    println!("listening on {}", server.address().unwrap_or_default());
    uptick::run()
}

/// Passes everything on in one direction, also the end: the other direction stays open until it has its own.
fn pass(from: Connection, to: Connection) {
    from.set_allow_half_open(true);
    from.set_idle_timeout(Some(IDLE));
    let keep_open = PipeOptions {
        end: false,
        ..PipeOptions::default()
    };
    from.pipe_with(to, keep_open);
    from.on("end", move |()| to.shutdown_write());
    from.on("close", move |()| to.end());
    if !from.is_open() {
        to.close();
    }
}
