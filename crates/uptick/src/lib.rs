#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod failure;
mod log;
#[cfg(feature = "websocket")]
pub mod websocket;

/// The code in the book and in the README of the repository, tested together with the code of the crate.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../../README.md")]
    mod readme {}
    #[doc = include_str!("../../../docs/README.md")]
    mod introduction {}
    #[doc = include_str!("../../../docs/architecture.md")]
    mod architecture {}
    #[doc = include_str!("../../../docs/events.md")]
    mod events {}
    #[cfg(feature = "websocket")]
    #[doc = include_str!("../../../docs/threads.md")]
    mod threads {}
    #[cfg(feature = "websocket")]
    #[doc = include_str!("../../../docs/testing.md")]
    mod testing {}
    #[cfg(feature = "http-client")]
    #[doc = include_str!("../../../docs/http-client.md")]
    mod http_client {}
    #[cfg(feature = "http-client")]
    #[doc = include_str!("../../../docs/reverse-proxy.md")]
    mod reverse_proxy {}
    #[cfg(feature = "websocket")]
    #[doc = include_str!("../../../docs/browsers.md")]
    mod browsers {}
    #[cfg(feature = "workers")]
    #[doc = include_str!("../../../docs/workers.md")]
    mod workers {}
    #[cfg(all(feature = "redis", feature = "workers"))]
    #[doc = include_str!("../../../docs/scaling.md")]
    mod scaling {}
    #[cfg(feature = "http-client")]
    #[doc = include_str!("../../../docs/from-reactphp.md")]
    mod from_reactphp {}
    #[cfg(feature = "websocket")]
    #[doc = include_str!("../../../docs/from-ratchet.md")]
    mod from_ratchet {}
    #[cfg(all(feature = "http-client", feature = "websocket"))]
    #[doc = include_str!("../../../docs/from-node.md")]
    mod from_node {}
    #[cfg(feature = "http")]
    mod services {
        #[doc = include_str!("../../../docs/services/README.md")]
        mod order {}
        #[doc = include_str!("../../../docs/services/state.md")]
        mod state {}
        #[doc = include_str!("../../../docs/services/extraction.md")]
        mod extraction {}
        #[doc = include_str!("../../../docs/services/cors.md")]
        mod cors {}
        #[cfg(feature = "sessions")]
        #[doc = include_str!("../../../docs/services/sessions.md")]
        mod sessions {}
        #[cfg(all(feature = "authentication", feature = "websocket"))]
        #[doc = include_str!("../../../docs/services/authentication.md")]
        mod authentication {}
        #[doc = include_str!("../../../docs/services/access-log.md")]
        mod access_log {}
        #[doc = include_str!("../../../docs/services/health.md")]
        mod health {}
        #[doc = include_str!("../../../docs/services/responses.md")]
        mod responses {}
    }
    #[cfg(feature = "http")]
    #[doc = include_str!("../../../docs/from-express.md")]
    mod from_express {}
    #[cfg(feature = "http-client")]
    #[doc = include_str!("../../../docs/from-axum.md")]
    mod from_axum {}
    #[cfg(feature = "http")]
    #[doc = include_str!("../../../docs/from-luminova.md")]
    mod from_luminova {}
    #[cfg(feature = "socketio-redis")]
    #[doc = include_str!("../../../docs/from-socketio.md")]
    mod from_socketio {}
}

pub use uptick_datagram as datagram;
pub use uptick_emitter as emitter;
pub use uptick_event_loop as event_loop;
#[cfg(feature = "http")]
pub use uptick_http as http;
#[cfg(feature = "http-client")]
pub use uptick_http_client as http_client;
#[cfg(feature = "process")]
pub use uptick_process as process;
#[cfg(feature = "http")]
pub use uptick_rate_limit as rate_limit;
#[cfg(feature = "redis")]
pub use uptick_redis as redis;
pub use uptick_socket as socket;
#[cfg(feature = "socketio")]
pub use uptick_socketio as socketio;
pub use uptick_stream as stream;
#[cfg(feature = "tls")]
pub use uptick_tls as tls;
#[cfg(feature = "workers")]
pub use uptick_workers as workers;

pub use uptick_event_loop::{
    KeepAlive, LoopHandle, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
    Timer, add_periodic_timer, add_read_stream, add_shutdown_signals, add_signal, add_timer,
    add_write_stream, block_on, cancel_timer, future_tick, handle, keep_alive, now,
    remove_read_stream, remove_signal, remove_write_stream, sleep, spawn, spawn_blocking, stop,
};

pub use failure::{Failure, Result};
pub use log::log_to_stderr;

/// The most used names: `use uptick::prelude::*`.
///
/// `Error` is the error type of servers and connections, the payload of their `error` events. Other crates have their
/// own error types, such as [`uptick::datagram::Error`](crate::datagram::Error).
pub mod prelude {
    pub use uptick_datagram::DatagramSocket;
    pub use uptick_emitter::{Emitter, EventEmitter};
    pub use uptick_event_loop::{SIGINT, SIGTERM, Timer};
    #[cfg(feature = "cookies")]
    pub use uptick_http::Cookie;
    #[cfg(feature = "files")]
    pub use uptick_http::StaticFiles;
    #[cfg(feature = "http")]
    pub use uptick_http::router::Group;
    #[cfg(feature = "http")]
    pub use uptick_http::{
        EventStream, HttpError, HttpServer, IntoResponse, Json, Method, Next, Reply, Request,
        Responder, Response, ServerEvent, StatusCode,
    };
    #[cfg(feature = "http-client")]
    pub use uptick_http_client::{Browser, EventSource, MessageEvent, ProxyRoutes, Upstream};
    #[cfg(feature = "process")]
    pub use uptick_process::{Exit, Process};
    #[cfg(feature = "redis")]
    pub use uptick_redis::{Redis, RedisOptions};
    pub use uptick_socket::{
        AnyServer, Bytes, ConnectTarget, Connection, Connector, ConnectorInterface, Error,
        LimitingServer, ProxyProtocolOptions, ProxyProtocolServer, Remote, Server, ServerInterface,
        ServerOptions,
    };
    #[cfg(feature = "socketio")]
    pub use uptick_socketio::{
        Ack, DisconnectReason, Namespace, Socket, SocketIo, SocketIoOptions,
    };
    pub use uptick_stream::{
        DuplexStream, LineStream, PipeOptions, ReadableResourceStream, ReadableStream,
        ThroughStream, WritableResourceStream, WritableStream,
    };
    #[cfg(feature = "tls")]
    pub use uptick_tls::{SecureConnector, SecureServer, TlsConfig, TlsConnection, TlsContext};
    #[cfg(feature = "self-signed")]
    pub use uptick_tls::{SelfSigned, self_signed};
    #[cfg(feature = "websocket")]
    pub use uptick_websocket::{
        Accept, CloseCode, Closed, Message, Reconnect, Reject, Retry, Sent, SubscriptionChange,
        WebSocket, WebSocketOptions, WebSocketRoutes,
    };
    #[cfg(feature = "workers")]
    pub use uptick_workers::{RunHttpServer, RunMode, Worker, WorkerEvent, Workers};
}

/// Runs this thread's loop until nothing is left to wait for, or until [`stop`].
///
/// Warnings and errors are printed on stderr, unless the program has installed a subscriber of `tracing`; see [`log_to_stderr`].
///
/// # Errors
/// When the loop runs already, or the system's poller fails.
pub fn run() -> Result {
    log::log_by_default();
    Ok(uptick_event_loop::run()?)
}
