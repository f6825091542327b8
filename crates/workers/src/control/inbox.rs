//! The message queue of a worker thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uptick_event_loop::{LoopHandle, handle};

use super::ControlMessage;

/// Control messages for a worker thread.
#[derive(Debug, Default)]
pub(crate) struct ThreadInbox {
    state: Mutex<InboxState>,
}

#[derive(Debug, Default)]
struct InboxState {
    /// `None` until the thread has started its loop.
    handle: Option<LoopHandle>,
    receive: Option<fn(ControlMessage)>,
    messages: Vec<ControlMessage>,
    stopped: bool,
}

impl ThreadInbox {
    /// Sends a message to the thread.
    pub(crate) fn send(self: &Arc<Self>, message: ControlMessage) {
        let mut state = self.lock();
        state.messages.push(message);
        if state.messages.len() == 1
            && let Some(handle) = &state.handle
        {
            let inbox = Arc::clone(self);
            // A loop that has ended accepts no calls.
            let _ = handle.post(move || inbox.take());
        }
    }

    /// Ends the loop of the thread, as soon as its current callback returns.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(handle) = &state.handle {
            handle.stop();
        }
    }

    /// Calls `receive` with each message, on the loop of the calling thread. Returns `false` if the thread must end at once.
    pub(crate) fn open(&self, receive: fn(ControlMessage)) -> bool {
        let mut state = self.lock();
        state.handle = Some(handle());
        state.receive = Some(receive);
        let stopped = state.stopped;
        drop(state);
        self.take();
        !stopped
    }

    fn take(&self) {
        let mut state = self.lock();
        let messages = std::mem::take(&mut state.messages);
        let receive = state.receive;
        drop(state);
        if let Some(receive) = receive {
            messages.into_iter().for_each(receive);
        }
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
