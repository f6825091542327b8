//! Heartbeats, counters, and the limits after which a worker is replaced.
//!
//! One timer does all of it, so an idle worker wakes up at most four times a second.

use std::rc::Rc;
use std::time::{Duration, Instant};

use uptick_event_loop::{Histogram, add_periodic_timer};
use uptick_http::HttpServer;
use uptick_websocket::WebSocketRoutes;

use super::runtime::{COUNTERS, Runtime, with_runtime};
use crate::bus::Bus;
use crate::memory::{Gauge, HistogramKind, monotonic_milliseconds};
use crate::tls;

/// The maximum time between two heartbeats.
const MAX_PERIOD: Duration = Duration::from_millis(250);

/// The number of heartbeats between two checks of the memory use.
const MEMORY_CHECK_BEATS: u64 = 16;

/// Starts the timer.
pub(super) fn start(runtime: &Rc<Runtime>) {
    let period = (runtime.settings.hang / 4).clamp(Duration::from_millis(10), MAX_PERIOD);
    runtime.heartbeat.started.set(Some(Instant::now()));
    beat(runtime);
    add_periodic_timer(period, move |_| {
        with_runtime(beat);
    });
}

fn beat(runtime: &Rc<Runtime>) {
    runtime.slot().set(Gauge::Beat, monotonic_milliseconds());
    runtime
        .heartbeat
        .beats
        .set(runtime.heartbeat.beats.get() + 1);
    runtime.sharing.correct_count();
    if runtime.draining.get().is_none() {
        // The wake-up for a connection may have gone to a worker that was stopped at that moment.
        runtime.sharing.accept_backlog();
    }
    publish();
    check_limits(runtime);
}

/// Updates the counters of this worker in the shared memory.
pub(super) fn publish() {
    with_runtime(|runtime| {
        let mut counts = [0; COUNTERS.len()];
        let (mut handlers, mut pings) = (Histogram::new(), Histogram::new());
        let mut open = 0;
        for server in HttpServer::of_thread() {
            let stats = server.stats();
            counts[0] += stats.responses_2xx;
            counts[1] += stats.responses_3xx;
            counts[2] += stats.responses_4xx;
            counts[3] += stats.responses_5xx;
            handlers.add(&server.handler_time());
            let websockets = server.websockets();
            counts[4] += websockets.dropped;
            pings.add(&websockets.ping_time);
            open += websockets.open as u64;
        }
        let bus = Bus::of_thread().stats();
        counts[5..8].copy_from_slice(&[bus.published, bus.received, bus.dropped]);
        counts[8..].copy_from_slice(&tls::handshakes());
        let slot = runtime.slot();
        slot.set(Gauge::WebSockets, open);
        let requests = counts[..4].iter().sum::<u64>();
        // Servers that were closed are no longer included.
        slot.set(Gauge::Requests, requests.max(slot.get(Gauge::Requests)));
        let place = runtime.memory.place(runtime.place);
        let mut published = runtime.heartbeat.published.borrow_mut();
        for ((counter, count), last) in COUNTERS
            .into_iter()
            .zip(counts)
            .zip(&mut published.counters)
        {
            place.add(counter, count.saturating_sub(*last));
            *last = count.max(*last);
        }
        let lag = uptick_event_loop::lag();
        place.add_times(HistogramKind::LoopLag, &lag, &published.lag);
        place.add_times(HistogramKind::Handlers, &handlers, &published.handlers);
        place.add_times(HistogramKind::Pings, &pings, &published.pings);
        published.lag = lag;
        published.handlers = handlers;
        published.pings = pings;
    });
}

/// Requests a successor if a limit is reached.
fn check_limits(runtime: &Rc<Runtime>) {
    let settings = &runtime.settings;
    if runtime.heartbeat.successor_requested.get() || runtime.draining.get().is_some() {
        return;
    }
    let requests = runtime.slot().get(Gauge::Requests);
    let age = runtime.heartbeat.started.get();
    let age = age.map_or(Duration::ZERO, |start| start.elapsed());
    let memory_is_due = settings.max_memory > 0
        && runtime
            .heartbeat
            .beats
            .get()
            .is_multiple_of(MEMORY_CHECK_BEATS);
    let reason = if settings.max_requests > 0 && requests >= settings.max_requests {
        format!("{requests} requests answered")
    } else if settings.max_age.is_some_and(|most| age >= most) {
        format!("running for {age:.0?}")
    } else if memory_is_due
        && let Some(bytes) = resident_bytes().filter(|bytes| *bytes > settings.max_memory)
    {
        format!("{bytes} bytes of memory used")
    } else {
        return;
    };
    runtime.heartbeat.successor_requested.set(true);
    runtime.worker().replace(&reason);
}

/// Returns the memory that the process uses, in bytes.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
