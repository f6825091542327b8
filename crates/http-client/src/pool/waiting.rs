//! Requests that wait for a connection.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Pool;
use super::host::Host;
use super::lease::{Lease, Place};

/// The result of waiting.
pub(super) enum Grant {
    /// A connection that accepts the request.
    Connection(Lease),
    /// The right to open a connection.
    Place(Place),
}

/// A request in the queue of a pool.
pub(super) struct Waiter {
    pub(super) host: Rc<Host>,
    /// `true` if only a new connection will do.
    pub(super) is_fresh: bool,
    /// `true` while the request is in the queue.
    pub(super) is_queued: Cell<bool>,
    grant: RefCell<Option<Grant>>,
    waker: Cell<Option<Waker>>,
}

impl Waiter {
    pub(super) fn new(host: Rc<Host>, is_fresh: bool) -> Rc<Waiter> {
        Rc::new(Waiter {
            host,
            is_fresh,
            is_queued: Cell::new(true),
            grant: RefCell::new(None),
            waker: Cell::new(None),
        })
    }

    pub(super) fn grant(&self, grant: Grant) {
        *self.grant.borrow_mut() = Some(grant);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The future of a waiting request. Dropping it leaves the queue.
pub(super) struct Wait {
    pool: Rc<Pool>,
    waiter: Rc<Waiter>,
}

impl Wait {
    pub(super) fn new(pool: Rc<Pool>, waiter: Rc<Waiter>) -> Wait {
        Wait { pool, waiter }
    }
}

impl Future for Wait {
    type Output = Grant;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Grant> {
        let grant = self.waiter.grant.borrow_mut().take();
        match grant {
            Some(grant) => Poll::Ready(grant),
            None => {
                self.waiter.waker.set(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.pool.leave(&self.waiter);
        // A grant that was not taken goes to the next request.
        let grant = self.waiter.grant.borrow_mut().take();
        drop(grant);
        self.pool.forget_unused(&self.waiter.host);
    }
}
