//! The limits of a site.

use std::time::Duration;

use crate::h1::Limits;

/// How long things may take; [`Duration::MAX`] is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) first_octet: Duration,
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    /// The window of time in which the body has to come at `body_rate` bytes a second.
    pub(crate) body: Duration,
    pub(crate) body_rate: u32,
    pub(crate) answer: Duration,
    /// What a fresh connection gets in a shutdown.
    pub(crate) draining: Duration,
    /// The silence after the client's end of stream.
    pub(crate) grace: Duration,
    /// Whether a client may end its side while it waits for a response.
    pub(crate) half_open: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) body_limit: usize,
    pub(crate) drain_limit: u32,
    /// Those of connections, where the server has its own.
    pub(crate) write_timeout: Option<Option<Duration>>,
    pub(crate) linger: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            limits: Limits::default(),
            timeouts: Timeouts {
                first_octet: Duration::from_secs(10),
                head: Duration::from_secs(10),
                idle: Duration::from_secs(60),
                body: Duration::from_secs(10),
                body_rate: 1024,
                answer: Duration::from_secs(60),
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
