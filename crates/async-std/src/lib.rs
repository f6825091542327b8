#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "async-std")]
mod executor;
#[cfg(any(feature = "async-tls", feature = "async-tungstenite"))]
mod handshake;
mod run;
#[cfg(feature = "async-tls")]
pub mod tls;
#[cfg(feature = "async-tungstenite")]
pub mod websocket;

#[cfg(feature = "async-std")]
pub use executor::{block_on, run_blocking};
#[cfg(any(feature = "async-tls", feature = "async-tungstenite"))]
pub use handshake::HANDSHAKE_TIMEOUT;
pub use run::{Run, run};
pub use uptick_stream::{
    AsyncDuplex, AsyncReader, AsyncWriter, DuplexStream, ReadableStream, WritableStream,
    from_async, from_async_read, from_async_write,
};
