//! The request body: pulled by a reader, or pushed to listeners.

use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_event_loop::driver::Timestamp;

use super::flags::ConnectionFlags;
use super::state::{ConnectionState, HttpConnection};
use crate::body::BodyError;
use crate::exchange::{BodyProgress, Consumer, Exchange};
use crate::h1::{CONTINUE, Event};

/// The result of polling for the next piece of a body.
enum PiecePoll {
    Piece(Bytes),
    End,
    Failed(BodyError),
    /// No piece is available yet.
    Pending,
}

impl HttpConnection {
    /// Polls for the next piece of the body, after `taken` bytes were read.
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
            PiecePoll::Piece(piece) => Poll::Ready(Some(Ok(piece))),
            PiecePoll::End => {
                self.advance_later();
                Poll::Ready(None)
            }
            PiecePoll::Failed(failure) => Poll::Ready(Some(Err(failure))),
            PiecePoll::Pending => {
                exchange.set_reader(context.waker().clone());
                if exchange.awaits_continue.take() {
                    self.send_continue(exchange);
                }
                self.advance_later();
                Poll::Pending
            }
        }
    }

    fn next_piece(
        &self,
        state: &mut ConnectionState,
        exchange: &Exchange,
        room: u64,
        limit: usize,
    ) -> PiecePoll {
        let too_long = || PiecePoll::Failed(BodyError::TooLong { limit });
        if exchange.is_received() {
            return PiecePoll::End;
        }
        if state.announced() > room {
            // Checked before `100 Continue` is sent to a waiting client.
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
                        PiecePoll::Piece(piece)
                    }
                }
                Some(Event::Trailers(trailers)) => {
                    exchange.set_trailers(trailers);
                    continue;
                }
                Some(Event::Complete) => {
                    exchange.body.set(BodyProgress::Received);
                    state.since = Timestamp::now();
                    PiecePoll::End
                }
                Some(Event::Error(invalid)) => {
                    failed(state, exchange, BodyError::InvalidMessage(invalid))
                }
                Some(Event::Head(_)) => PiecePoll::Failed(BodyError::Closed),
                None if state.flags.contains(ConnectionFlags::PEER_ENDED) => {
                    failed(state, exchange, BodyError::Closed)
                }
                None if state.announced() > room => too_long(),
                None => {
                    state.begin_window(exchange);
                    self.resume(state);
                    PiecePoll::Pending
                }
            };
        }
    }

    /// Starts emitting the body to listeners.
    pub(super) fn push_body(&self, exchange: &Exchange) {
        if !exchange.is_received() {
            self.state().begin_window(exchange);
            exchange.consumer.set(Consumer::Listeners);
            if exchange.awaits_continue.take() {
                self.send_continue(exchange);
            }
        }
        self.advance_later();
    }

    /// Sends `100 Continue`, unless the response has started.
    fn send_continue(&self, exchange: &Exchange) {
        // A half-closed client does not wait for it, and may have received the first bytes of the response.
        let over = exchange.is_started() || self.state().flags.contains(ConnectionFlags::HALF_OPEN);
        if !over && !self.state().flags.contains(ConnectionFlags::CLOSING) {
            self.conn.write(CONTINUE);
        }
    }
}

fn failed(state: &mut ConnectionState, exchange: &Exchange, failure: BodyError) -> PiecePoll {
    state.flags.insert(ConnectionFlags::LAST);
    // The response timeout starts.
    state.since = Timestamp::now();
    exchange.body.set(BodyProgress::Failed);
    exchange.fail_body(failure.clone());
    PiecePoll::Failed(failure)
}

impl ConnectionState {
    /// Starts the window in which the client must send more of the body.
    fn begin_window(&mut self, exchange: &Exchange) {
        if exchange.consumer.get() != Consumer::Listeners && self.counted == 0 {
            self.since = Timestamp::now();
        }
    }

    /// Counts received bytes of the body.
    #[inline]
    pub(super) fn count_body(&mut self, count: usize) {
        if self.exchange.as_ref().is_some_and(|e| !e.is_done()) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.counted = self.counted.saturating_add(count);
        }
    }
}
