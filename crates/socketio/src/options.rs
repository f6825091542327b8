//! Options of a Socket.IO server.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::Parser;
use crate::adapter::AdapterFactory;
use crate::engine::EngineOptions;
use crate::protocol::packet::Limits;

/// Options of a Socket.IO server: limits and timeouts of sockets, and the options of the [transports](EngineOptions).
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
    /// Creates options with the default values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the options of the transports: heartbeat, `maxPayload`, CORS, slow clients. Default: [`EngineOptions::new`].
    #[must_use]
    pub fn engine(mut self, options: EngineOptions) -> Self {
        self.engine = options;
        self
    }

    /// Sets the time within which a client must join a namespace; otherwise its connection is closed. Default: 45 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the time within which a client must acknowledge an event, unless [`timeout`](crate::Broadcast::timeout) overrides it. Default: 60 s.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// Sets the time within which other servers must respond, for example to [`fetch_sockets`](crate::Broadcast::fetch_sockets). Default: 5 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the maximum number of pending acknowledgements of one socket. Default: 10,000.
    #[must_use]
    pub fn max_pending_acks(mut self, count: usize) -> Self {
        self.max_pending_acks = count;
        self
    }

    /// Sets the maximum number of rooms that one socket may join. Default: 10,000.
    #[must_use]
    pub fn max_rooms(mut self, count: usize) -> Self {
        self.max_rooms = count;
        self
    }

    /// Sets the maximum number of namespaces that clients may create through [`of_dynamic`](crate::SocketIo::of_dynamic); further ones are refused as invalid.
    /// Empty dynamic namespaces are removed. Default: 10,000.
    #[must_use]
    pub fn max_dynamic_namespaces(mut self, count: usize) -> Self {
        self.max_dynamic_namespaces = count;
        self
    }

    /// Sets the maximum number of namespaces that one client may join over its connection; further ones are refused. The same limit applies to unfinished middleware
    /// runs of one client, including runs for namespaces that it has left in the meantime. Default: 1000.
    #[must_use]
    pub fn max_namespaces_per_client(mut self, count: usize) -> Self {
        self.max_namespaces_per_client = count;
        self
    }

    /// Sets the limits of received packets: nesting depth, attachments, and names of namespaces. Default: [`Limits::default`].
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

    /// Enables connection state recovery: clients that reconnect in time keep their id, rooms and data, and receive the events that they missed.
    ///
    /// With several workers, a client may reconnect to any of them. An event that another worker sends at the moment when the state of the client moves between workers
    /// may be missed or received twice; not so with the adapter over Redis streams. As with the official server, applications that must not lose anything compare their state when `is_recovered` is false, and
    /// from time to time.
    ///
    /// Default: off.
    #[must_use]
    pub fn recovery(mut self, options: RecoveryOptions) -> Self {
        self.recovery = Some(options);
        self
    }

    /// Sets the adapter, which connects the namespaces of several servers.
    ///
    /// Default: none, except with the feature `workers` on a thread whose bus is attached when the server is created, as in a worker. There it is a `BusAdapter`, so
    /// that the servers of all workers act as one. Servers in different workers are matched by the order in which they were created.
    #[must_use]
    pub fn adapter(mut self, factory: AdapterFactory) -> Self {
        self.adapter = AdapterChoice::Factory(factory);
        self
    }

    /// Keeps the server separate from the servers of other workers. See [`adapter`](SocketIoOptions::adapter).
    #[must_use]
    pub fn without_adapter(mut self) -> Self {
        self.adapter = AdapterChoice::None;
        self
    }
}

/// The adapter of a server.
#[derive(Clone)]
pub(crate) enum AdapterChoice {
    /// The adapter over the bus of the workers, if the thread is attached to one.
    Automatic,
    None,
    Factory(AdapterFactory),
}

impl AdapterChoice {
    /// Returns the factory that creates the adapters.
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
    /// Creates options with the default values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time within which a disconnected client may reconnect and recover. Default: 120 s.
    #[must_use]
    pub fn max_disconnection(mut self, time: Duration) -> Self {
        self.max_disconnection = time;
        self
    }

    /// Sets whether the middleware of the namespace is skipped for recovered clients. Default: true.
    #[must_use]
    pub fn skip_middleware(mut self, skip: bool) -> Self {
        self.skip_middleware = skip;
        self
    }

    /// Sets the maximum number of packets that a namespace keeps. Clients that missed a discarded packet are not recovered. Default: 100,000.
    #[must_use]
    pub fn max_packets(mut self, count: usize) -> Self {
        self.max_packets = count;
        self
    }

    /// Sets the maximum number of bytes of packets that a namespace keeps. Default: 64 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the maximum number of disconnected clients that a namespace keeps; the oldest are discarded. Default: 100,000.
    #[must_use]
    pub fn max_sessions(mut self, count: usize) -> Self {
        self.max_sessions = count;
        self
    }
}
