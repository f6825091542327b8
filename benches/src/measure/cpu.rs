//! CPU time of other processes.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use super::tree;

/// The time without CPU use after which processes count as idle.
const IDLE_INTERVAL: Duration = Duration::from_millis(1);
const MAX_IDLE_CHECKS: usize = 5_000;

/// The CPU-time clocks of a server's processes: user and system time of all their threads, including ended
/// ones, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct CpuClock(Vec<ClockId>);

impl CpuClock {
    /// Opens the clock of one process.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Self::of_all(&[pid])
    }

    /// Opens the clocks of a process and of its current descendants.
    pub(crate) fn of_tree(root: u32) -> Result<Self> {
        Self::of_all(&tree::members(root)?)
    }

    fn of_all(pids: &[u32]) -> Result<Self> {
        let clock = |pid: &u32| {
            let pid = Pid::from_raw((*pid).try_into()?);
            clock_getcpuclockid(pid)
                .with_context(|| format!("opening the CPU clock of process {pid} failed"))
        };
        Ok(Self(pids.iter().map(clock).collect::<Result<_>>()?))
    }

    /// Waits until the processes are idle, so that their work after the last responses counts as well, and
    /// reads the clocks.
    pub(crate) fn read_when_idle(&self) -> Result<Duration> {
        let mut before = self.read()?;
        for _ in 0..MAX_IDLE_CHECKS {
            thread::sleep(IDLE_INTERVAL);
            let now = self.read()?;
            if now == before {
                return Ok(now);
            }
            before = now;
        }
        bail!("a server without work does not become idle")
    }

    /// Returns the sum of the clocks.
    pub(crate) fn read(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for clock in &self.0 {
            let now = clock.now().context("reading a server's CPU clock failed")?;
            sum += Duration::from(now);
        }
        Ok(sum)
    }
}
