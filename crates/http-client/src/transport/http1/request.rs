//! The state of a request that is in progress.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_event_loop::driver::Timestamp;
use uptick_http::h1::client::{Decoder, ResponseHead};
use uptick_http::h1::{Encoder, Limits, Trailers};

use crate::error::ErrorKind;
use crate::transport::{Exchange, ExchangeSettings};

/// Maximum number of headers of a response, and of trailers.
const MAX_FIELDS: usize = 1000;

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct RequestFlags: u16 {
        /// The whole request was passed to the connection.
        const WRITTEN = 1 << 0;
        /// The write queue may hold a part of the request, which is checked periodically.
        const POLLED = 1 << 1;
        /// A byte of a response was received.
        const BEGUN = 1 << 2;
        /// A byte of the final response was received.
        const FINAL_BEGUN = 1 << 3;
        /// The head of the final response was received.
        const ANSWERED = 1 << 4;
        /// Reading is paused by the reader of the response.
        const PAUSED = 1 << 5;
        /// The connection closes after the response.
        const CLOSES = 1 << 6;
        /// The response may switch protocols.
        const UPGRADES = 1 << 7;
        /// The connection carried an earlier request.
        const REUSED = 1 << 8;
    }
}

/// A request that is in progress.
pub(super) struct RunningRequest {
    pub(super) exchange: Rc<Exchange>,
    pub(super) decoder: Decoder,
    pub(super) limits: Limits,
    /// The encoder of a body whose pieces follow.
    pub(super) encoder: Option<Encoder>,
    /// The part of a body in memory that was not passed to the connection.
    pub(super) rest: Bytes,
    pub(super) settings: ExchangeSettings,
    pub(super) trailers: Option<Trailers>,
    /// The timeout of the header `Keep-Alive`.
    pub(super) keep_alive: Option<Duration>,
    /// The error of the connection: the kind, if it determines one, and the text.
    pub(super) error: Option<(Option<ErrorKind>, String)>,
    /// Number of bytes that the connection had sent before the request.
    pub(super) start: u64,
    /// Numbers of bytes sent and acknowledged at the last check.
    pub(super) counts: (u64, u64),
    /// Time at which the last byte of the request was sent.
    pub(super) sent: Timestamp,
    /// Time at which the last byte was received, or at which sending last progressed.
    pub(super) progress: Timestamp,
    pub(super) flags: RequestFlags,
}

impl RunningRequest {
    pub(super) fn has(&self, flags: RequestFlags) -> bool {
        self.flags.intersects(flags)
    }

    /// Records that bytes were received.
    pub(super) fn received(&mut self) {
        self.flags.insert(RequestFlags::BEGUN);
        self.progress = Timestamp::now();
    }

    /// Determines whether the undecoded bytes are the start of the final response, as far as they show it.
    pub(super) fn check_begun(&mut self) {
        let bytes = self.decoder.peek();
        // The first digit of the status follows `HTTP/1.1 `.
        let has_begun = !bytes.is_empty() && bytes.get(9) != Some(&b'1');
        self.flags.set(RequestFlags::FINAL_BEGUN, has_begun);
    }
}

/// Returns the limits of the decoder for a maximum size of a head.
pub(super) fn limits(max_head: usize) -> Limits {
    Limits::default()
        .request_line(max_head)
        .header_section(max_head)
        .fields(MAX_FIELDS)
        .trailer_section(max_head)
}

/// Returns the timeout of the header `Keep-Alive`, in which parameters are separated by commas.
pub(super) fn keep_alive_timeout(head: &ResponseHead) -> Option<Duration> {
    let mut parameters = head.field("keep-alive")?.split(|&byte| byte == b',');
    parameters.find_map(|parameter| {
        let (name, value) = str::from_utf8(parameter).ok()?.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("timeout") {
            return None;
        }
        let seconds = value.trim().trim_matches('"').parse::<u32>().ok()?;
        Some(Duration::from_secs(seconds.into()))
    })
}
