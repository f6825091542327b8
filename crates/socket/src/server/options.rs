//! How a server is set up.

use std::time::Duration;

use uptick_stream::transport::{HARD_LIMIT, SOFT_LIMIT, TransportOptions};

use crate::SocketOptions;

/// Options of a server and of the connections that it accepts.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_socket::{ServerOptions, SocketOptions};
///
/// let options = ServerOptions::new()
///     .socket(SocketOptions::new().backlog(4096))
///     .idle_timeout(Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub(crate) socket: SocketOptions,
    pub(crate) idle_timeout: Option<Duration>,
    soft_limit: usize,
    hard_limit: usize,
    allow_half_open: bool,
}

impl ServerOptions {
    /// The defaults.
    pub fn new() -> Self {
        ServerOptions {
            socket: SocketOptions::new(),
            idle_timeout: None,
            soft_limit: SOFT_LIMIT,
            hard_limit: HARD_LIMIT,
            allow_half_open: false,
        }
    }

    /// Sets the options of the socket. Default: [`SocketOptions::new`].
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// Sets [`Connection::set_idle_timeout`](crate::Connection::set_idle_timeout) for accepted connections.
    /// Default: off.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// Sets [`Connection::set_write_limits`](crate::Connection::set_write_limits) for accepted connections, in bytes.
    /// Default: 64 KiB and 16 MiB.
    #[must_use]
    pub fn write_limits(mut self, soft: usize, hard: usize) -> Self {
        self.soft_limit = soft;
        self.hard_limit = hard;
        self
    }

    /// Sets [`Connection::set_allow_half_open`](crate::Connection::set_allow_half_open) for accepted connections.
    /// Default: false.
    #[must_use]
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.allow_half_open = allow;
        self
    }

    pub(super) fn transport(&self) -> TransportOptions {
        TransportOptions {
            soft_limit: self.soft_limit,
            hard_limit: self.hard_limit,
            allow_half_open: self.allow_half_open,
            ..TransportOptions::default()
        }
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self::new()
    }
}
