//! The body of a request: pulled by a reader, or pushed to listeners.

use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_event_loop::driver::Timestamp;

use super::flags::Flags;
use super::state::{HttpConnection, State};
use crate::body::BodyError;
use crate::exchange::{BodyProgress, Consumer, Exchange};
use crate::h1::{CONTINUE, Event};

/// The result of polling for the next piece.
enum Found {
    Piece(Bytes),
    Over,
    Failed(BodyError),
    /// There is none yet.
    Nothing,
}

impl HttpConnection {
    /// Polls for the next piece of the body, of which `taken` bytes were read before.
    pub(super) fn poll_piece(
        &self,
        exchange: &Exchange,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let room = (limit as u64).saturating_sub(taken);
        let found = self.next_piece(&mut self.state(), exchange, room, limit);
        match found {
            Found::Piece(piece) => Poll::Ready(Some(Ok(piece))),
            Found::Over => {
                self.advance_later();
                Poll::Ready(None)
            }
            Found::Failed(failure) => Poll::Ready(Some(Err(failure))),
            Found::Nothing => {
                exchange.set_reader(context.waker().clone());
                if exchange.expects.take() {
                    self.send_continue(exchange);
                }
                self.advance_later();
                Poll::Pending
            }
        }
    }

    fn next_piece(&self, state: &mut State, exchange: &Exchange, room: u64, limit: usize) -> Found {
        let too_long = || Found::Failed(BodyError::TooLong { limit });
        if exchange.is_received() {
            return Found::Over;
        }
        if state.announced() > room {
            // Before `100 Continue` is sent to a client that waits for it.
            return too_long();
        }
        if exchange.consumer.get() == Consumer::None {
            exchange.consumer.set(Consumer::Reader);
        }
        let site = self.service.site();
        loop {
            let event = state.decoder().next(&site.settings.limits);
            return match event {
                Some(Event::Body(piece)) => {
                    let announced = state.announced();
                    if announced.saturating_add(piece.len() as u64) > room {
                        too_long()
                    } else {
                        Found::Piece(piece)
                    }
                }
                Some(Event::Trailers(trailers)) => {
                    exchange.set_trailers(trailers);
                    continue;
                }
                Some(Event::Complete) => {
                    exchange.body.set(BodyProgress::Received);
                    state.since = Timestamp::now();
                    Found::Over
                }
                Some(Event::Error(invalid)) => failed(state, exchange, BodyError::Invalid(invalid)),
                Some(Event::Head(_)) => Found::Failed(BodyError::Closed),
                None if state.flags.contains(Flags::PEER_ENDED) => {
                    failed(state, exchange, BodyError::Closed)
                }
                None if state.announced() > room => too_long(),
                None => {
                    state.begin_window(exchange);
                    self.resume(state);
                    Found::Nothing
                }
            };
        }
    }

    /// Lets the body come to listeners.
    pub(super) fn push_body(&self, exchange: &Exchange) {
        if !exchange.is_received() {
            self.state().begin_window(exchange);
            exchange.consumer.set(Consumer::Listeners);
            if exchange.expects.take() {
                self.send_continue(exchange);
            }
        }
        self.advance_later();
    }

    /// Sends `100 Continue`, unless the response has begun.
    fn send_continue(&self, exchange: &Exchange) {
        // A client that has ended its side waits for nothing, and may have got the first bytes of its response.
        let over = exchange.is_started() || self.state().flags.contains(Flags::HALF_OPEN);
        if !over && !self.state().flags.contains(Flags::CLOSING) {
            self.conn.write(CONTINUE);
        }
    }
}

fn failed(state: &mut State, exchange: &Exchange, failure: BodyError) -> Found {
    state.flags.insert(Flags::LAST);
    // The time for the response starts.
    state.since = Timestamp::now();
    exchange.body.set(BodyProgress::Failed);
    exchange.fail_body(failure.clone());
    Found::Failed(failure)
}

impl State {
    /// Starts the time within which the client has to send more of the body.
    fn begin_window(&mut self, exchange: &Exchange) {
        if exchange.consumer.get() != Consumer::Listeners && self.counted == 0 {
            self.since = Timestamp::now();
        }
    }

    /// Counts received bytes of a body.
    #[inline]
    pub(super) fn count_body(&mut self, count: usize) {
        if self.exchange.as_ref().is_some_and(|e| !e.is_done()) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.counted = self.counted.saturating_add(count);
        }
    }
}
