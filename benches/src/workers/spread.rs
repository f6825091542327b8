//! The distribution of long-lived connections over four workers.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Plan;
use crate::cli::Options;
use crate::load::Target;
use crate::process::ServerProcess;
use crate::servers::{Server, WorkersSetup};
use crate::statistics::percentile;
use crate::table::Table;

const REQUEST: &[u8] = b"GET /worker HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";

/// The maximum length of a response: a head, and the number of the worker.
const MAX_RESPONSE: usize = 512;

/// The timeout of a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

const WORKERS: usize = 4;
const SERVERS: &[WorkersSetup] = &[
    WorkersSetup::Processes(WORKERS),
    WorkersSetup::Threads(WORKERS),
    WorkersSetup::ReusePort,
];

/// The numbers of connections of the least and the most loaded worker.
struct ConnectionSpread {
    least: usize,
    most: usize,
}

impl ConnectionSpread {
    fn ratio(&self) -> f64 {
        self.most as f64 / self.least as f64
    }
}

pub(super) fn run(plan: &Plan, options: &Options) -> Result<()> {
    let columns = plan
        .spread
        .iter()
        .flat_map(|count| [format!("{count} one by one"), format!("{count} at once")]);
    let mut table = Table::new(["most/least".to_owned()].into_iter().chain(columns));
    for setup in SERVERS {
        eprintln!("opening connections to {}", setup.name());
        let mut row = vec![setup.name().to_owned()];
        for count in plan.spread {
            for at_once in [false, true] {
                let spreads = (0..plan.repetitions).map(|_| {
                    let start = || ServerProcess::start(Server::Workers(*setup), None);
                    let process = options.placement.spawning(start)?;
                    let spread = spread(process.target(), count, at_once);
                    spread.with_context(|| format!("connecting to {} failed", setup.name()))
                });
                row.push(summary(&spreads.collect::<Result<Vec<_>>>()?));
            }
        }
        table.push(row);
    }
    println!("{table}");
    println!(
        "Connections of the most loaded worker divided by those of the least loaded one of {WORKERS}: the median of {} new services, \
         and the worst with its numbers. One by one: each connection has a response before the next is opened; at once: all are opened and then served.\n",
        plan.repetitions
    );
    Ok(())
}

fn summary(spreads: &[ConnectionSpread]) -> String {
    let ratios: Vec<f64> = spreads.iter().map(ConnectionSpread::ratio).collect();
    let worst = spreads
        .iter()
        .max_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    match (percentile(&ratios, 50.0), worst) {
        (Some(median), Some(worst)) => format!(
            "{median:.2}, {:.2} ({}–{})",
            worst.ratio(),
            worst.least,
            worst.most
        ),
        _ => String::new(),
    }
}

fn spread(target: &Target, count: usize, at_once: bool) -> Result<ConnectionSpread> {
    let mut streams = Vec::with_capacity(count);
    let mut workers = BTreeMap::<usize, usize>::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(target.address)?;
        stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        if !at_once {
            *workers.entry(worker_of(&mut stream)?).or_default() += 1;
        }
        streams.push(stream);
    }
    if at_once {
        for stream in &mut streams {
            *workers.entry(worker_of(stream)?).or_default() += 1;
        }
    }
    let least = (1..=WORKERS).map(|worker| workers.get(&worker).copied().unwrap_or(0));
    Ok(ConnectionSpread {
        least: least.min().unwrap_or(0),
        most: workers.into_values().max().unwrap_or(0),
    })
}

/// Returns the number of the worker that serves a connection.
fn worker_of(stream: &mut TcpStream) -> Result<usize> {
    stream.write_all(REQUEST)?;
    let mut response = [0; MAX_RESPONSE];
    let mut length = 0;
    loop {
        match stream.read(&mut response[length..])? {
            0 => bail!("the server closed a connection, or its response is too long"),
            more => length += more,
        }
        let text = str::from_utf8(&response[..length])?;
        // The number has one digit.
        if let Some((_, body @ ("1" | "2" | "3" | "4"))) = text.split_once("\r\n\r\n") {
            return Ok(body.parse()?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_shows_the_median_and_the_worst() {
        let spread = |least, most| ConnectionSpread { least, most };
        let spreads = [spread(10, 10), spread(10, 12), spread(8, 12)];
        assert_eq!(summary(&spreads), "1.20, 1.50 (8–12)");
        assert_eq!(summary(&[spread(0, 12)]), "inf, inf (0–12)");
    }
}
