//! The status of a service: its workers and their counters.

mod json;
mod prometheus;

use std::sync::atomic::Ordering::Relaxed;

use uptick_event_loop::Histogram;

use crate::memory::{Counter, Gauge, HistogramKind, SharedMemory, WorkerSlot, WorkerState};

/// The status of a service and all its workers.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use uptick_workers::Workers;
///
/// let workers = Workers::processes(2).on_status(Duration::from_secs(1), |status| {
///     for worker in &status.workers {
///         println!("worker {}: {} connections", worker.number, worker.connections);
///     }
/// });
/// # drop(workers);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The generation that is serving.
    pub generation: u64,
    /// The process id of the master.
    pub master: u64,
    /// The workers that are running and set up, including draining ones, sorted by number and
    /// generation.
    pub workers: Vec<WorkerStatus>,
    /// The totals of each worker number since the service started, over all workers that had it.
    pub totals: Vec<Totals>,
}

/// The status of one worker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The number of the worker, counted from 1.
    pub number: usize,
    /// The process id.
    pub pid: u64,
    /// The generation.
    pub generation: u64,
    /// `true` if the worker accepts no more connections.
    pub draining: bool,
    /// The number of open connections.
    pub connections: u64,
    /// The number of requests that the worker has answered.
    pub requests: u64,
    /// The number of open WebSockets.
    pub websockets: u64,
}

/// The totals of one worker number, which replacements continue.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Totals {
    /// The worker number, counted from 1.
    pub number: usize,
    /// The number of workers that were replaced because they died or hung.
    pub restarts: u64,
    /// The number of accepted connections.
    pub accepted: u64,
    /// The number of responses with a status of 200 to 299, 300 to 399, 400 to 499, 500 to 599.
    pub responses: [u64; 4],
    /// The number of open connections.
    pub connections: u64,
    /// The number of open WebSockets.
    pub websockets: u64,
    /// The number of messages published on the bus.
    pub bus_published: u64,
    /// The number of messages received from other workers.
    pub bus_received: u64,
    /// The number of messages dropped because a worker did not read.
    pub bus_dropped: u64,
    /// The number of successful TLS handshakes, including resumed ones.
    pub handshakes: u64,
    /// The number of TLS handshakes that resumed a session.
    pub resumptions: u64,
    /// The number of TLS handshakes that failed, timed out, or were refused.
    pub handshake_failures: u64,
    /// The number of messages that WebSockets dropped because their peers did not read.
    pub messages_dropped: u64,
    /// Times for which callbacks kept the loop busy, so that other events had to wait.
    pub loop_lag: Histogram,
    /// Times from the call of a handler until its response began, where that is measured
    /// ([`HttpServer::measure_handlers`](uptick_http::HttpServer::measure_handlers)).
    pub handler_time: Histogram,
    /// Times from the automatic pings of WebSockets to the pongs.
    pub ping_time: Histogram,
}

impl Status {
    pub(crate) fn of(memory: &SharedMemory) -> Status {
        let mut totals: Vec<Totals> = (0..memory.places())
            .map(|place| Totals::of(memory, place))
            .collect();
        let mut workers = Vec::new();
        for (_, slot) in memory.owned_slots() {
            if let Some(totals) = totals.get_mut(slot.get(Gauge::Place) as usize) {
                totals.connections += slot.get(Gauge::Connections);
                totals.websockets += slot.get(Gauge::WebSockets);
            }
            if slot.state() != WorkerState::Starting {
                workers.push(WorkerStatus::of(slot));
            }
        }
        workers.sort_by_key(|worker| (worker.number, worker.generation, worker.pid));
        Status {
            generation: memory.generation().load(Relaxed),
            master: memory.master().load(Relaxed),
            workers,
            totals,
        }
    }

    fn restarts(&self, number: usize) -> u64 {
        let totals = self.totals.get(number.wrapping_sub(1));
        totals.map_or(0, |totals| totals.restarts)
    }
}

impl WorkerStatus {
    fn of(slot: WorkerSlot) -> Self {
        WorkerStatus {
            number: slot.get(Gauge::Place) as usize + 1,
            pid: slot.get(Gauge::Pid),
            generation: slot.get(Gauge::Generation),
            draining: slot.state() == WorkerState::Draining,
            connections: slot.get(Gauge::Connections),
            requests: slot.get(Gauge::Requests),
            websockets: slot.get(Gauge::WebSockets),
        }
    }
}

impl Totals {
    fn of(memory: &SharedMemory, index: usize) -> Self {
        let place = memory.place(index);
        Totals {
            number: index + 1,
            restarts: place.get(Counter::Restarts),
            accepted: place.get(Counter::Accepted),
            responses: [
                place.get(Counter::Requests2xx),
                place.get(Counter::Requests3xx),
                place.get(Counter::Requests4xx),
                place.get(Counter::Requests5xx),
            ],
            bus_published: place.get(Counter::BusPublished),
            bus_received: place.get(Counter::BusReceived),
            bus_dropped: place.get(Counter::BusDropped),
            handshakes: place.get(Counter::Handshakes),
            resumptions: place.get(Counter::Resumptions),
            handshake_failures: place.get(Counter::HandshakeFailures),
            messages_dropped: place.get(Counter::MessagesDropped),
            loop_lag: place.histogram(HistogramKind::LoopLag),
            handler_time: place.histogram(HistogramKind::Handlers),
            ping_time: place.histogram(HistogramKind::Pings),
            ..Totals::default()
        }
    }
}
