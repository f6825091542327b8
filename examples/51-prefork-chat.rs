//! The chat of `30-chat` on several worker processes, and on several machines over Redis. A page connects to any worker, and shows the people
//! and messages of all.
//!
//! Run it with one worker for each processor, or with another number:
//! ```text
//! $ cargo run --example 51-prefork-chat --features redis,workers
//! $ cargo run --example 51-prefork-chat --features redis,workers -- --workers 4 127.0.0.1:8080
//! ```
//! Try it: open <http://127.0.0.1:8080/> in two windows, and join under two names. A response header contains the worker:
//! ```text
//! $ curl -si --http1.1 -m 1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!     -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:8080/chat | grep x-worker
//! x-worker: 2 (pid 4712)
//! ```
//! Kill that worker: its people leave, and their pages reconnect to other workers. Its successor receives the history from the
//! others. Or reload: new workers start, receive the history, and take over. PID is the first process:
//! ```text
//! $ kill -9 4712
//! $ kill -HUP PID
//! ```
//!
//! On two machines, or on two ports of one, with a Redis server between them:
//! ```text
//! $ redis-server --port 6379 &
//! $ cargo run --example 51-prefork-chat --features redis,workers -- --redis redis://127.0.0.1:6379 127.0.0.1:8080 &
//! $ cargo run --example 51-prefork-chat --features redis,workers -- --redis redis://127.0.0.1:6379 127.0.0.1:8081
//! ```
//! Stop the Redis server: the people of the other machine leave, and the chat continues on each machine. Start it again: they return, and both
//! machines have all messages.
//!
//! Each worker has a replica of all rooms. It handles the requests of its own pages and publishes the changes on the bus; the
//! other workers apply them to their replicas. A worker that connects, or that was disconnected from Redis, requests the state of the others.
//! Messages that a worker accepts immediately before it is killed may be lost. Rate limits are not shared: each worker counts separately.

use uptick::prelude::*;
use uptick::rate_limit::Client;
use uptick::workers::bus::{RedisBusOptions, RedisTransport};
use uptick::workers::{Worker, WorkerEvent, Workers};

#[path = "30-chat/chat.rs"]
mod chat;
#[path = "51-prefork-chat/chat_server.rs"]
mod chat_server;
#[path = "51-prefork-chat/clock.rs"]
mod clock;
#[path = "30-chat/limits.rs"]
mod limits;
#[path = "51-prefork-chat/news.rs"]
mod news;
#[path = "30-chat/page.rs"]
mod page;
#[path = "51-prefork-chat/replica.rs"]
mod replica;
#[path = "30-chat/room.rs"]
mod room;
#[path = "30-chat/validation.rs"]
mod validation;
#[path = "30-chat/wire.rs"]
mod wire;

use chat_server::ChatServer;

const USAGE: &str = "usage: 51-prefork-chat [--workers N] [--redis URL] [ADDRESS]";
/// The maximum number of connections of each worker.
const MAX_CLIENTS: usize = 1000;

pub(crate) fn main() -> uptick::Result {
    let options = read_options()?;
    let redis = options.redis;
    Workers::processes(options.workers)
        .listen(options.address.as_str())
        .on_event(|event| match event {
            WorkerEvent::Listening { addresses } => {
                let uris = addresses.iter().map(|uri| uri.replace("tcp://", "http://"));
                println!("listening on {}", uris.collect::<Vec<_>>().join(", "));
            }
            event => eprintln!("{event}"),
        })
        .run(move |worker| serve(worker, redis.as_deref()))?;
    Ok(())
}

fn serve(
    worker: Worker,
    redis: Option<&str>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if let Some(url) = redis {
        let options = RedisBusOptions::new().prefix("prefork-chat");
        let transport = RedisTransport::connect(url, options)?;
        worker.bus().attach_remote(transport);
    }
    let http = HttpServer::new();
    page::add_files(http)?;

    // The hall lives as long as the process, so callbacks can refer to it.
    let chat_server: &'static ChatServer =
        Box::leak(Box::new(ChatServer::new(http.hub(), worker.bus())));
    chat_server.open(worker);
    let name = format!("{} (pid {})", worker.number(), std::process::id());
    http.websocket_with("/chat", page::websocket_options(), move |req: Request| {
        let client = req.client().map(Client::from);
        Accept::new(move |ws| chat_server.add_page(ws, client)).header("X-Worker", name.as_str())
    });
    for index in 0..worker.addresses().len() {
        let server = worker.server(index)?;
        http.listen(LimitingServer::new(server, MAX_CLIENTS, false));
    }
    Ok(())
}

struct Options {
    workers: usize,
    redis: Option<String>,
    address: String,
}

fn read_options() -> uptick::Result<Options> {
    let (mut workers, mut redis, mut address) = (None, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--workers" => workers = Some(args.next().ok_or(USAGE)?.parse()?),
            "--redis" => redis = Some(args.next().ok_or(USAGE)?),
            _ if !arg.starts_with('-') && address.is_none() => address = Some(arg),
            _ => return Err(format!("there is no option {arg}; {USAGE}").into()),
        }
    }
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Options {
        workers: workers.unwrap_or_else(processors),
        redis,
        address: address.unwrap_or("127.0.0.1:8080".into()),
    })
}
