//! Socket.IO servers on several machines that act as one, connected over Redis: rooms, acknowledgements and lists of clients include all servers. Servers
//! of Node.js with the official adapter may be in the same cluster.
//!
//! Run a Redis server, and two servers, here on two ports of one machine:
//! ```text
//! $ redis-server --port 6379 &
//! $ cargo run --example 43-socketio-cluster --features socketio-redis -- --name rust-1 127.0.0.1:3001 &
//! $ cargo run --example 43-socketio-cluster --features socketio-redis -- --name rust-2 127.0.0.1:3002
//! ```
//! Add a Node.js server on port 3003, which runs `43-socketio-cluster/server.js`:
//! ```text
//! $ npm install --prefix target/tools socket.io@4 socket.io-client@4 redis@5 @socket.io/redis-adapter@8
//! $ export NODE_PATH=target/tools/node_modules
//! $ node examples/43-socketio-cluster/server.js 3003 redis://127.0.0.1:6379 classic
//! ```
//! Poke it: connect to different servers, and talk to each other:
//! ```text
//! $ node -e 'const s = require("socket.io-client")("http://127.0.0.1:3003");
//!     s.on("said", console.log);
//!     s.on("question", (text, answer) => answer("from the client of Node.js"));
//!     s.emitWithAck("join", "lobby").then(console.log)'
//! $ node -e 'const s = require("socket.io-client")("http://127.0.0.1:3001");
//!     s.on("said", console.log);
//!     s.emitWithAck("join", "lobby").then(() => s.emit("say", "lobby", "Hello!"));
//!     s.emitWithAck("who").then(console.log);
//!     s.emitWithAck("ask", "lobby", "Where are you?").then(console.log)'
//! ```
//!
//! | the client sends | the server |
//! |---|---|
//! | `join` room | lets it join, and acknowledges the rooms |
//! | `say` room, text | sends `said` server, text to the room, on all servers |
//! | `who` | acknowledges the number of clients of each server |
//! | `ask` room, text | sends `question` text to the others in the room, on all servers, and acknowledges `{answers, complete}` |
//!
//! `--adapter sharded` uses sharded channels (Redis 7), on all servers of the cluster. With several workers on a machine, each worker is a server
//! of the cluster. Clients that poll need sticky sessions between machines.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uptick::prelude::*;
use uptick::redis;
use uptick::socketio::adapter::AdapterFactory;
use uptick::socketio::adapter::redis::{RedisAdapter, ShardedRedisAdapter};
use uptick::socketio::{Incomplete, SocketIoOptions, Value};

const USAGE: &str =
    "usage: 43-socketio-cluster [--name NAME] [--redis URL] [--adapter classic|sharded] [ADDRESS]";
/// The time that a client has for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(5);

/// The data of a socket, which other servers see.
#[derive(Default, Deserialize, Serialize)]
struct Place {
    server: String,
}

#[derive(Serialize)]
struct Answers {
    answers: Vec<Value>,
    /// `true` if all clients have answered in time.
    complete: bool,
}

struct Options {
    name: String,
    redis: String,
    sharded: bool,
    address: String,
}

fn main() -> uptick::Result {
    let options = Options::read(std::env::args().skip(1))?;
    let redis = Redis::connect(&options.redis)?;
    redis.on("error", |error: redis::Error| eprintln!("{error}"));
    let adapter = adapter(redis, options.sharded);
    let io = SocketIo::with_options(SocketIoOptions::new().adapter(adapter));
    let name = options.name;
    io.on("connection", move |socket: Socket| serve(socket, &name));

    let http = HttpServer::bind(options.address.as_str())?;
    http.mount("/socket.io/", &io);
    http.shutdown_on([SIGINT, SIGTERM], DEADLINE)?;
    // The program runs until the client is closed.
    http.on("close", move |()| redis.close());
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp://", "http://"));
    uptick::run()
}

fn adapter(redis: Redis, sharded: bool) -> AdapterFactory {
    match sharded {
        false => RedisAdapter::new(redis).factory(),
        true => ShardedRedisAdapter::new(redis).factory(),
    }
}

fn serve(socket: Socket, name: &str) {
    let server = name.to_owned();
    if let Err(error) = socket.set_data(&Place { server }) {
        eprintln!("{error}");
    }
    socket.on_ack("join", move |room: String, ack: Ack| {
        socket.join(room);
        ack.send(&socket.rooms().get(1..).unwrap_or_default());
    });
    let server = name.to_owned();
    socket.on("say", move |(room, text): (String, String)| {
        socket.namespace().to(room).emit("said", &(&server, text));
    });
    socket.on_ack("who", move |(), ack: Ack| {
        uptick::spawn(async move {
            let sockets = socket.namespace().fetch_sockets().await;
            // A server that does not respond in time is missing.
            let sockets = sockets.unwrap_or_else(|incomplete| incomplete.received);
            let mut clients: BTreeMap<String, usize> = BTreeMap::new();
            for socket in sockets {
                let place: Place = socket.parse_data().unwrap_or_default();
                *clients.entry(place.server).or_default() += 1;
            }
            ack.send(&clients);
        });
    });
    socket.on_ack("ask", move |(room, text): (String, String), ack: Ack| {
        let others = socket.to(room).timeout(PATIENCE);
        let answers = others.emit_with_ack("question", &text);
        answers.then(move |answers| {
            let complete = answers.is_ok();
            let answers = match answers {
                Ok(answers) | Err(Incomplete { received: answers }) => answers,
            };
            ack.send(&Answers { answers, complete });
        });
    });
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> uptick::Result<Options> {
        let mut options = Options {
            name: format!("process {}", std::process::id()),
            redis: "redis://127.0.0.1:6379".into(),
            sharded: false,
            address: "127.0.0.1:3001".into(),
        };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--name" => options.name = args.next().ok_or(USAGE)?,
                "--redis" => options.redis = args.next().ok_or(USAGE)?,
                "--adapter" => {
                    options.sharded = match args.next().as_deref() {
                        Some("classic") => false,
                        Some("sharded") => true,
                        _ => return Err(USAGE.into()),
                    }
                }
                _ if arg.starts_with('-') => {
                    return Err(format!("there is no option {arg}; {USAGE}").into());
                }
                _ => options.address = arg,
            }
        }
        Ok(options)
    }
}
