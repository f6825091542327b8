//! The actions that a filter requests.
//!
//! Each thread keeps the context that was used last, and its buffers: in the steady state a filter allocates nothing for what
//! it delivers and sends.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::read_buffer::{READ_SIZE, make_room};
use crate::spare;
use crate::write_queue::WriteQueue;

thread_local! {
    /// The context that was used last; filters of callbacks within callbacks make others.
    static LAST: Cell<Option<Box<FilterContext>>> = const { Cell::new(None) };
}

/// Returns an empty context, one that was used before if there is one.
#[inline]
pub(crate) fn take() -> Box<FilterContext> {
    match LAST.try_with(Cell::take) {
        Ok(Some(context)) => context,
        _ => Box::default(),
    }
}

/// Keeps a context that is empty again for the next passage.
#[inline]
pub(crate) fn keep(context: Box<FilterContext>) {
    // While the thread is torn down, it is dropped.
    let _ = LAST.try_with(|last| last.set(Some(context)));
}

/// The actions that a filter requests, in order.
#[derive(Default)]
pub struct FilterContext {
    pub(crate) up: Vec<Bytes>,
    /// The part of the received bytes to be delivered behind `up`.
    pub(crate) within: Option<Range<usize>>,
    pub(crate) end: bool,
    /// Bytes for the layer below; the stream's own queue where they go to the descriptor.
    pub(crate) down: Option<Box<WriteQueue>>,
    pub(crate) later: Vec<Box<dyn FnOnce()>>,
    pub(crate) remove: bool,
    pub(crate) wait: bool,
    /// Gathered bytes that have passed.
    pub(crate) spent: Option<Box<WriteQueue>>,
    /// Bytes to be delivered behind `up`.
    buffer: BytesMut,
    /// Bytes that a filter sends in answer to received ones, before they are appended to `down`.
    answer: Vec<u8>,
}

impl FilterContext {
    /// Delivers bytes to the layer above.
    pub fn deliver(&mut self, bytes: Bytes) {
        if !self.buffer.is_empty() {
            self.up.push(self.buffer.split().freeze());
        }
        if !bytes.is_empty() {
            self.up.push(bytes);
        }
    }

    /// Delivers a part of the bytes passed to [`Filter::received`](super::Filter::received), as they are then, without a copy: after
    /// all that [`deliver`](Self::deliver) delivers in that call. A second call takes the place of the first.
    pub fn deliver_within(&mut self, part: Range<usize>) {
        self.within = (!part.is_empty()).then_some(part);
        self.put_buffer_before_part();
    }

    /// Delivers what `f` appends to its first buffer, which is empty, to the layer above, in pieces of 64 KiB at most; and sends what
    /// it appends to its second one, which may hold bytes that are to stay, to the layer below.
    ///
    /// The buffers are used again: the first one once nobody keeps what was delivered.
    pub fn answer_with<R>(&mut self, f: impl FnOnce(&mut BytesMut, &mut Vec<u8>) -> R) -> R {
        if !self.buffer.is_empty() {
            self.up.push(self.buffer.split().freeze());
        }
        // It may take the place of the read buffer.
        make_room(&mut self.buffer);
        let result = f(&mut self.buffer, &mut self.answer);
        // Most of what is received needs no answer, and then no queue.
        if !self.answer.is_empty() {
            let down = self.down.get_or_insert_with(spare::queue);
            down.push(&self.answer[..]);
            self.answer.clear();
        }
        while self.buffer.len() > READ_SIZE {
            self.up.push(self.buffer.split_to(READ_SIZE).freeze());
        }
        self.put_buffer_before_part();
        result
    }

    /// Moves what is in the buffer to `up` if a part of the received bytes follows: either of them is the last, never both.
    #[inline]
    fn put_buffer_before_part(&mut self) {
        if self.within.is_some() && !self.buffer.is_empty() {
            self.up.push(self.buffer.split().freeze());
        }
    }

    /// Delivers the peer's end to the layer above, behind what was delivered.
    pub fn deliver_end(&mut self) {
        self.end = true;
    }

    /// Sends bytes to the layer below.
    #[inline]
    pub fn send(&mut self, bytes: Bytes) {
        self.down.get_or_insert_with(spare::queue).push(bytes);
    }

    /// Sends what `f` appends to the layer below; the buffer may hold bytes that are to stay.
    pub fn send_with<R>(&mut self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.down.get_or_insert_with(spare::queue).push_with(f)
    }

    /// Calls `f` when the stream is whole again, before what was delivered is emitted; it may use the stream.
    pub fn then(&mut self, f: impl FnOnce() + 'static) {
        self.later.push(Box::new(f));
    }

    /// Stops reading until `resume_filters` is called on the stream, so that the peer waits too. What was read
    /// already still comes, and so may the peer's end.
    pub fn wait(&mut self) {
        self.wait = true;
    }

    /// Takes the filter out of the stream: what it delivered with this call is the last.
    pub fn remove(&mut self) {
        self.remove = true;
    }

    /// Returns whether there is nothing to deliver but a part of the received bytes, or nothing at all.
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        self.up.is_empty() && !self.end && self.later.is_empty()
    }

    /// Returns whether a part of the received bytes is delivered, or bytes made of them.
    #[inline]
    pub(crate) fn has_last(&self) -> bool {
        self.within.is_some() || !self.buffer.is_empty()
    }

    /// Discards what was delivered.
    pub(crate) fn discard(&mut self) {
        self.up.clear();
        self.within = None;
        self.buffer.clear();
    }

    /// Moves the last of what was delivered into `bytes`, which holds what was received: a part of it, or what
    /// [`answer_with`](Self::answer_with) made of it; nothing is left in `bytes` otherwise. Returns whether there is something.
    #[inline]
    pub(crate) fn move_last(&mut self, bytes: &mut BytesMut) -> bool {
        match self.within.take() {
            Some(within) => {
                bytes.truncate(within.end);
                bytes.advance(within.start.min(bytes.len()));
            }
            None => {
                bytes.clear();
                if !self.buffer.is_empty() {
                    std::mem::swap(bytes, &mut self.buffer);
                }
            }
        }
        !bytes.is_empty()
    }

    /// Takes all that a filter delivered, `bytes` being what it received.
    pub(crate) fn take_delivered(&mut self, mut bytes: BytesMut) -> Vec<BytesMut> {
        let mut delivered: Vec<BytesMut> = self.up.drain(..).map(BytesMut::from).collect();
        if self.move_last(&mut bytes) {
            delivered.push(bytes);
        }
        delivered
    }

    /// Takes what a filter sent.
    pub(crate) fn take_sent(&mut self) -> WriteQueue {
        self.down.take().map_or_else(WriteQueue::new, |down| *down)
    }

    /// Empties the context.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.up.clear();
        spare::keep_queue(self.down.take());
        self.within = None;
        self.buffer.clear();
        // A filter that panicked in `answer_with` has left it there.
        self.answer.clear();
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
