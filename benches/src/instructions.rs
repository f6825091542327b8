//! The subcommand `instructions`: user instructions for each round trip, a figure that noise
//! does not change.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use uptick::prelude::*;

use crate::cli::Options;
use crate::http;
use crate::identity::Identity;
use crate::load::{Exchange, RoundTrips};
use crate::machine;
use crate::measure::callgrind;
use crate::servers::Server;
use crate::table::Table;
use crate::ws;

const MANY: usize = 64;

/// An emitter of the benchmark's own, to see what an event costs when no socket is behind it.
struct Source;

uptick::emitter::events! {
    impl Source {
        Bytes => {
            /// A chunk.
            DATA = "data";
        }
    }
}

/// Emits events to one listener: the hidden subcommand that [`callback_layer`] counts.
pub(crate) fn emit(events: u64) {
    let source = EventEmitter::<Source>::new();
    let total = Rc::new(Cell::new(0));
    let sum = Rc::clone(&total);
    source.on("data", move |chunk: Bytes| sum.set(sum.get() + chunk.len()));
    let chunk = Bytes::from_static(b"chunk");
    for _ in 0..events {
        source.emit(Source::DATA, chunk.clone());
    }
    // The sum is used, so that nothing is optimized away.
    std::process::exit(i32::from(total.get() as u64 != 5 * events));
}

fn callback_layer(events: u64) -> Result<f64> {
    let count = |events: u64| callgrind::instructions_of_self(&["emit", &events.to_string()]);
    let difference = count(2 * events)? as f64 - count(events)? as f64;
    Ok(difference / events as f64)
}

/// What each table has a row for.
fn echo_servers() -> impl Iterator<Item = Server> {
    Server::ALL.iter().chain(Server::TLS).copied()
}

fn http_servers() -> impl Iterator<Item = Server> {
    Server::HTTP
        .iter()
        .chain(Server::HTTPS)
        .copied()
        .filter(|server| server.is_native())
}

fn websocket_servers() -> impl Iterator<Item = Server> {
    Server::WEBSOCKET
        .iter()
        .copied()
        .filter(|server| server.is_native())
}

/// Prints all tables, or the one that was asked for: `echo`, `http` or `ws`.
pub(crate) fn run(options: &Options, only: Option<&str>) -> Result<()> {
    if !callgrind::is_available() {
        println!("not measured: valgrind is not installed");
        return Ok(());
    }
    let trips = options
        .trips
        .unwrap_or(if options.quick { 200 } else { 5_000 });
    let identity = Identity::new()?;
    let wanted = |table| only.is_none_or(|only| only == table);
    let mut measured = Vec::new();

    if wanted("echo") {
        let columns = [
            ("round trip: 64 conns", MANY, Exchange::Echo),
            ("1 conn", 1, Exchange::Echo),
        ];
        println!("{}", table(echo_servers(), &columns, trips, &identity)?);
        println!(
            "The callback layer alone: {:.0} for one event to one listener.\n",
            callback_layer(trips)?
        );
        measured.extend(echo_servers());
    }
    if wanted("http") {
        let columns = [
            ("request over HTTP: 64 conns", MANY, http::hello(1)),
            ("pipelined", MANY, http::hello(http::DEPTH)),
            ("routed", MANY, http::routed()),
        ];
        println!("{}", table(http_servers(), &columns, trips, &identity)?);
        measured.extend(http_servers().filter(|server| *server != Server::HttpFloor));
    }
    if wanted("ws") {
        let columns = [
            (
                "message of 20 B: 64 conns",
                MANY,
                Exchange::WebSocket(ws::SHORT),
            ),
            ("1 conn", 1, Exchange::WebSocket(ws::SHORT)),
            ("of 1 KiB: 64 conns", MANY, Exchange::WebSocket(ws::MEDIUM)),
        ];
        println!(
            "{}",
            table(websocket_servers(), &columns, trips, &identity)?
        );
        measured.extend(websocket_servers());
    }
    println!(
        "Difference between {} and {trips} units under valgrind --tool=callgrind.",
        2 * trips
    );
    let packages = measured.into_iter().filter_map(Server::package);
    println!("\nMachine: {}", machine::describe(packages));
    Ok(())
}

/// A row for each server; a column is what is asked of it, and on how many connections.
fn table(
    servers: impl Iterator<Item = Server>,
    columns: &[(&str, usize, Exchange)],
    trips: u64,
    identity: &Identity,
) -> Result<Table> {
    let titles = columns.iter().enumerate().map(|(index, column)| {
        let prefix = if index == 0 {
            "user instructions per "
        } else {
            ""
        };
        format!("{prefix}{}", column.0)
    });
    let mut table = Table::new(["server".to_owned()].into_iter().chain(titles));
    for server in servers {
        eprintln!("running {} under callgrind", server.name());
        let mut row = vec![server.name().to_owned()];
        for (_, connections, exchange) in columns {
            let count = |trips| {
                callgrind::instructions(server, server.identity(identity), trips, |process| {
                    RoundTrips::open(process.target(), exchange.clone(), *connections)
                })
                .with_context(|| format!("running {} under callgrind", server.name()))
            };
            // Two runs that differ only in the number of round trips: the start and the end of
            // the process fall out of the difference.
            let trips = trips.next_multiple_of(exchange.requests());
            let difference = count(2 * trips)? as f64 - count(trips)? as f64;
            row.push(format!("{:.0}", difference / trips as f64));
        }
        table.push(row);
    }
    Ok(table)
}
