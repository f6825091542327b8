#![doc = include_str!("../README.md")]

mod context;
mod error;
mod filter;
mod pem;
mod provider;
mod server;
mod session;

pub use context::{TlsConfig, TlsContext, TlsVersion};
pub use error::Error;
pub use server::SecureServer;
