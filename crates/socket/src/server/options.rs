//! Options of a server.

use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::Trigger;
use uptick_stream::transport::{HARD_LIMIT, SOFT_LIMIT, TransportOptions};

use super::balancer::Balancer;
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
    pub(super) shared: bool,
    pub(super) balancer: Option<Rc<dyn Balancer>>,
    soft_limit: usize,
    hard_limit: usize,
    allow_half_open: bool,
}

impl ServerOptions {
    /// Creates the default options.
    pub fn new() -> Self {
        ServerOptions {
            socket: SocketOptions::new(),
            idle_timeout: None,
            shared: false,
            balancer: None,
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

    /// Sets the idle timeout of accepted connections; see
    /// [`Connection::set_idle_timeout`](crate::Connection::set_idle_timeout).
    /// Default: off.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// Sets whether the event loops of other threads or processes accept from the same socket, each through a duplicate
    /// of its descriptor. A new connection then wakes one of the waiting loops instead of all of them
    /// ([`Trigger::Exclusive`]).
    ///
    /// The loop that is woken for a connection accepts it. If the server is paused or closed at that moment by a
    /// callback of an earlier event, the connection stays in the backlog until the next one arrives. Default: false.
    ///
    /// # Examples
    /// ```
    /// use std::net::TcpListener;
    /// use std::thread;
    /// use uptick_socket::prelude::*;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// for _ in 0..2 {
    ///     let listener = listener.try_clone()?;
    ///     thread::spawn(move || {
    ///         let server = Server::adopt(listener, ServerOptions::new().shared(true))?;
    ///         server.on("connection", |conn: Connection| conn.end_with("Hello!\n"));
    ///         uptick_event_loop::run().map_err(Box::<dyn std::error::Error + Send + Sync>::from)
    ///     });
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// Sets the write limits of accepted connections, in bytes; see
    /// [`Connection::set_write_limits`](crate::Connection::set_write_limits).
    /// Default: 64 KiB and 16 MiB.
    #[must_use]
    pub fn write_limits(mut self, soft: usize, hard: usize) -> Self {
        self.soft_limit = soft;
        self.hard_limit = hard;
        self
    }

    /// Sets whether accepted connections may be half-open; see
    /// [`Connection::set_allow_half_open`](crate::Connection::set_allow_half_open).
    /// Default: false.
    #[must_use]
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.allow_half_open = allow;
        self
    }

    /// Sets the balancer that distributes connections among the loops that accept from the same socket. Default: none,
    /// each loop serves the connections that it accepts.
    #[must_use]
    pub fn balancer(mut self, balancer: Rc<dyn Balancer>) -> Self {
        self.balancer = Some(balancer);
        self
    }

    pub(super) fn trigger(&self) -> Trigger {
        if self.shared {
            Trigger::Exclusive
        } else {
            Trigger::Level
        }
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
