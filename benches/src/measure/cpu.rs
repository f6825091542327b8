//! CPU time of another process.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// How long the process must have stood still to count as resting.
const REST: Duration = Duration::from_millis(1);
const RESTS: usize = 5_000;

/// The CPU-time clock of a process: user and system time of all its threads, those that have
/// ended included, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClock(ClockId);

impl CpuClock {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let pid = Pid::from_raw(pid.try_into()?);
        let clock = clock_getcpuclockid(pid)
            .with_context(|| format!("opening the CPU clock of process {pid} failed"))?;
        Ok(Self(clock))
    }

    /// Waits until the process rests, so that the work it still does for the last answers counts
    /// as well, and reads the clock.
    pub(crate) fn at_rest(self) -> Result<Duration> {
        let mut before = self.read()?;
        for _ in 0..RESTS {
            thread::sleep(REST);
            let now = self.read()?;
            if now == before {
                return Ok(now);
            }
            before = now;
        }
        bail!("a server without work does not come to rest")
    }

    fn read(self) -> Result<Duration> {
        Ok(self
            .0
            .now()
            .context("reading a server's CPU clock failed")?
            .into())
    }
}
