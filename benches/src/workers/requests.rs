//! Requests, short connections and published messages: a single server compared with several
//! workers.

use anyhow::Result;

use super::{Plan, cpu_cell, start};
use crate::cli::Options;
use crate::load::{Exchange, FanOut, RoundTrips, ShortConnections};
use crate::rounds::{self, Work};
use crate::servers::{Server, WorkersSetup};
use crate::table::Table;
use crate::ws::SHORT;

const CONNECTIONS: usize = 64;
const AT_A_TIME: usize = 16;

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
const CLOSE: &str = "GET /hello HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n";
const BODY: &str = "Hello, World!";

/// The servers: the single server without a master first, then one worker.
const SERVERS: &[Server] = &[
    Server::UptickHttp,
    Server::Workers(WorkersSetup::Processes(1)),
    Server::Workers(WorkersSetup::Processes(2)),
    Server::Workers(WorkersSetup::Processes(4)),
    Server::Workers(WorkersSetup::Threads(1)),
    Server::Workers(WorkersSetup::Threads(2)),
    Server::Workers(WorkersSetup::Threads(4)),
    Server::Workers(WorkersSetup::ReusePort),
];

const PUBLISHING: &[Server] = &[
    Server::UptickPublish,
    Server::Workers(WorkersSetup::Processes(1)),
    Server::Workers(WorkersSetup::Processes(2)),
    Server::Workers(WorkersSetup::Threads(2)),
];

/// The rows that are the base of the ratios.
const SINGLE: usize = 0;
const ONE_WORKER: usize = 1;

pub(super) fn run(plan: &Plan, options: &Options) -> Result<()> {
    let mut subjects = start(SERVERS, options, |process| {
        let target = process.target();
        let hello = Exchange::http(HELLO, 1, BODY);
        let close = Exchange::http(CLOSE, 1, BODY);
        Ok(vec![
            Work {
                load: Box::new(RoundTrips::open(target, hello, CONNECTIONS)?),
                units: plan.requests,
            },
            Work {
                load: Box::new(ShortConnections::new(target, close, AT_A_TIME)?),
                units: plan.short,
            },
        ])
    })?;
    eprintln!("measuring CPU time, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    let mut table = Table::new(["server", "CPU µs: request", "short connection"]);
    for (index, server) in SERVERS.iter().enumerate() {
        table.push(vec![
            server.name().to_owned(),
            cpu_cell(&cpu[0], index, ONE_WORKER),
            cpu_cell(&cpu[1], index, SINGLE),
        ]);
    }
    println!("{table}");
    println!(
        "Requests on {CONNECTIONS} connections, one at a time on each, compared with one worker process; connections for one \
         request with `Connection: close`, {AT_A_TIME} at a time, compared with a server without a master. {} requests or {} \
         connections in a round.\n",
        plan.requests, plan.short,
    );
    Ok(())
}

/// Measures publishing to subscribers in several workers.
pub(super) fn publish(plan: &Plan, options: &Options) -> Result<()> {
    let mut subjects = start(PUBLISHING, options, |process| {
        let load = FanOut::open(
            process.target(),
            Exchange::WebSocket(SHORT),
            plan.subscribers,
        )?;
        let units = plan.published;
        Ok(vec![Work {
            load: Box::new(load),
            units,
        }])
    })?;
    eprintln!("measuring CPU time of publishing, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    let mut table = Table::new(["server", "CPU µs per subscriber"]);
    for (index, server) in PUBLISHING.iter().enumerate() {
        table.push(vec![
            server.name().to_owned(),
            cpu_cell(&cpu[0], index, ONE_WORKER),
        ]);
    }
    println!("{table}");
    println!(
        "One WebSocket message of {SHORT} bytes to {} subscribers in all workers together; the next when all have received it.\n",
        plan.subscribers
    );
    Ok(())
}
