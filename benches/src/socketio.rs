//! The subcommand `socketio`: the cost of a Socket.IO event, and of an idle client.

use std::time::Instant;

use anyhow::Result;

use crate::cli::Options;
use crate::idle;
use crate::load::{Acks, Broadcasts, Clients, Connects, Load};
use crate::machine;
use crate::measure::syscalls::Method;
use crate::process::{ServerProcess, allow_open_files};
use crate::rounds::{self, Subject, Work};
use crate::servers::{SOCKETIOXIDE_LOCK_FILE, Server, node_socketio_version, node_version};
use crate::statistics::{median_ratio, percentile};
use crate::table::{Table, cell, ratio};

const CONNECTIONS: usize = 64;
/// The number of events that are broadcast at a time in the second column.
const BURST: u64 = 50;
/// The percentile of the CPU samples that the tables show, low enough to exclude disturbed rounds.
const PERCENTILE: f64 = 20.0;
/// Open files in addition to the connections.
const SPARE_FILES: u64 = 256;

/// The amount of work.
struct Plan {
    rounds: usize,
    clients: usize,
    broadcasts: u64,
    bursts: u64,
    acks: u64,
    connects: u64,
    idle: usize,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (rounds, clients, acks) = if options.quick {
            (2, 50, 400)
        } else {
            (15, 1_000, 10_000)
        };
        let acks = options.trips.unwrap_or(acks);
        let (broadcasts, bursts) = if options.quick { (4, 1) } else { (20, 4) };
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            clients,
            broadcasts,
            bursts,
            acks,
            connects: acks.div_ceil(10),
            idle: if options.quick { 100 } else { 10_000 },
        }
    }

    fn works(&self, process: &ServerProcess) -> Result<Vec<Work>> {
        let target = process.target();
        let clients = Clients::open(target, self.clients)?;
        let count = self.clients as u64;
        let works: [(Box<dyn Load>, u64); 4] = [
            (
                Box::new(Broadcasts::new(&clients, 1)),
                self.broadcasts * count,
            ),
            (
                Box::new(Broadcasts::new(&clients, BURST)),
                self.bursts * BURST * count,
            ),
            (
                Box::new(Acks::new(&clients, CONNECTIONS.min(self.clients))),
                self.acks,
            ),
            (Box::new(Connects::new(target)), self.connects),
        ];
        let works = works.into_iter();
        Ok(works.map(|(load, units)| Work { load, units }).collect())
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.idle.max(4 * plan.clients) as u64 + SPARE_FILES)?;
    let method = Method::detect();
    println!("{}", table(&plan, options, method)?);
    println!(
        "CPU is user + system time of the server process: for one event of 20 bytes received by one of {} clients, broadcast alone, and {BURST} at a \
         time; for one acknowledged event, on {CONNECTIONS} clients, one at a time on each; for one client that connects, joins the namespace and \
         disconnects. The {PERCENTILE}th percentile of {} rounds; in parentheses the median of the ratios to the first row in the same round. System calls \
         are {}. {}.",
        plan.clients,
        plan.rounds,
        method.description(),
        options.placement.description(),
    );
    let absent = || "is not installed".to_owned();
    let version_of =
        |name| machine::version(SOCKETIOXIDE_LOCK_FILE, name).unwrap_or("of unknown version");
    println!(
        "\nMachine: {} · socketioxide {} · axum {} · node {} · npm's socket.io {}",
        machine::describe([Server::UptickSocketIo.name()]),
        version_of("socketioxide"),
        version_of("axum"),
        node_version().unwrap_or_else(absent),
        node_socketio_version().unwrap_or_else(absent),
    );
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn table(plan: &Plan, options: &Options, method: Method) -> Result<Table> {
    let (servers, absent): (Vec<_>, Vec<_>) = Server::SOCKETIO
        .iter()
        .copied()
        .partition(|server| server.is_installed());
    for server in &absent {
        eprintln!("SKIPPED: {} is not installed", server.name());
    }
    let mut subjects = start(&servers, plan, options)?;
    eprintln!("measuring CPU time, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    eprintln!("counting system calls");
    let calls = rounds::system_calls(&mut subjects, method)?;
    drop(subjects);
    eprintln!("measuring memory at {} clients", plan.idle);
    let memory: Vec<_> = servers
        .iter()
        .map(|server| idle::memory_of(*server, None, plan.idle, Clients::open_idle))
        .collect::<Result<_>>()?;

    let mut table = Table::new([
        "server".to_owned(),
        "CPU µs: an event to each".to_owned(),
        format!("{BURST} at a time"),
        "acknowledged".to_owned(),
        "connect".to_owned(),
        "syscalls: an event to each".to_owned(),
        format!("{BURST} at a time"),
        "acknowledged".to_owned(),
        "connect".to_owned(),
        format!("resident bytes per idle client at {}", plan.idle),
    ]);
    for (index, server) in servers.iter().enumerate() {
        let mut row = vec![server.name().to_owned()];
        for samples in &cpu {
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
    for server in absent {
        table.push(vec![server.name().to_owned(), "not installed".to_owned()]);
    }
    Ok(table)
}

fn start(servers: &[Server], plan: &Plan, options: &Options) -> Result<Vec<Subject>> {
    eprintln!("starting {} servers", servers.len());
    let start = |server: &Server| ServerProcess::start(*server, None);
    let processes = options
        .placement
        .spawning(|| servers.iter().map(start).collect::<Result<Vec<_>>>())?;
    let started = servers.iter().zip(processes);
    started
        .map(|(server, process)| Subject::new(*server, process, |process| plan.works(process)))
        .collect()
}
