//! The common part of the clients on tokio's current-thread runtime.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::{announce, listen};
use super::{Case, DONE, HOSTS, OPEN, POOL, SMALL, allocated, held_url};

/// The body of an upload.
pub(super) const UPLOAD: Bytes = Bytes::from_static(&[b'x'; SMALL]);

/// A client with a pool of connections for each version of HTTP, which resolves the names of the server.
pub(super) trait Client: Send + Sync + 'static {
    /// Sends one request, and checks the response.
    fn send(&self, url: &str, case: Case) -> impl Future<Output = Result<()>> + Send;
}

pub(super) fn runtime() -> Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    Ok(builder.enable_io().enable_time().build()?)
}

/// Listens, and sends requests on request.
pub(super) async fn run<C: Client>(client: C, upstream: &str) -> Result<()> {
    let (client, upstream) = (Arc::new(client), Arc::<str>::from(upstream));
    let answer = async move |Path((path, count)): Path<(String, u64)>| {
        let done = match Case::by_path(&path) {
            _ if path == OPEN => open(&client, &upstream, count).await,
            Some(case) => send(&client, &upstream, case, count).await,
            None => return "not a request for requests".to_owned(),
        };
        done.map_or_else(|error| format!("{error:#}"), |()| DONE.to_owned())
    };
    let app = Router::new()
        .route("/{case}/{count}", get(answer))
        .route("/allocated", get(async || allocated()));
    let listener = TcpListener::from_std(listen()?)?;
    announce(listener.local_addr()?)?;
    axum::serve(listener, app).await?;
    Ok(())
}

async fn send<C: Client>(client: &Arc<C>, upstream: &str, case: Case, count: u64) -> Result<()> {
    let url = case.url(upstream);
    if case.in_flight() == 1 {
        for _ in 0..count {
            client.send(&url, case).await?;
        }
        return Ok(());
    }
    // These clients have no limit on the connections in use.
    let limit = Arc::new(Semaphore::new(match case {
        Case::Http2 => Semaphore::MAX_PERMITS,
        _ => POOL,
    }));
    let each = count / case.in_flight();
    let mut tasks = JoinSet::new();
    for _ in 0..case.in_flight() {
        let (client, url, limit) = (Arc::clone(client), url.clone(), Arc::clone(&limit));
        tasks.spawn(async move {
            for _ in 0..each {
                let _permit = limit.acquire().await?;
                client.send(&url, case).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

async fn open<C: Client>(client: &Arc<C>, upstream: &str, count: u64) -> Result<()> {
    for number in 0..HOSTS {
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let client = Arc::clone(client);
            let url = held_url(upstream, number, count);
            tasks.spawn(async move { client.send(&url, Case::Small).await });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
    }
    Ok(())
}
