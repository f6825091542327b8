//! A chat in the browser with Socket.IO: rooms, who is there, who is typing, and what was said before. It works over WebSockets and over polling, on one or
//! several workers. A page whose connection breaks comes back by itself, and shows what it has missed.
//!
//! The page uses the official client, which npm installs and the program serves. Install it, and run the program, on 127.0.0.1:8080 or on an address of your
//! own, on several worker processes if you like:
//! ```text
//! $ npm install --prefix target/tools socket.io-client@4
//! $ cargo run --example 40-socketio-chat --features socketio,workers
//! $ cargo run --example 40-socketio-chat --features socketio,workers -- --listen 0.0.0.0:8080 --workers 4
//! $ cargo run --example 40-socketio-chat --features socketio,workers -- --client /usr/share/nodejs/socket.io-client/dist
//! ```
//! Poke it: open <http://127.0.0.1:8080/> in two windows, and join under two names; <http://127.0.0.1:8080/?transport=polling> uses no WebSocket. Stop the
//! server with Ctrl-C, say something in one of the windows, and start it again. What the page sends, you may, too:
//! ```text
//! $ NODE_PATH=target/tools/node_modules node -e 'const s = require("socket.io-client")("http://127.0.0.1:8080");
//!     s.on("said", (room, said) => console.log(room, said.name, said.text));
//!     s.emitWithAck("join", { name: "Cid", room: "lobby", token: "my secret" }).then(console.log);
//!     s.emitWithAck("say", { text: "Hello!", ref: 1 }).then(console.log)'
//! ```
//!
//! Each worker serves its own pages. It finds the people of all workers by `fetch_sockets`, sends messages to all by a broadcast, and remembers them from server-side
//! events. Rate limits are not shared: each worker counts for itself.

use std::time::Duration;

use uptick::http::FieldError;
use uptick::prelude::*;
use uptick::socketio::SocketIoOptions;
use uptick::socketio::adapter::BusAdapter;
use uptick::socketio::engine::EngineOptions;
use uptick::websocket::Origins;
use uptick::workers::WorkerEvent;

#[path = "40-socketio-chat/files.rs"]
mod files;
#[path = "40-socketio-chat/hall.rs"]
mod hall;
#[path = "40-socketio-chat/history.rs"]
mod history;
#[path = "40-socketio-chat/limits.rs"]
mod limits;
#[path = "40-socketio-chat/options.rs"]
mod options;
#[path = "40-socketio-chat/roster.rs"]
mod roster;
#[path = "40-socketio-chat/wire.rs"]
mod wire;
#[path = "30-chat/words.rs"]
mod words;

use hall::Hall;
use options::Options;

/// The maximum number of connections, and of pages, of each worker.
const MOST_CLIENTS: usize = 1000;
/// The maximum size in bytes of what a page sends: of the longest message, in JSON with all of its characters escaped.
const LARGEST_PAYLOAD: usize = 64 * 1024;
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) fn main() -> uptick::Result {
    let options = Options::read(std::env::args().skip(1))?;
    let client = files::read_client(&options.client)?;
    match options.workers {
        1 => run_alone(&options, client),
        _ => run_workers(&options, client),
    }
}

fn run_alone(options: &Options, client: Bytes) -> uptick::Result {
    let (_, http, _) = serve(SocketIoOptions::new(), 0, client)?;
    let server = Server::bind(&options.listen)?;
    http.listen(LimitingServer::new(server, MOST_CLIENTS, false));
    http.shutdown_on([SIGINT, SIGTERM], DEADLINE)?;
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp://", "http://"));
    uptick::run()
}

fn run_workers(options: &Options, client: Bytes) -> uptick::Result {
    Workers::processes(options.workers)
        .listen(&options.listen)
        .drain_timeout(DEADLINE)
        .on_event(|event| match event {
            WorkerEvent::Listening { addresses } => {
                let uris = addresses.iter().map(|uri| uri.replace("tcp://", "http://"));
                println!("listening on {}", uris.collect::<Vec<_>>().join(", "));
            }
            event => eprintln!("{event}"),
        })
        .run(move |worker: Worker| {
            let settings = SocketIoOptions::new().adapter(BusAdapter::factory());
            let (io, http, hall) = serve(settings, worker.number(), client.clone())?;
            // The people of a worker that was killed are gone.
            worker.bus().on("peer-gone", |_: u64| hall.refresh_soon());
            http.listen(LimitingServer::new(worker.server(0)?, MOST_CLIENTS, false));
            worker.on(Worker::DRAIN, move |_| io.close());
            Ok(())
        })?;
    Ok(())
}

/// Creates the Socket.IO server, and an HTTP server that has it and the files of the page.
fn serve(
    settings: SocketIoOptions,
    worker: usize,
    client: Bytes,
) -> Result<(SocketIo, HttpServer, &'static Hall), FieldError> {
    let engine = EngineOptions::new()
        .max_payload(LARGEST_PAYLOAD)
        .max_clients(MOST_CLIENTS)
        .origins(Origins::OwnHost);
    let io = SocketIo::with_options(settings.engine(engine));
    let http = HttpServer::new();
    files::add(http, client)?;
    http.mount("/socket.io/", &io);

    // It lives as long as the program, so callbacks can refer to it.
    let hall: &'static Hall = Box::leak(Box::new(Hall::new(io.of("/"), worker)));
    hall.open();
    Ok((io, http, hall))
}
