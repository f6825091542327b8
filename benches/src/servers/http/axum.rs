//! axum on tokio's current-thread runtime.

use anyhow::Result;
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::super::{announce, listen};
use super::HELLO;

pub(in super::super) fn serve() -> Result<()> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?
        .block_on(async {
            let app = Router::new()
                .route("/hello", get(async || HELLO))
                .route("/user/{id}", get(async |Path(id): Path<String>| id));
            let listener = TcpListener::from_std(listen()?)?;
            announce(listener.local_addr()?)?;
            axum::serve(listener, app).await?;
            Ok(())
        })
}
