//! The chat of `30-chat` on several worker processes: a page is connected to any of them, and sees everybody in all of them.
//!
//! Run it, with a worker for each processor or with as many as you like:
//! ```text
//! $ cargo run --release --example 51-prefork-chat
//! $ cargo run --release --example 51-prefork-chat -- --workers 4 127.0.0.1:8080
//! ```
//! Poke it: open <http://127.0.0.1:8080/> in two windows, and join under two names. Which worker serves a page is in a header:
//! ```text
//! $ curl -si --http1.1 -m 1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!     -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:8080/chat | grep x-worker
//! x-worker: 2 (pid 4712)
//! ```
//! Kill that worker: its people leave and come back on others. The worker that takes its place has the history from the others.
//! Or start new workers, which take over without a lost message:
//! ```text
//! $ kill -9 4712
//! $ kill -HUP PID
//! ```
//!
//! Each worker has a replica of all rooms. It does what its own pages ask for, and publishes the outcome on the bus, where the others
//! learn of it. What is not replicated: how much a client has sent, so each worker allows it the full measure.

use uptick::prelude::*;
use uptick::rate_limit::Client;
use uptick::workers::{Worker, WorkerEvent, Workers};

#[path = "30-chat/chat.rs"]
mod chat;
#[path = "51-prefork-chat/clock.rs"]
mod clock;
#[path = "51-prefork-chat/hall.rs"]
mod hall;
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
#[path = "30-chat/wire.rs"]
mod wire;
#[path = "30-chat/words.rs"]
mod words;

use hall::Hall;

const USAGE: &str = "usage: 51-prefork-chat [--workers N] [ADDRESS]";
/// In each worker.
const MOST_CLIENTS: usize = 1000;

fn main() -> uptick::Result {
    let (workers, address) = read_options()?;
    Workers::processes(workers)
        .listen(address.as_str())
        .on_event(|event| match event {
            WorkerEvent::Listening { addresses } => {
                let uris = addresses.iter().map(|uri| uri.replace("tcp://", "http://"));
                println!("listening on {}", uris.collect::<Vec<_>>().join(", "));
            }
            event => eprintln!("{event}"),
        })
        .run(serve)?;
    Ok(())
}

fn serve(worker: Worker) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let http = HttpServer::new();
    page::add_files(http)?;

    // It lives as long as the process, so callbacks may all refer to it.
    let hall: &'static Hall = Box::leak(Box::new(Hall::new(http.topics(), worker.bus())));
    hall.open(worker);
    let name = format!("{} (pid {})", worker.number(), std::process::id());
    http.websocket_with("/chat", page::websocket_options(), move |req: Request| {
        let client = req.client().map(Client::from);
        Accept::new(move |ws| hall.welcome(ws, client)).header("X-Worker", name.as_str())
    });
    for index in 0..worker.addresses().len() {
        let server = worker.server(index)?;
        http.listen(LimitingServer::new(server, MOST_CLIENTS, false));
    }
    Ok(())
}

fn read_options() -> uptick::Result<(usize, String)> {
    let (mut workers, mut address) = (None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--workers" => workers = Some(args.next().ok_or(USAGE)?.parse()?),
            _ if !arg.starts_with('-') && address.is_none() => address = Some(arg),
            _ => return Err(format!("there is no option {arg}; {USAGE}").into()),
        }
    }
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    Ok((
        workers.unwrap_or_else(processors),
        address.unwrap_or("127.0.0.1:8080".into()),
    ))
}
