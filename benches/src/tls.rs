//! The subcommand `tls`: the cost of TLS, compared with tokio-rustls with the same cryptography library.

use std::time::Instant;

use anyhow::Result;

use crate::cli::Options;
use crate::identity::Identity;
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
    handshakes: u64,
    idle: usize,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (rounds, trips, idle) = if options.quick {
            (2, 400, 100)
        } else {
            (21, 10_000, 2_000)
        };
        let trips = options.trips.unwrap_or(trips);
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            trips,
            handshakes: trips.div_ceil(40),
            idle,
        }
    }
}

/// The rows: the servers with TLS, of which the first is the base of the ratios, and below them the floor.
fn rows() -> impl Iterator<Item = Server> {
    Server::TLS.iter().copied().chain([Server::Floor])
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.idle as u64 + SPARE_FILES)?;
    let identity = Identity::new()?;

    eprintln!("starting {} servers", rows().count());
    let mut subjects = start(&plan, options.placement, &identity)?;
    eprintln!("measuring CPU time, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    let method = Method::detect();
    eprintln!("counting system calls");
    let calls = rounds::system_calls(&mut subjects, method)?;
    drop(subjects);
    eprintln!("measuring memory at {} connections", plan.idle);
    let memory: Vec<_> = rows()
        .map(|server| {
            idle::memory(
                server,
                server.identity(&identity),
                &Exchange::Echo,
                plan.idle,
            )
        })
        .collect::<Result<_>>()?;

    println!("{}", table(&cpu, &calls, &memory, plan.idle));
    println!("{}", explanation(&plan, options.placement, method));
    let packages = ["rustls", "aws-lc-rs"].into_iter();
    println!(
        "\nMachine: {}",
        machine::describe(packages.chain(rows().filter_map(Server::package)))
    );
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn start(plan: &Plan, placement: Placement, identity: &Identity) -> Result<Vec<Subject>> {
    let start = |server| ServerProcess::start(server, server.identity(identity));
    let processes = placement.spawning(|| rows().map(start).collect::<Result<Vec<_>>>())?;
    let works = |process: &ServerProcess| {
        let target = process.target();
        Ok(vec![
            Work {
                load: Box::new(RoundTrips::open(target, Exchange::Echo, CONNECTIONS)?),
                units: plan.trips,
            },
            Work {
                load: Box::new(ShortConnections::new(
                    target,
                    Exchange::Echo,
                    SHORT_AT_A_TIME,
                )?),
                units: plan.handshakes,
            },
        ])
    };
    rows()
        .zip(processes)
        .map(|(server, process)| Subject::new(server, process, works))
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
        "handshake".to_owned(),
        format!("syscalls: {CONNECTIONS} conns"),
        "handshake".to_owned(),
        format!("resident bytes per idle conn at {idle}"),
    ]);
    for (index, server) in rows().enumerate() {
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
        let ([resident, _], [base, _]) = (memory[index], memory[0]);
        row.push(cell(resident, ratio(resident, base), 0));
        table.push(row);
    }
    table
}

fn explanation(plan: &Plan, placement: Placement, method: Method) -> String {
    format!(
        "CPU is user + system time of the server process for one round trip of {REQUEST} bytes, or for one connection \
         with a full handshake ({SHORT_AT_A_TIME} at a time: connect, handshake, one exchange, close): the \
         {PERCENTILE}th percentile of {} rounds of {} and {} units; in parentheses the median of the ratios to {} in the \
         same round. TLS 1.3, ECDSA with P-256, X25519, TLS_AES_128_GCM_SHA256, no resumption; the floor has no TLS. System calls \
         are {}. {}.",
        plan.rounds,
        plan.trips,
        plan.handshakes,
        Server::TLS[0].name(),
        method.description(),
        placement.description(),
    )
}
