//! The subcommand `client`: the cost of requests of HTTP clients, and the memory of their idle connections.

mod idle;
mod instructions;
mod requests;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::cli::Options;
use crate::load::{Exchange, Load, RoundTrips};
use crate::machine;
use crate::measure::syscalls::Method;
use crate::process::{ServerProcess, allow_open_files};
use crate::servers::{CLIENT_HOSTS, ClientCase, REQUESTS_DONE, Server};

pub(crate) use instructions::table as instructions;

/// The percentile of the CPU samples in the tables: the least disturbed rounds.
const PERCENTILE: f64 = 20.0;
/// Open files in addition to the connections.
const SPARE_FILES: u64 = 256;

/// The amount of work.
struct Plan {
    rounds: usize,
    /// The number of requests in a round.
    requests: u64,
    /// The number of idle connections, a multiple of the number of hosts.
    connections: u64,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (rounds, requests, connections) = match options.quick {
            true => (2, 128, 100),
            false => (21, 5_000, 10_000),
        };
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            requests: options.trips.unwrap_or(requests),
            connections,
        }
    }
}

/// Measures everything, or one part.
pub(crate) fn run(options: &Options, part: Option<&str>) -> Result<()> {
    type Part = fn(&Plan, &Options) -> Result<()>;
    let parts: [(&str, Part); 2] = [("requests", requests::run), ("idle", idle::run)];
    if let Some(part) = part
        && !parts.iter().any(|(name, _)| *name == part)
    {
        bail!("client takes requests or idle, not {part:?}");
    }
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.connections + 2 * CLIENT_HOSTS + SPARE_FILES)?;
    for (name, run) in parts {
        if part.is_none_or(|part| part == name) {
            run(&plan, options)?;
        }
    }
    println!(
        "The {PERCENTILE}th percentile of {} rounds; in parentheses the median of the ratios to the first row in the same round. \
         System calls are {}. {}.",
        plan.rounds,
        Method::detect().description(),
        options.placement.description(),
    );
    println!("\nMachine: {}", versions());
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Returns a description of the machine and of all clients.
pub(crate) fn versions() -> String {
    machine::describe(["uptick-http-client", "hyper-util", "hyper", "h2", "reqwest"])
}

/// Requests of a client, sent on one request of the load generator.
struct ClientRequests {
    request: RoundTrips,
    count: u64,
}

impl ClientRequests {
    /// Prepares requests of a case; `count` is rounded up to full rounds of its requests at a time.
    fn new(process: &ServerProcess, case: ClientCase, count: u64) -> Result<Self> {
        let count = count.next_multiple_of(case.in_flight());
        let head = format!(
            "GET /{}/{count} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            case.path()
        );
        let exchange = Exchange::http(&head, 1, REQUESTS_DONE);
        let request = RoundTrips::open(process.target(), exchange, 1)?;
        Ok(Self { request, count })
    }
}

impl Load for ClientRequests {
    fn run(&mut self, _: u64) -> Result<()> {
        self.request.run(1)
    }
}

/// Starts the server of all clients.
fn start_upstream() -> Result<(ServerProcess, String)> {
    let upstream = ServerProcess::start(Server::HttpUpstream, None)?;
    let url = format!("http://{}", upstream.target().address);
    Ok((upstream, url))
}
