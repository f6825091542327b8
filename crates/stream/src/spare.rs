//! Buffers that drained streams have left for others: allocated once, not for each chunk.

use std::cell::{Cell, RefCell};

use crate::write_queue::WriteQueue;

/// The number of write queues that a thread keeps.
const QUEUES: usize = 64;

/// Drained write queues. They stay in the boxes in which streams hold them: an idle stream pays for a pointer only.
struct Spare {
    #[expect(clippy::vec_box, reason = "streams hold the boxes")]
    queues: Vec<Box<WriteQueue>>,
}

thread_local! {
    /// The queue that was given back last: the one that nearly all streams write to, one after the other.
    static LAST: Cell<Option<Box<WriteQueue>>> = const { Cell::new(None) };
    static SPARE: RefCell<Spare> = const {
        RefCell::new(Spare {
            queues: Vec::new(),
        })
    };
}

/// Returns an empty queue, one that was used before if there is one.
#[inline]
pub(crate) fn queue() -> Box<WriteQueue> {
    match LAST.try_with(Cell::take) {
        Ok(Some(queue)) => queue,
        _ => another_queue(),
    }
}

#[inline(never)]
fn another_queue() -> Box<WriteQueue> {
    let queue = SPARE.try_with(|spare| spare.borrow_mut().queues.pop());
    queue.ok().flatten().unwrap_or_default()
}

/// Keeps a queue that is done with for the next stream.
#[inline]
pub(crate) fn keep_queue(queue: Option<Box<WriteQueue>>) {
    if let Some(mut queue) = queue {
        queue.reset();
        // While the thread is torn down, it is dropped.
        if let Ok(Some(other)) = LAST.try_with(|last| last.replace(Some(queue))) {
            keep_another(other);
        }
    }
}

#[inline(never)]
fn keep_another(queue: Box<WriteQueue>) {
    let _ = SPARE.try_with(|spare| {
        let queues = &mut spare.borrow_mut().queues;
        if queues.len() < QUEUES {
            queues.push(queue);
        }
    });
}
