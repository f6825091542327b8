//! A chat with names, rooms and a history.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use uptick::prelude::*;

const PAGE: &str = include_str!("5-page.html");
const HISTORY: usize = 100;

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
    let address = args.next().unwrap_or("127.0.0.1:8080".into());

    let history = History::default();
    let http = HttpServer::new();
    http.get("/", |_: Request| Response::html(PAGE));
    http.websocket_with("/chat", WebSocketOptions::new(), move |req: Request| {
        let join: Join = req.query()?;
        if join.name.is_empty() || join.room.is_empty() {
            return Err(HttpError::bad_request("a name and a room are needed"));
        }
        let history = history.clone();
        Ok(Accept::new(move |ws| enter(http, ws, join, history)))
    });

    http.listen(Server::bind(address)?);
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
