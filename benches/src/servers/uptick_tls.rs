//! Uptick with TLS: the plain server in a `SecureServer`, with the same listeners.

use std::path::Path;

use anyhow::{Context as _, Result};
use uptick::prelude::*;
use uptick_tls::{SecureServer, TlsContext};

pub(super) fn serve(identity: &Path) -> Result<()> {
    let tls = TlsContext::new().local_cert(identity).load()?;
    let server = SecureServer::new(Server::bind("127.0.0.1:0")?, tls);
    super::announce(server.address().context("the server has no address")?)?;
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        conn.on("close", |()| ());
    });
    uptick::event_loop::run()?;
    Ok(())
}
