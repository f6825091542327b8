//! actix-web with one worker.

use std::time::Duration;

use actix_web::rt::System;
use actix_web::{App, HttpServer, web};
use anyhow::Result;

use super::super::{announce, listen};
use super::HELLO;

/// Connections are idle while the other servers take their turns.
const KEEP_ALIVE: Duration = Duration::from_secs(3600);

pub(in super::super) fn serve() -> Result<()> {
    let listener = listen()?;
    let address = listener.local_addr()?;
    System::new().block_on(async move {
        let app = || {
            App::new()
                .route("/hello", web::get().to(async || HELLO))
                .route("/user/{id}", web::get().to(user))
        };
        let server = HttpServer::new(app)
            .workers(1)
            .keep_alive(KEEP_ALIVE)
            .listen(listener)?
            .run();
        announce(address)?;
        server.await?;
        Ok(())
    })
}

async fn user(id: web::Path<String>) -> String {
    id.into_inner()
}
