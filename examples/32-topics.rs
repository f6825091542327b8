//! Topics: clients say what they want to hear, and get what others publish on it. A clock ticks on the topic "time".
//!
//! Run it, on 127.0.0.1:8080 or on an address of your own:
//! ```text
//! $ cargo run --example 32-topics
//! $ cargo run --example 32-topics -- [::1]:9000
//! ```
//! Poke it, from two windows. "+" and a topic subscribes, "-" and a topic ends that, a topic and a text publishes:
//! ```text
//! $ npx wscat -c ws://localhost:8080/
//! > +time
//! > +news
//! > news: it rains
//! > -time
//! $ curl -d 'it rains again' http://localhost:8080/topics/news
//! $ curl http://localhost:8080/topics
//! ```

use std::time::{Duration, Instant};

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new().body_limit(4096);
    http.websocket_with(
        "/",
        WebSocketOptions::new().max_message(4096).max_topics(10),
        |_: Request| {
            Accept::new(|ws: WebSocket| {
                ws.on("message", move |message: Message| {
                    match message.as_text() {
                        Some(text) => hear(ws, text),
                        None => ws.close(CloseCode::UNSUPPORTED, "text only"),
                    };
                });
            })
        },
    );

    // Whoever is no WebSocket can look at the topics, and publish to all who listen.
    let hub = http.hub();
    http.get("/topics", move |_| {
        let mut lines: Vec<_> = hub.topics().into_iter().collect();
        lines.sort();
        let lines = lines
            .iter()
            .map(|name| format!("{name}: {}\n", hub.subscribers(name)));
        lines.collect::<String>()
    });
    http.post("/topics/{name}", move |req: Request| async move {
        let name = req.param("name").unwrap_or_default().to_owned();
        let count = hub.publish(&name, format!("{name}: {}", req.text().await?));
        Ok::<_, HttpError>(format!("{count} have got it.\n"))
    });
    hub.on("subscription", |change: Subscription| {
        println!("{}: {} listen", change.topic, change.now);
    });

    let start = Instant::now();
    uptick::add_periodic_timer(Duration::from_secs(1), move |_| {
        let seconds = start.elapsed().as_secs();
        hub.publish("time", format!("time: {seconds} s"));
    });

    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

fn hear(ws: WebSocket, text: &str) {
    if let Some(topic) = text.strip_prefix('+') {
        if !ws.subscribe(topic) {
            ws.send("That is one of yours already, or one too many.");
        }
    } else if let Some(topic) = text.strip_prefix('-') {
        ws.unsubscribe(topic);
    } else if let Some((topic, _)) = text.split_once(':') {
        // It reaches all others, and nobody unless this one is subscribed, too.
        ws.publish(topic, text);
    } else {
        ws.send("Say +topic, -topic or topic: text.");
    }
}
