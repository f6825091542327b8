//! Uptick's WebSocket servers, as in the README of the crate: an echo server and a publishing server.

use anyhow::{Context as _, Result};
use uptick::prelude::*;

use super::super::announce;
use crate::load::PATH;

pub(in super::super) fn serve() -> Result<()> {
    let http = HttpServer::new();
    http.websocket(PATH, |ws: WebSocket| {
        ws.on("message", move |message: Message| ws.send(message));
    });
    run(http)
}

/// Runs a server that publishes each received message to all WebSockets.
pub(in super::super) fn publish() -> Result<()> {
    let http = HttpServer::new();
    http.websocket(PATH, move |ws: WebSocket| {
        ws.subscribe("all");
        ws.on("message", move |message: Message| {
            http.publish("all", message)
        });
    });
    run(http)
}

fn run(http: HttpServer) -> Result<()> {
    let server = Server::bind("127.0.0.1:0")?;
    announce(server.address().context("the server has no address")?)?;
    http.listen(server);
    uptick::event_loop::run()?;
    Ok(())
}
