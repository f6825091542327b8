//! The actions that a filter requests.
//!
//! Each thread keeps the last used context and its buffers, so that in the steady state a filter allocates nothing for the
//! bytes that it delivers and sends.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::queue_pool;
use crate::read_buffer::{READ_SIZE, make_room};
use crate::write_queue::WriteQueue;

thread_local! {
    /// The last used context; nested filters create others.
    static LAST: Cell<Option<Box<FilterContext>>> = const { Cell::new(None) };
}

/// Returns an empty context, the kept one if possible.
#[inline]
pub(crate) fn take() -> Box<FilterContext> {
    match LAST.try_with(Cell::take) {
        Ok(Some(context)) => context,
        _ => Box::default(),
    }
}

/// Keeps an empty context for the next use.
#[inline]
pub(crate) fn keep(context: Box<FilterContext>) {
    // While the thread is ending, the context is dropped.
    let _ = LAST.try_with(|last| last.set(Some(context)));
}

/// The actions that a filter requests, in order.
#[derive(Default)]
pub struct FilterContext {
    pub(crate) up: Vec<Bytes>,
    /// The part of the received bytes to deliver after `up`.
    pub(crate) within: Option<Range<usize>>,
    pub(crate) end: bool,
    /// Bytes for the layer below; the stream's own queue if they go to the descriptor.
    pub(crate) down: Option<Box<WriteQueue>>,
    pub(crate) later: Vec<Box<dyn FnOnce()>>,
    pub(crate) remove: bool,
    pub(crate) wait: bool,
    /// The queue of gathered bytes that were passed down.
    pub(crate) used_queue: Option<Box<WriteQueue>>,
    /// Bytes to deliver after `up`.
    buffer: BytesMut,
    /// Bytes that a filter sends in response to received bytes, before they are appended to `down`.
    outgoing: Vec<u8>,
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

    /// Delivers a part of the bytes passed to [`Filter::received`](super::Filter::received), with their current content and
    /// without a copy, after everything that [`deliver`](Self::deliver) delivers in that call. A second call replaces the
    /// first one.
    pub fn deliver_within(&mut self, part: Range<usize>) {
        self.within = (!part.is_empty()).then_some(part);
        self.put_buffer_before_part();
    }

    /// Calls `f` with two buffers. The bytes that `f` appends to the first one, which is empty, are delivered to the layer
    /// above in pieces of at most 64 KiB; the bytes that it appends to the second one are sent to the layer below. The
    /// second buffer may already hold bytes; keep them.
    ///
    /// The buffers are reused: the first one when no listener keeps the delivered bytes any more.
    pub fn deliver_and_send_with<R>(
        &mut self,
        f: impl FnOnce(&mut BytesMut, &mut Vec<u8>) -> R,
    ) -> R {
        if !self.buffer.is_empty() {
            self.up.push(self.buffer.split().freeze());
        }
        // The buffer may be swapped with the read buffer.
        make_room(&mut self.buffer);
        let result = f(&mut self.buffer, &mut self.outgoing);
        // Most input needs no response, and then no queue.
        if !self.outgoing.is_empty() {
            let down = self.down.get_or_insert_with(queue_pool::take);
            down.push(&self.outgoing[..]);
            self.outgoing.clear();
        }
        while self.buffer.len() > READ_SIZE {
            self.up.push(self.buffer.split_to(READ_SIZE).freeze());
        }
        self.put_buffer_before_part();
        result
    }

    /// Moves the content of the buffer to `up` if a part of the received bytes follows, as only one of the two can be last.
    #[inline]
    fn put_buffer_before_part(&mut self) {
        if self.within.is_some() && !self.buffer.is_empty() {
            self.up.push(self.buffer.split().freeze());
        }
    }

    /// Delivers end of stream to the layer above, after the delivered bytes.
    pub fn deliver_end(&mut self) {
        self.end = true;
    }

    /// Sends bytes to the layer below.
    #[inline]
    pub fn send(&mut self, bytes: Bytes) {
        self.down.get_or_insert_with(queue_pool::take).push(bytes);
    }

    /// Sends the bytes that `f` appends to the layer below; the buffer may already hold bytes; keep them.
    pub fn send_with<R>(&mut self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.down.get_or_insert_with(queue_pool::take).push_with(f)
    }

    /// Calls `f` after the filters have run, before delivered bytes are emitted; `f` may use the stream.
    pub fn call_later(&mut self, f: impl FnOnce() + 'static) {
        self.later.push(Box::new(f));
    }

    /// Stops reading until `resume_filters` is called on the stream, which applies backpressure to the peer. Bytes read
    /// before, and the peer's end of stream, may still be passed to the filter.
    pub fn pause_reading(&mut self) {
        self.wait = true;
    }

    /// Removes the filter from the stream after this call.
    pub fn remove(&mut self) {
        self.remove = true;
    }

    /// Returns whether at most a part of the received bytes is delivered, and nothing else.
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        self.up.is_empty() && !self.end && self.later.is_empty()
    }

    /// Returns whether a part of the received bytes, or bytes produced from them, are delivered.
    #[inline]
    pub(crate) fn has_last(&self) -> bool {
        self.within.is_some() || !self.buffer.is_empty()
    }

    /// Discards the delivered bytes.
    pub(crate) fn discard(&mut self) {
        self.up.clear();
        self.within = None;
        self.buffer.clear();
    }

    /// Moves the final delivered bytes into `bytes`, which holds the received bytes: a part of them, or the output of
    /// [`deliver_and_send_with`](Self::deliver_and_send_with). Otherwise empties `bytes`. Returns whether `bytes` is not empty.
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

    /// Takes all delivered bytes; `bytes` are the bytes that the filter received.
    pub(crate) fn take_delivered(&mut self, mut bytes: BytesMut) -> Vec<BytesMut> {
        let mut delivered: Vec<BytesMut> = self.up.drain(..).map(BytesMut::from).collect();
        if self.move_last(&mut bytes) {
            delivered.push(bytes);
        }
        delivered
    }

    /// Takes the bytes that a filter sent.
    pub(crate) fn take_sent(&mut self) -> WriteQueue {
        self.down.take().map_or_else(WriteQueue::new, |down| *down)
    }

    /// Clears the context.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.up.clear();
        queue_pool::put_back(self.down.take());
        self.within = None;
        self.buffer.clear();
        // Left by a filter that panicked in `deliver_and_send_with`.
        self.outgoing.clear();
        self.later.clear();
        self.end = false;
        self.remove = false;
        self.wait = false;
        self.used_queue = None;
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
