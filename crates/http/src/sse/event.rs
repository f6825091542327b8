//! An event and its form on the wire.

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

/// Why an event was not sent, or why a stream of events ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A name or an id with a line break or a NUL in it would end early or be ignored.
    #[error("sending an event failed: its {what} has a line break or a NUL")]
    Unsendable {
        /// `name` or `id`.
        what: &'static str,
    },
    /// The client takes events more slowly than they are sent.
    #[error("sending an event failed: {limit} bytes wait for the client (ENOBUFS)")]
    TooSlow {
        /// The limit in bytes.
        limit: usize,
    },
}

impl ServerEvent {
    /// An event with data, whose lines may end in any way; they arrive with LF.
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            data: Some(data.into()),
            ..Self::default()
        }
    }

    /// An event that only tells the client to wait so long before it connects again, in milliseconds.
    pub fn reconnect_after(time: Duration) -> Self {
        Self::default().retry(time)
    }

    /// Sets the name, under which the client listens. Default: none, which is `message` to the client.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the id, which the client sends as `Last-Event-ID` when it connects again. Default: none, so that the
    /// client keeps the one before.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets how long the client is to wait before it connects again, in milliseconds. Default: the client's own.
    pub fn retry(mut self, time: Duration) -> Self {
        self.retry = Some(time);
        self
    }

    /// Appends the event as it is sent; nothing if it cannot be.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), EventError> {
        for (what, text) in [("name", &self.name), ("id", &self.id)] {
            if text
                .as_ref()
                .is_some_and(|text| text.contains(['\r', '\n', '\0']))
            {
                return Err(EventError::Unsendable { what });
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
    // The client takes one space away.
    if !value.is_empty() {
        out.push(b' ');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// The lines of a text, each of which the client would take for the end of a field: by CRLF, LF or CR.
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
        event.into().write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_sent_with_all_it_has() {
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
    fn an_event_without_data_only_tells_when_to_come_back() {
        let event = ServerEvent::reconnect_after(Duration::from_secs(2));
        assert_eq!(sent(event), "retry: 2000\n\n");
    }

    #[test]
    fn names_and_ids_do_not_make_further_fields() {
        for text in ["a\ndata: b", "a\r", "a\0"] {
            let mut out = Vec::new();
            let named = ServerEvent::new("x").name(text).write(&mut out);
            assert_eq!(named, Err(EventError::Unsendable { what: "name" }));
            let numbered = ServerEvent::new("x").id(text).write(&mut out);
            assert_eq!(numbered, Err(EventError::Unsendable { what: "id" }));
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
