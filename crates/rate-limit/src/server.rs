//! A server that limits how often clients connect to another.

use std::net::IpAddr;
use std::time::Duration;

use uptick_event_loop::driver;
use uptick_socket::decorated::{Decorated, Layer, client_of};
use uptick_socket::{Connection, Error, ServerInterface};

use crate::{Client, Limit, RateLimiter};

uptick_socket::decorated_server! {
    /// A server that passes the connections of another on, unless their client connects too often.
    ///
    /// It wraps any server. A connection over the limit is closed at once: there is an `error` and no `connection`. Around the
    /// server that a [`SecureServer`](https://docs.rs/uptick-tls) wraps, it saves the handshakes of those that are refused.
    /// Connections without an address, on Unix sockets, are not limited. A `Copy` handle; it is stale once the wrapped server
    /// has closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | a client has connected, within its limit |
    /// | `error` | [`Error`] | a connection was refused ([`Error::RateLimited`]), or an error of the wrapped server |
    /// | `close` | `()` | the wrapped server has stopped listening for good: the last event |
    ///
    /// Without a `connection` listener clients wait in the kernel's backlog. The wrapped server is paused for that: pause and
    /// resume this one instead.
    ///
    /// # Limits
    /// One for each client, which is that of [`Connection::remote_ip`]. 65,536 clients are known at most
    /// ([`max_clients`](RateLimitingServer::max_clients)), as [`RateLimiter`] describes it.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_rate_limit::{Limit, RateLimitingServer};
    /// use uptick_socket::prelude::*;
    ///
    /// // 20 connections at once, then 2 in a second, for each client.
    /// let limit = Limit::token_bucket(20, Duration::from_secs(10));
    /// let server = RateLimitingServer::new(Server::bind(0)?, limit);
    /// server.on("connection", |conn: Connection| conn.end_with("Hello!\n"));
    /// # server.close();
    /// # Ok::<(), uptick_socket::Error>(())
    /// ```
    pub struct RateLimitingServer(RateLimiting) {}
}

/// Limits how often each client connects.
struct RateLimiting {
    limiter: RateLimiter,
    /// The number of significant bits of an address, of IPv4 and of IPv6.
    prefixes: (u8, u8),
}

impl RateLimitingServer {
    /// Wraps a server to which each client may connect as often as the limit says.
    pub fn new<S: ServerInterface>(server: S, limit: Limit) -> RateLimitingServer {
        let layer = RateLimiting {
            limiter: RateLimiter::new(limit),
            prefixes: (32, 64),
        };
        RateLimitingServer(Decorated::new(server, layer))
    }

    /// Sets how many clients are known at most ([`RateLimiter::max_keys`]). Default: 65,536.
    pub fn max_clients(self, max_clients: usize) -> Self {
        self.0.with(|layer| {
            let empty = RateLimiter::new(layer.limiter.limit());
            layer.limiter = std::mem::replace(&mut layer.limiter, empty).max_keys(max_clients);
        });
        self
    }

    /// Sets how many of the first bits of an address make a client ([`Client::with_prefixes`]). Default: 32 of an IPv4 address,
    /// 64 of an IPv6 address.
    pub fn prefixes(self, v4_bits: u8, v6_bits: u8) -> Self {
        self.0.with(|layer| layer.prefixes = (v4_bits, v6_bits));
        self
    }
}

impl Layer for RateLimiting {
    fn accept(server: Decorated<Self>, conn: Connection) {
        match server.with(|layer| layer.count(conn.remote_ip())) {
            Some(Err(retry_after)) => {
                let peer = client_of(conn);
                conn.close();
                server.report(Error::RateLimited { peer, retry_after });
            }
            _ => server.announce(conn),
        }
    }
}

impl RateLimiting {
    /// Counts a connection of this address.
    ///
    /// # Errors
    /// The time until another connection of the client is accepted, or `None` when none ever is.
    fn count(&mut self, address: Option<IpAddr>) -> Result<(), Option<Duration>> {
        let Some(address) = address else {
            return Ok(());
        };
        let (v4_bits, v6_bits) = self.prefixes;
        let client = Client::with_prefixes(address, v4_bits, v6_bits);
        let decision = self.limiter.check(&client, driver::time_of_call());
        if decision.allowed {
            Ok(())
        } else {
            Err(decision.retry_after)
        }
    }
}
