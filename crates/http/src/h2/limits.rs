//! Limits and settings of a connection.

use super::glitches::Bucket;
use super::window::{INITIAL_WINDOW, MAX_WINDOW};
use crate::h1;

/// Smallest and largest frame size that a setting may announce (RFC 9113, section 6.5.2).
pub(super) const FRAME_SIZES: std::ops::RangeInclusive<u32> = 16_384..=16_777_215;

/// The limits and settings of a [`Connection`](super::Connection).
///
/// The maximum number and size of headers and trailers are the same as for HTTP/1: see [`headers`](Limits::headers).
///
/// # Examples
///
/// ```
/// use uptick_http::h2::Limits;
///
/// let limits = Limits::default().concurrent_streams(32).stream_window(64 * 1024);
/// # let _ = limits;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) concurrent_streams: u32,
    pub(super) stream_window: u32,
    pub(super) connection_window: u32,
    pub(super) frame_size: u32,
    pub(super) header_table: u32,
    pub(super) continuations: u32,
    pub(super) settings: u32,
    pub(super) glitches: u32,
    pub(super) glitches_per_second: u32,
    pub(super) overhead: u32,
    pub(super) overhead_per_second: u32,
    pub(super) queued_control: u32,
    pub(super) queued_output: usize,
    pub(super) header_bytes: u32,
    pub(super) header_fields: u32,
    pub(super) target_bytes: u32,
    pub(super) trailer_bytes: u32,
    pub(super) connect_protocol: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            concurrent_streams: 128,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
            frame_size: 16 * 1024,
            header_table: 4096,
            continuations: 8,
            settings: 32,
            glitches: 1000,
            glitches_per_second: 33,
            overhead: 20_000,
            overhead_per_second: 2_000,
            queued_control: 16 * 1024,
            queued_output: 4 * 1024 * 1024,
            header_bytes: 0,
            header_fields: 0,
            target_bytes: 0,
            trailer_bytes: 0,
            connect_protocol: false,
        }
        .headers(&h1::Limits::default())
    }
}

impl Limits {
    /// Sets the limits of headers: the size of the target, of the header section and of the trailer section, and the number of headers.
    /// Each header and each part of a `cookie` header counts with 32 bytes more than its name and value (RFC 9113, section 6.5.2).
    /// Default: the limits of [`h1::Limits::default`].
    #[must_use]
    pub fn headers(mut self, limits: &h1::Limits) -> Limits {
        let bytes = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        self.header_bytes = bytes(limits.header_section);
        self.header_fields = bytes(limits.fields);
        self.target_bytes = bytes(limits.request_line);
        self.trailer_bytes = bytes(limits.trailer_section);
        self
    }

    /// Sets the maximum number of streams that the peer may have open at the same time. A stream counts until the program
    /// [removes](super::Connection::remove) it. Further streams are refused with `REFUSED_STREAM`, and each refusal is a
    /// [glitch](Limits::glitches). Default: 128.
    ///
    /// # Limits
    ///
    /// At least 1, at most 65,536.
    #[must_use]
    pub fn concurrent_streams(mut self, count: u32) -> Limits {
        self.concurrent_streams = count.clamp(1, 65_536);
        self
    }

    /// Sets the flow-control window of each stream, in bytes: the number of body bytes that the peer may send before the program consumes
    /// them. Default: 256 KiB.
    ///
    /// # Limits
    ///
    /// At least 1 KiB, at most 2 GiB − 1.
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Limits {
        self.stream_window = bytes.clamp(1024, MAX_WINDOW);
        self
    }

    /// Sets the flow-control window of the connection, in bytes: the number of body bytes of all streams together that the peer may send
    /// before the program consumes them. Default: 1 MiB.
    ///
    /// # Limits
    ///
    /// At least 64 KiB − 1, which is the initial value of the protocol, at most 2 GiB − 1.
    #[must_use]
    pub fn connection_window(mut self, bytes: u32) -> Limits {
        self.connection_window = bytes.clamp(INITIAL_WINDOW, MAX_WINDOW);
        self
    }

    /// Sets the maximum size of the payload of a received frame, in bytes. A larger frame is a connection error. Default: 16 KiB.
    ///
    /// # Limits
    ///
    /// At least 16 KiB, at most 16 MiB − 1.
    #[must_use]
    pub fn frame_size(mut self, bytes: u32) -> Limits {
        self.frame_size = bytes.clamp(*FRAME_SIZES.start(), *FRAME_SIZES.end());
        self
    }

    /// Sets the maximum size of each of the two tables of repeated headers, in bytes. Default: 4 KiB.
    ///
    /// # Limits
    ///
    /// At most 64 KiB.
    #[must_use]
    pub fn header_table(mut self, bytes: u32) -> Limits {
        self.header_table = bytes.min(64 * 1024);
        self
    }

    /// Sets the maximum number of CONTINUATION frames after one HEADERS frame. More are a connection error. Default: 8.
    ///
    /// # Limits
    ///
    /// At most 1,024.
    #[must_use]
    pub fn continuation_frames(mut self, count: u32) -> Limits {
        self.continuations = count.min(1024);
        self
    }

    /// Sets the maximum number of entries of one SETTINGS frame. More are a connection error. Default: 32.
    ///
    /// # Limits
    ///
    /// At least 8, at most 2,730, the number that a frame of 16 KiB has space for.
    #[must_use]
    pub fn settings_entries(mut self, count: u32) -> Limits {
        self.settings = count.clamp(8, 2730);
        self
    }

    /// Sets the budget of glitches: a burst of `count`, refilled by `per_second`. Every reset of a stream by the peer or because of an error
    /// of the peer, every refused stream, and every empty DATA frame that does not end a stream is a glitch. A peer that exceeds the budget gets
    /// a connection error. Default: 1,000, and 33 per second.
    ///
    /// # Limits
    ///
    /// At least 1 each.
    #[must_use]
    pub fn glitches(mut self, count: u32, per_second: u32) -> Limits {
        self.glitches = count.max(1);
        self.glitches_per_second = per_second.max(1);
        self
    }

    /// Sets the budget of frames that transport little: a burst of `frames`, refilled by `per_second`. Every received PING, SETTINGS, PRIORITY,
    /// PRIORITY_UPDATE, WINDOW_UPDATE and unknown frame, every frame for a stream that was reset, and every DATA frame below 64 bytes that does
    /// not end its stream, takes one. Each sent piece of a body gives back two, and one more per KiB, so that acknowledged downloads are not
    /// limited. A peer that exceeds the budget gets a connection error. DATA of tunnels (CONNECT, RFC 8441) is not counted. Default: 20,000,
    /// and 2,000 per second.
    ///
    /// # Limits
    ///
    /// At least 1 each.
    #[must_use]
    pub fn overhead(mut self, frames: u32, per_second: u32) -> Limits {
        self.overhead = frames.max(1);
        self.overhead_per_second = per_second.max(1);
        self
    }

    /// Sets the maximum size of queued control frames, in bytes: acknowledgements, resets and window updates that the peer does not read. Above it,
    /// [`wants_input`](super::Connection::wants_input) returns `false`. Default: 16 KiB.
    ///
    /// # Limits
    ///
    /// At least 1 KiB, at most 16 MiB.
    #[must_use]
    pub fn queued_control(mut self, bytes: u32) -> Limits {
        self.queued_control = bytes.clamp(1024, 16 * 1024 * 1024);
        self
    }

    /// Sets the maximum size of response bodies that wait for a window, of all streams together, in bytes. Above it,
    /// further requests and writers of responses wait. A body that is complete in memory counts with its size. Default: 4 MiB.
    ///
    /// # Limits
    ///
    /// At least 64 KiB.
    #[must_use]
    pub fn queued_output(mut self, bytes: usize) -> Limits {
        self.queued_output = bytes.max(64 * 1024);
        self
    }

    /// Returns the maximum size of response bodies that wait for a window, in bytes.
    pub(crate) fn max_queued_output(&self) -> usize {
        self.queued_output
    }

    /// Sets whether the server accepts the extended CONNECT method, which WebSockets use (RFC 8441). Default: `false`.
    #[must_use]
    pub fn connect_protocol(mut self, accept: bool) -> Limits {
        self.connect_protocol = accept;
        self
    }

    pub(super) fn glitch_bucket(&self) -> Bucket {
        Bucket::new(self.glitches, self.glitches_per_second)
    }

    pub(super) fn overhead_bucket(&self) -> Bucket {
        Bucket::new(self.overhead, self.overhead_per_second)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_defaults_are_within_their_own_bounds() {
        let default = Limits::default();
        let set = default
            .concurrent_streams(128)
            .stream_window(256 << 10)
            .connection_window(1 << 20)
            .frame_size(16 << 10)
            .header_table(4096)
            .continuation_frames(8)
            .settings_entries(32)
            .glitches(1000, 33)
            .overhead(20_000, 2000)
            .queued_control(16 << 10)
            .queued_output(4 << 20)
            .connect_protocol(false)
            .headers(&h1::Limits::default());
        assert_eq!(default, set);
        assert!(default.glitch_bucket().charge(1000, Duration::ZERO));
    }
}
