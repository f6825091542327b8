#![doc = include_str!("../README.md")]

mod message;
pub mod protocol;

pub use message::{Message, Payload, Text};
