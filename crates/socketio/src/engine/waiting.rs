//! Requests that wait for their session: the response to a poll or a POST.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use uptick_http::Response;

/// The outcome of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The response.
    Respond(Response),
    /// The connection is closed without a response.
    Abort,
}

/// A request that waits for its outcome. The session holds one end, the task of the request the other.
#[derive(Default)]
pub(super) struct WaitingRequest {
    outcome: RefCell<Option<Outcome>>,
    waker: Cell<Option<Waker>>,
}

impl WaitingRequest {
    pub(super) fn new() -> Rc<WaitingRequest> {
        Rc::default()
    }

    /// Sets the outcome, and wakes the task. The first outcome counts.
    pub(super) fn complete(&self, outcome: Outcome) {
        self.outcome.borrow_mut().get_or_insert(outcome);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn respond(&self, response: Response) {
        self.complete(Outcome::Respond(response));
    }

    /// Takes the outcome, if there is one.
    pub(super) fn take(&self) -> Option<Outcome> {
        self.outcome.borrow_mut().take()
    }

    /// Polls for the outcome.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = self.take() {
            return Poll::Ready(outcome);
        }
        self.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

/// The wait for the outcome of a request. If it is dropped before, because the client has closed its connection, `aborted` is called.
pub(super) struct Wait<F: FnOnce()> {
    request: Rc<WaitingRequest>,
    aborted: Option<F>,
}

impl<F: FnOnce()> Wait<F> {
    pub(super) fn new(request: Rc<WaitingRequest>, aborted: F) -> Wait<F> {
        Wait {
            request,
            aborted: Some(aborted),
        }
    }
}

impl<F: FnOnce() + Unpin> Future for Wait<F> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let polled = self.request.poll(context);
        if polled.is_ready() {
            self.aborted = None;
        }
        polled
    }
}

impl<F: FnOnce()> Drop for Wait<F> {
    fn drop(&mut self) {
        if let Some(aborted) = self.aborted.take()
            && self.request.take().is_none()
        {
            aborted();
        }
    }
}
