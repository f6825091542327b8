//! Pending requests: polls and POST requests that wait for their session.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

#[cfg(feature = "workers")]
use super::cluster::RemoteRequest;
use super::refusal::RefusalCode;

/// The outcome of a request.
#[derive(Debug)]
pub(super) enum RequestOutcome {
    /// Status 200 with a payload.
    Payload(Bytes),
    /// Status 200 with `ok`.
    Ok,
    /// A status without a body.
    Status(u16),
    /// A refusal.
    #[cfg_attr(not(feature = "workers"), expect(dead_code, reason = "for workers"))]
    Refuse(RefusalCode),
    /// The connection is closed without a response.
    Abort,
}

/// A request that waits for its outcome. It is shared by the session and the task of the request.
#[derive(Default)]
pub(super) struct WaitingRequest {
    outcome: RefCell<Option<RequestOutcome>>,
    waker: Cell<Option<Waker>>,
}

impl WaitingRequest {
    pub(super) fn new() -> Rc<WaitingRequest> {
        Rc::default()
    }

    /// Sets the outcome, and wakes the task. Further outcomes are ignored.
    pub(super) fn complete(&self, outcome: RequestOutcome) {
        self.outcome.borrow_mut().get_or_insert(outcome);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Takes the outcome, if there is one.
    pub(super) fn take(&self) -> Option<RequestOutcome> {
        self.outcome.borrow_mut().take()
    }

    /// Polls for the outcome.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<RequestOutcome> {
        if let Some(outcome) = self.take() {
            return Poll::Ready(outcome);
        }
        self.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

/// A future that resolves to the outcome of a request. If it is dropped before there is an outcome, because the client closed its connection, it calls `aborted`.
pub(super) struct OutcomeFuture<F: FnOnce()> {
    request: Rc<WaitingRequest>,
    aborted: Option<F>,
}

impl<F: FnOnce()> OutcomeFuture<F> {
    pub(super) fn new(request: Rc<WaitingRequest>, aborted: F) -> OutcomeFuture<F> {
        OutcomeFuture {
            request,
            aborted: Some(aborted),
        }
    }
}

impl<F: FnOnce() + Unpin> Future for OutcomeFuture<F> {
    type Output = RequestOutcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<RequestOutcome> {
        let polled = self.request.poll(context);
        if polled.is_ready() {
            self.aborted = None;
        }
        polled
    }
}

impl<F: FnOnce()> Drop for OutcomeFuture<F> {
    fn drop(&mut self) {
        if let Some(aborted) = self.aborted.take()
            && self.request.take().is_none()
        {
            aborted();
        }
    }
}

/// A reference to a pending request of a session.
#[derive(Clone)]
pub(super) enum RequestHandle {
    /// A request received by this worker.
    Local(Rc<WaitingRequest>),
    /// A request received by another worker.
    #[cfg(feature = "workers")]
    Remote(Rc<RemoteRequest>),
}

impl RequestHandle {
    /// Sets the outcome. Further outcomes are ignored.
    pub(super) fn complete(&self, outcome: RequestOutcome) {
        match self {
            RequestHandle::Local(request) => request.complete(outcome),
            #[cfg(feature = "workers")]
            RequestHandle::Remote(request) => request.complete(outcome),
        }
    }
}

impl PartialEq for RequestHandle {
    fn eq(&self, other: &RequestHandle) -> bool {
        match (self, other) {
            (RequestHandle::Local(one), RequestHandle::Local(other)) => Rc::ptr_eq(one, other),
            #[cfg(feature = "workers")]
            (RequestHandle::Remote(one), RequestHandle::Remote(other)) => Rc::ptr_eq(one, other),
            #[cfg(feature = "workers")]
            _ => false,
        }
    }
}
