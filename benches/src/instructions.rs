//! The subcommand `instructions`: user instructions per round trip, a result without noise.

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

const CONNECTIONS: usize = 64;

/// An emitter, to measure the cost of an event without a socket.
struct Source;

uptick::emitter::events! {
    impl Source {
        Bytes => {
            /// A chunk.
            DATA = "data";
        }
    }
}

/// Emits events to one listener: the hidden subcommand whose instructions [`callback_layer`]
/// counts.
pub(crate) fn emit(events: u64) {
    let source = EventEmitter::<Source>::new();
    let total = Rc::new(Cell::new(0));
    let sum = Rc::clone(&total);
    source.on("data", move |chunk: Bytes| sum.set(sum.get() + chunk.len()));
    let chunk = Bytes::from_static(b"chunk");
    for _ in 0..events {
        source.emit(Source::DATA, chunk.clone());
    }
    // The sum is used, so that the compiler does not remove the loop.
    std::process::exit(i32::from(total.get() as u64 != 5 * events));
}

fn callback_layer(events: u64) -> Result<f64> {
    let count = |events: u64| callgrind::instructions_of_self(&["emit", &events.to_string()]);
    let difference = count(2 * events)? as f64 - count(events)? as f64;
    Ok(difference / events as f64)
}

/// The servers in the table of the echo servers.
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

/// Prints all tables, or only one of them: `echo`, `http` or `ws`.
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
            ("round trip: 64 conns", CONNECTIONS, Exchange::Echo),
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
            ("request over HTTP: 64 conns", CONNECTIONS, http::hello(1)),
            ("pipelined", CONNECTIONS, http::hello(http::DEPTH)),
            ("routed", CONNECTIONS, http::routed()),
        ];
        println!("{}", table(http_servers(), &columns, trips, &identity)?);
        measured.extend(http_servers().filter(|server| *server != Server::HttpFloor));
    }
    if wanted("ws") {
        let columns = [
            (
                "message of 20 B: 64 conns",
                CONNECTIONS,
                Exchange::WebSocket(ws::SHORT),
            ),
            ("1 conn", 1, Exchange::WebSocket(ws::SHORT)),
            (
                "of 1 KiB: 64 conns",
                CONNECTIONS,
                Exchange::WebSocket(ws::MEDIUM),
            ),
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

/// Builds a table with a row for each server. A column has a title, a number of connections and an
/// exchange.
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
                .with_context(|| format!("running {} under callgrind failed", server.name()))
            };
            // Two runs that differ only in the number of round trips: their difference excludes the
            // start and the end of the process.
            let trips = trips.next_multiple_of(exchange.requests());
            let difference = count(2 * trips)? as f64 - count(trips)? as f64;
            row.push(format!("{:.0}", difference / trips as f64));
        }
        table.push(row);
    }
    Ok(table)
}
