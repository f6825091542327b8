//! The subcommand `timers`: the cost of adding, cancelling and firing a timer while a million are
//! pending.

use std::time::Duration;

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use uptick::event_loop::{EventLoop, ManualClock, ScriptedPoller, Timer, add_timer, cancel_timer};

use crate::cli::Options;
use crate::machine;
use crate::table::Table;

const PENDING: usize = 1_000_000;

/// The distributions of the deadlines.
const SPREADS: [(&str, Duration); 3] = [
    ("uniform over 1 h", Duration::from_secs(3600)),
    ("uniform over 1 s", Duration::from_secs(1)),
    ("all equal", Duration::ZERO),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let pending = if options.quick { 1_000 } else { PENDING };
    let clock = ManualClock::new();
    let event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone())?;
    let mut table = Table::new([
        format!("ns per timer, {pending} pending"),
        "add".to_owned(),
        "cancel".to_owned(),
        "fire".to_owned(),
    ]);
    for (name, spread) in SPREADS {
        let mut random = Random(1);
        let mut interval = || {
            let part = random.below(1 << 20) as f64 / f64::from(1 << 20);
            Duration::from_secs(1) + spread.mul_f64(part)
        };
        let filled = fill(pending, &mut interval);
        // While all timers are pending, the same number is added and cancelled in pairs.
        let (added, extra) = timed(|| fill(pending / 2, &mut interval));
        let mut shuffled = filled;
        random.shuffle(&mut shuffled);
        let victims = shuffled.split_off(pending / 2);
        let cancelled_count = victims.len();
        let (cancelled, ()) = timed(|| victims.into_iter().for_each(cancel_timer));
        let firing = shuffled.len() + extra.len();
        clock.advance(Duration::from_secs(2) + spread);
        let (fired, result) = timed(|| event_loop.run_once(Some(Duration::ZERO)));
        result?;
        anyhow::ensure!(
            extra
                .iter()
                .chain(&shuffled)
                .all(|timer| !timer.is_pending()),
            "a due timer has not fired"
        );
        let each =
            |time: Duration, count: usize| format!("{:.0}", time.as_nanos() as f64 / count as f64);
        table.push(vec![
            name.to_owned(),
            each(added, extra.len()),
            each(cancelled, cancelled_count),
            each(fired, firing),
        ]);
    }
    println!("{table}");
    println!(
        "CPU time of this process, through add_timer and cancel_timer with a closure that does nothing; \
         cancelled in random order; with a manual clock.\n\nMachine: {}",
        machine::describe(["uptick"].into_iter())
    );
    Ok(())
}

fn fill(count: usize, interval: &mut impl FnMut() -> Duration) -> Vec<Timer> {
    (0..count).map(|_| add_timer(interval(), || ())).collect()
}

/// Returns the CPU time of `f`.
fn timed<R>(f: impl FnOnce() -> R) -> (Duration, R) {
    let cpu =
        || clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
    let before = cpu();
    let result = f();
    (cpu().saturating_sub(before), result)
}

/// A small random number generator (xorshift64) with the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.below(at as u64 + 1) as usize;
            items.swap(at, other);
        }
    }
}
