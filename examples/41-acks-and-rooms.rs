//! A quiz with Socket.IO: acknowledgements in both directions with timeouts, acknowledgements of a whole room, and
//! volatile events.
//!
//! Run it on 127.0.0.1:3000, or on another address:
//! ```text
//! $ cargo run --example 41-acks-and-rooms --features socketio
//! $ cargo run --example 41-acks-and-rooms --features socketio -- [::1]:9000
//! ```
//! Try it with the official client. Ada answers questions, Bob sends one:
//! ```text
//! $ npm install socket.io-client@4
//! $ node -e 'const s = require("socket.io-client")("http://127.0.0.1:3000");
//!     s.on("name", (answer) => answer("Ada"));
//!     s.on("question", (text, answer) => { console.log(text); answer(6 * 7); });
//!     s.emitWithAck("join", "red").then(console.log)'
//! $ node -e 'const s = require("socket.io-client")("http://127.0.0.1:3000");
//!     s.on("name", (answer) => answer("Bob"));
//!     s.on("clock", (seconds) => console.log(seconds));
//!     s.emitWithAck("join", "red").then(() => s.emitWithAck("ask", "red", "What is 6 times 7?")).then(console.log)'
//! ```
//!
//! | the client sends | the server's reaction |
//! |---|---|
//! | `join` room | asks the client for its `name`, adds it to the room, and acknowledges `{names}` of the room, or `{error}` |
//! | `leave` room | acknowledges the remaining rooms |
//! | `ask` room, text | sends `question` text to the others in the room, and acknowledges `{answers, complete}` |
//! | `tell` [rooms], text | sends `told` name, text once to each other member of the rooms, and acknowledges their number |
//!
//! Every second, `clock` seconds is sent to all clients; slow clients miss some.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uptick::prelude::*;
use uptick::socketio::{AckError, DisconnectReason, Incomplete, SocketIoOptions, Value};

/// The time in which a client must answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ROOMS: usize = 10;

/// The data of a socket.
#[derive(Default, Serialize, Deserialize)]
struct Player {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Joined {
    Names(Vec<String>),
    Error(String),
}

#[derive(Serialize)]
struct Answers {
    answers: Vec<Value>,
    /// `true` if all have answered in time.
    complete: bool,
}

fn main() -> uptick::Result {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());

    let io = SocketIo::with_options(SocketIoOptions::new().max_rooms(MAX_ROOMS));
    io.on("connection", serve);
    let start = Instant::now();
    uptick::add_periodic_timer(Duration::from_secs(1), move |_| {
        let all = io.broadcast();
        all.volatile().emit("clock", &start.elapsed().as_secs());
    });

    let http = HttpServer::bind(address.as_str())?;
    http.mount("/socket.io/", &io);
    println!("listening on {}", http.address().unwrap_or_default());
    uptick::run()
}

fn serve(socket: Socket) {
    socket.on_ack("join", move |room: String, ack: Ack| {
        uptick::spawn(async move {
            match join(socket, &room).await {
                Ok(names) => ack.send(&Joined::Names(names)),
                Err(error) => ack.send(&Joined::Error(error)),
            }
        });
    });
    socket.on_ack("leave", move |room: String, ack: Ack| {
        socket.leave(room);
        let rooms = socket.rooms();
        // The first room is the socket's id. Every socket is in it.
        ack.send(&rooms.get(1..).unwrap_or_default());
    });
    socket.on_ack("ask", move |(room, text): (String, String), ack: Ack| {
        let others = socket.to(room).timeout(ANSWER_TIMEOUT);
        let answers = others.emit_with_ack("question", &text);
        answers.then(|answers| match answers {
            Ok(answers) => ack.send(&Answers {
                answers,
                complete: true,
            }),
            Err(Incomplete { received: answers }) => {
                ack.send(&Answers {
                    answers,
                    complete: false,
                });
            }
        });
    });
    socket.on_ack(
        "tell",
        move |(rooms, text): (Vec<String>, String), ack: Ack| {
            let name = socket.data::<Player>().unwrap_or_default().name;
            let rooms = rooms.iter().take(MAX_ROOMS);
            let others = socket.broadcast().to_any(rooms);
            ack.send(&others.emit("told", &(name, text)));
        },
    );
    socket.on("disconnect", move |reason: DisconnectReason| {
        let player = socket.data::<Player>().unwrap_or_default();
        eprintln!("{} has left: {reason}", player.name);
    });
}

/// Adds a socket to a room under the name that its client returns; returns the names in the room.
async fn join(socket: Socket, room: &str) -> Result<Vec<String>, String> {
    let name: Result<String, AckError> = socket
        .timeout(ANSWER_TIMEOUT)
        .emit_with_ack("name", &())
        .await;
    let name = name.map_err(|error| error.to_string())?;
    let player = Player { name };
    socket
        .set_data(&player)
        .map_err(|error| error.to_string())?;
    if !socket.join(room) {
        return Err(format!(
            "joining {room} failed: you are in {MAX_ROOMS} rooms"
        ));
    }
    let members = socket.namespace().to(room).fetch_sockets().await;
    // With several servers, one might not respond; then its players are missing.
    let members = members.unwrap_or_else(|incomplete| incomplete.received);
    let players = members
        .iter()
        .filter_map(|member| member.parse_data::<Player>());
    Ok(players.map(|player| player.name).collect())
}
