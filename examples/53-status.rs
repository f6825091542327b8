//! A service whose status is shown in the terminal, refreshed every second.
//!
//! Run it:
//! ```text
//! $ cargo run --example 53-status --features workers
//! $ cargo run --example 53-status --features workers -- --processes 4 127.0.0.1:8080
//! ```
//! Generate load, kill a worker, and watch:
//! ```text
//! $ while curl -s http://127.0.0.1:8080/; do :; done
//! $ kill -9 PID-OF-A-WORKER
//! ```
//! If standard output is not a terminal, it prints one line of JSON every second instead.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

use uptick::prelude::*;
use uptick::workers::{Status, Totals, WorkerEvent, WorkerStatus};

const USAGE: &str = "usage: 53-status [--processes N] [ADDRESS]";
const INTERVAL: Duration = Duration::from_secs(1);

/// Clears the terminal and moves the cursor to its top.
const CLEAR: &str = "\x1b[2J\x1b[H";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

fn main() -> uptick::Result {
    let mut processes = 2;
    let mut address = "127.0.0.1:8080".to_owned();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--processes" => processes = args.next().ok_or(USAGE)?.parse()?,
            _ if !arg.starts_with('-') => address = arg,
            _ => return Err(USAGE.into()),
        }
    }
    let view = RefCell::new(View::default());
    Workers::processes(processes)
        .listen(address.as_str())
        .on_event(|event| match event {
            WorkerEvent::Listening { addresses } => {
                println!(
                    "listening on {}",
                    addresses.join(", ").replace("tcp", "http")
                );
            }
            event => eprintln!("{event}"),
        })
        .on_status(INTERVAL, move |status| view.borrow_mut().show(status))
        .run(|worker: Worker| {
            let http = HttpServer::new();
            http.get("/", move |_: Request| {
                format!("worker {}\n", worker.number())
            });
            http.listen(worker.server(0)?);
            Ok(())
        })?;
    Ok(())
}

/// The previous status.
#[derive(Default)]
struct View {
    before: Option<Status>,
}

impl View {
    fn show(&mut self, status: &Status) {
        if !status.workers.iter().any(|worker| !worker.draining) {
            return;
        }
        match stdout().is_terminal() {
            true => print!("{CLEAR}{}", self.draw(status)),
            false => println!("{}", status.to_json()),
        }
        self.before = Some(status.clone());
    }

    fn draw(&self, status: &Status) -> String {
        let mut text = format!(
            "{BOLD}generation {}, master {}{PLAIN}\n\n{BOLD}worker      pid  state     open  requests     /s  websockets{PLAIN}\n",
            status.generation, status.master
        );
        for worker in &status.workers {
            let state = if worker.draining { "draining" } else { "ready" };
            // Writing to a `String` does not fail.
            let _ = writeln!(
                text,
                "{:>6} {:>8}  {state:<8} {:>5} {:>9} {:>6} {:>11}",
                worker.number,
                worker.pid,
                worker.connections,
                worker.requests,
                self.requests_since(worker),
                worker.websockets,
            );
        }
        text.push_str(&format!(
            "\n{BOLD}number  restarts  accepted  4xx  5xx  bus sent  received  dropped  mean lag{PLAIN}\n"
        ));
        for totals in &status.totals {
            let _ = writeln!(
                text,
                "{:>6} {:>9} {:>9} {:>4} {:>4} {:>9} {:>9} {:>8} {:>9}",
                totals.number,
                totals.restarts,
                totals.accepted,
                totals.responses[2],
                totals.responses[3],
                totals.bus_published,
                totals.bus_received,
                totals.bus_dropped,
                mean_lag(totals),
            );
        }
        text
    }

    /// Returns the number of requests that a worker has answered since the previous status.
    fn requests_since(&self, worker: &WorkerStatus) -> u64 {
        let before = self.before.iter().flat_map(|status| &status.workers);
        let mut same = before.filter(|other| other.pid == worker.pid);
        let before = same.next().map_or(0, |other| other.requests);
        worker.requests.saturating_sub(before)
    }
}

fn mean_lag(totals: &Totals) -> String {
    let count = u32::try_from(totals.loop_lag.count())
        .unwrap_or(u32::MAX)
        .max(1);
    format!("{:.1?}", totals.loop_lag.sum() / count)
}
