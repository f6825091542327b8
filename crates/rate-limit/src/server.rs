//! A server that limits the connection rate of each client.

use std::net::IpAddr;
use std::time::Duration;

use uptick_event_loop::driver;
use uptick_socket::decorated::{Decorated, Layer, client_of};
use uptick_socket::{Connection, Error, ServerInterface};

use crate::{Client, Limit, RateLimiter};

uptick_socket::decorated_server! {
    /// A server decorator that limits how often each client may connect.
    ///
    /// It wraps any server. A connection over the limit is closed immediately, with an `error` event and no `connection` event. If a
    /// [`SecureServer`](https://docs.rs/uptick-tls) wraps this server, refused clients cost no TLS handshake.
    /// Connections without an IP address (on Unix sockets) are not limited. A `Copy` handle; it becomes stale once the wrapped server
    /// has closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | a client has connected within its limit |
    /// | `error` | [`Error`] | a connection was refused ([`Error::RateLimited`]), or the wrapped server reported an error |
    /// | `close` | `()` | the wrapped server has stopped listening permanently; the last event |
    ///
    /// Without a `connection` listener, clients wait in the kernel's backlog. This pauses the wrapped server: do not pause or
    /// resume it directly, but this server instead.
    ///
    /// # Limits
    /// Each client ([`Connection::remote_ip`]) has a separate limit. The table holds at most 65,536 clients
    /// ([`max_clients`](RateLimitingServer::max_clients)); see [`RateLimiter`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_rate_limit::{Limit, RateLimitingServer};
    /// use uptick_socket::prelude::*;
    ///
    /// // 20 connections at once, then 2 per second, for each client.
    /// let limit = Limit::token_bucket(20, Duration::from_secs(10));
    /// let server = RateLimitingServer::new(Server::bind(0)?, limit);
    /// server.on("connection", |conn: Connection| conn.end_with("Hello!\n"));
    /// # server.close();
    /// # Ok::<(), uptick_socket::Error>(())
    /// ```
    pub struct RateLimitingServer(RateLimitingLayer) {}
}

/// The layer that counts the connections of each client.
struct RateLimitingLayer {
    limiter: RateLimiter,
    /// The number of significant bits of an IPv4 and of an IPv6 address.
    prefixes: (u8, u8),
}

impl RateLimitingServer {
    /// Wraps a server and limits how often each client may connect to it.
    pub fn new<S: ServerInterface>(server: S, limit: Limit) -> RateLimitingServer {
        let layer = RateLimitingLayer {
            limiter: RateLimiter::new(limit),
            prefixes: (32, 64),
        };
        RateLimitingServer(Decorated::new(server, layer))
    }

    /// Sets the maximum number of clients in the table ([`RateLimiter::max_keys`]). Default: 65,536.
    pub fn max_clients(self, max_clients: usize) -> Self {
        self.0.with(|layer| {
            let empty = RateLimiter::new(layer.limiter.limit());
            layer.limiter = std::mem::replace(&mut layer.limiter, empty).max_keys(max_clients);
        });
        self
    }

    /// Sets the number of leading address bits that identify a client ([`Client::with_prefixes`]). Default: 32 for IPv4 addresses,
    /// 64 for IPv6 addresses.
    pub fn prefixes(self, v4_bits: u8, v6_bits: u8) -> Self {
        self.0.with(|layer| layer.prefixes = (v4_bits, v6_bits));
        self
    }
}

impl Layer for RateLimitingLayer {
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

impl RateLimitingLayer {
    /// Counts a connection from this address.
    ///
    /// # Errors
    /// The time until another connection of the client is accepted, or `None` if none is ever accepted.
    fn count(&mut self, address: Option<IpAddr>) -> Result<(), Option<Duration>> {
        let Some(address) = address else {
            return Ok(());
        };
        let (v4_bits, v6_bits) = self.prefixes;
        let client = Client::with_prefixes(address, v4_bits, v6_bits);
        let decision = self.limiter.check(&client, driver::current_time());
        if decision.allowed {
            Ok(())
        } else {
            Err(decision.retry_after)
        }
    }
}
