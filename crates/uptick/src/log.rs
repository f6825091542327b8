//! Warnings and errors on stderr, for programs without a subscriber of `tracing`.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, dispatcher};

/// The interval at which a place in the code may print a warning or an error.
const INTERVAL: Duration = Duration::from_secs(1);

/// Prints the `tracing` events of Uptick and other crates on stderr, from level `INFO` on.
///
/// Programs that do not call this function, and have not installed a `tracing` subscriber when [`run`](crate::run) is called,
/// print warnings and errors. Each place in the code prints at most one warning or error a second; the next one reports the
/// number of omitted ones.
///
/// The environment variable `UPTICK_LOG` sets the level in both cases: `off`, `error`, `warn`, `info`, `debug` or `trace`.
///
/// Returns `false`, and changes nothing, if a subscriber is installed already.
///
/// # Examples
/// ```no_run
/// fn main() -> uptick::Result {
///     uptick::log_to_stderr();
///     uptick::run()
/// }
/// ```
pub fn log_to_stderr() -> bool {
    install(LevelFilter::INFO)
}

/// Prints warnings and errors, unless the program has a subscriber.
pub(crate) fn log_by_default() {
    if !dispatcher::has_been_set() {
        install(LevelFilter::WARN);
    }
}

fn install(level: LevelFilter) -> bool {
    let chosen = std::env::var("UPTICK_LOG").ok();
    let level = chosen
        .and_then(|name| name.trim().parse().ok())
        .unwrap_or(level);
    let subscriber = Stderr {
        level,
        printed: Mutex::default(),
    };
    tracing::subscriber::set_global_default(subscriber).is_ok()
}

/// A subscriber that prints each event on a line.
struct Stderr {
    level: LevelFilter,
    /// The last warning or error of each place in the code.
    printed: Mutex<HashMap<Place, Printed>>,
}

/// A place in the code: module and line.
type Place = (&'static str, Option<u32>);

/// The time of the last line of a place, and the number of events omitted since.
struct Printed {
    at: Instant,
    omitted: u64,
}

impl Stderr {
    /// Returns the number of events of a place that were omitted before this one; `None` if this one is omitted as well.
    fn omitted(&self, metadata: &'static Metadata<'static>) -> Option<u64> {
        if *metadata.level() > Level::WARN {
            return Some(0);
        }
        let now = Instant::now();
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (metadata.target(), metadata.line());
        match printed.get_mut(&place) {
            Some(last) if now.duration_since(last.at) < INTERVAL => {
                last.omitted += 1;
                None
            }
            before => {
                let omitted = before.map_or(0, |last| last.omitted);
                printed.insert(
                    place,
                    Printed {
                        at: now,
                        omitted: 0,
                    },
                );
                Some(omitted)
            }
        }
    }
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    // Spans are not enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let Some(omitted) = self.omitted(metadata) else {
            return;
        };
        let mut line = Line::default();
        event.record(&mut line);
        let Line { message, fields } = line;
        let (level, target) = (metadata.level(), metadata.target());
        let more = match omitted {
            0 => String::new(),
            count => format!(" ({count} more like it were not printed)"),
        };
        let line = escaped(format!("{level} {target}: {message}{fields}{more}"));
        // If stderr is closed or full, there is no other place to report it.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message of an event, and its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Escapes control characters: the text may quote a peer, and the terminal would obey them.
fn escaped(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => line.extend(char.escape_default()),
            false => line.push(char),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let line = "one\ntwo\u{1b}[31m \u{9b} \\ \"\u{e9}\"".to_owned();
        let expected = "one\\ntwo\\u{1b}[31m \\u{9b} \\ \"\u{e9}\"";
        assert_eq!(escaped(line), expected);
    }
}
