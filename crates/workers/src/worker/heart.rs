//! Signs of life, counters, and the limits after which a worker is replaced.
//!
//! One timer does all of it, so an idle worker wakes up four times a second at most.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use uptick_event_loop::add_periodic_timer;

use super::{Runtime, with_runtime};
use crate::bus::Bus;
use crate::memory::{Counter, Gauge, monotonic_milliseconds};

/// The longest time between two signs of life.
const LONGEST_PERIOD: Duration = Duration::from_millis(250);

/// Memory is looked at once in so many signs of life.
const MEMORY_EVERY: u64 = 16;

/// What the timer knows from before.
#[derive(Default)]
pub(super) struct Heart {
    started: Cell<Option<Instant>>,
    beats: Cell<u64>,
    /// When the next sign of life is due.
    due: Cell<Option<Instant>>,
    published: RefCell<Published>,
    asked: Cell<bool>,
}

/// The counts that are in the shared memory already.
#[derive(Default)]
struct Published {
    bus: [u64; 3],
}

/// Starts the timer.
pub(super) fn start(runtime: &Rc<Runtime>) {
    let period = (runtime.settings.hang / 4).clamp(Duration::from_millis(10), LONGEST_PERIOD);
    runtime.heart.started.set(Some(Instant::now()));
    runtime.heart.due.set(Some(Instant::now() + period));
    beat(runtime, period);
    add_periodic_timer(period, move |_| {
        with_runtime(|runtime| beat(runtime, period));
    });
}

fn beat(runtime: &Rc<Runtime>, period: Duration) {
    runtime.slot().set(Gauge::Beat, monotonic_milliseconds());
    let now = Instant::now();
    if let Some(due) = runtime.heart.due.replace(Some(now + period))
        && runtime.heart.beats.get() > 0
    {
        let late = now.saturating_duration_since(due);
        let place = runtime.memory.place(runtime.place);
        place.add_lag(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }
    runtime.heart.beats.set(runtime.heart.beats.get() + 1);
    publish();
    check_limits(runtime, now);
}

/// Brings the counters of this worker in the shared memory up to date.
pub(super) fn publish() {
    with_runtime(|runtime| {
        let bus = Bus::of_thread().stats();
        let bus = [bus.published, bus.received, bus.dropped];
        let place = runtime.memory.place(runtime.place);
        let mut published = runtime.heart.published.borrow_mut();
        let counters = [
            Counter::BusPublished,
            Counter::BusReceived,
            Counter::BusDropped,
        ];
        for ((counter, now), before) in counters.into_iter().zip(bus).zip(&mut published.bus) {
            place.add(counter, now.saturating_sub(*before));
            *before = now.max(*before);
        }
    });
}

/// Asks for a successor if a limit is reached.
fn check_limits(runtime: &Rc<Runtime>, now: Instant) {
    let settings = &runtime.settings;
    if runtime.heart.asked.get() || runtime.draining.get().is_some() {
        return;
    }
    let requests = runtime.slot().get(Gauge::Requests);
    let age = runtime.heart.started.get();
    let age = age.map_or(Duration::ZERO, |start| now.saturating_duration_since(start));
    let memory_is_due =
        settings.max_memory > 0 && runtime.heart.beats.get().is_multiple_of(MEMORY_EVERY);
    let reason = if settings.max_requests > 0 && requests >= settings.max_requests {
        format!("it has answered {requests} requests")
    } else if settings.max_age.is_some_and(|most| age >= most) {
        format!("it has run for {age:.0?}")
    } else if memory_is_due
        && let Some(bytes) = resident_bytes().filter(|bytes| *bytes > settings.max_memory)
    {
        format!("it uses {bytes} bytes of memory")
    } else {
        return;
    };
    runtime.heart.asked.set(true);
    runtime.worker().replace(&reason);
}

/// Returns the memory that the process uses, in bytes.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
