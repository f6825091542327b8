//! Requests out of bytes.

use bytes::Bytes;

use super::fields::Trailers;
use super::invalid::Invalid;
use super::limits::Limits;
use super::request_head::RequestHead;

/// What a [`Decoder`] has found.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request begins.
    Head(RequestHead),
    /// A piece of its body, never empty.
    Body(Bytes),
    /// The fields after its body, if there are any.
    Trailers(Trailers),
    /// It ends. The next may follow.
    Complete,
    /// It is refused, and nothing comes after this.
    Error(Invalid),
}

/// Reads the requests of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    input: Bytes,
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Takes what came. Read all events before more is pushed, so that nothing has to be copied but the beginning of a
    /// head whose end is yet to come.
    pub fn push(&mut self, bytes: Bytes) {
        self.input = bytes;
    }

    /// The next event, or none if more bytes are needed for one.
    pub fn next(&mut self, limits: &Limits) -> Option<Event> {
        let _ = limits;
        None
    }

    /// Whether it is between two requests, without a byte of the next one.
    pub fn is_idle(&self) -> bool {
        self.input.is_empty()
    }

    /// The number of bytes that were pushed and are in no event yet.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// What was pushed and is in no event yet, for the protocol that follows after an upgrade. Nothing is decoded
    /// after this.
    pub fn take_rest(&mut self) -> Bytes {
        std::mem::take(&mut self.input)
    }
}
