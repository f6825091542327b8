//! The cost of an idle service, and the effect of reloads on its master.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::Plan;
use crate::cli::Options;
use crate::measure::cpu::CpuClock;
use crate::measure::memory::Resident;
use crate::measure::tree;
use crate::process::ServerProcess;
use crate::servers::{Server, WorkersSetup};
use crate::table::Table;

const WORKERS: usize = 4;

/// The time that a new service is left alone before it is measured.
const SETTLE: Duration = Duration::from_millis(500);

/// The maximum duration of a reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn run(plan: &Plan, options: &Options) -> Result<()> {
    idle(plan, options)?;
    reloads(plan, options)
}

fn start(setup: WorkersSetup, options: &Options) -> Result<ServerProcess> {
    let start = || ServerProcess::start(Server::Workers(setup), None);
    let process = options.placement.spawning(start)?;
    thread::sleep(SETTLE);
    Ok(process)
}

fn idle(plan: &Plan, options: &Options) -> Result<()> {
    eprintln!("measuring idle services");
    let processes = start(WorkersSetup::Processes(WORKERS), options)?;
    let threads = start(WorkersSetup::Threads(WORKERS), options)?;
    let members = tree::members(processes.pid())?;
    let (master, workers) = members.split_at(1);
    let rows = [
        ("master of processes", master),
        ("a worker process", workers),
        ("master and 4 threads", &[threads.pid()]),
    ];
    let before = rows.map(|(_, pids)| usage(pids));
    let begin = Instant::now();
    thread::sleep(plan.rest);
    let elapsed = begin.elapsed().as_secs_f64();
    let mut table = Table::new([
        "idle service",
        "resident KiB",
        "anonymous KiB",
        "CPU ms per s",
        "wake-ups per s",
        "open files",
    ]);
    for ((name, pids), before) in rows.into_iter().zip(before) {
        let (before, after) = (before?, usage(pids)?);
        let count = pids.len() as f64;
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e3;
        let memory = MemoryUsage::of(pids)?;
        table.push(vec![
            name.to_owned(),
            format!("{:.0}", memory.total / count),
            format!("{:.0}", memory.anonymous / count),
            format!("{:.2}", cpu / elapsed / count),
            format!(
                "{:.1}",
                (after.switches - before.switches) as f64 / elapsed / count
            ),
            format!("{:.0}", memory.files / count),
        ]);
    }
    println!("{table}");
    println!(
        "Over {elapsed:.1} s without a connection; the row of a worker process is the mean of {WORKERS}. Resident memory includes pages that \
         processes share.\n"
    );
    Ok(())
}

/// CPU time and wake-ups of processes so far.
struct Usage {
    cpu: Duration,
    switches: u64,
}

fn usage(pids: &[u32]) -> Result<Usage> {
    let mut usage = Usage {
        cpu: Duration::ZERO,
        switches: 0,
    };
    for pid in pids {
        usage.cpu += CpuClock::of(*pid)?.read()?;
        usage.switches += tree::context_switches(*pid)?;
    }
    Ok(usage)
}

/// Memory of processes in KiB, and their open files.
struct MemoryUsage {
    total: f64,
    anonymous: f64,
    files: f64,
}

impl MemoryUsage {
    fn of(pids: &[u32]) -> Result<Self> {
        let mut memory = MemoryUsage {
            total: 0.0,
            anonymous: 0.0,
            files: 0.0,
        };
        for pid in pids {
            let resident = Resident::of(*pid)?;
            memory.total += resident.total as f64 / 1024.0;
            memory.anonymous += resident.anonymous as f64 / 1024.0;
            memory.files += tree::open_files(*pid)? as f64;
        }
        Ok(memory)
    }
}

fn reloads(plan: &Plan, options: &Options) -> Result<()> {
    eprintln!("reloading {} times", plan.reloads);
    let process = start(WorkersSetup::Processes(WORKERS), options)?;
    let mut table = Table::new([
        "master after reloads",
        "resident KiB",
        "anonymous KiB",
        "open files",
    ]);
    for reload in 0..=plan.reloads {
        if reload > 0 {
            let began = tree::members(process.pid())?;
            process.signal(Signal::HUP)?;
            wait_for_reload(process.pid(), &began)
                .with_context(|| format!("waiting for reload {reload} failed"))?;
        }
        if [0, 1, plan.reloads].contains(&reload) {
            thread::sleep(SETTLE);
            let memory = MemoryUsage::of(&[process.pid()])?;
            table.push(vec![
                reload.to_string(),
                format!("{:.0}", memory.total),
                format!("{:.0}", memory.anonymous),
                format!("{:.0}", memory.files),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

/// Waits until all workers have been replaced.
fn wait_for_reload(master: u32, before: &[u32]) -> Result<()> {
    let deadline = Instant::now() + RELOAD_TIMEOUT;
    loop {
        let now = tree::members(master)?;
        let old = now.iter().skip(1).any(|pid| before.contains(pid));
        if !old && now.len() == before.len() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("there are {} processes after {RELOAD_TIMEOUT:?}", now.len());
        }
        thread::sleep(Duration::from_millis(10));
    }
}
