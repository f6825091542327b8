//! The smallest WebSocket server: every message comes back. Who sends without reading has to wait, so nothing is lost.
//!
//! Run it, on 127.0.0.1:8080 or on an address of your own:
//! ```text
//! $ cargo run --example 31-websocket-echo
//! $ cargo run --example 31-websocket-echo -- [::1]:9000
//! ```
//! Poke it, with any client of WebSockets, such as:
//! ```text
//! $ npx wscat -c ws://localhost:8080/echo
//! ```

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new();
    // Before a WebSocket is told to pause less than 64 KiB waits, and behind that there has to be room for the longest message.
    let options = WebSocketOptions::new().max_buffered(2 * 1024 * 1024);
    http.websocket_with("/echo", options, |_: Request| Accept::new(echo));
    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

fn echo(ws: WebSocket) {
    ws.on("message", move |message: Message| {
        if ws.send(message) == Sent::Buffered {
            ws.pause();
        }
    });
    ws.on("drain", move |()| ws.resume());
    ws.on("close", |closed: Closed| {
        println!("closed with {}: {:?}", closed.code, &*closed.reason);
    });
}
