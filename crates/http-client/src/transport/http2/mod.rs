//! HTTP/2: many requests at the same time on one connection, each on a stream.
//!
//! Cost of a request: its head, and a short body with it, is encoded directly into the connection's write buffer; the response is decoded
//! from the read buffer. All streams share one deadline. A stream and its exchange are one allocation each.
//!
//! ```text
//! request ─→ stream ─┬→ write buffer
//!                    └→ queue of the stream ─→ write buffer, as far as the windows and the connection allow
//! read buffer ─→ codec ─→ events ─→ exchanges, whose readers open the windows
//! ```
//!
//! A stream refers to its session. Otherwise, each file imports only those before it: `flags`, `stream`, `state`, `ending`, `output`,
//! `deadlines`, `idle`, `responses`, `session`, `requests`, `transport`.
//!
//! # Limits
//!
//! | limit | value |
//! |---|---|
//! | streams at the same time | the setting of the server, 100 before it is known, at most 1,000 |
//! | bytes of a response that are received before they are read | `read_ahead`, and 256 KiB more: the window of a stream |
//! | bytes of a request body that wait for a window before its writer waits | 64 KiB for each stream, 4 MiB for the session |
//! | interim responses | 20 for each response |
//! | size of a head or of trailers | `max_head` |
//! | headers of a response | 256 |
//! | time without received bytes before a PING frame, while a request waits | 5 s |
//! | time for the acknowledgement of a PING frame | 5 s, then the connection is closed |
//!
//! Floods of other frames are ended by [`uptick_http::h2::Limits`].

mod deadlines;
mod ending;
mod flags;
mod idle;
mod output;
mod requests;
mod responses;
mod session;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod transport;

pub(crate) use state::Http2Session;
