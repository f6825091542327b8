//! A chat in the browser with one room, which is a topic.

use uptick::prelude::*;

const PAGE: &str = include_str!("3-page.html");

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new();
    http.get("/", |_: Request| Response::html(PAGE));
    http.websocket("/chat", move |ws: WebSocket| {
        ws.subscribe("lobby");
        http.publish("lobby", "a client has joined");
        ws.on("message", move |message: Message| {
            // `http.publish` reaches all subscribers, `ws.publish` all but the sender.
            http.publish("lobby", message);
        });
        ws.on("close", move |_: Closed| {
            http.publish("lobby", "a client has left");
        });
    });

    http.listen(Server::bind(address)?);
    println!("listening on {}", http.address().unwrap_or_default());
    uptick::run()
}
