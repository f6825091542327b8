//! Servers that wrap servers.
//!
//! [`Decorated`] is a wrapper around any server. Its [`Layer`] decides about each new connection: it
//! [`announce`](Decorated::announce)s the connection, [`report`](Decorated::report)s the reason for refusing it, or
//! lets it wait, for a handshake for example ([`PendingLayer`], [`PendingConnection`]). The rest is the same for every layer: events,
//! pausing, closing, and holding connections while there is no listener.
//!
//! [`decorated_server!`](crate::decorated_server) declares a named server type around a `Decorated`, with its own
//! constructor and methods, such as [`LimitingServer`](crate::LimitingServer).
//!
//! # Examples
//! A server that refuses every second connection.
//! ```
//! use uptick_socket::decorated::{Decorated, Layer};
//! use uptick_socket::prelude::*;
//!
//! struct EverySecond(u64);
//!
//! impl Layer for EverySecond {
//!     fn accept(server: Decorated<Self>, conn: Connection) {
//!         let count = server.with(|layer| {
//!             layer.0 += 1;
//!             layer.0
//!         });
//!         match count {
//!             Some(count) if count % 2 == 1 => server.announce(conn),
//!             _ => conn.close(),
//!         }
//!     }
//! }
//!
//! let server = Decorated::new(Server::bind(0)?, EverySecond(0));
//! server.on("connection", |conn: Connection| conn.end_with("Hello!\n"));
//! # server.close();
//! # Ok::<(), uptick_socket::Error>(())
//! ```

mod control;
mod intake;
mod named;
mod pending;

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::time::Duration;

use uptick_emitter::{Emits, Emitter, Event, EventSet, Listeners, emit};
use uptick_event_loop::{Id, Table, UseRemoteOrLoopHandle, catch};

use crate::Address;
use crate::connection::Connection;
use crate::error::Error;
use crate::server::{ServerInterface, Shutdown};
use intake::WrappedServer;

pub use control::ServerControl;
pub use intake::Intake;
pub use pending::{PendingConnection, PendingConnections, PendingLayer};

/// The specific part of a [`Decorated`] server: the state of one server, and the decision about each connection.
pub trait Layer: Sized + 'static {
    /// Handles a connection of the wrapped server.
    fn accept(server: Decorated<Self>, conn: Connection);

    /// Returns the treatment of the next connection. Default: it is announced.
    fn intake(&self) -> Intake {
        Intake::Announce
    }

    /// Returns the open connections that were announced, if the layer keeps a list. `None` means
    /// the open connections of the wrapped server except those that are [`waiting`](Layer::waiting). Default: `None`.
    fn connections(&self) -> Option<Vec<Connection>> {
        None
    }

    /// Returns the number of open connections that were announced, of `accepted` open connections of the wrapped
    /// server. Default: all except those that are [`waiting`](Layer::waiting).
    fn open_connections(&self, accepted: usize) -> usize {
        accepted.saturating_sub(self.waiting().len())
    }

    /// Returns the open connections that are not announced yet or will not be announced, for example because of a handshake in progress.
    /// Default: none.
    fn waiting(&self) -> Vec<Connection> {
        Vec::new()
    }

    /// Converts the address of the wrapped server. Default: returns it unchanged.
    fn address(address: String) -> String {
        address
    }

    /// Sets the application protocols that the program serves, and returns `true` if the layer negotiates them. Otherwise they are
    /// passed to the wrapped server; see [`ServerInterface::offer_protocols`].
    ///
    /// It is called while a table is borrowed: it must not call any server. Default: returns `false`.
    fn offer_protocols(&mut self, protocols: &[&str]) -> bool {
        let _ = protocols;
        false
    }

    /// Called when a shutdown of the server has begun. Default: does nothing.
    fn shutting_down(server: Decorated<Self>, deadline: Duration) {
        let _ = (server, deadline);
    }

    /// Called when the wrapped server has closed, before `close` is emitted. Default: does nothing.
    fn closed(server: Decorated<Self>) {
        let _ = server;
    }
}

/// A server that wraps another one, with a [`Layer`] between them.
///
/// A `Copy` handle, as [`Server`](crate::Server); it is stale once the wrapped server has closed. See the
/// [module](self) for an example.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `connection` | [`Connection`] | the layer announces a connection |
/// | `error` | [`Error`] | the layer reports an error, or an error of the wrapped server |
/// | `close` | `()` | the wrapped server has stopped listening permanently: the last event |
///
/// Without a `connection` listener the wrapped server is paused, and clients stay in the kernel's backlog. Connections
/// that the wrapped server had already accepted are held, and announced when there is a listener.
pub struct Decorated<L> {
    id: Option<Id>,
    layer: PhantomData<fn() -> L>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

struct DecoratedEntry {
    wrapped: WrappedServer,
    listeners: Listeners,
    /// The layer, whose type is the type parameter of the handle.
    layer: Box<dyn Any>,
}

thread_local! {
    static SERVERS: RefCell<Table<DecoratedEntry>> = const { RefCell::new(Table::new()) };
}

fn with_servers<R>(f: impl FnOnce(&mut Table<DecoratedEntry>) -> R) -> Option<R> {
    SERVERS
        .try_with(|servers| f(&mut servers.borrow_mut()))
        .ok()
}

impl<L: Layer> Decorated<L> {
    /// A connection is ready.
    pub const CONNECTION: Event<Self, Connection> = Event::new("connection", 0);
    /// A connection failed or was refused, or an error of the wrapped server.
    pub const ERROR: Event<Self, Error> = Event::new("error", 1).warn();
    /// The wrapped server has stopped listening permanently.
    pub const CLOSE: Event<Self, ()> = Event::new("close", 2);

    /// Wraps a server. The handle is stale if the server has closed.
    pub fn new<S: ServerInterface>(server: S, layer: L) -> Self {
        let entry = DecoratedEntry {
            wrapped: WrappedServer::new(server),
            listeners: Listeners::new(),
            layer: Box::new(layer),
        };
        let exists = server.with_listeners(|_| ()).is_some();
        let id = exists.then(|| with_servers(|servers| servers.insert(entry)));
        let decorated = Decorated::from_id(id.flatten().flatten());
        decorated.update();
        server.on(S::CONNECTION, move |conn: Connection| {
            // A listener before this one may have closed the connection.
            if conn.is_open() {
                L::accept(decorated, conn);
            }
        });
        server.on(S::ERROR, move |error| decorated.report(error));
        server.on(S::CLOSE, move |()| decorated.finish());
        decorated
    }

    /// Calls `f` with the layer; returns `None` if the server has closed.
    ///
    /// `f` is called while a table is borrowed: it must not call any server.
    pub fn with<R>(self, f: impl FnOnce(&mut L) -> R) -> Option<R> {
        self.with_entry(|entry| entry.layer.downcast_mut().map(f))
            .flatten()
    }

    /// Emits `error`. The panic of a listener is caught and logged.
    pub fn report(self, error: Error) {
        if let Err(message) = catch(|| emit(&self, Self::ERROR, error)) {
            tracing::error!("an error callback of a server panicked: {message}");
        }
    }

    pub(crate) fn id(self) -> Option<Id> {
        self.id
    }

    pub(crate) fn from_id(id: Option<Id>) -> Self {
        Decorated {
            id,
            layer: PhantomData,
            local: PhantomData,
        }
    }

    fn with_entry<R>(self, f: impl FnOnce(&mut DecoratedEntry) -> R) -> Option<R> {
        let id = self.id?;
        with_servers(|servers| servers.get_mut(id).map(f)).flatten()
    }

    /// Returns the wrapped server. It may be a decorated one, so it must not be called inside a borrow.
    fn inner(self) -> Option<ServerControl> {
        self.with_entry(|entry| entry.wrapped.control())
    }

    /// Emits `close` and removes the server, when the wrapped server has closed.
    fn finish(self) {
        if let Err(message) = catch(|| L::closed(self)) {
            tracing::error!("the layer of a server panicked as the server closed: {message}");
        }
        self.close_held();
        if let Err(message) = catch(|| emit(&self, Self::CLOSE, ())) {
            tracing::error!("a close callback of a server panicked: {message}");
        }
        let entry = self
            .id
            .and_then(|id| with_servers(|servers| servers.remove(id)).flatten());
        drop(entry);
    }
}

/// Returns the address of the client, also if the connection came through a proxy.
pub fn client_of(conn: Connection) -> Address {
    let proxied = conn.proxied().map(|proxied| proxied.source);
    proxied.or_else(|| conn.peer()).unwrap_or(Address::UNNAMED)
}

impl<L: Layer> Emitter for Decorated<L> {
    type Events = Self;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        if slot == Self::CONNECTION.slot() {
            self.listened();
        }
    }
}

impl<L: Layer> EventSet for Decorated<L> {
    type Frequent = ();
    const NAMES: &'static [&'static str] = &["connection", "error", "close"];
    const PAYLOADS: &'static [&'static str] = &["Connection", "Error", "()"];
}

impl<L: Layer> Emits<Connection> for Decorated<L> {
    const EVENTS: &'static [Event<Self, Connection>] = &[Self::CONNECTION];
}

impl<L: Layer> Emits<Error> for Decorated<L> {
    const EVENTS: &'static [Event<Self, Error>] = &[Self::ERROR];
}

impl<L: Layer> Emits<()> for Decorated<L> {
    const EVENTS: &'static [Event<Self, ()>] = &[Self::CLOSE];
}

impl<L: Layer> ServerInterface for Decorated<L> {
    const CONNECTION: Event<Self, Connection> = Self::CONNECTION;
    const ERROR: Event<Self, Error> = Self::ERROR;
    const CLOSE: Event<Self, ()> = Self::CLOSE;

    fn address(self) -> Option<String> {
        Some(L::address(self.inner()?.address()?))
    }

    fn pause(self) {
        self.set_paused(true);
    }

    fn resume(self) {
        self.set_paused(false);
    }

    fn close(self) {
        if let Some(inner) = self.inner() {
            inner.close();
        }
    }

    fn open_connections(self) -> usize {
        let accepted = self.inner().map_or(0, |inner| inner.open_connections());
        self.with(|layer| layer.open_connections(accepted))
            .unwrap_or(0)
    }

    fn connections(self) -> Vec<Connection> {
        let listed = self.with(|layer| match layer.connections() {
            Some(connections) => Ok(connections),
            None => Err(layer.waiting()),
        });
        let waiting: HashSet<Connection> = match listed {
            Some(Ok(connections)) => return connections,
            Some(Err(waiting)) => waiting.into_iter().collect(),
            None => return Vec::new(),
        };
        let accepted = self.inner().map(|inner| inner.connections());
        let mut connections = accepted.unwrap_or_default();
        connections.retain(|conn| !waiting.contains(conn));
        connections
    }

    fn offer_protocols(self, protocols: &[&str]) {
        if self.with(|layer| layer.offer_protocols(protocols)) == Some(false)
            && let Some(inner) = self.inner()
        {
            inner.offer_protocols(protocols);
        }
    }

    fn shutdown(self, deadline: Duration) -> Shutdown {
        match self.inner() {
            Some(inner) => {
                let shutdown = inner.shutdown(deadline);
                L::shutting_down(self, deadline);
                shutdown
            }
            None => Shutdown::completed(),
        }
    }
}

impl<L> Clone for Decorated<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Decorated<L> {}

impl<L> PartialEq for Decorated<L> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<L> Eq for Decorated<L> {}

impl<L> Hash for Decorated<L> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<L: Layer> fmt::Debug for Decorated<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decorated")
            .field("address", &self.address())
            .finish()
    }
}
