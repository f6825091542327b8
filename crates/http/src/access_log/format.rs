//! The formats of access log lines.

use std::io::Write;

use serde_json::{Map, Value};

use super::record::AccessRecord;
use super::time::UtcDateTime;

/// Maximum length of a text sent by the client, in bytes.
const MAX_TEXT: usize = 2048;

/// A format of access log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// The Common Log Format of NCSA and Apache: `192.0.2.1 - ada [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 2326`.
    Common,
    /// The common format, followed by `Referer` and `User-Agent`: `… "https://example.com/" "curl/8.5.0"`.
    Combined,
    /// A JSON object: `time`, `client`, `user`, `method`, `target`, `version`, `status`, `bytes`, `complete`, `first_byte_ms`, `total_ms`,
    /// `referer`, `user_agent`, `host` and `id`. Members without a value are omitted.
    Json,
}

impl LogFormat {
    /// Appends a line, without the line break.
    ///
    /// The text formats escape quotes, backslashes and all bytes that are not visible ASCII as Apache does: `\"`, `\\`, `\x1b`. The JSON
    /// format replaces control characters.
    pub(super) fn write(self, record: &AccessRecord<'_>, line: &mut Vec<u8>) {
        match self {
            LogFormat::Common => write_common(record, line),
            LogFormat::Combined => {
                write_common(record, line);
                for name in ["referer", "user-agent"] {
                    line.extend_from_slice(b" \"");
                    write_escaped(record.head.field(name).unwrap_or(b"-"), line);
                    line.push(b'"');
                }
            }
            LogFormat::Json => {
                // Writing to memory cannot fail.
                let _ = serde_json::to_writer(line, &members(record));
            }
        }
    }
}

fn write_common(record: &AccessRecord<'_>, line: &mut Vec<u8>) {
    match record.client {
        Some(client) => write!(line, "{client} - "),
        None => write!(line, "- - "),
    }
    .unwrap_or_default();
    match record.user {
        Some(user) if !user.is_empty() => write_word(user.as_bytes(), line),
        _ => line.push(b'-'),
    }
    let time = UtcDateTime::of(record.time).common();
    let _ = write!(line, " [{time}] \"");
    write_escaped(record.head.method().as_str().as_bytes(), line);
    line.push(b' ');
    write_escaped(record.head.target().as_bytes(), line);
    let version = record.head.version().log_name();
    let _ = write!(line, " {version}\" {} ", record.status_number());
    match record.bytes {
        0 => line.push(b'-'),
        bytes => {
            let _ = write!(line, "{bytes}");
        }
    }
}

/// Appends a quoted text.
fn write_escaped(text: &[u8], line: &mut Vec<u8>) {
    for &byte in text.iter().take(MAX_TEXT) {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => line.push(byte),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

/// Appends a text that is delimited by spaces.
fn write_word(text: &[u8], line: &mut Vec<u8>) {
    for &byte in text.iter().take(MAX_TEXT) {
        match byte {
            b'!'..=b'~' if !b"\"\\[]".contains(&byte) => line.push(byte),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

/// Returns a text sent by the client, truncated. Bytes that are not UTF-8 are replaced, and so are control characters, which a terminal would
/// interpret.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}

fn members(record: &AccessRecord<'_>) -> Map<String, Value> {
    let header = |name: &str| record.head.field(name).map(|value| text(value).into());
    let milliseconds = |time: std::time::Duration| {
        // Microsecond precision keeps the numbers short.
        let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        Value::from(f64::from(microseconds) / 1e3)
    };
    let members = [
        ("time", Some(UtcDateTime::of(record.time).rfc3339().into())),
        ("client", record.client.map(|ip| ip.to_string().into())),
        ("user", record.user.map(|user| text(user.as_bytes()).into())),
        (
            "method",
            Some(text(record.head.method().as_str().as_bytes()).into()),
        ),
        ("target", Some(text(record.head.target().as_bytes()).into())),
        ("version", Some(record.head.version().log_name().into())),
        ("status", Some(record.status_number().into())),
        ("bytes", Some(record.bytes.into())),
        ("complete", Some(record.is_complete.into())),
        ("first_byte_ms", record.first_byte.map(milliseconds)),
        ("total_ms", Some(milliseconds(record.total))),
        ("referer", header("referer")),
        ("user_agent", header("user-agent")),
        ("host", header("host")),
        ("id", record.id.map(Value::from)),
    ];
    let members = members.into_iter();
    members
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Emits a `tracing` event.
pub(super) fn trace(record: &AccessRecord<'_>) {
    let header = |name: &str| record.head.field(name).map(text);
    let microseconds =
        |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        target: "uptick_http::access",
        client = record.client.map(tracing::field::display),
        user = record.user.map(|user| text(user.as_bytes())),
        method = text(record.head.method().as_str().as_bytes()),
        target = text(record.head.target().as_bytes()),
        version = record.head.version().log_name(),
        status = record.status_number(),
        bytes = record.bytes,
        complete = record.is_complete,
        first_byte_us = record.first_byte.map(microseconds),
        total_us = microseconds(record.total),
        referer = header("referer"),
        user_agent = header("user-agent"),
        host = header("host"),
        id = record.id,
    );
}
