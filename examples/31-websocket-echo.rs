//! A minimal WebSocket server that echoes every message. Backpressure: a client that sends without reading is paused, so
//! nothing is lost.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 31-websocket-echo
//! $ cargo run --example 31-websocket-echo -- [::1]:9000
//! ```
//! Try it with any WebSocket client, such as:
//! ```text
//! $ npx wscat -c ws://localhost:8080/echo
//! ```

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new();
    // A WebSocket is paused when 64 KiB are queued; above that there must be space for the longest message.
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
