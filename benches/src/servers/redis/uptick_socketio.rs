//! Uptick's Socket.IO server in a cluster over Redis.
//!
//! When the namespace `/control` receives `burst` with the first number and a count, the server broadcasts `message` to `/` with each of the
//! numbers, in 20 digits; with `send`, to `/sent`.

use std::ffi::OsStr;

use anyhow::{Context as _, Result};
use uptick::prelude::*;
use uptick::socketio::adapter::redis::RedisAdapter;
use uptick::socketio::engine::EngineOptions;

use super::super::announce;
use super::super::socketio::PING_INTERVAL;
use super::url;

pub(in super::super) fn serve(argument: Option<&OsStr>) -> Result<()> {
    let redis = Redis::connect(url(argument)?)?;
    let engine = EngineOptions::new().ping_interval(PING_INTERVAL);
    let options = SocketIoOptions::new()
        .engine(engine)
        .adapter(RedisAdapter::new(redis).factory());
    let io = SocketIo::with_options(options);
    let sent = io.of("/sent");
    let broadcast = |namespace: Namespace, first: u64, count: u64| {
        for number in first..first + count {
            namespace.emit("message", &format!("{number:020}"));
        }
    };
    io.of("/control").on("connection", move |socket: Socket| {
        socket.on("burst", move |(first, count)| {
            broadcast(io.of("/"), first, count)
        });
        socket.on("send", move |(first, count)| broadcast(sent, first, count));
    });
    let http = HttpServer::new();
    http.mount("/socket.io/", &io);
    let server = Server::bind("127.0.0.1:0")?;
    announce(server.address().context("the server has no address")?)?;
    http.listen(server);
    uptick::event_loop::run()?;
    Ok(())
}
