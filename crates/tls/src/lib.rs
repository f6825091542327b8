#![doc = include_str!("../README.md")]

mod certificate;
mod config;
mod context;
mod error;
mod files;
mod filter;
mod identity;
mod loaded;
mod names;
mod peers;
mod pem;
mod provider;
mod server;
mod session;
mod unknown;

pub use config::TlsConfig;
pub use context::{TlsContext, TlsVersion};
pub use error::Error;
pub use identity::ServerCert;
pub use peers::VerifyPeer;
pub use server::SecureServer;
