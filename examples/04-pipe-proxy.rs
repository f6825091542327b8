//! A TCP proxy: forwards bytes between each client and another server, in both directions.
//!
//! Run it with the address of the server, on 127.0.0.1:8080 or on another address:
//! ```text
//! $ cargo run --example 04-pipe-proxy -- example.com:80
//! $ cargo run --example 04-pipe-proxy -- unix:///tmp/echo.sock tcp://[::1]:9000
//! ```
//! Try it:
//! ```text
//! $ curl -H 'Host: example.com' localhost:8080
//! ```

use std::time::Duration;

use uptick::prelude::*;

/// The time without data after which a client and its upstream connection are closed.
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
        // Data that the client sends in the meantime is not read: there is no listener for it yet.
        connector.connect_then(target.clone(), move |result| match result {
            Ok(upstream) => {
                upstream.on("error", |e: Error| eprintln!("{e}"));
                pipe_direction(client, upstream);
                pipe_direction(upstream, client);
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

/// Pipes one direction. Its end shuts down writing to `to`; the other direction stays open until it ends
/// itself.
fn pipe_direction(from: Connection, to: Connection) {
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
