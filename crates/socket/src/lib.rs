#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod any_server;
mod bind;
mod connection;
mod connector;
#[doc(hidden)]
pub mod decorated;
mod error;
mod inherited;
mod ip_network;
mod limiting_server;
mod options;
pub mod proxy_protocol;
mod remote;
mod server;
mod uri;

/// The names that most programs with this crate need: `use uptick_socket::prelude::*`.
pub mod prelude {
    pub use bytes::Bytes;
    pub use uptick_emitter::Emitter;
    pub use uptick_event_loop::{SIGINT, SIGTERM, run};
    pub use uptick_stream::{DuplexStream, ReadableStream, WritableStream};

    pub use crate::{AnyServer, Connection, Connector, ConnectorInterface, Error};
    pub use crate::{LimitingServer, ProxyProtocolOptions, ProxyProtocolServer};
    pub use crate::{Remote, Server, ServerInterface, ServerOptions};
}

pub use address::{Address, UnixName};
pub use any_server::AnyServer;
pub use bytes::Bytes;
pub use connection::{Connection, ProxyInfo};
pub use connector::{
    ConnectTarget, Connecting, Connector, ConnectorInterface, DnsConnector, FixedUriConnector,
    HappyEyeballsConnector, Lookup, Resolver, TcpConnector, TimeoutConnector, UnixConnector,
};
pub use error::{Cause, Error};
pub use inherited::{InheritedSocket, InheritedSockets};
pub use ip_network::IpNetwork;
pub use limiting_server::LimitingServer;
pub use options::SocketOptions;
pub use proxy_protocol::{ProxyProtocolOptions, ProxyProtocolServer, UntrustedPeers};
pub use remote::{Remote, RemoteHandle, Resume};
pub use server::{Balancer, Server, ServerInterface, ServerOptions, Shutdown, shutdown_on};
pub use uri::{Account, ConnectUri, IntoUri, ListenUri, UnixListenUri};

// For the other crates of the project: public, but undocumented and not covered by semantic versioning.
#[doc(hidden)]
pub use bind::{Bound, SocketFile, adopt, bind};
#[doc(hidden)]
pub use connection::engine;
#[doc(hidden)]
pub use decorated::ServerControl;
