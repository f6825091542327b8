//! A chat in the browser with Socket.IO: rooms, members, typing indicators and a history. It works over WebSockets and over
//! polling, on one or several workers. A page whose connection breaks reconnects, and shows the missed messages.
//!
//! The page uses the official client, which npm installs and the program serves. Install it, and run the program on
//! 127.0.0.1:8080, or on another address or several worker processes:
//! ```text
//! $ npm install --prefix target/tools socket.io-client@4
//! $ cargo run --example 40-socketio-chat --features socketio,workers
//! $ cargo run --example 40-socketio-chat --features socketio,workers -- --listen 0.0.0.0:8080 --workers 4
//! $ cargo run --example 40-socketio-chat --features socketio,workers -- --client /usr/share/nodejs/socket.io-client/dist
//! ```
//! Try it: open <http://127.0.0.1:8080/> in two windows, and join under two names; <http://127.0.0.1:8080/?transport=polling>
//! uses no WebSocket. Stop the server with Ctrl-C, write a message in one of the windows, and start the server again. Other
//! clients can use the page's events:
//! ```text
//! $ NODE_PATH=target/tools/node_modules node -e 'const s = require("socket.io-client")("http://127.0.0.1:8080");
//!     s.on("said", (room, said) => console.log(room, said.name, said.text));
//!     s.emitWithAck("join", { name: "Cid", room: "lobby", token: "my secret" }).then(console.log);
//!     s.emitWithAck("say", { text: "Hello!", ref: 1 }).then(console.log)'
//! ```
//!
//! Each worker serves its own pages. It finds the people of all workers with `fetch_sockets`, broadcasts messages to all workers,
//! and keeps the messages of other workers from server-side events. Rate limits are not shared: each worker counts separately.

use std::time::Duration;

use uptick::http::HeaderError;
use uptick::prelude::*;
use uptick::socketio::SocketIoOptions;
use uptick::socketio::adapter::BusAdapter;
use uptick::socketio::engine::EngineOptions;
use uptick::websocket::Origins;
use uptick::workers::WorkerEvent;

#[path = "40-socketio-chat/chat_server.rs"]
mod chat_server;
#[path = "40-socketio-chat/files.rs"]
mod files;
#[path = "40-socketio-chat/history.rs"]
mod history;
#[path = "40-socketio-chat/limits.rs"]
mod limits;
#[path = "40-socketio-chat/options.rs"]
mod options;
#[path = "40-socketio-chat/roster.rs"]
mod roster;
#[path = "30-chat/validation.rs"]
mod validation;
#[path = "40-socketio-chat/wire.rs"]
mod wire;

use chat_server::ChatServer;
use options::Options;

/// The maximum number of connections and pages of each worker.
const MAX_CLIENTS: usize = 1000;
/// The maximum size of an event in bytes: the longest message, in JSON with all of its characters escaped.
const MAX_PAYLOAD: usize = 64 * 1024;
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
    http.listen(LimitingServer::new(server, MAX_CLIENTS, false));
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
            let (io, http, chat_server) = serve(settings, worker.number(), client.clone())?;
            // The people of a killed worker are gone.
            worker
                .bus()
                .on("peer-gone", |_: u64| chat_server.refresh_soon());
            http.listen(LimitingServer::new(worker.server(0)?, MAX_CLIENTS, false));
            worker.on(Worker::DRAIN, move |_| io.close());
            Ok(())
        })?;
    Ok(())
}

/// Creates the Socket.IO server, and an HTTP server for it and the files of the page.
fn serve(
    settings: SocketIoOptions,
    worker: usize,
    client: Bytes,
) -> Result<(SocketIo, HttpServer, &'static ChatServer), HeaderError> {
    let engine = EngineOptions::new()
        .max_payload(MAX_PAYLOAD)
        .max_clients(MAX_CLIENTS)
        .origins(Origins::OwnHost);
    let io = SocketIo::with_options(settings.engine(engine));
    let http = HttpServer::new();
    files::add(http, client)?;
    http.mount("/socket.io/", &io);

    // The hall lives as long as the program, so callbacks can refer to it.
    let chat_server: &'static ChatServer = Box::leak(Box::new(ChatServer::new(io.of("/"), worker)));
    chat_server.open();
    Ok((io, http, chat_server))
}
