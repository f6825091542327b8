//! The operations queued for the thread of a loop, and the thread's table of handles that other threads refer to.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uptick_event_loop::{Id, LoopHandle, POST_LIMIT, Table, catch, future_tick};

use super::{RemoteHandle, Resume};
use crate::error::Error;

/// Maximum number of operations that run in one iteration of the loop.
const BATCH: usize = 1024;

pub(super) struct RemoteState<H> {
    pub(super) event_loop: LoopHandle,
    /// The slot of the handle in the table of its thread.
    pub(super) slot: HandleSlot,
    pub(super) object: Arc<str>,
    pub(super) gone: AtomicBool,
    pub(super) max_pending: AtomicUsize,
    pub(super) queue: Mutex<OperationQueue<H>>,
}

/// The operations queued for the thread of the loop.
pub(super) struct OperationQueue<H> {
    pub(super) operations: VecDeque<Operation<H>>,
    /// Sum of the bytes of the operations.
    pub(super) bytes: usize,
    /// Alive while a call that runs the operations is scheduled. It is gone if the thread of the loop has ended.
    pub(super) scheduled: Weak<()>,
}

pub(super) struct Operation<H> {
    pub(super) bytes: usize,
    pub(super) run: Box<dyn FnOnce(H) -> WriteCapacity + Send>,
}

/// The capacity of a connection or server after an operation.
pub(super) enum WriteCapacity {
    Available,
    Full,
}

thread_local! {
    /// The handles that other threads refer to. Handles themselves do not leave their thread.
    static HANDLES: RefCell<Table<Box<dyn Any>>> = const { RefCell::new(Table::new()) };
}

/// A slot in the handle table of the thread of a loop. It is freed when the last reference is dropped.
pub(super) struct HandleSlot {
    pub(super) event_loop: LoopHandle,
    id: Option<Id>,
}

impl HandleSlot {
    pub(super) fn new<H: 'static>(event_loop: &LoopHandle, handle: H) -> Self {
        let id = HANDLES.try_with(|handles| handles.borrow_mut().insert(Box::new(handle)));
        HandleSlot {
            event_loop: event_loop.clone(),
            id: id.ok().flatten(),
        }
    }

    /// Returns the handle. Must be called on the thread of the loop.
    pub(super) fn get<H: Copy + 'static>(&self) -> Option<H> {
        let id = self.id?;
        HANDLES
            .try_with(|handles| handles.borrow().get(id)?.downcast_ref().copied())
            .ok()
            .flatten()
    }
}

impl Drop for HandleSlot {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // If the loop has ended, its table is gone too.
            let _ = self.event_loop.post(move || {
                let removed = HANDLES.try_with(|handles| handles.borrow_mut().remove(id));
                drop(removed);
            });
        }
    }
}

impl<H: RemoteHandle> RemoteState<H> {
    /// Runs the queued operations, on the thread of the loop.
    pub(super) fn run(self: Arc<Self>, alive: Arc<()>) {
        let Some(handle) = self.slot.get::<H>().filter(|handle| handle.is_open()) else {
            return self.end();
        };
        for _ in 0..BATCH {
            // The next operation schedules a new call.
            let Some(operation) = self.next() else {
                return drop(alive);
            };
            match catch(|| (operation.run)(handle)) {
                Ok(WriteCapacity::Available) => {}
                Ok(WriteCapacity::Full) => {
                    let run = Box::new(move || self.run(alive));
                    return handle.on_writable(Resume { run: Some(run) });
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

impl<H> RemoteState<H> {
    pub(super) fn queue(&self) -> MutexGuard<'_, OperationQueue<H>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Takes the next operation. If there is none, marks that the next operation has to wake the thread of the loop.
    fn next(&self) -> Option<Operation<H>> {
        let mut queue = self.queue();
        let next = queue.operations.pop_front();
        match &next {
            Some(operation) => queue.bytes -= operation.bytes,
            None => queue.scheduled = Weak::new(),
        }
        next
    }

    /// Marks the connection or server as closed, and drops the operations.
    pub(super) fn end(&self) {
        self.gone.store(true, Ordering::Release);
        self.clear();
    }

    /// Drops the queued operations, whose destructors may use the remote.
    pub(super) fn clear(&self) {
        let mut queue = self.queue();
        queue.bytes = 0;
        let operations = std::mem::take(&mut queue.operations);
        drop(queue);
        drop(operations);
    }

    pub(super) fn check_room(&self, queue: &OperationQueue<H>, bytes: usize) -> Result<(), Error> {
        let limit = self.max_pending.load(Ordering::Relaxed);
        let is_over = queue.bytes > 0 && queue.bytes.saturating_add(bytes) > limit;
        if (bytes > 0 && is_over) || queue.operations.len() >= POST_LIMIT {
            return Err(Error::RemoteFull {
                object: Arc::clone(&self.object),
                bytes: queue.bytes,
                operations: queue.operations.len(),
            });
        }
        Ok(())
    }

    pub(super) fn closed(&self) -> Error {
        Error::Closed {
            object: Arc::clone(&self.object),
        }
    }

    /// Converts the error of a post that the loop has not accepted.
    pub(super) fn refused(&self, error: uptick_event_loop::Error) -> Error {
        match error {
            uptick_event_loop::Error::PostQueueFull { limit } => Error::RemoteFull {
                object: Arc::clone(&self.object),
                bytes: 0,
                operations: limit,
            },
            // The lock may be held, so the operations are not dropped here.
            _ => {
                self.gone.store(true, Ordering::Release);
                self.closed()
            }
        }
    }
}
