//! The total time of a request.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use uptick_event_loop::Sleep;
use uptick_event_loop::driver::timeout;

use super::shared_deadlines::SharedDeadline;
use crate::error::{ErrorKind, Failure};

/// Limits from which on the deadline is shared with other requests, which is up to 0.2 s late but costs no timer for each request.
const SHARED_FROM: Duration = Duration::from_secs(2);

/// The end of the total time.
pub(super) struct Deadline {
    limit: Option<Duration>,
    timer: DeadlineTimer,
}

enum DeadlineTimer {
    None,
    Exact(Pin<Box<Sleep>>),
    Shared(SharedDeadline),
}

impl Deadline {
    pub(super) fn new(limit: Option<Duration>) -> Deadline {
        let timer = match limit {
            None => DeadlineTimer::None,
            Some(limit) if limit >= SHARED_FROM => {
                DeadlineTimer::Shared(SharedDeadline::new(limit))
            }
            Some(limit) => DeadlineTimer::Exact(Box::pin(timeout(limit))),
        };
        Deadline { limit, timer }
    }

    /// Waits until the time is over.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            DeadlineTimer::None => Poll::Pending,
            DeadlineTimer::Exact(sleep) => sleep.as_mut().poll(context),
            DeadlineTimer::Shared(shared) => shared.poll(context),
        }
    }

    /// Stops the time.
    pub(super) fn cancel(&mut self) {
        self.timer = DeadlineTimer::None;
    }

    pub(super) fn failure(&self) -> Failure {
        let reason = format!(
            "the request was not complete after {:?} (ETIMEDOUT)",
            self.limit.unwrap_or_default()
        );
        Failure::new(ErrorKind::TotalTimeout, reason)
    }
}
