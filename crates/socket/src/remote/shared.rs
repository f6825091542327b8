//! The operations that wait for the thread of a loop, and its table of the handles that other threads refer to.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uptick_event_loop::{Id, LoopHandle, POST_LIMIT, Table, catch, future_tick};

use super::{RemoteHandle, Resume};
use crate::error::Error;

/// The number of operations that are run in one iteration of the loop, before others have their turn.
const BATCH: usize = 1024;

pub(super) struct Shared<H> {
    pub(super) event_loop: LoopHandle,
    /// The place of the handle in the table of its thread.
    pub(super) place: Place,
    pub(super) what: Arc<str>,
    pub(super) gone: AtomicBool,
    pub(super) max_pending: AtomicUsize,
    pub(super) queue: Mutex<Queue<H>>,
}

/// The operations that wait for the thread of the loop.
pub(super) struct Queue<H> {
    pub(super) operations: VecDeque<Operation<H>>,
    /// The number of bytes in them.
    pub(super) bytes: usize,
    /// The call that will run them. If the thread of the loop ends before, it is gone.
    pub(super) scheduled: Weak<()>,
}

pub(super) struct Operation<H> {
    pub(super) bytes: usize,
    pub(super) run: Box<dyn FnOnce(H) -> Room + Send>,
}

/// Whether the thing behind a handle takes more.
pub(super) enum Room {
    Left,
    Full,
}

thread_local! {
    /// The handles that other threads refer to: handles themselves do not leave their thread.
    static HANDLES: RefCell<Table<Box<dyn Any>>> = const { RefCell::new(Table::new()) };
}

/// A place in the table of the thread of a loop. It is freed when nobody refers to it any more.
pub(super) struct Place {
    pub(super) event_loop: LoopHandle,
    id: Option<Id>,
}

impl Place {
    pub(super) fn new<H: 'static>(event_loop: &LoopHandle, handle: H) -> Self {
        let id = HANDLES.try_with(|handles| handles.borrow_mut().insert(Box::new(handle)));
        Place {
            event_loop: event_loop.clone(),
            id: id.ok().flatten(),
        }
    }

    /// Returns the handle; to be called on the thread of the loop.
    pub(super) fn get<H: Copy + 'static>(&self) -> Option<H> {
        let id = self.id?;
        HANDLES
            .try_with(|handles| handles.borrow().get(id)?.downcast_ref().copied())
            .ok()
            .flatten()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // A loop that has ended has no table any more.
            let _ = self.event_loop.post(move || {
                let removed = HANDLES.try_with(|handles| handles.borrow_mut().remove(id));
                drop(removed);
            });
        }
    }
}

impl<H: RemoteHandle> Shared<H> {
    /// Runs the operations that wait, on the thread of the loop.
    pub(super) fn run(self: Arc<Self>, alive: Arc<()>) {
        let Some(handle) = self.place.get::<H>().filter(|handle| handle.is_open()) else {
            return self.end();
        };
        for _ in 0..BATCH {
            // The next operation has the loop called again.
            let Some(operation) = self.next() else {
                return drop(alive);
            };
            match catch(|| (operation.run)(handle)) {
                Ok(Room::Left) => {}
                Ok(Room::Full) => {
                    let run = Box::new(move || self.run(alive));
                    return handle.on_room(Resume { run: Some(run) });
                }
                Err(message) => handle.callback_panicked(&message),
            }
            if !handle.is_open() {
                return self.end();
            }
        }
        future_tick(move || self.run(alive));
    }
}

impl<H> Shared<H> {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue<H>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Takes the next operation. Without one, the thread of the loop has to be woken for the next.
    fn next(&self) -> Option<Operation<H>> {
        let mut queue = self.queue();
        let next = queue.operations.pop_front();
        match &next {
            Some(operation) => queue.bytes -= operation.bytes,
            None => queue.scheduled = Weak::new(),
        }
        next
    }

    /// The thing behind the handle has closed.
    pub(super) fn end(&self) {
        self.gone.store(true, Ordering::Release);
        self.clear();
    }

    /// Drops the operations that wait, which may use the remote.
    pub(super) fn clear(&self) {
        let mut queue = self.queue();
        queue.bytes = 0;
        let operations = std::mem::take(&mut queue.operations);
        drop(queue);
        drop(operations);
    }

    pub(super) fn check_room(&self, queue: &Queue<H>, bytes: usize) -> Result<(), Error> {
        let limit = self.max_pending.load(Ordering::Relaxed);
        let is_over = queue.bytes > 0 && queue.bytes.saturating_add(bytes) > limit;
        if (bytes > 0 && is_over) || queue.operations.len() >= POST_LIMIT {
            return Err(Error::RemoteFull {
                what: Arc::clone(&self.what),
                bytes: queue.bytes,
                operations: queue.operations.len(),
            });
        }
        Ok(())
    }

    pub(super) fn closed(&self) -> Error {
        Error::Closed {
            what: Arc::clone(&self.what),
        }
    }

    /// The error for a call that the loop has not taken.
    pub(super) fn refused(&self, error: uptick_event_loop::Error) -> Error {
        match error {
            uptick_event_loop::Error::PostQueueFull { limit } => Error::RemoteFull {
                what: Arc::clone(&self.what),
                bytes: 0,
                operations: limit,
            },
            // The lock may be held.
            _ => {
                self.gone.store(true, Ordering::Release);
                self.closed()
            }
        }
    }
}
