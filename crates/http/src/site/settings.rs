//! The limits of a site.

use std::time::Duration;

use crate::h1::Limits;
use crate::h2;

/// The time limits; [`Duration::MAX`] disables a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) first_byte: Duration,
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    /// The window over which the rate of a request body is measured.
    pub(crate) body: Duration,
    /// The minimum rate of a request body, in bytes per second.
    pub(crate) body_rate: u32,
    pub(crate) response: Duration,
    /// The limit for the first byte of a request on a new connection during a shutdown.
    pub(crate) draining: Duration,
    /// Time without output to a half-closed client before it is probed.
    pub(crate) grace: Duration,
    /// `true` if a half-closed client is not probed.
    pub(crate) half_open: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SiteSettings {
    /// `true` if HTTP/2 is served.
    pub(crate) http2: bool,
    /// The limits of HTTP/2 as set; see [`SiteSettings::http2_limits`].
    pub(crate) http2_limits: h2::Limits,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) body_limit: usize,
    pub(crate) drain_limit: u32,
    /// The write timeout of connections, where `Some(None)` disables it; `None` if the server does not set it.
    pub(crate) write_timeout: Option<Option<Duration>>,
    pub(crate) linger: Option<Duration>,
}

impl SiteSettings {
    /// Returns the limits of a new HTTP/2 connection.
    pub(crate) fn http2_limits(&self) -> h2::Limits {
        let limits = self.http2_limits.headers(&self.limits);
        limits.connect_protocol(true)
    }
}

impl Default for SiteSettings {
    fn default() -> Self {
        SiteSettings {
            http2: true,
            http2_limits: h2::Limits::default(),
            limits: Limits::default(),
            timeouts: Timeouts {
                first_byte: Duration::from_secs(10),
                head: Duration::from_secs(10),
                idle: Duration::from_secs(60),
                body: Duration::from_secs(10),
                body_rate: 1024,
                response: Duration::from_secs(60),
                draining: Duration::from_millis(250),
                grace: Duration::from_secs(1),
                half_open: false,
            },
            body_limit: 1024 * 1024,
            drain_limit: 64 * 1024,
            write_timeout: None,
            linger: None,
        }
    }
}
