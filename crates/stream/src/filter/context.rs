//! What a filter wants done.
//!
//! Each thread keeps the contexts that are done with, and their buffers: in the steady state a filter allocates nothing
//! for what it delivers and sends.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::read_buffer::{READ_SIZE, make_room};
use crate::write_queue::WriteQueue;

/// What a filter wants done, in order.
#[derive(Default)]
pub struct FilterContext {
    pub(crate) up: Vec<Bytes>,
    pub(crate) end: bool,
    pub(crate) down: WriteQueue,
    pub(crate) later: Vec<Box<dyn FnOnce()>>,
    pub(crate) remove: bool,
    pub(crate) wait: bool,
    /// What was gathered and has passed.
    pub(crate) spent: Option<Box<WriteQueue>>,
    /// Out of which chunks to be delivered are cut.
    buffer: BytesMut,
}

impl FilterContext {
    /// Hands bytes to the layer above.
    pub fn deliver(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.up.push(bytes);
        }
    }

    /// Hands what `f` appends to its first buffer, which is empty, to the layer above, in pieces of 64 KiB at most; and what
    /// it appends to its second one, which may have bytes in it that are to stay, to the layer below.
    ///
    /// The buffers are used again: the first one once nobody keeps what was delivered.
    pub fn answer_with<R>(&mut self, f: impl FnOnce(&mut BytesMut, &mut Vec<u8>) -> R) -> R {
        make_room(&mut self.buffer);
        let buffer = &mut self.buffer;
        let result = self.down.push_with(|out| f(buffer, out));
        while self.buffer.len() > READ_SIZE {
            self.up.push(self.buffer.split_to(READ_SIZE).freeze());
        }
        if !self.buffer.is_empty() {
            self.up.push(self.buffer.split().freeze());
        }
        result
    }

    /// Tells the layer above that the peer has ended, behind what was delivered.
    pub fn deliver_end(&mut self) {
        self.end = true;
    }

    /// Hands bytes to the layer below.
    pub fn send(&mut self, bytes: Bytes) {
        self.down.push(bytes);
    }

    /// Hands what `f` appends to the layer below; the buffer may have bytes in it, which are to stay.
    pub fn send_with<R>(&mut self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.down.push_with(f)
    }

    /// Has `f` called when the stream is whole again, before what was delivered is emitted; it may use the stream.
    pub fn then(&mut self, f: impl FnOnce() + 'static) {
        self.later.push(Box::new(f));
    }

    /// Has nothing more read before `resume_filters` is called on the stream, so that the peer waits too. What was read
    /// already still comes, and so may the peer's end.
    pub fn wait(&mut self) {
        self.wait = true;
    }

    /// Takes the filter out of the stream: what it delivered with this call is the last.
    pub fn remove(&mut self) {
        self.remove = true;
    }

    /// Whether nothing is left to be done but to send what is to be sent, as after most writes.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.up.is_empty() && !self.end && self.later.is_empty()
    }

    /// The bytes to be delivered, when that is all there is to be done.
    #[inline]
    pub(crate) fn take_only(&mut self) -> Option<Bytes> {
        match self.up.len() {
            1 if !self.end && self.later.is_empty() => self.up.pop(),
            _ => None,
        }
    }

    /// Makes the context as good as new.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.up.clear();
        self.down.reset();
        self.later.clear();
        self.end = false;
        self.remove = false;
        self.wait = false;
        self.spent = None;
    }
}

impl fmt::Debug for FilterContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterContext")
            .field("up", &self.up)
            .field("end", &self.end)
            .field("down", &self.down)
            .field("remove", &self.remove)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
