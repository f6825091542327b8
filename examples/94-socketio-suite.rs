//! A server for the public test suites of the Socket.IO protocols (github.com/socketio/engine.io-protocol and
//! socket.io-protocol): short intervals, no middleware.
//!
//! Run it:
//! ```text
//! $ export SIO_SUITE=engine
//! $ cargo run --example 94-socketio-suite --features socketio
//! ```
//! It prints `ready` when it listens, on 127.0.0.1:3000 or the port in `SIO_PORT`. Try it:
//! ```text
//! $ curl 'http://127.0.0.1:3000/engine.io/?EIO=4&transport=polling'
//! ```

use std::env;
use std::time::Duration;

use uptick::http::Cors;
use uptick::prelude::*;
use uptick::socketio::engine::{Client, EngineIo, EngineOptions};
use uptick::socketio::{Arguments, SocketIoOptions, Value};

fn main() -> uptick::Result {
    let port = env::var("SIO_PORT").unwrap_or_else(|_| "3000".to_owned());
    let http = HttpServer::new();
    match env::var("SIO_SUITE").as_deref() {
        Ok("engine") => serve_engine(http),
        Ok("socket") => serve_sockets(http),
        other => {
            return Err(format!("SIO_SUITE must be `engine` or `socket`, not {other:?}").into());
        }
    }
    http.listen(Server::bind(format!("127.0.0.1:{port}"))?);
    println!("ready");
    http.shutdown_on([SIGTERM], Duration::from_secs(2))?;
    uptick::run()
}

fn options() -> EngineOptions {
    EngineOptions::new()
        .ping_interval(Duration::from_millis(300))
        .ping_timeout(Duration::from_millis(200))
        .max_payload(1_000_000)
        .cors(Cors::new().allow_any_origin())
}

/// Serves Engine.IO: echoes each message.
fn serve_engine(http: HttpServer) {
    let engine = EngineIo::with_options(options());
    engine.on("connection", |client: Client| {
        client.on("message", move |message: Message| client.send(message));
    });
    http.mount("/engine.io/", &engine);
}

/// Serves Socket.IO in two namespaces.
fn serve_sockets(http: HttpServer) {
    let options = SocketIoOptions::new()
        .engine(options())
        .connect_timeout(Duration::from_secs(1));
    let io = SocketIo::with_options(options);
    for namespace in [io.of("/"), io.of("/custom")] {
        namespace.on("connection", |socket: Socket| {
            let auth: Value = socket.auth().unwrap_or_default();
            socket.emit("auth", &auth);
            socket.on("message", move |args: Arguments| {
                socket.emit("message-back", &args)
            });
            socket.on_ack("message-with-ack", |args: Arguments, ack: Ack| {
                ack.send(&args);
            });
        });
    }
    http.mount("/socket.io/", &io);
}
