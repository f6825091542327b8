//! Adapters over Redis, compatible with the official ones.

#[doc(hidden)]
pub mod wire;
