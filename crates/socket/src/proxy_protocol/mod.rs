//! The PROXY protocol: client addresses sent by a proxy in front of the server.

mod filter;
mod options;
pub mod protocol;
mod server;

pub use options::{ProxyProtocolOptions, UntrustedPeers};
pub use server::ProxyProtocolServer;
