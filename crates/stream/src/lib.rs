#![doc = include_str!("../README.md")]

mod chunk;
mod contract;
mod error;
pub mod filter;
mod pipe;
mod read_buffer;
mod resource;
pub mod transport;
mod write_queue;

pub use chunk::Chunk;
pub use contract::{BaseStream, DuplexStream, DuplexTransport, ReadableStream, WritableStream};
pub use error::Error;
pub use pipe::PipeOptions;
pub use read_buffer::READ_SIZE;
pub use resource::{
    DuplexResourceStream, ReadableResourceStream, WritableResourceStream, stderr, stdin, stdout,
};
pub use write_queue::WriteQueue;
