//! The listeners of a configuration that is shared by several threads. Each thread has its own listeners.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use uptick_emitter::{Emits, Event, Listeners};
use uptick_event_loop::LoopHandle;

use super::TlsConfig;

type SharedListeners = Rc<RefCell<Listeners>>;

thread_local! {
    /// The listeners of this thread, by the number of their configuration.
    static LISTENERS: RefCell<HashMap<u64, SharedListeners>> = RefCell::default();
}

/// The threads that have listeners of a configuration.
pub(super) struct ThreadListeners {
    number: u64,
    threads: Mutex<Vec<(ThreadId, LoopHandle)>>,
}

impl ThreadListeners {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        ThreadListeners {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            threads: Mutex::default(),
        }
    }

    /// Calls `f` with the listeners of this thread. Returns `None` while the thread ends.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        let listeners = self.of_this_thread();
        let listeners = match listeners {
            Some(listeners) => listeners,
            None => self.register()?,
        };
        Some(f(&mut listeners.borrow_mut()))
    }

    fn of_this_thread(&self) -> Option<SharedListeners> {
        let find = |table: &RefCell<HashMap<u64, SharedListeners>>| {
            table.borrow().get(&self.number).cloned()
        };
        LISTENERS.try_with(find).ok().flatten()
    }

    fn register(&self) -> Option<SharedListeners> {
        let listeners = SharedListeners::default();
        let added = Rc::clone(&listeners);
        LISTENERS
            .try_with(|table| table.borrow_mut().insert(self.number, added))
            .ok()?;
        let this = (thread::current().id(), uptick_event_loop::handle());
        self.threads().push(this);
        Some(listeners)
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<(ThreadId, LoopHandle)>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ThreadListeners {
    fn drop(&mut self) {
        let number = self.number;
        for (thread, handle) in self.threads().drain(..) {
            match thread == thread::current().id() {
                true => remove(number),
                // If the loop is gone, so are the thread's listeners.
                false => drop(handle.post(move || remove(number))),
            }
        }
    }
}

/// Drops this thread's listeners of a configuration.
fn remove(number: u64) {
    // The listeners are dropped when the table is no longer borrowed.
    let removed = LISTENERS.try_with(|table| table.borrow_mut().remove(&number));
    drop(removed);
}

/// Emits an event on all threads that have listeners: at once on this thread, and in the next iteration of the loop on others.
pub(super) fn emit<P>(config: &TlsConfig, event: Event<TlsConfig, P>, payload: P)
where
    TlsConfig: Emits<P>,
    P: Clone + Send + 'static,
{
    let this = thread::current().id();
    let listeners = &config.shared.listeners;
    let others: Vec<_> = {
        let threads = listeners.threads();
        let others = threads.iter().filter(|(thread, _)| *thread != this);
        others.cloned().collect()
    };
    let mut posted_any = false;
    for (thread, handle) in others {
        let (there, payload) = (config.clone(), payload.clone());
        let posted = handle.post(move || {
            uptick_emitter::emit(&there, event, payload);
        });
        match posted {
            Ok(()) => posted_any = true,
            Err(uptick_event_loop::Error::LoopGone) => {
                listeners.threads().retain(|(other, _)| *other != thread);
            }
            Err(_) => {}
        }
    }
    // Without a listener on any thread, the event is logged here.
    if !posted_any || listeners.of_this_thread().is_some() {
        uptick_emitter::emit(config, event, payload);
    }
}
