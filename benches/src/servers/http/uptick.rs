//! Uptick's HTTP server, as shown in its README, and the same behind a `SecureServer`.

use std::path::Path;

use anyhow::{Context as _, Result};
use uptick::prelude::*;

use super::super::announce;
use super::HELLO;

pub(in super::super) fn serve() -> Result<()> {
    run(Server::bind("127.0.0.1:0")?)
}

pub(in super::super) fn serve_tls(identity: &Path) -> Result<()> {
    let tls = TlsContext::new().local_cert(identity).load()?;
    run(SecureServer::new(Server::bind("127.0.0.1:0")?, tls))
}

fn run(server: impl ServerInterface) -> Result<()> {
    announce(server.address().context("the server has no address")?)?;
    let http = HttpServer::new();
    http.get("/hello", |_| HELLO);
    http.get("/user/{id}", |req: Request| {
        req.param("id").unwrap_or_default().to_owned()
    });
    http.listen(server);
    uptick::event_loop::run()?;
    Ok(())
}
