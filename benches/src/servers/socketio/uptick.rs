//! Uptick's Socket.IO server, as shown in its documentation.

use anyhow::{Context as _, Result};
use uptick::prelude::*;
use uptick::socketio::SocketIoOptions;
use uptick::socketio::engine::EngineOptions;

use super::super::announce;
use super::PING_INTERVAL;

pub(in super::super) fn serve() -> Result<()> {
    let engine = EngineOptions::new().ping_interval(PING_INTERVAL);
    let io = SocketIo::with_options(SocketIoOptions::new().engine(engine));
    io.on("connection", |socket: Socket| {
        socket.on_ack("echo", |text: String, ack| ack.send(&text));
    });
    io.of("/control").on("connection", move |socket: Socket| {
        socket.on("burst", move |(first, count): (u64, u64)| {
            for number in first..first + count {
                io.emit("message", &format!("{number:020}"));
            }
        });
    });
    let http = HttpServer::new();
    http.mount("/socket.io/", &io);
    let server = Server::bind("127.0.0.1:0")?;
    announce(server.address().context("the server has no address")?)?;
    http.listen(server);
    uptick::event_loop::run()?;
    Ok(())
}
