#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod decision;
mod limit;
mod limiter;
#[cfg(feature = "server")]
mod server;

pub use client::Client;
pub use decision::Decision;
#[doc(hidden)]
pub use decision::quoted;
pub use limit::Limit;
pub use limiter::RateLimiter;
#[cfg(feature = "server")]
pub use server::RateLimitingServer;
