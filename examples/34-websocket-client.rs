//! Sends the standard input over a WebSocket, line by line, and prints received messages. When the connection is lost, it
//! reconnects with growing delays; lines typed in the meantime are queued.
//!
//! Run it with `31-websocket-echo` or `32-topics` on 127.0.0.1:8080, or with another URL:
//! ```text
//! $ cargo run --example 34-websocket-client
//! $ cargo run --example 34-websocket-client -- ws://127.0.0.1:8080/
//! $ cargo run --example 34-websocket-client -- wss://example.com/chat
//! ```
//! Try it: type lines; stop the server, type, and start it again; Ctrl-D ends the program.

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let url = args.nth(1).unwrap_or("ws://127.0.0.1:8080/echo".into());

    // The input is read only while the WebSocket is open.
    let stdin = LineStream::new(uptick::stream::stdin()?);
    stdin.pause();
    let client = Reconnect::new(uptick::websocket::connector(), url).start(move |ws: WebSocket| {
        ws.on("open", move |()| {
            eprintln!("connected");
            stdin.resume();
        });
        ws.on("message", |message: Message| match message {
            Message::Text(text) => println!("{text}"),
            Message::Binary(bytes) => println!("{} bytes", bytes.len()),
        });
        ws.on("drain", move |()| stdin.resume());
        ws.on("close", move |_: Closed| stdin.pause());
    });
    client.on("retry", |retry: Retry| {
        eprintln!("{}; retrying in {:.1?}", retry.reason, retry.delay);
    });
    client.on("error", |e: uptick::websocket::Error| eprintln!("{e}"));
    client.on("close", move |()| stdin.close());

    stdin.on("data", move |line: Bytes| {
        let line = String::from_utf8_lossy(&line).into_owned();
        match client.socket() {
            Some(ws) if ws.send(&*line) == Sent::Buffered => stdin.pause(),
            Some(_) => {}
            None => eprintln!("not sent: {line}"),
        }
    });
    stdin.on("end", move |()| match client.socket() {
        // Responses to the last lines arrive before the pong.
        Some(ws) => {
            ws.on("pong", move |_: Bytes| client.stop());
            ws.ping("the end");
        }
        None => client.stop(),
    });
    stdin.on("error", |e: uptick::stream::Error| eprintln!("{e}"));
    uptick::run()
}
