//! Messages between four workers: over the bus of processes, over the bus of threads, and over
//! Redis.

use anyhow::Result;

use super::{Plan, cpu_cell, start};
use crate::cli::Options;
use crate::load::{Exchange, Load, RoundTrips};
use crate::process::ServerProcess;
use crate::rounds::{self, Work};
use crate::servers::{BUS_DONE, Server, WorkersSetup};
use crate::table::Table;

/// The number of messages published at once. The next ones follow when all workers have received
/// them.
const WINDOW: u64 = 256;

const SHORT: u64 = 20;
const LONG: u64 = 1024;

/// The factor by which there are fewer messages that are published alone, because each costs more.
const ALONE: u64 = 20;

const SERVERS: &[Server] = &[
    Server::RedisBus,
    Server::Workers(WorkersSetup::Processes(4)),
    Server::Workers(WorkersSetup::Threads(4)),
];

/// One request, which stands for many messages.
struct BusLoad {
    request: RoundTrips,
}

impl Load for BusLoad {
    fn run(&mut self, _: u64) -> Result<()> {
        self.request.run(1)
    }
}

pub(super) fn run(plan: &Plan, options: &Options) -> Result<()> {
    let (servers, absent): (Vec<_>, Vec<_>) = SERVERS
        .iter()
        .copied()
        .partition(|server| server.is_installed());
    let mut subjects = start(&servers, options, |process| {
        let works = [
            (plan.messages, SHORT, WINDOW),
            (plan.messages, LONG, WINDOW),
            (plan.messages.div_ceil(ALONE), SHORT, 1),
        ];
        let works = works.map(|(count, length, window)| work(process, count, length, window));
        works.into_iter().collect()
    })?;
    eprintln!("measuring CPU time of the bus, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    let mut table = Table::new([
        "bus".to_owned(),
        format!("CPU µs: {SHORT} B"),
        "1 KiB".to_owned(),
        format!("{SHORT} B, alone"),
    ]);
    for (index, server) in servers.iter().enumerate() {
        let mut row = vec![server.name().to_owned()];
        row.extend(cpu.iter().map(|samples| cpu_cell(samples, index, 0)));
        table.push(row);
    }
    for server in absent {
        eprintln!("SKIPPED: {} is not installed", server.name());
        table.push(vec![server.name().to_owned(), "not installed".to_owned()]);
    }
    println!("{table}");
    println!(
        "CPU of all processes for one message that four workers receive and one of them publishes: {WINDOW} published at once, or \
         one alone, the next when all have received them; {} in a round. With Redis: four subscribers that only count bytes, and a \
         publisher that pipelines.\n",
        plan.messages,
    );
    Ok(())
}

fn work(process: &ServerProcess, count: u64, length: u64, window: u64) -> Result<Work> {
    let head =
        format!("GET /bus/{count}/{length}/{window} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n");
    let exchange = Exchange::http(&head, 1, BUS_DONE);
    let request = RoundTrips::open(process.target(), exchange, 1)?;
    Ok(Work {
        load: Box::new(BusLoad { request }),
        units: count,
    })
}
