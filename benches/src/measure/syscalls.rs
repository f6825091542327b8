//! The number of system calls of another process.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};
use rustix::process::{Pid, Signal, kill_process};

const TRACEPOINT_ID: [&str; 2] = [
    "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
    "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
];

/// The available method of counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// A perf counter on the tracepoint with this number.
    Tracepoint(u64),
    /// `strace -c`, which slows the server down and so changes how its work is batched.
    Strace,
    /// No method is available.
    None,
}

impl Method {
    /// Returns the best available method.
    pub(crate) fn detect() -> Self {
        if let Some(id) = tracepoint_id()
            && counter(id, process::id()).is_ok()
        {
            return Self::Tracepoint(id);
        }
        let strace = Command::new("strace")
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if strace.is_ok_and(|status| status.success()) {
            Self::Strace
        } else {
            Self::None
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Tracepoint(_) => "counted by perf's raw_syscalls:sys_enter",
            Self::Strace => "counted by strace -c, which changes how work is batched",
            Self::None => {
                "not measured: neither perf's raw_syscalls:sys_enter nor strace is available"
            }
        }
    }

    /// Counts the system calls of all threads of `pid` while `work` runs.
    pub(crate) fn count(self, pid: u32, work: impl FnOnce() -> Result<()>) -> Result<Option<u64>> {
        match self {
            Self::Tracepoint(id) => count_with_perf(id, pid, work).map(Some),
            Self::Strace => count_with_strace(pid, work).map(Some),
            Self::None => Ok(None),
        }
    }
}

fn tracepoint_id() -> Option<u64> {
    TRACEPOINT_ID
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
}

fn counter(id: u64, thread: u32) -> Result<Counter> {
    let mut builder = Builder::new(Tracepoint::with_id(id));
    // A counter excludes the kernel by default, and the tracepoint is hit in the kernel.
    builder
        .observe_pid(thread.try_into()?)
        .any_cpu()
        .exclude_kernel(false);
    Ok(builder.build()?)
}

fn count_with_perf(id: u64, pid: u32, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let mut counters = Vec::new();
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("reading {tasks} failed"))? {
        let thread = task?.file_name().to_string_lossy().parse()?;
        counters.push(counter(id, thread).context("opening a perf counter failed")?);
    }
    for counter in &mut counters {
        counter.enable()?;
    }
    work()?;
    let mut calls = 0;
    for counter in &mut counters {
        counter.disable()?;
        calls += counter.read()?;
    }
    Ok(calls)
}

fn count_with_strace(pid: u32, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let summary =
        Summary(env::temp_dir().join(format!("uptick-bench-strace-{}-{pid}", process::id())));
    let child = Command::new("strace")
        .args(["-f", "-c", "-p", &pid.to_string(), "-o"])
        .arg(&summary.0)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting strace failed")?;
    let mut strace = Tracer(child);
    let mut line = String::new();
    if let Some(stderr) = strace.0.stderr.take() {
        BufReader::new(stderr).read_line(&mut line)?;
    }
    if !line.contains("attached") {
        bail!("strace could not attach: {}", line.trim());
    }
    work()?;
    kill_process(Pid::from_child(&strace.0), Signal::INT)?;
    strace.0.wait()?;
    let text = fs::read_to_string(&summary.0).context("reading strace's summary failed")?;
    calls_in(&text).context("strace's summary is in an unknown format")
}

/// Returns the sum of the column `calls` of `strace -c`.
fn calls_in(summary: &str) -> Option<u64> {
    let rule = |line: &&str| line.starts_with("------");
    let rows = summary.lines().skip_while(|line| !rule(line)).skip(1);
    let calls = rows
        .take_while(|line| !rule(line))
        .map(|row| row.split_whitespace().nth(3)?.parse::<u64>().ok());
    calls.sum()
}

struct Summary(PathBuf);

impl Drop for Summary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_an_strace_summary_are_added_up() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.33    0.000092           3        30         2 recvfrom
 38.67    0.000058           2        28           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.000150           2        58         2 total
";
        assert_eq!(calls_in(summary), Some(58));
    }

    #[test]
    fn an_unknown_summary_is_refused() {
        let summary = "------ ----\n 61.33 recvfrom\n------ ----\n";
        assert_eq!(calls_in(summary), None);
    }
}
