//! The subcommand `ws`: the cost of a WebSocket message.

use std::time::Instant;

use anyhow::Result;

use crate::cli::Options;
use crate::idle;
use crate::load::{Exchange, FanOut, RoundTrips};
use crate::machine;
use crate::measure::syscalls::Method;
use crate::process::{ServerProcess, allow_open_files};
use crate::rounds::{self, Subject, Work};
use crate::servers::{Server, bun_version, node_version, node_ws_version};
use crate::statistics::{median_ratio, percentile};
use crate::table::{Table, cell, ratio};

const CONNECTIONS: usize = 64;
pub(crate) const SHORT: usize = 20;
pub(crate) const MEDIUM: usize = 1024;
const LONG: usize = 64 * 1024;
/// The percentile of the CPU samples that the tables show, low enough to exclude disturbed rounds.
const PERCENTILE: f64 = 20.0;
/// Open files in addition to the connections.
const SPARE_FILES: u64 = 256;

/// The amount of work.
struct Plan {
    rounds: usize,
    messages: u64,
    long: u64,
    subscribers: usize,
    published: u64,
    idle: usize,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (rounds, messages, subscribers, idle) = if options.quick {
            (2, 400, 50, 100)
        } else {
            (21, 10_000, 1_000, 10_000)
        };
        let messages = options.trips.unwrap_or(messages);
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            messages,
            long: messages.div_ceil(10),
            subscribers,
            published: messages.next_multiple_of(subscribers as u64),
            idle,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.idle as u64 + SPARE_FILES)?;
    let method = Method::detect();

    println!("{}", echo(&plan, options, method)?);
    println!("One message to {} subscribers:\n", plan.subscribers);
    println!("{}", publish(&plan, options, method)?);
    println!(
        "CPU is user + system time of the server process for one echoed message, on {CONNECTIONS} connections, one at a \
         time on each; in the second table for one message received by one of the subscribers. The {PERCENTILE}th percentile of {} \
         rounds of {} messages, {} of 64 KiB and {} published ones; in parentheses the median of the ratios to the first row \
         in the same round. System calls are {}. {}.",
        plan.rounds,
        plan.messages,
        plan.long,
        plan.published,
        method.description(),
        options.placement.description(),
    );
    let packages = Server::WEBSOCKET
        .iter()
        .filter_map(|server| server.package());
    let absent = || "is not installed".to_owned();
    println!(
        "\nMachine: {} · node {} · npm's ws {} · Bun {}",
        machine::describe(packages),
        node_version().unwrap_or_else(absent),
        node_ws_version().unwrap_or_else(absent),
        bun_version().unwrap_or_else(absent),
    );
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Measures the echo servers.
fn echo(plan: &Plan, options: &Options, method: Method) -> Result<Table> {
    let (servers, absent): (Vec<_>, Vec<_>) = Server::WEBSOCKET
        .iter()
        .copied()
        .partition(|server| server.is_installed());
    for server in &absent {
        eprintln!("SKIPPED: {} is not installed", server.name());
    }
    let mut subjects = start(&servers, options, |process| {
        let units = [
            (SHORT, plan.messages),
            (MEDIUM, plan.messages),
            (LONG, plan.long),
        ];
        let works = units.map(|(length, units)| {
            let exchange = Exchange::WebSocket(length);
            let load = Box::new(RoundTrips::open(process.target(), exchange, CONNECTIONS)?);
            Ok(Work { load, units })
        });
        works.into_iter().collect()
    })?;
    eprintln!("measuring CPU time, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    eprintln!("counting system calls");
    let calls = rounds::system_calls(&mut subjects, method)?;
    drop(subjects);
    eprintln!("measuring memory at {} connections", plan.idle);
    let memory: Vec<_> = servers
        .iter()
        .map(|server| idle::memory(*server, None, &Exchange::WebSocket(SHORT), plan.idle))
        .collect::<Result<_>>()?;

    let mut table = Table::new([
        "server".to_owned(),
        format!("CPU µs: {SHORT} B"),
        "1 KiB".to_owned(),
        "64 KiB".to_owned(),
        format!("syscalls: {SHORT} B"),
        "1 KiB".to_owned(),
        "64 KiB".to_owned(),
        format!("resident bytes per idle WebSocket at {}", plan.idle),
    ]);
    for (index, server) in servers.iter().enumerate() {
        let mut row = row_of(*server, index, &cpu, &calls);
        let ([resident, _], [base, _]) = (memory[index], memory[0]);
        row.push(cell(resident, ratio(resident, base), 0));
        table.push(row);
    }
    for server in absent {
        table.push(vec![server.name().to_owned(), "not installed".to_owned()]);
    }
    Ok(table)
}

/// Measures publishing, compared with the bare writes.
fn publish(plan: &Plan, options: &Options, method: Method) -> Result<Table> {
    let mut subjects = start(Server::PUBLISHING, options, |process| {
        let exchange = Exchange::WebSocket(SHORT);
        let load = FanOut::open(process.target(), exchange, plan.subscribers)?;
        let units = plan.published;
        Ok(vec![Work {
            load: Box::new(load),
            units,
        }])
    })?;
    eprintln!("measuring CPU time of publishing, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    let calls = rounds::system_calls(&mut subjects, method)?;
    let mut table = Table::new(["server", "CPU µs per subscriber", "syscalls"]);
    for (index, server) in Server::PUBLISHING.iter().enumerate() {
        table.push(row_of(*server, index, &cpu, &calls));
    }
    Ok(table)
}

fn start(
    servers: &[Server],
    options: &Options,
    works: impl Fn(&ServerProcess) -> Result<Vec<Work>>,
) -> Result<Vec<Subject>> {
    eprintln!("starting {} servers", servers.len());
    let start = |server: &Server| ServerProcess::start(*server, None);
    let processes = options
        .placement
        .spawning(|| servers.iter().map(start).collect::<Result<Vec<_>>>())?;
    servers
        .iter()
        .zip(processes)
        .map(|(server, process)| Subject::new(*server, process, &works))
        .collect()
}

/// Returns the name, the CPU time and the system calls of a server.
fn row_of(
    server: Server,
    index: usize,
    cpu: &[Vec<Vec<f64>>],
    calls: &[Vec<Option<f64>>],
) -> Vec<String> {
    let mut row = vec![server.name().to_owned()];
    for samples in cpu {
        let (samples, base) = (&samples[index], &samples[0]);
        row.push(cell(
            percentile(samples, PERCENTILE),
            median_ratio(samples, base),
            2,
        ));
    }
    for (calls, base) in calls[index].iter().zip(&calls[0]) {
        row.push(cell(*calls, ratio(*calls, *base), 2));
    }
    row
}
