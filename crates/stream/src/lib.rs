#![doc = include_str!("../README.md")]

mod chunk;
mod error;
pub mod filter;
mod read_buffer;
pub mod transport;
mod write_queue;

pub use chunk::Chunk;
pub use error::Error;
pub use read_buffer::READ_SIZE;
pub use write_queue::WriteQueue;
