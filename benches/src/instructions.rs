//! The subcommand `instructions`: user instructions per round trip, a result without noise.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use uptick::prelude::*;

use crate::cli::Options;
use crate::client;
use crate::http;
use crate::http2::{self, Availability};
use crate::identity::Identity;
use crate::load::{Exchange, Http2Echoes, Load, RequestStreams, RoundTrips, Target};
use crate::machine;
use crate::measure::callgrind;
use crate::servers::Server;
use crate::table::Table;
use crate::ws;

const CONNECTIONS: usize = 64;
/// The number of connections with many streams.
const FEW_CONNECTIONS: usize = 8;

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

/// Prints all tables, or only one of them: `client`, `echo`, `http`, `http2` or `ws`.
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
            Column::of_exchange("round trip: 64 conns", CONNECTIONS, Exchange::Echo),
            Column::of_exchange("1 conn", 1, Exchange::Echo),
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
            Column::of_exchange("request over HTTP: 64 conns", CONNECTIONS, http::hello(1)),
            Column::of_exchange("pipelined", CONNECTIONS, http::hello(http::DEPTH)),
            Column::of_exchange("routed", CONNECTIONS, http::routed()),
        ];
        println!("{}", table(http_servers(), &columns, trips, &identity)?);
        measured.extend(http_servers().filter(|server| *server != Server::HttpFloor));
    }
    if wanted("http2") {
        let columns = http2::STREAMS.map(Column::of_streams);
        let servers = Availability::of(Server::HTTP2).present.into_iter();
        let servers = servers.filter(|server| server.is_native());
        println!("{}", table(servers, &columns, trips, &identity)?);
        let columns = [ws::SHORT, ws::MEDIUM].map(Column::of_websocket);
        let servers = Availability::of(Server::WEBSOCKET_HTTP2)
            .present
            .into_iter();
        println!("{}", table(servers, &columns, trips, &identity)?);
    }
    if wanted("ws") {
        let (short, medium) = (
            Exchange::WebSocket(ws::SHORT),
            Exchange::WebSocket(ws::MEDIUM),
        );
        let columns = [
            Column::of_exchange("message of 20 B: 64 conns", CONNECTIONS, short.clone()),
            Column::of_exchange("1 conn", 1, short),
            Column::of_exchange("of 1 KiB: 64 conns", CONNECTIONS, medium),
        ];
        println!(
            "{}",
            table(websocket_servers(), &columns, trips, &identity)?
        );
        measured.extend(websocket_servers());
    }
    if wanted("client") {
        println!("{}", client::instructions(trips)?);
    }
    println!(
        "Difference between {} and {trips} units under valgrind --tool=callgrind.",
        2 * trips
    );
    let packages = measured.into_iter().filter_map(Server::package);
    let description = match only {
        Some("http2") => http2::versions(),
        Some("client") => client::versions(),
        _ => machine::describe(packages),
    };
    println!("\nMachine: {description}");
    Ok(())
}

/// Opens the connections of a load.
type OpenLoad = Box<dyn Fn(&Target) -> Result<Box<dyn Load>>>;

/// A column of a table.
struct Column {
    title: String,
    /// The number of units in one exchange.
    units: u64,
    open: OpenLoad,
}

impl Column {
    fn of_exchange(title: &str, connections: usize, exchange: Exchange) -> Self {
        Self {
            title: title.to_owned(),
            units: exchange.requests(),
            open: Box::new(move |target| {
                let load = RoundTrips::open(target, exchange.clone(), connections)?;
                Ok(Box::new(load))
            }),
        }
    }

    /// Requests over HTTP/2 with this number of streams at a time.
    fn of_streams(streams: u32) -> Self {
        let (connections, title) = match streams {
            1 => (
                CONNECTIONS,
                format!("request over HTTP/2: 1 stream on each of {CONNECTIONS} conns"),
            ),
            _ => (
                FEW_CONNECTIONS,
                format!("{streams} streams on each of {FEW_CONNECTIONS} conns"),
            ),
        };
        Self {
            title,
            units: streams.into(),
            open: Box::new(move |target| {
                Ok(Box::new(RequestStreams::open(
                    target,
                    streams,
                    connections,
                )?))
            }),
        }
    }

    /// WebSocket messages of this length over HTTP/2.
    fn of_websocket(length: usize) -> Self {
        Self {
            title: format!("message of {length} B over HTTP/2"),
            units: 1,
            open: Box::new(move |target| {
                Ok(Box::new(Http2Echoes::open(target, length, CONNECTIONS)?))
            }),
        }
    }
}

/// Builds a table with a row for each server.
fn table(
    servers: impl Iterator<Item = Server>,
    columns: &[Column],
    trips: u64,
    identity: &Identity,
) -> Result<Table> {
    let titles = columns.iter().enumerate().map(|(index, column)| {
        let prefix = if index == 0 {
            "user instructions per "
        } else {
            ""
        };
        format!("{prefix}{}", column.title)
    });
    let mut table = Table::new(["server".to_owned()].into_iter().chain(titles));
    for server in servers {
        eprintln!("running {} under callgrind", server.name());
        let mut row = vec![server.name().to_owned()];
        for column in columns {
            let count = |trips| {
                callgrind::instructions(server, server.identity(identity), trips, |process| {
                    (column.open)(process.target())
                })
                .with_context(|| format!("running {} under callgrind failed", server.name()))
            };
            // Two runs that differ only in the number of round trips: their difference excludes the
            // start and the end of the process.
            let trips = trips.next_multiple_of(column.units);
            let difference = count(2 * trips)? as f64 - count(trips)? as f64;
            row.push(format!("{:.0}", difference / trips as f64));
        }
        table.push(row);
    }
    Ok(table)
}
