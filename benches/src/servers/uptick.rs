//! Uptick, as shown in its README.

use anyhow::{Context as _, Result};
use uptick::prelude::*;

pub(super) fn serve() -> Result<()> {
    let server = Server::bind("127.0.0.1:0")?;
    super::announce(server.address().context("the server has no address")?)?;
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        conn.on("close", |()| ());
    });
    uptick::event_loop::run()?;
    Ok(())
}
