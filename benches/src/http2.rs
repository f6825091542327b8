//! The subcommand `http2`: the cost of an HTTP/2 request, the memory of idle connections, and WebSockets over HTTP/2, all without
//! TLS.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::cli::Options;
use crate::idle;
use crate::load::{Exchange, Http2Echoes, Http2IdleConnections, Load, RequestStreams, RoundTrips};
use crate::machine;
use crate::measure::syscalls::Method;
use crate::process::{ServerProcess, allow_open_files};
use crate::rounds::{self, Subject, Work};
use crate::servers::{Server, h2o_version, nghttpd_version, nginx_version, node_version};
use crate::statistics::{median_ratio, percentile};
use crate::table::{Table, cell, ratio};
use crate::ws;

const CONNECTIONS: usize = 64;
/// The numbers of streams at a time, on each connection.
pub(crate) const STREAMS: [u32; 3] = [1, 10, 100];
/// The numbers of requests on each connection before it stays idle.
const REQUESTS_BEFORE_IDLE: [u32; 2] = [1, 50];
const MESSAGES: [usize; 2] = [ws::SHORT, ws::MEDIUM];
/// The percentile of the CPU samples that the tables show, low enough to exclude disturbed rounds.
const PERCENTILE: f64 = 20.0;
/// Open files in addition to the connections.
const SPARE_FILES: u64 = 256;

/// The amount of work.
struct Plan {
    rounds: usize,
    /// The number of requests with each number of streams at a time.
    requests: [u64; STREAMS.len()],
    messages: u64,
    idle: usize,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (rounds, requests, idle) = if options.quick {
            (2, 400, 50)
        } else {
            (21, 10_000, 2_000)
        };
        let requests = options.trips.unwrap_or(requests);
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            requests: [requests, 2 * requests, 4 * requests],
            messages: requests,
            idle,
        }
    }
}

/// Measures everything, or one part.
pub(crate) fn run(options: &Options, part: Option<&str>) -> Result<()> {
    type Part = fn(&Plan, &Options, Method) -> Result<()>;
    let parts: [(&str, Part); 3] = [
        ("requests", requests),
        ("idle", idle),
        ("websocket", websocket),
    ];
    if let Some(part) = part
        && !parts.iter().any(|(name, _)| *name == part)
    {
        bail!("http2 takes requests, idle or websocket, not {part:?}");
    }
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.idle as u64 + SPARE_FILES)?;
    let method = Method::detect();
    for (name, run) in parts {
        if part.is_none_or(|part| part == name) {
            run(&plan, options, method)?;
        }
    }
    println!(
        "The {PERCENTILE}th percentile of {} rounds; in parentheses the median of the ratios to the first row in the same round. \
         System calls are {}. {}.",
        plan.rounds,
        method.description(),
        options.placement.description(),
    );
    println!("\nMachine: {}", versions());
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Returns a description of the machine and of all servers.
pub(crate) fn versions() -> String {
    let absent = || "is not installed".to_owned();
    format!(
        "{} · h2o {} · nghttpd {} · nginx {} · node {}",
        machine::describe(["uptick-http", "hyper", "h2", "tokio", "fastwebsockets"]),
        h2o_version().unwrap_or_else(absent),
        nghttpd_version().unwrap_or_else(absent),
        nginx_version().unwrap_or_else(absent),
        node_version().unwrap_or_else(absent),
    )
}

/// The servers of a table that are installed, and the others.
pub(crate) struct Availability {
    pub(crate) present: Vec<Server>,
    absent: Vec<Server>,
}

impl Availability {
    /// Finds the servers that are installed, and reports the others.
    pub(crate) fn of(servers: &[Server]) -> Self {
        let installed = servers
            .iter()
            .copied()
            .partition(|server| server.is_installed());
        let (present, absent): (Vec<Server>, Vec<Server>) = installed;
        for server in &absent {
            let installation = server.installation().unwrap_or_default();
            eprintln!(
                "SKIPPED: {} is not installed ({installation})",
                server.name()
            );
        }
        Availability { present, absent }
    }

    pub(crate) fn append_absent(&self, table: &mut Table) {
        for server in &self.absent {
            table.push(vec![server.name().to_owned(), "not installed".to_owned()]);
        }
    }
}

fn requests(plan: &Plan, options: &Options, method: Method) -> Result<()> {
    let servers = Availability::of(Server::HTTP2);
    let mut subjects = start(&servers.present, options, |process| {
        let works = STREAMS.iter().zip(plan.requests).map(|(&streams, units)| {
            let mut load = RequestStreams::open(process.target(), streams, CONNECTIONS)?;
            load.run(CONNECTIONS as u64 * u64::from(streams))?;
            let load = Box::new(load);
            Ok(Work { load, units })
        });
        works.collect()
    })?;
    let titles = STREAMS.map(|streams| match streams {
        1 => "1 stream".to_owned(),
        _ => format!("{streams} streams"),
    });
    let names = servers.present.iter().map(|server| server.name());
    let mut table = measure(&mut subjects, names, &titles, plan, method)?;
    servers.append_absent(&mut table);
    println!("{table}");
    println!(
        "CPU is user + system time of the server process for one request on {CONNECTIONS} connections, with {} streams at a time on \
         each; {:?} requests in a round.\n",
        STREAMS.map(|streams| streams.to_string()).join(", "),
        plan.requests,
    );
    Ok(())
}

fn idle(plan: &Plan, _: &Options, _: Method) -> Result<()> {
    let servers = Availability::of(Server::HTTP2);
    eprintln!("measuring memory at {} connections", plan.idle);
    let memory = |server: &Server| {
        let memory = REQUESTS_BEFORE_IDLE.map(|requests| {
            let [_, private] = idle::memory_of(*server, None, plan.idle, |target, count| {
                Http2IdleConnections::open(target, requests, count)
            })?;
            anyhow::Ok(private)
        });
        memory.into_iter().collect::<Result<Vec<_>>>()
    };
    let memory: Vec<_> = servers.present.iter().map(memory).collect::<Result<_>>()?;
    let titles = REQUESTS_BEFORE_IDLE.map(|requests| match requests {
        1 => "private bytes per idle connection: after 1 request".to_owned(),
        _ => format!("after {requests}"),
    });
    let mut table = Table::new(["server".to_owned()].into_iter().chain(titles));
    for (server, values) in servers.present.iter().zip(&memory) {
        let mut row = vec![server.name().to_owned()];
        for (value, base) in values.iter().zip(&memory[0]) {
            row.push(cell(*value, ratio(*value, *base), 0));
        }
        table.push(row);
    }
    servers.append_absent(&mut table);
    println!("{table}");
    println!(
        "Memory is the growth of the server process at {} connections, each after its requests, one at a time.\n",
        plan.idle
    );
    Ok(())
}

/// Measures the echo of messages over both versions of HTTP.
fn websocket(plan: &Plan, options: &Options, method: Method) -> Result<()> {
    let http2 = Availability::of(Server::WEBSOCKET_HTTP2);
    let http1 = [Server::UptickWebSocket, Server::FastWebSockets];
    let servers = [&http1[..], &http2.present].concat();
    let mut index = 0;
    let mut subjects = start(&servers, options, |process| {
        let is_http1 = index < http1.len();
        index += 1;
        let works = MESSAGES.map(|length| {
            let target = process.target();
            let load: Box<dyn Load> = match is_http1 {
                true => {
                    let exchange = Exchange::WebSocket(length);
                    Box::new(RoundTrips::open(target, exchange, CONNECTIONS)?)
                }
                false => Box::new(Http2Echoes::open(target, length, CONNECTIONS)?),
            };
            let units = plan.messages;
            Ok(Work { load, units })
        });
        works.into_iter().collect()
    })?;
    let names = servers.iter().enumerate().map(|(index, server)| {
        let name = server.name();
        match index < http1.len() {
            true => format!("{name} over HTTP/1.1"),
            false => format!("{name} over HTTP/2"),
        }
    });
    let titles = MESSAGES.map(|length| format!("{length} B"));
    let mut table = measure(&mut subjects, names, &titles, plan, method)?;
    http2.append_absent(&mut table);
    println!("{table}");
    println!(
        "CPU is user + system time of the server process for one echoed WebSocket message, on {CONNECTIONS} connections, one at a time \
         on each; {} messages in a round.\n",
        plan.messages,
    );
    Ok(())
}

fn start(
    servers: &[Server],
    options: &Options,
    mut works: impl FnMut(&ServerProcess) -> Result<Vec<Work>>,
) -> Result<Vec<Subject>> {
    eprintln!("starting {} servers", servers.len());
    let start = |server: &Server| ServerProcess::start(*server, None);
    let processes = options
        .placement
        .spawning(|| servers.iter().map(start).collect::<Result<Vec<_>>>())?;
    servers
        .iter()
        .zip(processes)
        .map(|(server, process)| Subject::new(*server, process, &mut works))
        .collect()
}

/// Builds the table of CPU time and system calls, with a row for each subject.
fn measure(
    subjects: &mut [Subject],
    names: impl Iterator<Item = impl Into<String>>,
    titles: &[String],
    plan: &Plan,
    method: Method,
) -> Result<Table> {
    eprintln!("measuring CPU time, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(subjects, plan.rounds)?;
    eprintln!("counting system calls");
    let calls = rounds::system_calls(subjects, method)?;
    let mut header = vec!["server".to_owned()];
    for measured in ["CPU µs: ", "syscalls: "] {
        let prefixes = [measured].into_iter().chain([""].into_iter().cycle());
        header.extend(
            prefixes
                .zip(titles)
                .map(|(prefix, title)| format!("{prefix}{title}")),
        );
    }
    let mut table = Table::new(header);
    for (index, name) in names.enumerate() {
        let mut row = vec![name.into()];
        for samples in &cpu {
            let (samples, base) = (&samples[index], &samples[0]);
            let ratio = median_ratio(samples, base);
            row.push(cell(percentile(samples, PERCENTILE), ratio, 2));
        }
        for (calls, base) in calls[index].iter().zip(&calls[0]) {
            row.push(cell(*calls, ratio(*calls, *base), 2));
        }
        table.push(row);
    }
    Ok(table)
}
