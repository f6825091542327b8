//! Removes the white space from every line, and replies with the result and a NUL byte. `exit`
//! disconnects a client.
//!
//! Run it on 127.0.0.1:9000, or on another address, over TCP or UDP:
//! ```text
//! $ cargo run --example 03-strip-spaces
//! $ cargo run --example 03-strip-spaces -- tcp://[::1]:9001
//! $ cargo run --example 03-strip-spaces -- --udp
//! ```
//! Try it:
//! ```text
//! $ nc localhost 9000
//! $ nc -u localhost 9000
//! ```

use std::net::SocketAddr;

use uptick::prelude::*;

fn main() -> uptick::Result {
    let (options, uris): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with('-'));
    let uri = uris.into_iter().next().unwrap_or("127.0.0.1:9000".into());
    match options.join(" ").as_str() {
        "" => serve_streams(uri)?,
        "--udp" => serve_datagrams(uri)?,
        _ => return Err("usage: 03-strip-spaces [URI] [--udp]".into()),
    }
    uptick::run()
}

fn serve_streams(uri: String) -> uptick::Result {
    let server = Server::bind(uri)?;
    server.on("connection", |conn: Connection| {
        // A chunk of bytes may contain a part of a line, or several lines.
        let lines = LineStream::new(conn);
        lines.on("data", move |line: Bytes| match strip_spaces(&line) {
            line if line == b"exit\0" => conn.end(),
            line => drop(conn.write(line)),
        });
        lines.on("error", move |_: uptick::stream::Error| {
            conn.end_with("line too long\0")
        });
        conn.on("error", |e: Error| eprintln!("{e}"));
    });
    server.on("error", |e: Error| eprintln!("{e}"));
    println!("listening on {}", server.address().unwrap_or_default());
    Ok(())
}

/// Each datagram is a line. There are no connections, so `exit` has no special meaning.
fn serve_datagrams(uri: String) -> uptick::Result {
    let socket = DatagramSocket::bind(uri)?;
    socket.on("message", move |(data, peer): (Bytes, SocketAddr)| {
        socket.send_to(strip_spaces(&data), peer)
    });
    socket.on("error", |e: uptick::datagram::Error| eprintln!("{e}"));
    let address = socket.local_address().unwrap_or_default();
    println!("listening on {address}");
    Ok(())
}

/// Returns the line without white space, followed by a NUL byte.
fn strip_spaces(line: &[u8]) -> Vec<u8> {
    let mut answer = line.to_vec();
    answer.retain(|byte| !byte.is_ascii_whitespace());
    answer.push(b'\0');
    answer
}
