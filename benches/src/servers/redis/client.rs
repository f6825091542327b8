//! Uptick's Redis client.

use std::cell::Cell;
use std::ffi::OsStr;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use uptick::prelude::*;
use uptick::redis::Error;

use super::super::announce;
use super::{DONE, Mode, PIPELINE, key, url, value};

pub(in super::super) fn serve(argument: Option<&OsStr>) -> Result<()> {
    let redis = Redis::connect(url(argument)?)?;
    let http = HttpServer::new();
    let next = Rc::new(Cell::new(0));
    http.get("/{mode}/{count}", move |request: Request| {
        let mode = request.param("mode").and_then(Mode::by_path);
        let count = request.param("count").and_then(|count| count.parse().ok());
        let next = Rc::clone(&next);
        async move {
            let (Some(mode), Some(count)) = (mode, count) else {
                return "not a request for commands".to_owned();
            };
            let done = execute(redis, mode, count, &next).await;
            done.map_or_else(|error| error.to_string(), |()| DONE.to_owned())
        }
    });
    let server = Server::bind("127.0.0.1:0")?;
    announce(server.address().context("the server has no address")?)?;
    http.listen(server);
    uptick::event_loop::run()?;
    Ok(())
}

async fn execute(redis: Redis, mode: Mode, count: u64, next: &Rc<Cell<u64>>) -> Result<(), Error> {
    match mode {
        Mode::Sequential => sequence(redis, count / 2, next).await,
        Mode::Pipelined => {
            for _ in 0..count / PIPELINE {
                pipeline(redis, next).await?;
            }
            Ok(())
        }
        Mode::Concurrent => {
            let tasks: Vec<_> = (0..PIPELINE)
                .map(|_| {
                    let next = Rc::clone(next);
                    let pairs = count / PIPELINE / 2;
                    uptick::spawn(async move { sequence(redis, pairs, &next).await })
                })
                .collect();
            for task in tasks {
                task.await.map_err(|_| Error::Closed)??;
            }
            Ok(())
        }
    }
}

/// Executes pairs of commands, each command after the reply to the previous one.
async fn sequence(redis: Redis, pairs: u64, next: &Cell<u64>) -> Result<(), Error> {
    for _ in 0..pairs {
        let number = next.replace(next.get() + 1);
        redis.set(key(number), value(number)).await?;
        let found: String = redis.get(key(number)).await?;
        assert_eq!(found, value(number), "Redis returned another value");
    }
    Ok(())
}

/// Sends commands together, and waits for all replies.
async fn pipeline(redis: Redis, next: &Cell<u64>) -> Result<(), Error> {
    let first = next.replace(next.get() + PIPELINE / 2);
    let numbers = first..first + PIPELINE / 2;
    let replies: Vec<_> = numbers
        .map(|number| {
            let set = redis.set(key(number), value(number));
            (number, set, redis.get(key(number)))
        })
        .collect();
    for (number, set, get) in replies {
        set.await?;
        let found: String = get.await?;
        assert_eq!(found, value(number), "Redis returned another value");
    }
    Ok(())
}
