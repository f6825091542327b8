//! Threads: a separate thread runs a long computation and sends the results to the clients.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --release --example 08-other-threads
//! $ cargo run --release --example 08-other-threads -- tcp://[::1]:9000
//! ```
//! Try it: send numbers. The other thread sends a line with the factors. Enter in the server's terminal shuts the server down:
//! ```text
//! $ nc localhost 8080
//! 1000000016000000063
//! ```

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use uptick::prelude::*;

/// The maximum number of queued numbers. A client that sends more has to try again.
const MAX_QUEUED: usize = 16;
const DEADLINE: Duration = Duration::from_secs(5);

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let uri = args.nth(1).unwrap_or("tcp://127.0.0.1:8080".into());

    let (jobs, queue) = sync_channel(MAX_QUEUED);
    thread::spawn(move || factorize(queue));

    let server = Server::bind(uri)?;
    server.on("connection", move |conn: Connection| {
        // A connection belongs to this thread; its remote may be sent to any thread.
        let (jobs, remote) = (jobs.clone(), conn.remote());
        conn.on("data", move |chunk: Bytes| {
            for word in chunk
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty())
            {
                let number = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
                match number {
                    Some(number) if jobs.try_send((number, remote.clone())).is_ok() => {}
                    Some(number) => drop(conn.write(format!("{number}: busy, try again\n"))),
                    None => drop(conn.write("send numbers\n")),
                }
            }
        });
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    // A thread that waits for a line of the standard input, and shuts the server down through its remote.
    let remote = server.remote();
    thread::spawn(move || {
        if io::stdin()
            .read_line(&mut String::new())
            .is_ok_and(|length| length > 0)
        {
            let shutdown = remote.post(|server| drop(server.shutdown(DEADLINE)));
            shutdown.unwrap_or_else(|e| eprintln!("{e}"));
        }
    });

    println!("listening on {}", server.address().unwrap_or_default());
    uptick::run()
}

fn factorize(queue: Receiver<(u64, Remote<Connection>)>) {
    for (number, client) in queue {
        let factors: Vec<String> = factors(number).iter().map(u64::to_string).collect();
        // The client has gone, or reads too slowly.
        if let Err(e) = client.write(format!("{number} = {}\n", factors.join(" * "))) {
            println!("{e}");
        }
    }
}

fn factors(mut number: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut factor = 2;
    while factor <= number / factor {
        while number.is_multiple_of(factor) && number > factor {
            factors.push(factor);
            number /= factor;
        }
        factor += 1;
    }
    factors.push(number);
    factors
}
