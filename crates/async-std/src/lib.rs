#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod run;

pub use run::{Run, run};
pub use uptick_stream::{
    AsyncDuplex, AsyncReader, AsyncWriter, DuplexStream, ReadableStream, WritableStream,
    from_async, from_async_read, from_async_write,
};
