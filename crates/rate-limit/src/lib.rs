#![doc = include_str!("../README.md")]

mod client;
mod decision;
mod limit;
mod limiter;

pub use client::Client;
pub use decision::Decision;
pub use limit::Limit;
pub use limiter::RateLimiter;
