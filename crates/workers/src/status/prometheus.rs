//! The totals in the Prometheus text format.

use std::fmt::{Display, Write};

use uptick_event_loop::Histogram;

use super::{Status, Totals};

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

type CounterGetter = fn(&Totals) -> u64;

/// The counter and gauge families: name, kind, help, and the function that returns the value.
const FAMILIES: [(&str, &str, &str, CounterGetter); 11] = [
    (
        "uptick_connections_accepted_total",
        "counter",
        "Connections accepted from the listening sockets.",
        |totals| totals.accepted,
    ),
    (
        "uptick_connections_open",
        "gauge",
        "Connections that are open.",
        |totals| totals.connections,
    ),
    (
        "uptick_websockets_open",
        "gauge",
        "WebSockets that are open.",
        |totals| totals.websockets,
    ),
    (
        "uptick_tls_handshakes_total",
        "counter",
        "TLS handshakes that succeeded.",
        |totals| totals.handshakes,
    ),
    (
        "uptick_tls_resumptions_total",
        "counter",
        "TLS handshakes that resumed a session.",
        |totals| totals.resumptions,
    ),
    (
        "uptick_tls_handshake_failures_total",
        "counter",
        "TLS handshakes that failed, timed out, or were refused.",
        |totals| totals.handshake_failures,
    ),
    (
        "uptick_bus_published_total",
        "counter",
        "Messages published on the bus.",
        |totals| totals.bus_published,
    ),
    (
        "uptick_bus_received_total",
        "counter",
        "Messages received from other workers.",
        |totals| totals.bus_received,
    ),
    (
        "uptick_bus_dropped_total",
        "counter",
        "Messages dropped because a worker did not read them.",
        |totals| totals.bus_dropped,
    ),
    (
        "uptick_websocket_messages_dropped_total",
        "counter",
        "Messages that WebSockets dropped because their peers did not read them.",
        |totals| totals.messages_dropped,
    ),
    (
        "uptick_worker_restarts_total",
        "counter",
        "Workers that were replaced because they died or hung.",
        |totals| totals.restarts,
    ),
];

type HistogramGetter = fn(&Totals) -> &Histogram;

/// The histogram families: name, help, and the function that returns the histogram.
const HISTOGRAMS: [(&str, &str, HistogramGetter); 3] = [
    (
        "uptick_loop_lag_seconds",
        "Times for which callbacks kept the event loop busy.",
        |totals| &totals.loop_lag,
    ),
    (
        "uptick_handler_seconds",
        "Times from the call of a handler until its response began.",
        |totals| &totals.handler_time,
    ),
    (
        "uptick_websocket_ping_seconds",
        "Times from automatic pings to their pongs.",
        |totals| &totals.ping_time,
    ),
];

impl Status {
    /// Returns the totals in the Prometheus text format, version 0.0.4.
    pub fn to_prometheus(&self) -> String {
        encode(self)
    }
}

fn encode(status: &Status) -> String {
    let mut text = TextWriter(String::with_capacity(4096));
    for (name, kind, help, value) in FAMILIES {
        text.family(name, kind, help);
        for totals in &status.totals {
            text.sample(name, totals.number, "", value(totals));
        }
    }
    let name = "uptick_requests_total";
    text.family(name, "counter", "Responses by the class of their status.");
    for totals in &status.totals {
        for (class, count) in CLASSES.iter().zip(totals.responses) {
            text.sample(name, totals.number, &format!(",status=\"{class}\""), count);
        }
    }
    for (name, help, times) in HISTOGRAMS {
        text.family(name, "histogram", help);
        for totals in &status.totals {
            text.histogram(name, totals.number, times(totals));
        }
    }
    let name = "uptick_generation";
    text.family(name, "gauge", "The generation that is serving.");
    let _ = writeln!(text.0, "{name} {}", status.generation);
    text.0
}

struct TextWriter(String);

impl TextWriter {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, worker: usize, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{{worker=\"{worker}\"{labels}}} {value}");
    }

    fn histogram(&mut self, name: &str, worker: usize, times: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in times.cumulative() {
            self.sample(&bucket, worker, &format!(",le=\"{bound}\""), count);
        }
        self.sample(&bucket, worker, ",le=\"+Inf\"", times.count());
        let sum = times.sum().as_secs_f64();
        self.sample(&format!("{name}_sum"), worker, "", sum);
        self.sample(&format!("{name}_count"), worker, "", times.count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Counter, HistogramKind, SharedMemory};

    #[test]
    fn each_family_has_help_and_type_before_its_samples() {
        let memory = SharedMemory::create(2).unwrap();
        memory.place(1).add(Counter::Requests4xx, 7);
        let mut times = Histogram::new();
        times.observe(std::time::Duration::from_millis(3));
        let none = Histogram::new();
        memory
            .place(1)
            .add_times(HistogramKind::LoopLag, &times, &none);
        let text = Status::of(&memory).to_prometheus();
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
            } else if !line.starts_with("# HELP ") {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(
                    name.starts_with(family),
                    "{line} does not belong to {family}"
                );
                line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            }
        }
        assert!(text.contains("uptick_requests_total{worker=\"2\",status=\"4xx\"} 7\n"));
        assert!(text.contains("uptick_loop_lag_seconds_bucket{worker=\"2\",le=\"0.0025\"} 0\n"));
        assert!(text.contains("uptick_loop_lag_seconds_bucket{worker=\"2\",le=\"0.005\"} 1\n"));
        assert!(text.contains("uptick_loop_lag_seconds_sum{worker=\"2\"} 0.003\n"));
        assert!(text.contains("\nuptick_generation 0\n"));
    }
}
