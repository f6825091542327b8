//! Requests on connections: one request at a time over HTTP/1.1, many over HTTP/2.
//!
//! A session serves one connection. Its owner, the pool, is notified when it can carry another request and when it has closed.

mod exchange;
mod http1;
mod http2;
mod memory;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use uptick_event_loop::driver;

pub(crate) use exchange::{Exchange, ExchangeTransport, Flow};
pub(crate) use http1::Http1Session;
pub(crate) use http2::Http2Session;
pub(crate) use memory::begin as begin_in_memory;

/// A request as it is sent on a connection.
pub(crate) struct OutgoingRequest<'a> {
    pub(crate) method: &'a Method,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The path with the query, or the complete URL for a proxy.
    pub(crate) target: &'a str,
    /// The value of `Host` or `:authority`.
    pub(crate) host: &'a str,
    /// The other headers, in order. Headers of the framing are left out by the transport.
    pub(crate) fields: &'a [(HeaderName, HeaderValue)],
    pub(crate) body: OutgoingBody,
    /// `true` if the connection must not carry another request.
    pub(crate) close: bool,
    /// `true` if the response may switch protocols (status 101).
    pub(crate) upgrade: bool,
    pub(crate) settings: ExchangeSettings,
}

/// The body of a request.
pub(crate) enum OutgoingBody {
    Empty,
    /// A body in memory, which is sent with the head.
    Bytes(Bytes),
    /// A body with this length, whose pieces follow.
    Sized(u64),
    /// A body of unknown length, whose pieces follow.
    Stream,
}

/// Timeouts and limits of one exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeSettings {
    /// Maximum time without progress while the request is sent.
    pub(crate) write_timeout: Option<Duration>,
    /// Maximum time from the last byte of the request to the first byte of the final response.
    pub(crate) first_byte_timeout: Option<Duration>,
    /// Maximum time between two receptions of bytes of the response.
    pub(crate) read_timeout: Option<Duration>,
    /// Maximum size of a head or a trailer section, in bytes.
    pub(crate) max_head: usize,
    /// Maximum size of the body before decoding, in bytes.
    pub(crate) max_body: Option<u64>,
    /// Maximum number of body bytes that are received before they are read.
    pub(crate) read_ahead: usize,
}

/// The owner of a session.
pub(crate) trait SessionOwner {
    /// Called when the session can carry another request: after a response over HTTP/1.1, after every stream over HTTP/2.
    /// `keep_alive` is the timeout of the header `Keep-Alive`.
    fn available(&self, keep_alive: Option<Duration>);

    /// Called once when the session will carry no further request but is still in use: after `Connection: close`, GOAWAY.
    fn retired(&self);

    /// Called once when the connection has closed.
    fn closed(&self);
}

/// Returns `true` if the events of this iteration of the loop were received less than 1 ms ago, and not before a long callback.
fn is_up_to_date() -> bool {
    let age = driver::current_time().saturating_sub(driver::elapsed());
    age < Duration::from_millis(1)
}
