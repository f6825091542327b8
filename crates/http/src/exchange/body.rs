//! The body of a request, as readers and listeners reach it.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::progress::{BodyProgress, Consumer};
use super::state::Exchange;
use crate::body::BodyError;
use crate::h1::Trailers;

impl Exchange {
    /// Polls for the next piece of the body; see [`Transport::poll_body`](super::Transport::poll_body).
    pub(crate) fn poll_body(
        &self,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(transport) = self.transport() else {
            return Poll::Ready(Some(Err(BodyError::Closed)));
        };
        if let Some(failure) = self.failure() {
            return Poll::Ready(Some(Err(failure)));
        }
        transport.poll_body(self, taken, limit, context)
    }

    /// Lets the body come to listeners.
    pub(crate) fn resume_body(&self) {
        let Some(transport) = self.live() else { return };
        if self.is_received() && self.consumer.get() != Consumer::Listeners {
            self.consumer.set(Consumer::Listeners);
            self.body.set(BodyProgress::EndDue);
        }
        transport.resume_body(self);
    }

    /// Stops the body, and in time the client.
    pub(crate) fn pause_body(&self) {
        if self.live().is_none() {
            return;
        }
        match self.body.get() {
            BodyProgress::EndDue => {
                self.body.set(BodyProgress::Received);
                self.consumer.set(Consumer::None);
            }
            BodyProgress::Received => {}
            BodyProgress::Coming | BodyProgress::Failed => {
                self.consumer.set(Consumer::None);
                self.held_up.set(true);
            }
        }
    }

    /// Returns whether more of the body may come.
    pub(crate) fn has_body_left(&self) -> bool {
        self.live().is_some() && self.body.get() == BodyProgress::Coming
    }

    /// Returns the fields behind the body, once it has ended.
    pub(crate) fn trailers(&self) -> Option<Trailers> {
        self.extras_if_any(|extras| extras.trailers.clone())
            .flatten()
    }

    /// Returns the number of bytes up to which a body is read whole.
    pub(crate) fn body_limit(&self) -> usize {
        self.policy().map_or(0, |policy| policy.body_limit())
    }
}
