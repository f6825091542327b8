//! A server that limits how often clients connect to another.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, Table, driver};
use uptick_socket::wrapping::{self, Wrapped, Wrapper};
use uptick_socket::{Address, Connection, Error, ServerControl, ServerInterface, Shutdown};

use crate::{Client, Limit, RateLimiter};

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
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimitingServer {
    id: Option<Id>,
    local: PhantomData<*const ()>,
}

events! {
    impl RateLimitingServer {
        Connection => {
            /// A client has connected, within its limit.
            CONNECTION = "connection";
        }
        Error => {
            /// A connection was refused, or an error of the wrapped server.
            ERROR = "error", warn;
        }
        () => {
            /// The wrapped server has stopped listening for good.
            CLOSE = "close";
        }
    }
}

struct Entry {
    wrapped: Wrapped,
    listeners: Listeners,
    limiter: RateLimiter,
    /// How many bits of an address count, of IPv4 and of IPv6.
    prefixes: (u8, u8),
}

thread_local! {
    static SERVERS: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
}

fn with_servers<R>(f: impl FnOnce(&mut Table<Entry>) -> R) -> Option<R> {
    SERVERS
        .try_with(|servers| f(&mut servers.borrow_mut()))
        .ok()
}

impl Emitter for RateLimitingServer {
    type Events = RateLimitingServer;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        wrapping::listener_added(*self, slot);
    }
}

impl RateLimitingServer {
    /// Wraps a server to which each client may connect as often as the limit says.
    pub fn new<S: ServerInterface>(server: S, limit: Limit) -> RateLimitingServer {
        let entry = Entry {
            wrapped: Wrapped::new(server),
            listeners: Listeners::new(),
            limiter: RateLimiter::new(limit),
            prefixes: (32, 64),
        };
        let exists = wrapping::exists(server);
        let id = exists.then(|| with_servers(|servers| servers.insert(entry)));
        let limiting = RateLimitingServer {
            id: id.flatten().flatten(),
            local: PhantomData,
        };
        wrapping::update(limiting);
        server.on(S::CONNECTION, move |conn| limiting.accept(conn));
        server.on(S::ERROR, move |error| wrapping::report(limiting, error));
        server.on(S::CLOSE, move |()| limiting.finish());
        limiting
    }

    /// Sets how many clients are known at most ([`RateLimiter::max_keys`]). Default: 65,536.
    pub fn max_clients(self, max_clients: usize) -> Self {
        self.with_entry(|entry| {
            let limiter = RateLimiter::new(entry.limiter.limit());
            entry.limiter = std::mem::replace(&mut entry.limiter, limiter).max_keys(max_clients);
        });
        self
    }

    /// Sets how many of the first bits of an address make a client ([`Client::with_prefixes`]). Default: 32 of an IPv4 address,
    /// 64 of an IPv6 address.
    pub fn prefixes(self, v4_bits: u8, v6_bits: u8) -> Self {
        self.with_entry(|entry| entry.prefixes = (v4_bits, v6_bits));
        self
    }

    /// What the wrapped server listens on; `None` once it has stopped listening.
    pub fn address(self) -> Option<String> {
        self.inner()?.address()
    }

    /// Stops accepting; clients wait. Nothing happens when it is paused.
    pub fn pause(self) {
        wrapping::set_paused(self, true);
    }

    /// Accepts again.
    pub fn resume(self) {
        wrapping::set_paused(self, false);
    }

    /// Closes the wrapped server; open connections stay. Nothing happens when it is closed.
    pub fn close(self) {
        if let Some(inner) = self.inner() {
            inner.close();
        }
    }

    /// Shuts the wrapped server down; see [`Server::shutdown`](uptick_socket::Server::shutdown).
    pub fn shutdown(self, deadline: Duration) -> Shutdown {
        match self.inner() {
            Some(inner) => inner.shutdown(deadline),
            None => Shutdown::over(),
        }
    }

    fn with_entry<R>(self, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let id = self.id?;
        with_servers(|servers| servers.get_mut(id).map(f)).flatten()
    }

    /// The wrapped server. It may be another of this type, so it is never called inside a borrow.
    fn inner(self) -> Option<ServerControl> {
        self.with_wrapped(|wrapped| wrapped.control())
    }

    fn accept(self, conn: Connection) {
        // A listener before this one may have closed it.
        if !conn.is_open() {
            return;
        }
        match self.count(conn.remote_ip()) {
            Ok(()) => wrapping::announce(self, conn),
            Err(retry_after) => {
                let proxied = conn.proxied().map(|proxied| proxied.source);
                let peer = proxied.or_else(|| conn.peer());
                conn.close();
                let error = Error::RateLimited {
                    peer: peer.unwrap_or(Address::UNNAMED),
                    retry_after,
                };
                wrapping::report(self, error);
            }
        }
    }

    /// Counts a connection of this address.
    ///
    /// # Errors
    /// The time until another connection of the client would be let in, or `None` when none ever is.
    fn count(self, address: Option<IpAddr>) -> Result<(), Option<Duration>> {
        let Some(address) = address else {
            return Ok(());
        };
        let decision = self.with_entry(|entry| {
            let (v4_bits, v6_bits) = entry.prefixes;
            let client = Client::with_prefixes(address, v4_bits, v6_bits);
            entry.limiter.check(&client, driver::time_of_call())
        });
        match decision {
            Some(decision) if !decision.allowed => Err(decision.retry_after),
            _ => Ok(()),
        }
    }

    /// The wrapped server has closed.
    fn finish(self) {
        wrapping::close_held(self);
        wrapping::say_closed(self);
        let entry = self
            .id
            .and_then(|id| with_servers(|servers| servers.remove(id)).flatten());
        drop(entry);
    }
}

impl Wrapper for RateLimitingServer {
    fn with_wrapped<R>(self, f: impl FnOnce(&mut Wrapped) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.wrapped))
    }
}

uptick_socket::server_interface!(RateLimitingServer);

impl fmt::Debug for RateLimitingServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitingServer")
            .field("address", &self.address())
            .finish()
    }
}
