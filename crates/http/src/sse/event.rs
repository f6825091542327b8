//! A server-sent event and its wire format.

use std::time::Duration;

/// An event for a browser's `EventSource`.
///
/// # Examples
///
/// ```
/// use uptick_http::ServerEvent;
///
/// let event = ServerEvent::new("{\"price\":7}").name("price").id("41");
/// # let _ = event;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    data: Option<String>,
    name: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
}

/// The error for an event that was not sent, or for a stream of events that ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The name or the id contains a line break or a NUL, which would end the field early or make the client ignore it.
    #[error("sending an event failed: its {field} contains a line break or a NUL")]
    InvalidField {
        /// `name` or `id`.
        field: &'static str,
    },
    /// The client receives events more slowly than they are sent.
    #[error("sending an event failed: {limit} bytes are waiting for the client (ENOBUFS)")]
    TooSlow {
        /// The limit in bytes.
        limit: usize,
    },
}

impl ServerEvent {
    /// Creates an event with data. Line breaks of any kind are received as LF.
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            data: Some(data.into()),
            ..Self::default()
        }
    }

    /// Creates an event without data that sets the client's reconnection time, in milliseconds.
    pub fn reconnect_after(time: Duration) -> Self {
        Self::default().retry(time)
    }

    /// Sets the event name. Default: none, which is the event `message` in the client.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the id, which the client sends as `Last-Event-ID` when it reconnects. Default: none; the client keeps the previous id.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the time that the client waits before it reconnects, in milliseconds. Default: none; the client uses its own default.
    pub fn retry(mut self, time: Duration) -> Self {
        self.retry = Some(time);
        self
    }

    /// Appends the event in its wire format, `text/event-stream`. [`EventStream`](crate::EventStream) does this when it sends an event.
    ///
    /// # Errors
    /// [`EventError::InvalidField`] if the name or the id contains a line break or a NUL. Nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EventError> {
        for (field, text) in [("name", &self.name), ("id", &self.id)] {
            if text
                .as_ref()
                .is_some_and(|text| text.contains(['\r', '\n', '\0']))
            {
                return Err(EventError::InvalidField { field });
            }
        }
        if let Some(name) = &self.name {
            line(out, "event", name);
        }
        if let Some(id) = &self.id {
            line(out, "id", id);
        }
        if let Some(time) = self.retry {
            line(out, "retry", &time.as_millis().to_string());
        }
        if let Some(data) = &self.data {
            lines(data).for_each(|text| line(out, "data", text));
        }
        out.push(b'\n');
        Ok(())
    }
}

impl From<&str> for ServerEvent {
    fn from(data: &str) -> Self {
        Self::new(data)
    }
}

impl From<String> for ServerEvent {
    fn from(data: String) -> Self {
        Self::new(data)
    }
}

/// Appends a comment, which the client ignores.
pub(super) fn write_comment(text: &str, out: &mut Vec<u8>) {
    lines(text).for_each(|text| line(out, "", text));
    out.push(b'\n');
}

fn line(out: &mut Vec<u8>, field: &str, value: &str) {
    out.extend_from_slice(field.as_bytes());
    out.push(b':');
    // The client removes one space after the colon.
    if !value.is_empty() {
        out.push(b' ');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// Returns the lines of a text, separated by CRLF, LF or CR, each of which ends a field in the wire format.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let skip = if text[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + skip..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(event: impl Into<ServerEvent>) -> String {
        let mut out = Vec::new();
        event.into().encode(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_sent_with_all_its_fields() {
        let event = ServerEvent::new("x").name("price").id("41");
        assert_eq!(
            sent(event.retry(Duration::from_millis(1500))),
            "event: price\nid: 41\nretry: 1500\ndata: x\n\n"
        );
    }

    #[test]
    fn each_line_of_the_data_has_its_own_field() {
        assert_eq!(
            sent("a\nb\r\nc\rd"),
            "data: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!(sent("a\n"), "data: a\ndata:\n\n");
        assert_eq!(sent("\n\nid: 7"), "data:\ndata:\ndata: id: 7\n\n");
        assert_eq!(sent(" a"), "data:  a\n\n");
        assert_eq!(sent(""), "data:\n\n");
    }

    #[test]
    fn an_event_without_data_only_sets_the_reconnection_time() {
        let event = ServerEvent::reconnect_after(Duration::from_secs(2));
        assert_eq!(sent(event), "retry: 2000\n\n");
    }

    #[test]
    fn names_and_ids_cannot_add_fields() {
        for text in ["a\ndata: b", "a\r", "a\0"] {
            let mut out = Vec::new();
            let named = ServerEvent::new("x").name(text).encode(&mut out);
            assert_eq!(named, Err(EventError::InvalidField { field: "name" }));
            let numbered = ServerEvent::new("x").id(text).encode(&mut out);
            assert_eq!(numbered, Err(EventError::InvalidField { field: "id" }));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_comment_does_not_become_an_event() {
        let mut out = Vec::new();
        write_comment("a\ndata: b", &mut out);
        assert_eq!(out, b": a\n: data: b\n\n");
    }
}
