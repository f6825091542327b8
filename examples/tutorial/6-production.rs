//! The chat with limits, TLS and a graceful shutdown.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uptick::prelude::*;

const PAGE: &str = include_str!("5-page.html");
const HISTORY: usize = 100;
const ROOMS: [&str; 3] = ["lobby", "help", "random"];
const MAX_CONNECTIONS: usize = 10_000;
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// The query of the WebSocket's URL: `/chat?name=Ada&room=lobby`.
#[derive(Deserialize)]
struct Join {
    name: String,
    room: String,
}

/// A line of the chat, as the page receives it.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    text: &'a str,
}

/// The last lines of each room, as JSON.
type History = Rc<RefCell<HashMap<String, VecDeque<String>>>>;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8443".into());

    let history = History::default();
    let http = HttpServer::new();
    http.get("/", |_: Request| Response::html(PAGE));

    let options = WebSocketOptions::new()
        .max_message(4096)
        .max_topics(1)
        .message_rate(10)
        .max_per_client(20);
    http.websocket_with("/chat", options, move |req: Request| {
        let join: Join = req.query()?;
        if !(1..=20).contains(&join.name.chars().count()) {
            return Err(HttpError::bad_request("a name has 1 to 20 characters"));
        }
        if !ROOMS.contains(&join.room.as_str()) {
            return Err(HttpError::not_found());
        }
        let history = history.clone();
        Ok(Accept::new(move |ws| enter(http, ws, join, history)))
    });

    let server = Server::bind(address)?;
    let server = LimitingServer::new(server, MAX_CONNECTIONS, false);
    let tls = self_signed(["localhost", "127.0.0.1"])?;
    http.listen(SecureServer::new(server, tls));
    http.on("error", |e: Error| eprintln!("{e}"));
    http.shutdown_on([SIGINT, SIGTERM], SHUTDOWN_DEADLINE)?;

    println!("listening on {}", http.address().unwrap_or_default());
    uptick::run()
}

/// Adds a WebSocket to its room.
fn enter(http: HttpServer, ws: WebSocket, join: Join, history: History) {
    for line in history.borrow().get(&join.room).into_iter().flatten() {
        ws.send(line.as_str());
    }
    ws.subscribe(&join.room);
    ws.on("message", move |message: Message| {
        let Some(text) = message.as_text() else {
            ws.close(CloseCode::UNSUPPORTED, "text only");
            return;
        };
        let name = &join.name;
        let Ok(line) = serde_json::to_string(&Line { name, text }) else {
            return;
        };
        http.publish(&join.room, line.as_str());

        let mut history = history.borrow_mut();
        let lines = history.entry(join.room.clone()).or_default();
        lines.push_back(line);
        if lines.len() > HISTORY {
            lines.pop_front();
        }
    });
}
