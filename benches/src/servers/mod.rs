//! The servers that are compared. Each runs in its own process, or in several, so that the system accounts for each server
//! separately.

mod async_std;
mod client;
mod connection;
mod floor;
mod http;
mod http2;
mod mio;
mod redis;
mod socketio;
mod tokio;
mod tokio_rustls;
mod uptick;
mod uptick_tls;
mod websocket;
mod workers;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustls::crypto::{aws_lc_rs, ring};

use crate::identity::Identity;

pub(crate) use self::client::{
    Case as ClientCase, DONE as REQUESTS_DONE, HOSTS as CLIENT_HOSTS, OPEN as OPEN_CONNECTIONS,
};
pub(crate) use self::http::bun::version as bun_version;
pub(crate) use self::http::node::version as node_version;
pub(crate) use self::http2::ServerDirectory;
pub(crate) use self::http2::h2o::version as h2o_version;
pub(crate) use self::http2::nghttpd::version as nghttpd_version;
pub(crate) use self::http2::nginx::version as nginx_version;
pub(crate) use self::redis::node_socketio::versions as node_socketio_redis_versions;
pub(crate) use self::redis::{DONE as COMMANDS_DONE, Mode as CommandMode, PIPELINE};
pub(crate) use self::socketio::node::version as node_socketio_version;
pub(crate) use self::socketio::socketioxide::LOCK_FILE as SOCKETIOXIDE_LOCK_FILE;
pub(crate) use self::websocket::node::version as node_ws_version;
pub(crate) use self::workers::redis::{clients as redis_clients, version as redis_version};
pub(crate) use self::workers::{DONE as BUS_DONE, Setup as WorkersSetup};

/// The number of bytes read at a time by servers with one buffer for all connections.
const BUFFER: usize = 64 * 1024;

/// The number of events received from the kernel at a time.
const EVENTS: usize = 1024;

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Floor,
    Mio,
    Uptick,
    Tokio,
    AsyncStd,
    UptickTls,
    TokioRustls,
    TokioRustlsRing,
    HttpFloor,
    UptickHttp,
    Hyper,
    Axum,
    Actix,
    Node,
    Bun,
    HyperRustls,
    UptickHttps,
    HyperHttp2,
    H2o,
    Nghttpd,
    Nginx,
    NodeHttp2,
    UptickWebSocket,
    TokioTungstenite,
    FastWebSockets,
    FastWebSocketsHttp2,
    AsyncTungstenite,
    NodeWs,
    BunWs,
    Writes,
    UptickPublish,
    UptickSocketIo,
    Socketioxide,
    NodeSocketIo,
    Workers(WorkersSetup),
    RedisBus,
    Redis,
    RedisRs,
    UptickRedis,
    UptickSocketIoRedis,
    NodeSocketIoRedis,
    HttpUpstream,
    HyperUtil,
    Reqwest,
    UptickHttpClient,
}

impl Server {
    /// The echo servers without TLS, in the order of the table; the first is the floor, the base of the ratios.
    pub(crate) const ALL: &[Self] = &[
        Self::Floor,
        Self::Mio,
        Self::Uptick,
        Self::Tokio,
        Self::AsyncStd,
    ];

    /// The echo servers with TLS, in the order of the table; the first is the base of the ratios.
    pub(crate) const TLS: &[Self] = &[Self::TokioRustls, Self::UptickTls, Self::TokioRustlsRing];

    /// The HTTP servers without TLS, in the order of the table; the first is the floor.
    pub(crate) const HTTP: &[Self] = &[
        Self::HttpFloor,
        Self::UptickHttp,
        Self::Hyper,
        Self::Axum,
        Self::Actix,
        Self::Node,
        Self::Bun,
    ];

    /// The HTTP servers with TLS, in the order of the table; the first is the base of the ratios.
    pub(crate) const HTTPS: &[Self] = &[Self::HyperRustls, Self::UptickHttps];

    /// The HTTP/2 servers, in the order of the table; the first is Uptick, the base of the ratios.
    pub(crate) const HTTP2: &[Self] = &[
        Self::UptickHttp,
        Self::H2o,
        Self::Nghttpd,
        Self::Nginx,
        Self::HyperHttp2,
        Self::NodeHttp2,
    ];

    /// The WebSocket servers over HTTP/2, in the order of the table.
    pub(crate) const WEBSOCKET_HTTP2: &[Self] = &[Self::UptickWebSocket, Self::FastWebSocketsHttp2];

    /// The WebSocket servers, in the order of the table; the first is Uptick, the base of the ratios.
    pub(crate) const WEBSOCKET: &[Self] = &[
        Self::UptickWebSocket,
        Self::TokioTungstenite,
        Self::FastWebSockets,
        Self::AsyncTungstenite,
        Self::NodeWs,
        Self::BunWs,
    ];

    /// The servers that publish to many clients, in the order of the table; the first is the floor.
    pub(crate) const PUBLISHING: &[Self] = &[Self::Writes, Self::UptickPublish];

    /// The Socket.IO servers, in the order of the table; the first is Uptick, the base of the ratios.
    pub(crate) const SOCKETIO: &[Self] =
        &[Self::UptickSocketIo, Self::Socketioxide, Self::NodeSocketIo];

    /// The Redis clients, in the order of the table; the one with which ours is compared first.
    pub(crate) const REDIS_CLIENTS: &[Self] = &[Self::RedisRs, Self::UptickRedis];

    /// The Socket.IO servers of a cluster over Redis, in the order of the table; the one with which ours is compared first.
    pub(crate) const SOCKETIO_REDIS: &[Self] =
        &[Self::NodeSocketIoRedis, Self::UptickSocketIoRedis];

    /// The HTTP clients, in the order of the table; the one with which ours is compared first.
    pub(crate) const HTTP_CLIENTS: &[Self] =
        &[Self::HyperUtil, Self::Reqwest, Self::UptickHttpClient];

    /// Returns the name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Mio => "mio",
            Self::Uptick => "uptick",
            Self::Tokio => "tokio",
            Self::AsyncStd => "async-std",
            Self::UptickTls => "uptick-tls",
            Self::TokioRustls => "tokio-rustls",
            Self::TokioRustlsRing => "tokio-rustls-ring",
            Self::HttpFloor => "http-floor",
            Self::UptickHttp => "uptick-http",
            Self::Hyper => "hyper",
            Self::Axum => "axum",
            Self::Actix => "actix-web",
            Self::Node => "node",
            Self::Bun => "bun",
            Self::HyperRustls => "hyper-rustls",
            Self::UptickHttps => "uptick-https",
            Self::HyperHttp2 => "hyper-http2",
            Self::H2o => "h2o",
            Self::Nghttpd => "nghttpd",
            Self::Nginx => "nginx",
            Self::NodeHttp2 => "node-http2",
            Self::UptickWebSocket => "uptick-websocket",
            Self::TokioTungstenite => "tokio-tungstenite",
            Self::FastWebSockets => "fastwebsockets",
            Self::FastWebSocketsHttp2 => "fastwebsockets-http2",
            Self::AsyncTungstenite => "async-tungstenite",
            Self::NodeWs => "node-ws",
            Self::BunWs => "bun-ws",
            Self::Writes => "writes",
            Self::UptickPublish => "uptick-publish",
            Self::UptickSocketIo => "uptick-socketio",
            Self::Socketioxide => "socketioxide",
            Self::NodeSocketIo => "node-socketio",
            Self::Workers(setup) => setup.name(),
            Self::RedisBus => "redis",
            Self::Redis => "redis-server",
            Self::RedisRs => "redis-rs",
            Self::UptickRedis => "uptick-redis",
            Self::UptickSocketIoRedis => "uptick-socketio-redis",
            Self::NodeSocketIoRedis => "node-socketio-redis",
            Self::HttpUpstream => "http-upstream",
            Self::HyperUtil => "hyper-util",
            Self::Reqwest => "reqwest",
            Self::UptickHttpClient => "uptick-http-client",
        }
    }

    /// Returns the server with a name, if there is one.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        let tables = [
            Self::ALL,
            Self::TLS,
            Self::HTTP,
            Self::HTTPS,
            Self::HTTP2,
            Self::WEBSOCKET,
            Self::WEBSOCKET_HTTP2,
            Self::PUBLISHING,
            Self::SOCKETIO,
            Self::REDIS_CLIENTS,
            Self::SOCKETIO_REDIS,
            Self::HTTP_CLIENTS,
            &[Self::RedisBus, Self::Redis, Self::HttpUpstream],
        ];
        let workers = WorkersSetup::ALL.iter().map(|setup| Self::Workers(*setup));
        let mut servers = tables.into_iter().flatten().copied().chain(workers);
        servers.find(|server| server.name() == name)
    }

    /// Returns the package whose version the results of this server depend on, if it is in the lock file of this workspace.
    pub(crate) fn package(self) -> Option<&'static str> {
        match self {
            Self::Floor | Self::HttpFloor | Self::Writes => Some("rustix"),
            Self::TokioRustlsRing => Some("ring"),
            Self::HyperRustls => Some("tokio-rustls"),
            Self::UptickHttps => Some("uptick-tls"),
            Self::UptickPublish => Some("uptick-websocket"),
            Self::Workers(_) => Some("uptick-workers"),
            Self::HyperHttp2 => Some("h2"),
            Self::FastWebSocketsHttp2 => Some("fastwebsockets"),
            Self::H2o | Self::Nghttpd | Self::Nginx | Self::NodeHttp2 => None,
            Self::Node | Self::NodeWs | Self::Bun | Self::BunWs => None,
            Self::RedisBus | Self::Redis | Self::NodeSocketIoRedis => None,
            Self::RedisRs => Some("redis"),
            Self::UptickSocketIoRedis => Some("uptick-socketio"),
            Self::HttpUpstream => Some("uptick-http"),
            // These servers have their own dependencies.
            Self::Socketioxide | Self::NodeSocketIo => None,
            _ => Some(self.name()),
        }
    }

    /// Returns whether the instructions of the server can be counted. Node and Bun generate code at run time.
    pub(crate) fn is_native(self) -> bool {
        !matches!(
            self,
            Self::Node
                | Self::NodeHttp2
                | Self::NodeWs
                | Self::NodeSocketIo
                | Self::NodeSocketIoRedis
                | Self::Bun
                | Self::BunWs
                | Self::RedisBus
                | Self::Redis
        )
    }

    /// Returns whether the requirements of the server are installed. All servers are part of this program, except node, its
    /// packages, socketioxide, Bun and Redis.
    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Node | Self::NodeHttp2 => node_version().is_some(),
            Self::H2o => h2o_version().is_some(),
            Self::Nghttpd => nghttpd_version().is_some(),
            Self::Nginx => nginx_version().is_some(),
            Self::NodeWs => node_version().is_some() && node_ws_version().is_some(),
            Self::Bun | Self::BunWs => bun_version().is_some(),
            Self::RedisBus | Self::Redis => redis_version().is_some(),
            Self::NodeSocketIoRedis => {
                node_version().is_some() && node_socketio_redis_versions().is_some()
            }
            Self::Socketioxide => socketio::socketioxide::is_built(),
            Self::NodeSocketIo => node_version().is_some() && node_socketio_version().is_some(),
            _ => true,
        }
    }

    /// Returns the command that installs the requirements of an HTTP/2 server.
    pub(crate) fn installation(self) -> Option<&'static str> {
        match self {
            Self::H2o => Some("on Debian: apt-get install h2o"),
            Self::Nghttpd => Some("on Debian: apt-get install nghttp2-server"),
            Self::Nginx => Some("on Debian: apt-get install nginx-light"),
            Self::NodeHttp2 => Some("on Debian: apt-get install nodejs"),
            _ => None,
        }
    }

    /// Returns whether the server is a separate program that listens after it has announced its address, and needs a
    /// [`ServerDirectory`].
    pub(crate) fn needs_directory(self) -> bool {
        matches!(self, Self::H2o | Self::Nghttpd | Self::Nginx)
    }

    /// Returns `identity` for a server with TLS, and `None` for other servers.
    pub(crate) fn identity(self, identity: &Identity) -> Option<&Identity> {
        (Self::TLS.contains(&self) || Self::HTTPS.contains(&self)).then_some(identity)
    }

    /// Serves until the process is killed. Servers with TLS need a PEM file with a certificate and its key, h2o, nghttpd and nginx a directory,
    /// Redis and HTTP clients the URL of the server.
    pub(crate) fn serve(self, argument: Option<&OsStr>) -> Result<()> {
        let identity = || {
            let file = argument.map(Path::new);
            file.with_context(|| format!("{} needs a PEM file", self.name()))
        };
        let directory = || {
            let directory = argument.map(Path::new);
            directory.with_context(|| format!("{} needs a directory", self.name()))
        };
        match self {
            Self::Floor => floor::serve::<connection::Echo>(),
            Self::Mio => mio::serve(),
            Self::Uptick => uptick::serve(),
            Self::Tokio => tokio::serve(),
            Self::AsyncStd => async_std::serve(),
            Self::UptickTls => uptick_tls::serve(identity()?),
            Self::TokioRustls => tokio_rustls::serve(identity()?, aws_lc_rs::default_provider()),
            Self::TokioRustlsRing => tokio_rustls::serve(identity()?, ring::default_provider()),
            Self::HttpFloor => floor::serve::<http::floor::HttpProtocol>(),
            Self::UptickHttp => http::uptick::serve(),
            Self::Hyper => http::hyper::serve(),
            Self::Axum => http::axum::serve(),
            Self::Actix => http::actix::serve(),
            Self::Node => http::node::serve(),
            Self::Bun => http::bun::serve(),
            Self::HyperRustls => http::hyper::serve_tls(identity()?),
            Self::UptickHttps => http::uptick::serve_tls(identity()?),
            Self::HyperHttp2 => http2::hyper::serve(),
            Self::H2o => http2::h2o::serve(directory()?),
            Self::Nghttpd => http2::nghttpd::serve(directory()?),
            Self::Nginx => http2::nginx::serve(directory()?),
            Self::NodeHttp2 => http2::node::serve(),
            Self::UptickWebSocket => websocket::uptick::serve(),
            Self::TokioTungstenite => websocket::tokio_tungstenite::serve(),
            Self::FastWebSockets => websocket::fastwebsockets::serve(),
            Self::FastWebSocketsHttp2 => websocket::fastwebsockets::serve_http2(),
            Self::AsyncTungstenite => websocket::async_tungstenite::serve(),
            Self::NodeWs => websocket::node::serve(),
            Self::BunWs => websocket::bun::serve(),
            Self::Writes => websocket::writes::serve(),
            Self::UptickPublish => websocket::uptick::publish(),
            Self::UptickSocketIo => socketio::uptick::serve(),
            Self::Socketioxide => socketio::socketioxide::serve(),
            Self::NodeSocketIo => socketio::node::serve(),
            Self::Workers(setup) => workers::serve(setup),
            Self::RedisBus => workers::redis::serve(),
            Self::Redis => redis::server::serve(),
            Self::RedisRs => redis::redis_rs::serve(argument),
            Self::UptickRedis => redis::client::serve(argument),
            Self::UptickSocketIoRedis => redis::uptick_socketio::serve(argument),
            Self::NodeSocketIoRedis => redis::node_socketio::serve(argument),
            Self::HttpUpstream => client::upstream::serve(),
            Self::HyperUtil => client::hyper_util::serve(argument),
            Self::Reqwest => client::reqwest::serve(argument),
            Self::UptickHttpClient => client::uptick::serve(argument),
        }
    }
}

/// Creates a non-blocking listener on a free port on 127.0.0.1.
///
/// `TCP_NODELAY` is set on the listener: accepted sockets inherit it, which saves every server one system call per connection.
fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    Ok(listener)
}

/// Prints the address of this server for the parent process.
fn announce(address: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{address}")?;
    stdout.flush()
}
