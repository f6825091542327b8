//! The command line.

use std::ffi::OsStr;

use anyhow::{Context as _, Result, bail};
use lexopt::prelude::*;

use crate::echo;
use crate::http;
use crate::instructions;
use crate::process::{self, Placement};
use crate::redis;
use crate::servers::{Server, redis_clients};
use crate::socketio;
use crate::timers;
use crate::tls;
use crate::workers;
use crate::ws;

const USAGE: &str = "\
usage: uptick-bench COMMAND [OPTIONS]

commands:
  echo           CPU time, system calls and memory of the echo servers
  http           CPU time, system calls and memory of the HTTP servers
  instructions [echo|http|ws]
                 user instructions for each round trip, under callgrind
  redis [commands|socketio]
                 CPU time of the Redis clients, and of Socket.IO servers in a
                 cluster over Redis
  socketio       CPU time, system calls and memory of the Socket.IO servers
  timers         what a timer costs while a million are pending
  tls            CPU time, system calls and memory of the echo servers with TLS
  workers [requests|spread|bus|publish|idle]
                 CPU time of worker processes and threads, the spread of their
                 connections, their bus beside Redis, and their cost at rest
  ws             CPU time, system calls and memory of the WebSocket servers

options:
  --quick        a smoke run: tiny counts, figures mean nothing
  --rounds N     how often every server takes its turn
  --trips N      round trips in one turn
  --cpus WHERE   shared: servers and load on one CPU; split: on one CPU each;
                 any: wherever the scheduler puts them (default: shared)
  --help         this text
";

/// What the user asked for; `None` means the subcommand's own default.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) rounds: Option<usize>,
    pub(crate) trips: Option<u64>,
    pub(crate) placement: Placement,
}

/// Runs the subcommand named on the command line.
pub(crate) fn run() -> Result<()> {
    let mut parser = lexopt::Parser::from_env();
    let mut words = Vec::new();
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(word) => words.push(word.string()?),
            Long("quick") => options.quick = true,
            Long("rounds") => {
                options.rounds = Some(positive(parser.value()?.parse()?, "--rounds")?)
            }
            Long("trips") => options.trips = Some(positive(parser.value()?.parse()?, "--trips")?),
            Long("cpus") => {
                options.placement = parser.value()?.string()?.parse()?;
            }
            Long("help") | Short('h') => {
                print!("{USAGE}");
                return Ok(());
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["echo"] => echo::run(&options),
        ["http"] => http::run(&options),
        ["instructions"] => instructions::run(&options, None),
        ["instructions", table @ ("echo" | "http" | "ws")] => {
            instructions::run(&options, Some(table))
        }
        ["redis"] => redis::run(&options, None),
        ["redis", part] => redis::run(&options, Some(part)),
        ["socketio"] => socketio::run(&options),
        ["timers"] => timers::run(&options),
        ["tls"] => tls::run(&options),
        ["workers"] => workers::run(&options, None),
        ["workers", part] => workers::run(&options, Some(part)),
        ["ws"] => ws::run(&options),
        // The clients of Redis, which are measured with it.
        ["redis-clients", port] => {
            process::follow_parent()?;
            redis_clients(port.parse()?)
        }
        // What this program counts the instructions of.
        ["emit", events] => {
            instructions::emit(events.parse()?);
            Ok(())
        }
        // How this program starts the servers it measures.
        ["serve", name] | ["serve", name, _] => {
            let server =
                Server::by_name(name).with_context(|| format!("no server is called {name:?}"))?;
            process::follow_parent()?;
            server.serve(words.get(2).map(OsStr::new))
        }
        _ => bail!("which benchmark?\n\n{USAGE}"),
    }
}

fn positive<T: PartialEq + Default>(value: T, option: &str) -> Result<T> {
    if value == T::default() {
        bail!("{option} must be at least 1");
    }
    Ok(value)
}
