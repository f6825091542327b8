//! WebSockets of async-tungstenite over Uptick connections, on both sides.
//!
//! Run it. It ends when its client has received the response:
//! ```text
//! $ cargo run --release --example 35-async-tungstenite
//! ```

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "an example prints"
)]

use std::error::Error;

use futures::StreamExt as _;
use uptick_async_std::{block_on, websocket};
use uptick_socket::prelude::{Connection, Emitter as _, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("tcp://127.0.0.1:0")?;
    server.on("connection", |conn: Connection| {
        uptick_event_loop::spawn(async move {
            if let Err(e) = echo(conn).await {
                eprintln!("the server failed: {e}");
            }
        });
    });
    let address = server.address().unwrap_or_default();
    println!("listening on {address}");
    let url = address.replace("tcp://", "ws://");

    block_on(async {
        let mut socket = websocket::connect(&url).await?;
        socket.send("hello".into()).await?;
        if let Some(answer) = socket.next().await {
            println!("response: {}", answer?);
        }
        Ok(socket.close(None).await?)
    })?
}

/// Sends received text back in upper case.
async fn echo(conn: Connection) -> Result<(), websocket::Error> {
    let mut socket = websocket::accept(conn).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if let Ok(text) = message.to_text()
            && message.is_text()
        {
            socket.send(text.to_uppercase().into()).await?;
        }
    }
    Ok(())
}
