//! Where the loop's time comes from.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A monotonic clock. The loop reads it once in each iteration, and where a duration begins with a call.
pub trait Clock {
    /// The time that has passed since the clock was made. Going backwards counts as standing still.
    fn elapsed(&self) -> Duration;

    /// The same, up to 10 ms late, where that is cheaper. Default: [`elapsed`](Clock::elapsed).
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

/// What one of the system's clocks says, or nothing where the system lacks it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn read(clock: nix::time::ClockId) -> Duration {
    clock.now().map(Duration::from).unwrap_or_default()
}

impl SystemClock {
    /// Makes a clock that starts now.
    pub fn new() -> Self {
        SystemClock {
            // Read before the start, so that the coarse time is never the later one.
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
        // The time of the kernel's last tick, at a quarter of the cost of the exact one.
        read(nix::time::ClockId::CLOCK_MONOTONIC_COARSE).saturating_sub(self.coarse_start)
    }
}

/// A clock that moves when it is told to; clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Rc<Cell<Duration>>);

impl ManualClock {
    /// Makes a clock that stands at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.0.set(self.0.get().saturating_add(by));
    }

    /// Sets the clock, also back.
    pub fn set(&self, elapsed: Duration) {
        self.0.set(elapsed);
    }

    /// The time that has passed on the clock.
    pub fn elapsed(&self) -> Duration {
        self.0.get()
    }
}

impl Clock for ManualClock {
    fn elapsed(&self) -> Duration {
        self.0.get()
    }
}
