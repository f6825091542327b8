//! The subcommand `echo`: the cost of sending 64 bytes and receiving them back.

use std::time::Instant;

use anyhow::Result;

use crate::cli::Options;
use crate::idle;
use crate::load::{Exchange, REQUEST, RoundTrips, ShortConnections};
use crate::machine;
use crate::measure::syscalls::Method;
use crate::process::{Placement, ServerProcess, allow_open_files};
use crate::rounds::{self, Subject, Work};
use crate::servers::Server;
use crate::statistics::{median_ratio, percentile};
use crate::table::{Table, cell, ratio};

const CONNECTIONS: usize = 64;
const SHORT_AT_A_TIME: usize = 16;
/// The percentile of the CPU samples that the tables show, low enough to exclude disturbed rounds.
const PERCENTILE: f64 = 20.0;
/// Open files in addition to the connections.
const SPARE_FILES: u64 = 256;

/// The amount of work.
struct Plan {
    rounds: usize,
    trips: u64,
    lone_trips: u64,
    short: u64,
    idle: usize,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (rounds, trips, idle) = if options.quick {
            (2, 400, 100)
        } else {
            (21, 20_000, 10_000)
        };
        let trips = options.trips.unwrap_or(trips);
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            trips,
            lone_trips: trips.div_ceil(2),
            short: trips.div_ceil(8),
            idle,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.idle as u64 + SPARE_FILES)?;

    eprintln!("starting {} servers", Server::ALL.len());
    let mut subjects = start(&plan, options.placement)?;
    eprintln!("measuring CPU time, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    let method = Method::detect();
    eprintln!("counting system calls");
    let calls = rounds::system_calls(&mut subjects, method)?;
    drop(subjects);
    eprintln!("measuring memory at {} connections", plan.idle);
    let memory: Vec<_> = Server::ALL
        .iter()
        .map(|server| idle::memory(*server, None, &Exchange::Echo, plan.idle))
        .collect::<Result<_>>()?;

    println!("{}", table(&cpu, &calls, &memory, plan.idle));
    println!("{}", explanation(&plan, options.placement, method));
    println!(
        "\nMachine: {}",
        machine::describe(Server::ALL.iter().filter_map(|server| server.package()))
    );
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn start(plan: &Plan, placement: Placement) -> Result<Vec<Subject>> {
    let start = |server: &Server| ServerProcess::start(*server, None);
    let processes =
        placement.spawning(|| Server::ALL.iter().map(start).collect::<Result<Vec<_>>>())?;
    let works = |process: &ServerProcess| {
        let target = process.target();
        Ok(vec![
            Work {
                load: Box::new(RoundTrips::open(target, Exchange::Echo, CONNECTIONS)?),
                units: plan.trips,
            },
            Work {
                load: Box::new(RoundTrips::open(target, Exchange::Echo, 1)?),
                units: plan.lone_trips,
            },
            Work {
                load: Box::new(ShortConnections::new(
                    target,
                    Exchange::Echo,
                    SHORT_AT_A_TIME,
                )?),
                units: plan.short,
            },
        ])
    };
    Server::ALL
        .iter()
        .zip(processes)
        .map(|(server, process)| Subject::new(*server, process, works))
        .collect()
}

fn table(
    cpu: &[Vec<Vec<f64>>],
    calls: &[Vec<Option<f64>>],
    memory: &[[Option<f64>; 2]],
    idle: usize,
) -> Table {
    let mut table = Table::new([
        "server".to_owned(),
        format!("CPU µs: {CONNECTIONS} conns"),
        "1 conn".to_owned(),
        "short conn".to_owned(),
        format!("syscalls: {CONNECTIONS} conns"),
        "1 conn".to_owned(),
        "short conn".to_owned(),
        format!("bytes per idle conn at {idle}: resident"),
        "anonymous".to_owned(),
    ]);
    for (index, server) in Server::ALL.iter().enumerate() {
        let mut row = vec![server.name().to_owned()];
        for samples in cpu {
            let (samples, floor) = (&samples[index], &samples[0]);
            row.push(cell(
                percentile(samples, PERCENTILE),
                median_ratio(samples, floor),
                2,
            ));
        }
        for (calls, floor) in calls[index].iter().zip(&calls[0]) {
            row.push(cell(*calls, ratio(*calls, *floor), 2));
        }
        for (bytes, floor) in memory[index].iter().zip(&memory[0]) {
            row.push(cell(*bytes, ratio(*bytes, *floor), 0));
        }
        table.push(row);
    }
    table
}

fn explanation(plan: &Plan, placement: Placement, method: Method) -> String {
    format!(
        "CPU is user + system time of the server process for one round trip of {REQUEST} bytes, or for one short \
         connection ({SHORT_AT_A_TIME} at a time: connect, one exchange, close): the {PERCENTILE}th percentile of {} \
         rounds of {}, {} and {} units; in parentheses the median of the ratios to the floor in the same round. System \
         calls are {}. {}.",
        plan.rounds,
        plan.trips,
        plan.lone_trips,
        plan.short,
        method.description(),
        placement.description(),
    )
}
