//! redis-rs on tokio's current-thread runtime: one multiplexed connection, and its pipelines.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, AsyncConnectionConfig, Client};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::super::{announce, listen};
use super::{DONE, Mode, PIPELINE, key, url, value};

/// The timeout of a command. The default, 500 ms, is short for a machine that does something else as well.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(in super::super) fn serve(argument: Option<&OsStr>) -> Result<()> {
    let client = Client::open(url(argument)?)?;
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?
        .block_on(async {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(TIMEOUT))
                .set_response_timeout(Some(TIMEOUT));
            let connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            let next = Arc::new(AtomicU64::new(0));
            let answer = async move |Path((mode, count)): Path<(String, u64)>| {
                let Some(mode) = Mode::by_path(&mode) else {
                    return "not a request for commands".to_owned();
                };
                let done = execute(connection, mode, count, &next).await;
                done.map_or_else(|error| error.to_string(), |()| DONE.to_owned())
            };
            let app = Router::new().route("/{mode}/{count}", get(answer));
            let listener = TcpListener::from_std(listen()?)?;
            announce(listener.local_addr()?)?;
            axum::serve(listener, app).await?;
            Ok(())
        })
}

async fn execute(
    mut connection: MultiplexedConnection,
    mode: Mode,
    count: u64,
    next: &Arc<AtomicU64>,
) -> Result<()> {
    match mode {
        Mode::Sequential => sequence(connection, count / 2, next).await,
        Mode::Pipelined => {
            for _ in 0..count / PIPELINE {
                pipeline(&mut connection, next).await?;
            }
            Ok(())
        }
        Mode::Concurrent => {
            let mut tasks = JoinSet::new();
            for _ in 0..PIPELINE {
                let (connection, next) = (connection.clone(), Arc::clone(next));
                let pairs = count / PIPELINE / 2;
                tasks.spawn(async move { sequence(connection, pairs, &next).await });
            }
            while let Some(task) = tasks.join_next().await {
                task??;
            }
            Ok(())
        }
    }
}

/// Executes pairs of commands, each command after the reply to the previous one.
async fn sequence(
    mut connection: MultiplexedConnection,
    pairs: u64,
    next: &AtomicU64,
) -> Result<()> {
    for _ in 0..pairs {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let _: () = connection.set(key(number), value(number)).await?;
        let found: String = connection.get(key(number)).await?;
        ensure!(found == value(number), "Redis returned another value");
    }
    Ok(())
}

/// Sends commands together, and waits for all replies.
async fn pipeline(connection: &mut MultiplexedConnection, next: &AtomicU64) -> Result<()> {
    let first = next.fetch_add(PIPELINE / 2, Ordering::Relaxed);
    let numbers = first..first + PIPELINE / 2;
    let mut commands = redis::pipe();
    for number in numbers.clone() {
        commands
            .set(key(number), value(number))
            .ignore()
            .get(key(number));
    }
    let found: Vec<String> = commands.query_async(connection).await?;
    ensure!(
        found.into_iter().eq(numbers.map(value)),
        "Redis returned other values"
    );
    Ok(())
}
