//! Options of a Socket.IO server.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::Parser;
use crate::adapter::AdapterFactory;
use crate::engine::EngineOptions;
use crate::protocol::packet::Limits;

/// Options of a Socket.IO server: limits and timeouts of sockets, and those of the [transports](EngineOptions).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uptick_socketio::engine::EngineOptions;
/// use uptick_socketio::{RecoveryOptions, SocketIo, SocketIoOptions};
///
/// let engine = EngineOptions::new().ping_interval(Duration::from_secs(10));
/// let options = SocketIoOptions::new().engine(engine).recovery(RecoveryOptions::new());
/// let io = SocketIo::with_options(options);
/// # let _ = io;
/// ```
#[derive(Clone)]
pub struct SocketIoOptions {
    pub(crate) engine: EngineOptions,
    pub(crate) connect_timeout: Duration,
    pub(crate) ack_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) max_pending_acks: usize,
    pub(crate) max_rooms: usize,
    pub(crate) max_dynamic_namespaces: usize,
    pub(crate) max_namespaces_per_client: usize,
    pub(crate) limits: Limits,
    pub(crate) parser: Parser,
    pub(crate) recovery: Option<RecoveryOptions>,
    pub(crate) adapter: AdapterChoice,
}

impl Default for SocketIoOptions {
    fn default() -> Self {
        SocketIoOptions {
            engine: EngineOptions::default(),
            connect_timeout: Duration::from_secs(45),
            ack_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(5),
            max_pending_acks: 10_000,
            max_rooms: 10_000,
            max_dynamic_namespaces: 10_000,
            max_namespaces_per_client: 1000,
            limits: Limits::default(),
            parser: Parser::default(),
            recovery: None,
            adapter: AdapterChoice::Automatic,
        }
    }
}

impl SocketIoOptions {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the options of the transports: heartbeat, `maxPayload`, CORS, slow clients. Default: [`EngineOptions::new`].
    #[must_use]
    pub fn engine(mut self, options: EngineOptions) -> Self {
        self.engine = options;
        self
    }

    /// Sets the time in which a client has to join a namespace; its connection is closed otherwise. Default: 45 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the time in which a client has to acknowledge an event, if [`timeout`](crate::Broadcast::timeout) does not set another. Default: 60 s.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// Sets the time in which other servers have to respond, such as to [`fetch_sockets`](crate::Broadcast::fetch_sockets). Default: 5 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets how many acknowledgements may be awaited from one socket. Default: 10,000.
    #[must_use]
    pub fn max_pending_acks(mut self, count: usize) -> Self {
        self.max_pending_acks = count;
        self
    }

    /// Sets how many rooms one socket may join. Default: 10,000.
    #[must_use]
    pub fn max_rooms(mut self, count: usize) -> Self {
        self.max_rooms = count;
        self
    }

    /// Sets how many namespaces clients may create that [`of_dynamic`](crate::SocketIo::of_dynamic) matches; further ones are refused as invalid. Empty ones are
    /// removed. Default: 10,000.
    #[must_use]
    pub fn max_dynamic_namespaces(mut self, count: usize) -> Self {
        self.max_dynamic_namespaces = count;
        self
    }

    /// Sets how many namespaces one client may join over its connection; further ones are refused. As many middleware runs of one client may be unfinished, which
    /// includes those for namespaces that it has left meanwhile. Default: 1000.
    #[must_use]
    pub fn max_namespaces_per_client(mut self, count: usize) -> Self {
        self.max_namespaces_per_client = count;
        self
    }

    /// Sets the limits of received packets: depth, attachments, names of namespaces. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the encoding of packets. Default: [`Parser::Json`].
    #[must_use]
    pub fn parser(mut self, parser: Parser) -> Self {
        self.parser = parser;
        self
    }

    /// Switches connection state recovery on: clients that come back soon find their id, rooms and data, and receive the events that they have missed.
    ///
    /// With several workers, a client may come back to any of them. An event that another worker sends in the instant in which its state moves from worker to worker may
    /// be missed or received twice. As with the official server, applications that must not lose anything compare their state when `is_recovered` is false, and
    /// from time to time.
    ///
    /// Default: off.
    #[must_use]
    pub fn recovery(mut self, options: RecoveryOptions) -> Self {
        self.recovery = Some(options);
        self
    }

    /// Sets the adapter, which joins the namespaces of several servers.
    ///
    /// Default: none, except with the feature `workers` on a thread whose bus is attached when the server is created, as in a worker: there it is a `BusAdapter`, so
    /// that the servers of all workers are one. Servers of different workers belong together if they were created in the same order.
    #[must_use]
    pub fn adapter(mut self, factory: AdapterFactory) -> Self {
        self.adapter = AdapterChoice::Factory(factory);
        self
    }

    /// Keeps the server apart from those of other workers. See [`adapter`](SocketIoOptions::adapter).
    #[must_use]
    pub fn without_adapter(mut self) -> Self {
        self.adapter = AdapterChoice::None;
        self
    }
}

/// The adapter of a server.
#[derive(Clone)]
pub(crate) enum AdapterChoice {
    /// That of the workers, where there are some.
    Automatic,
    None,
    Factory(AdapterFactory),
}

impl AdapterChoice {
    /// Returns what creates the adapters.
    pub(crate) fn factory(&self) -> Option<AdapterFactory> {
        match self {
            AdapterChoice::Factory(factory) => Some(Rc::clone(factory)),
            AdapterChoice::None => None,
            #[cfg(feature = "workers")]
            AdapterChoice::Automatic => uptick_workers::bus::Bus::of_thread()
                .is_attached()
                .then(crate::adapter::BusAdapter::factory),
            #[cfg(not(feature = "workers"))]
            AdapterChoice::Automatic => None,
        }
    }
}

impl fmt::Debug for SocketIoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIoOptions")
            .field("engine", &self.engine)
            .field("connect_timeout", &self.connect_timeout)
            .field("parser", &self.parser)
            .field("recovery", &self.recovery)
            .finish_non_exhaustive()
    }
}

/// Options of connection state recovery.
#[derive(Clone, Debug)]
pub struct RecoveryOptions {
    pub(crate) max_disconnection: Duration,
    pub(crate) skip_middleware: bool,
    pub(crate) max_packets: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_sessions: usize,
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        RecoveryOptions {
            max_disconnection: Duration::from_secs(120),
            skip_middleware: true,
            max_packets: 100_000,
            max_bytes: 64 << 20,
            max_sessions: 100_000,
        }
    }
}

impl RecoveryOptions {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time in which a client may come back. Default: 120 s.
    #[must_use]
    pub fn max_disconnection(mut self, time: Duration) -> Self {
        self.max_disconnection = time;
        self
    }

    /// Sets whether the middleware of the namespace is skipped for clients that are recovered. Default: true.
    #[must_use]
    pub fn skip_middleware(mut self, skip: bool) -> Self {
        self.skip_middleware = skip;
        self
    }

    /// Sets how many packets of a namespace are kept. When older ones are discarded, clients that have missed them are not recovered. Default: 100,000.
    #[must_use]
    pub fn max_packets(mut self, count: usize) -> Self {
        self.max_packets = count;
        self
    }

    /// Sets how many bytes of packets of a namespace are kept. Default: 64 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many disconnected clients of a namespace are kept; the oldest are discarded. Default: 100,000.
    #[must_use]
    pub fn max_sessions(mut self, count: usize) -> Self {
        self.max_sessions = count;
        self
    }
}
