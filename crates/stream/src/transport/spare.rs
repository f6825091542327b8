//! What drained streams have left for others: buffers that are allocated once, not for each chunk.

use crate::filter::FilterContext;
use crate::write_queue::WriteQueue;

/// How many write queues a thread keeps for each kind of stream.
const QUEUES: usize = 64;

/// How many contexts of filters it keeps: those of callbacks within callbacks.
const CONTEXTS: usize = 4;

/// Drained write queues and used contexts. They stay in the boxes in which streams hold them and pass them on: an idle
/// stream pays for a pointer only.
#[derive(Debug)]
pub(super) struct Spare {
    #[expect(clippy::vec_box, reason = "streams hold the boxes")]
    queues: Vec<Box<WriteQueue>>,
    #[expect(clippy::vec_box, reason = "they are passed on in their boxes")]
    contexts: Vec<Box<FilterContext>>,
}

impl Spare {
    pub(super) const fn new() -> Self {
        Spare {
            queues: Vec::new(),
            contexts: Vec::new(),
        }
    }

    /// An empty queue, one that was used before if there is one.
    #[inline]
    pub(super) fn queue(&mut self) -> Box<WriteQueue> {
        self.queues.pop().unwrap_or_default()
    }

    #[inline]
    pub(super) fn keep_queue(&mut self, mut queue: Box<WriteQueue>) {
        if self.queues.len() < QUEUES {
            queue.reset();
            self.queues.push(queue);
        }
    }

    /// An empty context, one that was used before if there is one.
    #[inline]
    pub(super) fn context(&mut self) -> Box<FilterContext> {
        self.contexts.pop().unwrap_or_default()
    }

    #[inline]
    pub(super) fn keep_context(&mut self, context: Option<Box<FilterContext>>) {
        if let Some(mut context) = context
            && self.contexts.len() < CONTEXTS
        {
            context.reset();
            self.contexts.push(context);
        }
    }
}
