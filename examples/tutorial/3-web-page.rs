//! A page with a WebSocket that echoes messages.

use uptick::prelude::*;

const PAGE: &str = include_str!("3-page.html");

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new();
    http.get("/", |_: Request| Response::html(PAGE));
    http.websocket("/chat", |ws: WebSocket| {
        ws.send("Hello!");
        ws.on("message", move |message: Message| ws.send(message));
        ws.on("close", |closed: Closed| {
            println!("closed: {}", closed.code)
        });
    });

    http.listen(Server::bind(address)?);
    println!("listening on {}", http.address().unwrap_or_default());
    uptick::run()
}
