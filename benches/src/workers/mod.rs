//! The subcommand `workers`: the cost of worker processes and threads.

mod bus;
mod idle;
mod requests;
mod spread;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cli::Options;
use crate::machine;
use crate::process::{ServerProcess, allow_open_files};
use crate::rounds::{Subject, Work};
use crate::servers::{Server, redis_version};
use crate::statistics::{median_ratio, percentile};
use crate::table::cell;

/// The percentile of the CPU samples that the tables show, low enough to exclude disturbed rounds.
const PERCENTILE: f64 = 20.0;
/// Open files in addition to the connections.
const SPARE_FILES: u64 = 256;

/// The amount of work.
struct Plan {
    rounds: usize,
    requests: u64,
    short: u64,
    /// The numbers of connections whose distribution is measured.
    spread: [usize; 2],
    repetitions: usize,
    messages: u64,
    subscribers: usize,
    published: u64,
    reloads: usize,
    rest: Duration,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let quick = options.quick;
        let (rounds, requests, short) = if quick {
            (2, 400, 100)
        } else {
            (21, 20_000, 2_000)
        };
        let (spread, repetitions) = if quick {
            ([16, 64], 1)
        } else {
            ([64, 1_000], 5)
        };
        let (messages, subscribers) = if quick { (1_000, 50) } else { (50_000, 1_000) };
        let (reloads, rest) = if quick { (2, 200) } else { (20, 10_000) };
        let requests = options.trips.unwrap_or(requests);
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            requests,
            short,
            spread,
            repetitions,
            messages,
            subscribers,
            published: requests.next_multiple_of(subscribers as u64),
            reloads,
            rest: Duration::from_millis(rest),
        }
    }
}

/// Measures everything, or one part.
pub(crate) fn run(options: &Options, part: Option<&str>) -> Result<()> {
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.spread[1].max(plan.subscribers) as u64 * 2 + SPARE_FILES)?;
    type Part = fn(&Plan, &Options) -> Result<()>;
    let parts: [(&str, Part); 5] = [
        ("requests", requests::run),
        ("spread", spread::run),
        ("bus", bus::run),
        ("publish", requests::publish),
        ("idle", idle::run),
    ];
    if let Some(part) = part
        && !parts.iter().any(|(name, _)| *name == part)
    {
        bail!("workers takes requests, spread, bus, publish or idle, not {part:?}");
    }
    for (name, run) in parts {
        if part.is_none_or(|part| part == name) {
            run(&plan, options)?;
        }
    }
    println!(
        "CPU is user + system time of all processes of a service, including the master: the {PERCENTILE}th percentile \
         of {} rounds; in parentheses the median of the ratios to the row with 1.00 in the same round. {}.",
        plan.rounds,
        options.placement.description(),
    );
    println!(
        "\nMachine: {} · Redis {}",
        machine::describe(["uptick-workers"]),
        redis_version().unwrap_or_else(|| "is not installed".to_owned()),
    );
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
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

/// Formats the CPU time of a server and its ratio to the time of another server.
fn cpu_cell(samples: &[Vec<f64>], index: usize, base: usize) -> String {
    let (own, base) = (&samples[index], &samples[base]);
    cell(percentile(own, PERCENTILE), median_ratio(own, base), 2)
}
