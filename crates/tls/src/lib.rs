#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod callback_certificates;
mod certificate;
mod config;
mod connector;
mod context;
mod error;
mod files;
mod filter;
mod identity;
mod info;
mod loaded;
mod names;
mod offered_protocols;
mod peers;
mod pem;
mod provider;
mod records;
#[cfg(feature = "self-signed")]
mod self_signed;
mod server;
mod session;
mod stats;
mod tickets;
mod verifier;

/// The names that most programs need: `use uptick_tls::prelude::*`.
///
/// It includes the prelude of `uptick-socket`, so `Error` is the error of servers and connections. [`uptick_tls::Error`](crate::Error) is the error of certificates and keys.
pub mod prelude {
    pub use uptick_socket::prelude::*;

    pub use crate::{SecureConnector, SecureServer, TlsConfig, TlsConnection, TlsContext};
    #[cfg(feature = "self-signed")]
    pub use crate::{SelfSigned, self_signed};
}

pub use config::TlsConfig;
pub use connector::{SecureConnector, connector};
pub use context::{TlsContext, TlsVersion};
pub use error::Error;
pub use identity::ServerCert;
pub use info::{TlsConnection, TlsInfo};
pub use peers::VerifyPeer;
#[cfg(feature = "self-signed")]
pub use self_signed::{SelfSigned, self_signed};
pub use server::SecureServer;
pub use stats::{HandshakeStats, handshake_stats};
pub use tickets::TicketKeys;
