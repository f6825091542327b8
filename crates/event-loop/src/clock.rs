//! Clocks of the loop.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A monotonic clock. The loop reads it once in each iteration, and when a duration counts from a call.
pub trait Clock {
    /// Returns the time since the clock was created. If it goes backwards, the loop's time stands still.
    fn elapsed(&self) -> Duration;

    /// Returns the same time, up to 10 ms late, if that is cheaper. Default: [`elapsed`](Clock::elapsed).
    fn coarse(&self) -> Duration {
        self.elapsed()
    }
}

/// The operating system's monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    coarse_start: Duration,
}

/// Reads a clock of the system. Returns zero if the system does not have it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn read(clock: nix::time::ClockId) -> Duration {
    clock.now().map(Duration::from).unwrap_or_default()
}

impl SystemClock {
    /// Creates a clock that starts now.
    pub fn new() -> Self {
        SystemClock {
            // Read before `start`, so that the coarse time is never ahead of the exact one.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            coarse_start: read(nix::time::ClockId::CLOCK_MONOTONIC),
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn coarse(&self) -> Duration {
        // The time of the kernel's last tick, at a quarter of the cost of the exact time.
        read(nix::time::ClockId::CLOCK_MONOTONIC_COARSE).saturating_sub(self.coarse_start)
    }
}

/// A clock that moves only when a program moves it. Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Rc<Cell<Duration>>);

impl ManualClock {
    /// Creates a clock at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        self.0.set(self.0.get().saturating_add(by));
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, elapsed: Duration) {
        self.0.set(elapsed);
    }

    /// Returns the clock's time.
    pub fn elapsed(&self) -> Duration {
        self.0.get()
    }
}

impl Clock for ManualClock {
    fn elapsed(&self) -> Duration {
        self.0.get()
    }
}
