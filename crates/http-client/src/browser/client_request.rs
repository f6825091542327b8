//! The handle of a request that was sent.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::{Id, JoinHandle, Table, UseRemoteOrLoopHandle, spawn};

use super::response::Response;
use crate::error::{Error, ErrorKind};

/// A request that was sent by [`RequestBuilder::send`](super::RequestBuilder::send): a `Copy` handle, which is stale when the request has ended.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `response` | [`Response`] | the response is complete |
/// | `error` | [`Error`] | the request failed |
/// | `close` | `()` | the request has ended: the last event |
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientRequest {
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl ClientRequest {
        Response => {
            /// The response is complete.
            RESPONSE = "response";
        }
        Error => {
            /// The request failed.
            ERROR = "error", warn;
        }
        () => {
            /// The request has ended.
            CLOSE = "close";
        }
    }
}

#[derive(Default)]
struct RequestEntry {
    listeners: Listeners,
    task: Option<JoinHandle<()>>,
}

thread_local! {
    static REQUESTS: RefCell<Table<RequestEntry>> = const { RefCell::new(Table::new()) };
}

impl Emitter for ClientRequest {
    type Events = ClientRequest;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }
}

impl ClientRequest {
    /// Starts a request in the next iteration of the loop.
    pub(super) fn start(
        response: Pin<Box<dyn Future<Output = Result<Response, Error>>>>,
    ) -> ClientRequest {
        let entry = RequestEntry::default();
        let id = REQUESTS.try_with(|all| all.borrow_mut().insert(entry));
        let request = ClientRequest {
            id: id.ok().flatten(),
            local: PhantomData,
        };
        let task = spawn(async move {
            let result = response.await;
            request.finish(result);
        });
        request.with_entry(|entry| entry.task = Some(task));
        request
    }

    fn with_entry<R>(self, f: impl FnOnce(&mut RequestEntry) -> R) -> Option<R> {
        REQUESTS
            .try_with(|all| all.borrow_mut().get_mut(self.id?).map(f))
            .ok()
            .flatten()
    }

    fn finish(self, result: Result<Response, Error>) {
        // A panic of a listener must not keep the entry.
        let _removed = RemoveOnDrop(self);
        // A request that has ended cannot be cancelled by its listeners.
        let task = self.with_entry(|entry| entry.task.take());
        drop(task);
        match result {
            Ok(response) => emit(&self, ClientRequest::RESPONSE, response),
            Err(error) => emit(&self, ClientRequest::ERROR, error),
        };
        emit(&self, ClientRequest::CLOSE, ());
    }

    /// Returns `true` until the request has ended.
    pub fn is_running(self) -> bool {
        self.with_entry(|_| ()).is_some()
    }

    /// Cancels the request, which fails with [`ErrorKind::Cancelled`]. Its HTTP/1 connection closes, and its HTTP/2 stream is reset.
    pub fn cancel(self) {
        let task = self.with_entry(|entry| entry.task.take()).flatten();
        if let Some(task) = task {
            task.cancel();
            self.finish(Err(Error::new(
                ErrorKind::Cancelled,
                "the request was cancelled",
            )));
        }
    }
}

/// Removes the entry of a request on drop.
struct RemoveOnDrop(ClientRequest);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let removed = REQUESTS.try_with(|all| {
            let mut all = all.borrow_mut();
            self.0.id.and_then(|id| all.remove(id))
        });
        drop(removed);
    }
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("id", &self.id)
            .field("is_running", &self.is_running())
            .finish()
    }
}
