//! A received server-sent event.

use std::sync::Arc;

/// A server-sent event, as received by an [`EventSource`](crate::EventSource).
///
/// Cloning copies the data; the other fields are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageEvent {
    /// The name of the event; `message` if the server has sent none.
    pub event: Arc<str>,
    /// The data. Its lines are separated by LF.
    pub data: String,
    /// The last id that the server has sent, in this event or an earlier one. Empty if there was none.
    pub last_event_id: Arc<str>,
    /// The origin of the stream, such as `https://example.com`, after redirects.
    pub origin: Arc<str>,
}
