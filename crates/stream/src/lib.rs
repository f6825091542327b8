#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adapter;
mod chunk;
mod composite;
mod contract;
pub mod decode;
mod decoded;
mod error;
mod file_range;
pub mod filter;
mod object;
mod pipe;
mod queue_pool;
mod read_buffer;
#[cfg(feature = "resources")]
mod resource;
mod source;
mod through;
#[doc(hidden)]
pub mod transport;
mod write_queue;

/// Common imports: `use uptick_stream::prelude::*`.
pub mod prelude {
    pub use bytes::Bytes;
    pub use uptick_emitter::Emitter;
    pub use uptick_event_loop::run;

    pub use crate::{
        CompositeStream, DuplexStream, Error, LineStream, PipeOptions, ReadableStream,
        ThroughStream, WritableStream,
    };
    #[cfg(feature = "resources")]
    pub use crate::{
        DuplexResourceStream, ReadableResourceStream, WritableResourceStream, stderr, stdin, stdout,
    };
}

pub use adapter::{
    AsyncDuplex, AsyncReader, AsyncWriter, ChunkSink, Chunks, from_async, from_async_read,
    from_async_write, from_sink, from_stream,
};
pub use chunk::Chunk;
pub use composite::CompositeStream;
pub use contract::{BaseStream, DuplexStream, ReadableStream, WritableStream};
#[cfg(feature = "json")]
pub use decoded::JsonStream;
pub use decoded::{DecodedStream, DelimiterStream, LengthPrefixStream, LineStream};
pub use error::Error;
pub use file_range::FileRange;
pub use object::{ObjectStream, ObjectTransform};
pub use pipe::PipeOptions;
pub use read_buffer::READ_SIZE;
#[cfg(feature = "resources")]
pub use resource::{
    DuplexResourceStream, ReadableResourceStream, WritableResourceStream, stderr, stdin, stdout,
};
pub use through::{ThroughStream, Transform, TransformError};

// Used by the other crates of the workspace: public, but hidden from the documentation and not covered by semantic
// versioning.
#[doc(hidden)]
pub use contract::DuplexTransport;
#[doc(hidden)]
pub use write_queue::WriteQueue;
