//! The subcommand `http`: the cost of an HTTP/1.1 request, with and without TLS.

use std::time::Instant;

use anyhow::Result;

use crate::cli::Options;
use crate::identity::Identity;
use crate::idle;
use crate::load::{Exchange, Load, RoundTrips, ShortConnections, Target};
use crate::machine;
use crate::measure::syscalls::Method;
use crate::process::{Placement, ServerProcess, allow_open_files};
use crate::rounds::{self, Subject, Work};
use crate::servers::{Server, bun_version, node_version};
use crate::statistics::{median_ratio, percentile};
use crate::table::{Table, cell, ratio};

const CONNECTIONS: usize = 64;
const SHORT_AT_A_TIME: usize = 16;
pub(crate) const DEPTH: usize = 16;
/// The percentile of the CPU samples that the tables show, low enough to exclude disturbed rounds.
const PERCENTILE: f64 = 20.0;
/// Open files in addition to the connections.
const SPARE_FILES: u64 = 256;

/// The amount of work.
struct Plan {
    rounds: usize,
    requests: u64,
    short: u64,
    handshakes: u64,
    idle: usize,
    idle_tls: usize,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (rounds, requests, idle) = if options.quick {
            (2, 400, 100)
        } else {
            (21, 10_000, 10_000)
        };
        let requests = options.trips.unwrap_or(requests);
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            requests,
            short: requests.div_ceil(8),
            handshakes: requests.div_ceil(40),
            idle,
            idle_tls: idle.div_ceil(5),
        }
    }
}

/// Returns an exchange of `depth` pipelined `GET /hello`.
pub(crate) fn hello(depth: usize) -> Exchange {
    let head = "GET /hello HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
    Exchange::http(head, depth, "Hello, World!")
}

/// Returns an exchange whose request is the last one on its connection.
fn closing() -> Exchange {
    let head = "GET /hello HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n";
    Exchange::http(head, 1, "Hello, World!")
}

/// Returns a request with a path parameter and ten headers, as sent by a browser.
pub(crate) fn routed() -> Exchange {
    let head = "GET /user/4711 HTTP/1.1\r\n\
        Host: localhost:8080\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
        Accept-Language: en-US,en;q=0.5\r\n\
        Accept-Encoding: gzip, deflate, br, zstd\r\n\
        Connection: keep-alive\r\n\
        Cookie: session=3f2b8c1d9e7a4056; theme=dark\r\n\
        Cache-Control: no-cache\r\n\
        Sec-Fetch-Mode: navigate\r\n\
        DNT: 1\r\n\r\n";
    Exchange::http(head, 1, "4711")
}

/// The contents of a table: the servers, of which the first is the base of the ratios, and their loads.
struct Suite {
    servers: Vec<Server>,
    columns: &'static [&'static str],
    loads: fn(&Plan, &Target) -> Result<Vec<Work>>,
    idle: usize,
}

impl Suite {
    fn plain(plan: &Plan) -> Self {
        Self {
            servers: Server::HTTP.to_vec(),
            columns: &["64 conns", "pipelined", "routed", "new conn", "close"],
            loads: |plan, target| {
                Ok(vec![
                    trips(target, hello(1), plan.requests)?,
                    trips(target, hello(DEPTH), 2 * plan.requests)?,
                    trips(target, routed(), plan.requests)?,
                    short(target, hello(1), plan.short)?,
                    short(target, closing(), plan.short)?,
                ])
            },
            idle: plan.idle,
        }
    }

    fn tls(plan: &Plan) -> Self {
        Self {
            servers: Server::HTTPS
                .iter()
                .copied()
                .chain([Server::HttpFloor])
                .collect(),
            columns: &["64 conns", "new conn"],
            loads: |plan, target| {
                Ok(vec![
                    trips(target, hello(1), plan.requests)?,
                    short(target, hello(1), plan.handshakes)?,
                ])
            },
            idle: plan.idle_tls,
        }
    }
}

/// Round trips on connections that have each served a request already, so that no server closes them as silent
/// clients while the other servers take their turns.
fn trips(target: &Target, exchange: Exchange, units: u64) -> Result<Work> {
    let requests = exchange.requests();
    let mut load = RoundTrips::open(target, exchange, CONNECTIONS)?;
    load.run(CONNECTIONS as u64 * requests)?;
    Ok(Work {
        load: Box::new(load),
        units,
    })
}

fn short(target: &Target, exchange: Exchange, units: u64) -> Result<Work> {
    Ok(Work {
        load: Box::new(ShortConnections::new(target, exchange, SHORT_AT_A_TIME)?),
        units,
    })
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.idle as u64 + SPARE_FILES)?;
    let identity = Identity::new()?;
    let method = Method::detect();

    println!(
        "{}",
        measure(
            &Suite::plain(&plan),
            &plan,
            options.placement,
            method,
            &identity
        )?
    );
    println!("With TLS:\n");
    println!(
        "{}",
        measure(
            &Suite::tls(&plan),
            &plan,
            options.placement,
            method,
            &identity
        )?
    );
    println!("{}", explanation(&plan, options.placement, method));
    let packages = ["rustls", "aws-lc-rs"].into_iter();
    let servers = Server::HTTP.iter().chain(Server::HTTPS);
    let absent = || "is not installed".to_owned();
    println!(
        "\nMachine: {} · node {} · Bun {}",
        machine::describe(packages.chain(servers.filter_map(|server| server.package()))),
        node_version().unwrap_or_else(absent),
        bun_version().unwrap_or_else(absent),
    );
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn measure(
    suite: &Suite,
    plan: &Plan,
    placement: Placement,
    method: Method,
    identity: &Identity,
) -> Result<Table> {
    let (servers, absent): (Vec<_>, Vec<_>) = suite
        .servers
        .iter()
        .copied()
        .partition(|server| server.is_installed());
    for server in &absent {
        eprintln!("SKIPPED: {} is not installed", server.name());
    }
    eprintln!("starting {} servers", servers.len());
    let start = |server: &Server| ServerProcess::start(*server, server.identity(identity));
    let processes = placement.spawning(|| servers.iter().map(start).collect::<Result<Vec<_>>>())?;
    let works = |process: &ServerProcess| (suite.loads)(plan, process.target());
    let mut subjects: Vec<_> = servers
        .iter()
        .zip(processes)
        .map(|(server, process)| Subject::new(*server, process, works))
        .collect::<Result<_>>()?;
    eprintln!("measuring CPU time, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    eprintln!("counting system calls");
    let calls = rounds::system_calls(&mut subjects, method)?;
    drop(subjects);
    eprintln!("measuring memory at {} connections", suite.idle);
    let memory: Vec<_> = servers
        .iter()
        .map(|server| idle::memory(*server, server.identity(identity), &hello(1), suite.idle))
        .collect::<Result<_>>()?;

    let mut table = Table::new(header(suite));
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

fn header(suite: &Suite) -> Vec<String> {
    let mut header = vec!["server".to_owned()];
    for title in ["CPU µs: ", "syscalls: "] {
        let titles = [title].into_iter().chain([""].into_iter().cycle());
        header.extend(
            titles
                .zip(suite.columns)
                .map(|(title, column)| format!("{title}{column}")),
        );
    }
    header.push(format!("resident bytes per idle conn at {}", suite.idle));
    header
}

fn explanation(plan: &Plan, placement: Placement, method: Method) -> String {
    format!(
        "CPU is user + system time of the server process for one request: on {CONNECTIONS} connections, one at a time on each; \
         {DEPTH} at a time on each; with a path parameter and ten headers; on a new connection ({SHORT_AT_A_TIME} \
         at a time: connect, one exchange, close; with TLS a full handshake), and the same with `Connection: close`. The {PERCENTILE}th percentile of {} rounds of \
         {} requests, {} pipelined requests, {} new connections and {} with TLS; in parentheses the median of the ratios to the \
         first row in the same round. System calls are {}. {}.",
        plan.rounds,
        plan.requests,
        2 * plan.requests,
        plan.short,
        plan.handshakes,
        method.description(),
        placement.description(),
    )
}
