//! The total time of a request.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use uptick_event_loop::Sleep;
use uptick_event_loop::driver::timeout;

use crate::error::{ErrorKind, Failure};

/// The end of the total time.
pub(super) struct Deadline {
    limit: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(super) fn new(limit: Option<Duration>) -> Deadline {
        Deadline {
            limit,
            sleep: limit.map(|limit| Box::pin(timeout(limit))),
        }
    }

    /// Waits for a future; `None` if the time is over before.
    pub(super) async fn race<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            self.poll(context).map(|()| None)
        })
        .await
    }

    /// Waits until the time is over.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// Stops the time.
    pub(super) fn cancel(&mut self) {
        self.sleep = None;
    }

    pub(super) fn failure(&self) -> Failure {
        let reason = format!(
            "the request was not complete after {:?} (ETIMEDOUT)",
            self.limit.unwrap_or_default()
        );
        Failure::new(ErrorKind::TotalTimeout, reason)
    }
}
