//! Serialization of handshakes for other servers, in the format of the official server.

use indexmap::IndexMap;

use crate::engine::Handshake;
use crate::protocol::Value;

/// Converts a handshake to an object with the keys that the official server uses.
pub(super) fn to_value(handshake: &Handshake, auth: Value) -> Value {
    let mut headers: IndexMap<String, Value> = IndexMap::new();
    for (name, value) in handshake.headers() {
        let value = String::from_utf8_lossy(value);
        match headers.get_mut(name) {
            Some(Value::String(before)) => {
                before.push_str(if name == "cookie" { "; " } else { ", " });
                before.push_str(&value);
            }
            _ => {
                headers.insert(name.to_owned(), Value::from(&*value));
            }
        }
    }
    let query = handshake
        .query()
        .map(|(name, value)| (name.into_owned(), Value::from(&*value)));
    let address = handshake.address().map(|address| address.to_string());
    Value::Object(IndexMap::from_iter([
        ("headers".to_owned(), Value::Object(headers)),
        ("time".to_owned(), Value::from(&*time(handshake))),
        (
            "address".to_owned(),
            address.map_or(Value::Null, Value::String),
        ),
        ("xdomain".to_owned(), Value::Bool(handshake.is_xdomain())),
        ("secure".to_owned(), Value::Bool(handshake.is_secure())),
        (
            "issued".to_owned(),
            Value::Number(handshake.issued().into()),
        ),
        ("url".to_owned(), Value::from(handshake.url())),
        ("query".to_owned(), Value::Object(query.collect())),
        ("auth".to_owned(), auth),
    ]))
}

/// Returns the time of the handshake in the format of JavaScript's `Date.prototype.toString`.
fn time(handshake: &Handshake) -> String {
    let date = httpdate::fmt_http_date(handshake.time());
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    match date.split_whitespace().collect::<Vec<_>>()[..] {
        [weekday, day, month, year, time, _] => {
            let weekday = weekday.trim_end_matches(',');
            format!("{weekday} {month} {day} {year} {time} GMT+0000 (Coordinated Universal Time)")
        }
        _ => date,
    }
}
