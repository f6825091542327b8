//! A pool of write queues per thread, so that streams do not allocate for each chunk.

use std::cell::{Cell, RefCell};

use crate::write_queue::WriteQueue;

/// Maximum number of write queues in the pool of a thread.
const MAX_QUEUES: usize = 64;

/// Drained write queues. They stay in the boxes in which streams hold them, so that an idle stream stores only a pointer.
struct QueuePool {
    #[expect(clippy::vec_box, reason = "streams hold the boxes")]
    queues: Vec<Box<WriteQueue>>,
}

thread_local! {
    /// The queue returned last. Most streams use it, one after the other.
    static LAST: Cell<Option<Box<WriteQueue>>> = const { Cell::new(None) };
    static POOL: RefCell<QueuePool> = const {
        RefCell::new(QueuePool {
            queues: Vec::new(),
        })
    };
}

/// Returns an empty queue, from the pool if possible.
#[inline]
pub(crate) fn take() -> Box<WriteQueue> {
    match LAST.try_with(Cell::take) {
        Ok(Some(queue)) => queue,
        _ => take_from_pool(),
    }
}

#[inline(never)]
fn take_from_pool() -> Box<WriteQueue> {
    let queue = POOL.try_with(|pool| pool.borrow_mut().queues.pop());
    queue.ok().flatten().unwrap_or_default()
}

/// Returns a queue that is no longer needed to the pool.
#[inline]
pub(crate) fn put_back(queue: Option<Box<WriteQueue>>) {
    if let Some(mut queue) = queue {
        queue.reset();
        // While the thread is ending, the queue is dropped.
        if let Ok(Some(other)) = LAST.try_with(|last| last.replace(Some(queue))) {
            put_in_pool(other);
        }
    }
}

#[inline(never)]
fn put_in_pool(queue: Box<WriteQueue>) {
    let _ = POOL.try_with(|pool| {
        let queues = &mut pool.borrow_mut().queues;
        if queues.len() < MAX_QUEUES {
            queues.push(queue);
        }
    });
}
