//! Parser of `text/event-stream` (WHATWG HTML, section 9.2.6).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::message::MessageEvent;

/// Default of both limits: 1 MiB.
const DEFAULT_LIMIT: usize = 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// The largest buffer that is kept between two lines or events, in bytes.
const KEPT_CAPACITY: usize = 4096;

/// The limits of an [`EventParser`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    line: usize,
    event: usize,
}

impl EventLimits {
    /// Creates the default limits.
    pub const fn new() -> Self {
        EventLimits {
            line: DEFAULT_LIMIT,
            event: DEFAULT_LIMIT,
        }
    }

    /// Sets the maximum size of a line, comments included, in bytes without the line end. Default: 1 MiB.
    #[must_use]
    pub const fn with_line(mut self, bytes: usize) -> Self {
        self.line = bytes;
        self
    }

    /// Sets the maximum size of the data of an event, in bytes. Default: 1 MiB.
    #[must_use]
    pub const fn with_event(mut self, bytes: usize) -> Self {
        self.event = bytes;
        self
    }
}

impl Default for EventLimits {
    fn default() -> Self {
        EventLimits::new()
    }
}

/// The error for a stream of events that exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventParserError {
    /// A line exceeds its limit.
    #[error("a line of the event stream exceeds the limit of {limit} bytes")]
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The data of an event exceeds its limit.
    #[error("the data of an event exceeds the limit of {limit} bytes")]
    EventTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// A parser of `text/event-stream` without I/O: bytes in, events out.
///
/// The events do not depend on how the bytes are split. Invalid UTF-8 is replaced by U+FFFD. An event that the stream ends within is not
/// returned.
///
/// # Limits
/// See [`EventLimits`]. The parser holds at most one line, the data of one event, and the bytes of the last [`push`](EventParser::push).
///
/// # Examples
/// ```
/// use uptick_http_client::EventParser;
///
/// let mut parser = EventParser::new();
/// parser.push(&b"event: price\nid: 41\nda"[..]);
/// assert_eq!(parser.next()?, None);
///
/// parser.push(&b"ta: 7.20\n\n"[..]);
/// let event = parser.next()?.expect("the event is complete");
/// assert_eq!((&*event.event, &*event.data), ("price", "7.20"));
/// assert_eq!(parser.last_event_id(), "41");
/// # Ok::<(), uptick_http_client::EventParserError>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventParser {
    limits: EventLimits,
    /// The bytes that are not parsed yet.
    input: Bytes,
    /// The start of a line whose end is not received yet.
    line: Vec<u8>,
    /// `true` until the first line is complete, which may begin with a byte order mark.
    is_first_line: bool,
    /// `true` if the last byte was a CR, so that a following LF belongs to it.
    is_after_cr: bool,
    data: String,
    /// `true` if the event has data, which may be empty.
    has_data: bool,
    event: Arc<str>,
    /// The id of the event that is being received.
    next_id: Arc<str>,
    last_event_id: Arc<str>,
    retry: Option<Duration>,
    origin: Arc<str>,
    message: Arc<str>,
    failure: Option<EventParserError>,
}

impl EventParser {
    /// Creates a parser with the default limits.
    pub fn new() -> Self {
        EventParser::with_limits(EventLimits::new())
    }

    /// Creates a parser with other limits.
    pub fn with_limits(limits: EventLimits) -> Self {
        let empty: Arc<str> = Arc::from("");
        let message: Arc<str> = Arc::from("message");
        EventParser {
            limits,
            input: Bytes::new(),
            line: Vec::new(),
            is_first_line: true,
            is_after_cr: false,
            data: String::new(),
            has_data: false,
            event: Arc::clone(&message),
            next_id: Arc::clone(&empty),
            last_event_id: Arc::clone(&empty),
            retry: None,
            origin: empty,
            message,
            failure: None,
        }
    }

    /// Adds received bytes. Take all events before adding more.
    pub fn push(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.input = match self.input.is_empty() {
            true => bytes,
            false => [&self.input[..], &bytes[..]].concat().into(),
        };
    }

    /// Returns the next event, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// An [`EventParserError`] if a limit is exceeded, from then on with each call until [`restart`](EventParser::restart).
    #[expect(clippy::should_implement_trait, reason = "it fails")]
    pub fn next(&mut self) -> Result<Option<MessageEvent>, EventParserError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.advance().inspect_err(|failure| {
            self.failure = Some(*failure);
            self.input = Bytes::new();
            self.line = Vec::new();
            self.data = String::new();
        })
    }

    /// Prepares the parser for a new stream from this origin, which becomes the [`origin`](MessageEvent::origin) of its events. An incomplete
    /// event is discarded. The last event id and the reconnection time are kept.
    pub fn restart(&mut self, origin: &str) {
        if *self.origin != *origin {
            self.origin = Arc::from(origin);
        }
        self.input = Bytes::new();
        self.line = Vec::new();
        self.is_first_line = true;
        self.is_after_cr = false;
        self.data = String::new();
        self.has_data = false;
        self.event = Arc::clone(&self.message);
        self.next_id = Arc::clone(&self.last_event_id);
        self.failure = None;
    }

    /// Returns the id of the last complete event that had one. Empty if there was none.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Sets the last event id, for a stream that continues an earlier one.
    pub fn set_last_event_id(&mut self, id: &str) {
        self.last_event_id = Arc::from(id);
        self.next_id = Arc::clone(&self.last_event_id);
    }

    /// Returns the reconnection time that the server has sent last (`retry`).
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn advance(&mut self) -> Result<Option<MessageEvent>, EventParserError> {
        while !self.input.is_empty() {
            if std::mem::take(&mut self.is_after_cr) && self.input[0] == b'\n' {
                let _ = self.input.split_to(1);
                continue;
            }
            let end = memchr2(b'\r', b'\n', &self.input);
            let piece = end.unwrap_or(self.input.len());
            if piece > self.limits.line - self.line.len().min(self.limits.line) {
                let limit = self.limits.line;
                return Err(EventParserError::LineTooLong { limit });
            }
            let piece = self.input.split_to(piece);
            if end.is_none() {
                self.line.extend_from_slice(&piece);
                break;
            }
            self.is_after_cr = self.input.split_to(1)[0] == b'\r';
            let event = if self.line.is_empty() {
                self.parse_line(&piece)?
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&piece);
                let event = self.parse_line(&line)?;
                if line.capacity() <= KEPT_CAPACITY {
                    line.clear();
                    self.line = line;
                }
                event
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Parses a complete line without its end. Returns the event that it completes.
    fn parse_line(&mut self, mut line: &[u8]) -> Result<Option<MessageEvent>, EventParserError> {
        if std::mem::take(&mut self.is_first_line) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (name, value) = match memchr(b':', line) {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match name {
            b"data" => self.add_data(value)?,
            b"event" => self.event = text(value),
            b"id" if !value.contains(&0) => self.next_id = text(value),
            b"retry" => self.retry = milliseconds(value).or(self.retry),
            // A comment, whose name is empty, or an unknown field.
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &[u8]) -> Result<(), EventParserError> {
        let value = String::from_utf8_lossy(value);
        let separator = usize::from(self.has_data);
        if self.data.len() + separator + value.len() > self.limits.event {
            let limit = self.limits.event;
            return Err(EventParserError::EventTooLarge { limit });
        }
        if self.has_data {
            self.data.push('\n');
        }
        self.data.push_str(&value);
        self.has_data = true;
        Ok(())
    }

    /// Ends the current event at an empty line. An event without data is not returned, but its id counts.
    fn dispatch(&mut self) -> Option<MessageEvent> {
        self.last_event_id = Arc::clone(&self.next_id);
        let event = std::mem::replace(&mut self.event, Arc::clone(&self.message));
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        Some(MessageEvent {
            event: match event.is_empty() {
                true => Arc::clone(&self.message),
                false => event,
            },
            data: std::mem::take(&mut self.data),
            last_event_id: Arc::clone(&self.last_event_id),
            origin: Arc::clone(&self.origin),
        })
    }
}

impl Default for EventParser {
    fn default() -> Self {
        EventParser::new()
    }
}

fn text(value: &[u8]) -> Arc<str> {
    Arc::from(String::from_utf8_lossy(value))
}

/// Parses a reconnection time: ASCII digits only. A number that does not fit is the largest one.
fn milliseconds(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = value.iter().map(|digit| u64::from(digit - b'0'));
    let number = digits.fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(digit)
    });
    Some(Duration::from_millis(number))
}

#[cfg(test)]
mod tests;
