//! An echo server.

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8080".into());

    let server = Server::bind(address)?;
    server.on("connection", |conn: Connection| {
        conn.write("Hello!\n");
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    println!("listening on {}", server.address().unwrap_or_default());
    uptick::run()
}
