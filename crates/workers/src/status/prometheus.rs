//! The totals in the text format of Prometheus.

use std::fmt::{Display, Write};

use super::{Status, Totals};

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

type Value = fn(&Totals) -> u64;

/// Name, kind, help, and where the value is.
const FAMILIES: [(&str, &str, &str, Value); 7] = [
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
        "Messages for workers that did not read.",
        |totals| totals.bus_dropped,
    ),
    (
        "uptick_worker_restarts_total",
        "counter",
        "Replacements after a death or a hang.",
        |totals| totals.restarts,
    ),
];

pub(super) fn encode(status: &Status) -> String {
    let mut text = Text(String::with_capacity(4096));
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
    lags(&mut text, status);
    let name = "uptick_generation";
    text.family(name, "gauge", "The generation that serves.");
    let _ = writeln!(text.0, "{name} {}", status.generation);
    text.0
}

fn lags(text: &mut Text, status: &Status) {
    let name = "uptick_loop_lag_seconds";
    let bucket = format!("{name}_bucket");
    let help = "How late the event loop ran a timer that was due.";
    text.family(name, "histogram", help);
    for Totals { number, lag, .. } in &status.totals {
        for (bound, count) in &lag.buckets {
            let label = format!(",le=\"{}\"", bound.as_secs_f64());
            text.sample(&bucket, *number, &label, count);
        }
        text.sample(&bucket, *number, ",le=\"+Inf\"", lag.count);
        text.sample(&format!("{name}_sum"), *number, "", lag.sum.as_secs_f64());
        text.sample(&format!("{name}_count"), *number, "", lag.count);
    }
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, worker: usize, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{{worker=\"{worker}\"{labels}}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Counter, Memory};

    #[test]
    fn each_family_has_help_and_type_before_its_samples() {
        let memory = Memory::create(2).unwrap();
        memory.place(1).add(Counter::Requests4xx, 7);
        memory.place(1).add_lag(3000);
        let text = Status::of(&memory).to_prometheus();
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
            } else if !line.starts_with("# HELP ") {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(name.starts_with(family), "{line} is not of {family}");
                line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            }
        }
        assert!(text.contains("uptick_requests_total{worker=\"2\",status=\"4xx\"} 7\n"));
        assert!(text.contains("uptick_loop_lag_seconds_bucket{worker=\"2\",le=\"0.002\"} 0\n"));
        assert!(text.contains("uptick_loop_lag_seconds_bucket{worker=\"2\",le=\"0.005\"} 1\n"));
        assert!(text.contains("uptick_loop_lag_seconds_sum{worker=\"2\"} 0.003\n"));
        assert!(text.contains("\nuptick_generation 0\n"));
    }
}
