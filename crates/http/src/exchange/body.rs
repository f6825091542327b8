//! The request body, as used by readers and listeners.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::progress::{BodyProgress, Consumer};
use super::state::Exchange;
use crate::body::BodyError;
use crate::h1::Trailers;

impl Exchange {
    /// Polls for the next piece of the body; see [`ExchangeTransport::poll_body`](super::ExchangeTransport::poll_body).
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

    /// Starts emitting the body to listeners.
    pub(crate) fn resume_body(&self) {
        let Some(transport) = self.open_transport() else {
            return;
        };
        if self.is_received() && self.consumer.get() != Consumer::Listeners {
            self.consumer.set(Consumer::Listeners);
            self.body.set(BodyProgress::EndPending);
        }
        transport.resume_body(self);
    }

    /// Stops emitting the body, so that flow control slows down the client.
    pub(crate) fn pause_body(&self) {
        if self.open_transport().is_none() {
            return;
        }
        match self.body.get() {
            BodyProgress::EndPending => {
                self.body.set(BodyProgress::Received);
                self.consumer.set(Consumer::None);
            }
            BodyProgress::Received => {}
            BodyProgress::Receiving | BodyProgress::Failed => {
                self.consumer.set(Consumer::None);
                self.program_delayed.set(true);
            }
        }
    }

    /// Returns `true` if more of the body may follow.
    pub(crate) fn has_body_left(&self) -> bool {
        self.open_transport().is_some() && self.body.get() == BodyProgress::Receiving
    }

    /// Returns the trailers, once the body has ended.
    pub(crate) fn trailers(&self) -> Option<Trailers> {
        self.extended_if_any(|extended| extended.trailers.clone())
            .flatten()
    }

    /// Returns the maximum size of a body that is collected in memory, in bytes.
    pub(crate) fn body_limit(&self) -> usize {
        self.policy().map_or(0, |policy| policy.body_limit())
    }
}
