//! The command line.

use std::ffi::OsStr;

use anyhow::{Context as _, Result, bail};
use lexopt::prelude::*;

use crate::client;
use crate::echo;
use crate::http;
use crate::http2;
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
  client [requests|idle]
                 CPU time and system calls of the HTTP clients, and the memory
                 of their idle connections
  echo           CPU time, system calls and memory of the echo servers
  http           CPU time, system calls and memory of the HTTP servers
  http2 [requests|idle|websocket]
                 CPU time, system calls and memory of the HTTP/2 servers, and
                 WebSockets over HTTP/2
  instructions [client|echo|http|http2|ws]
                 user instructions per round trip or request, under callgrind
  redis [commands|socketio]
                 CPU time of the Redis clients, and of Socket.IO servers in a
                 cluster over Redis
  socketio       CPU time, system calls and memory of the Socket.IO servers
  timers         the cost of a timer while a million are pending
  tls            CPU time, system calls and memory of the echo servers with TLS
  workers [requests|spread|bus|publish|idle]
                 CPU time of worker processes and threads, the spread of their
                 connections, the bus compared with Redis, and idle cost
  ws             CPU time, system calls and memory of the WebSocket servers

options:
  --quick        a smoke test: tiny counts, meaningless results
  --rounds N     the number of rounds of each server
  --trips N      the number of round trips in a round
  --cpus WHERE   shared: servers and load on one CPU; split: on one CPU each;
                 any: left to the scheduler (default: shared)
  --help         prints this help
";

/// Command line options. `None` selects the default of the subcommand.
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
        ["client"] => client::run(&options, None),
        ["client", part] => client::run(&options, Some(part)),
        ["echo"] => echo::run(&options),
        ["http"] => http::run(&options),
        ["http2"] => http2::run(&options, None),
        ["http2", part] => http2::run(&options, Some(part)),
        ["instructions"] => instructions::run(&options, None),
        [
            "instructions",
            table @ ("client" | "echo" | "http" | "http2" | "ws"),
        ] => instructions::run(&options, Some(table)),
        ["redis"] => redis::run(&options, None),
        ["redis", part] => redis::run(&options, Some(part)),
        ["socketio"] => socketio::run(&options),
        ["timers"] => timers::run(&options),
        ["tls"] => tls::run(&options),
        ["workers"] => workers::run(&options, None),
        ["workers", part] => workers::run(&options, Some(part)),
        ["ws"] => ws::run(&options),
        // A hidden command: the Redis clients, which are measured together with Redis.
        ["redis-clients", port] => {
            process::follow_parent()?;
            redis_clients(port.parse()?)
        }
        // A hidden command: the program whose instructions are counted.
        ["emit", events] => {
            instructions::emit(events.parse()?);
            Ok(())
        }
        // A hidden command: the process of a measured server.
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
