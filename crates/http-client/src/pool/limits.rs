//! Limits of a pool.

use std::time::Duration;

/// The limits of the pool of connections of a [`Browser`](crate::Browser).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_http_client::{Browser, PoolLimits};
///
/// let limits = PoolLimits::new().max_per_host(4).idle_timeout(Duration::from_secs(5));
/// let browser = Browser::new().with_limits(limits);
/// # let _ = browser;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    pub(super) per_host: usize,
    pub(super) total: usize,
    pub(super) waiting: usize,
    pub(super) idle: Duration,
    pub(super) age: Option<Duration>,
}

impl Default for PoolLimits {
    fn default() -> Self {
        PoolLimits {
            per_host: 16,
            total: 64,
            waiting: 10_000,
            idle: Duration::from_secs(30),
            age: None,
        }
    }
}

impl PoolLimits {
    /// Creates the default limits.
    pub fn new() -> PoolLimits {
        PoolLimits::default()
    }

    /// Sets the maximum number of connections to one destination, including those being opened. Further requests wait. A destination is a
    /// scheme, host and port together with the proxy, the TLS options and the mode of HTTP/2. At least 1. Default: 16.
    #[must_use]
    pub fn max_per_host(mut self, connections: usize) -> PoolLimits {
        self.per_host = connections.max(1);
        self
    }

    /// Sets the maximum number of connections to all destinations, including those being opened. At the limit, the connection that has been idle
    /// longest is closed; if none is idle, requests wait. At least 1. Default: 64.
    #[must_use]
    pub fn max_total(mut self, connections: usize) -> PoolLimits {
        self.total = connections.max(1);
        self
    }

    /// Sets the maximum number of requests that wait for a connection. More fail at once. Default: 10,000.
    #[must_use]
    pub fn max_waiting(mut self, requests: usize) -> PoolLimits {
        self.waiting = requests;
        self
    }

    /// Sets the time after which an idle connection is closed. The header `Keep-Alive: timeout=N` of a response shortens it to N seconds.
    /// Zero closes each connection after its request. Default: 30 s.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> PoolLimits {
        self.idle = time;
        self
    }

    /// Sets the maximum age of a connection. An older one carries no further request, and is closed once it is idle. Default: none.
    #[must_use]
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> PoolLimits {
        self.age = age.into();
        self
    }
}

/// The state of a pool, as returned by [`Browser::stats`](crate::Browser::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Number of open connections.
    pub open: usize,
    /// Number of open connections that carry no request.
    pub idle: usize,
    /// Number of requests that wait for a connection.
    pub waiting: usize,
    /// Number of connections established since the pool was created.
    pub created: u64,
    /// Number of requests sent on a connection that had carried another one.
    pub reused: u64,
}
