//! An Uptick server in an async-std program: one thread and one executor for both.
//!
//! Run it. It ends when its client has received the response:
//! ```text
//! $ cargo run -p uptick-async-std --example 16-inside-async-std
//! ```

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::time::Duration;

use async_std::io::{ReadExt as _, WriteExt as _};
use async_std::net::TcpStream;
use async_std::task;
use futures::try_join;
use uptick_socket::prelude::{Bytes, Connection, Emitter as _, Server};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result {
    task::block_on(async {
        let server = Server::bind("tcp://127.0.0.1:0")?;
        server.on("connection", move |conn: Connection| {
            conn.on("data", move |chunk: Bytes| {
                // A callback that has to wait spawns a future, which may use async-std.
                uptick_event_loop::spawn(async move {
                    task::sleep(Duration::from_millis(20)).await;
                    conn.end_with(chunk.to_ascii_uppercase());
                });
            });
            // When its only server is closed, the loop has nothing left to wait for, and its future
            // completes.
            conn.on("close", move |()| server.close());
        });
        let address = server.address().unwrap_or_default();
        println!("listening on {address}");

        let event_loop = async { Ok(uptick_async_std::run().await?) };
        try_join!(event_loop, client(&address))?;
        println!("after the loop");
        Ok(())
    })
}

/// A plain async-std client.
async fn client(address: &str) -> Result {
    let address = address.strip_prefix("tcp://").unwrap_or(address);
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"hello").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("response: {answer}");
    Ok(())
}
