//! Topics: clients subscribe to topics, and receive the messages that others publish. A clock publishes on the topic
//! "time".
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 32-topics
//! $ cargo run --example 32-topics -- [::1]:9000
//! ```
//! Try it in two terminals. "+TOPIC" subscribes, "-TOPIC" unsubscribes, "TOPIC: TEXT" publishes:
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
                        Some(text) => handle_command(ws, text),
                        None => ws.close(CloseCode::UNSUPPORTED, "text only"),
                    };
                });
            })
        },
    );

    // HTTP clients can list the topics, and publish to all subscribers.
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
        Ok::<_, HttpError>(format!("sent to {count} subscribers\n"))
    });
    hub.on("subscription", |change: SubscriptionChange| {
        println!("{}: {} subscribers", change.topic, change.count);
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

fn handle_command(ws: WebSocket, text: &str) {
    if let Some(topic) = text.strip_prefix('+') {
        if !ws.subscribe(topic) {
            ws.send("You are subscribed to that topic already, or to too many topics.");
        }
    } else if let Some(topic) = text.strip_prefix('-') {
        ws.unsubscribe(topic);
    } else if let Some((topic, _)) = text.split_once(':') {
        // The message reaches all other subscribers, but only if this client is subscribed as well.
        ws.publish(topic, text);
    } else {
        ws.send("Send +topic, -topic or topic: text.");
    }
}
