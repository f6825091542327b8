//! The request body: pulled by a reader, or pushed to listeners. What is read opens the windows again.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use uptick_event_loop::driver::Timestamp;

use super::flags::{ConnectionFlags, StreamFlags};
use super::state::Http2Connection;
use super::stream::Http2Stream;
use crate::body::BodyError;
use crate::exchange::{BodyProgress, Consumer, Exchange, body_failed, emit_to_request};
use crate::message::{BodyLength, Trailers};
use crate::{HeaderMap, Request, StatusCode};

impl Http2Connection {
    /// Handles received bytes of a stream, and its end.
    pub(super) fn receive_data(&self, stream: &Rc<Http2Stream>, mut bytes: BytesMut, end: bool) {
        let channel = stream.state().channel.clone();
        if let Some(channel) = channel {
            return self.receive_for_channel(stream, &channel, &mut bytes, end);
        }
        let count = bytes.len();
        let exchange = {
            let mut of_stream = stream.state();
            if end {
                of_stream.flags.insert(StreamFlags::REMOTE_ENDED);
            }
            let counted = u32::try_from(count).unwrap_or(u32::MAX);
            of_stream.counted = of_stream.counted.saturating_add(counted);
            of_stream.exchange.clone()
        };
        let receives = exchange.filter(|exchange| {
            let wanted =
                exchange.body.get() == BodyProgress::Receiving || exchange.head.is_upgrade();
            !exchange.is_done() && wanted
        });
        let Some(exchange) = receives else {
            self.consumed(stream, count);
            if end {
                self.list(stream);
            }
            return;
        };
        if exchange.consumer.get() == Consumer::Listeners && stream.state().incoming.is_empty() {
            // The piece is passed on without a copy.
            if count > 0 {
                self.consumed(stream, count);
                emit_to_request(&exchange, Request::DATA, bytes.freeze());
            }
        } else if count > 0 {
            stream.state().incoming.extend_from_slice(&bytes);
        }
        self.deliver(stream, &exchange);
    }

    /// Stores the trailers, which end the body.
    pub(super) fn receive_trailers(&self, stream: &Rc<Http2Stream>, trailers: Trailers) {
        let exchange = stream.exchange();
        if let Some(exchange) = exchange.filter(|exchange| !exchange.is_done()) {
            exchange.set_trailers(trailers);
        }
        self.receive_data(stream, BytesMut::new(), true);
    }

    /// Passes the received part of the body on: to the listeners, or by waking the reader.
    pub(super) fn deliver(&self, stream: &Http2Stream, exchange: &Rc<Exchange>) {
        loop {
            let pending = {
                let of_stream = stream.state();
                let ended = of_stream.flags.contains(StreamFlags::REMOTE_ENDED);
                !of_stream.incoming.is_empty() || ended
            };
            if exchange.body.get() == BodyProgress::EndPending {
                exchange.body.set(BodyProgress::Received);
                return emit_to_request(exchange, Request::END, ());
            }
            if !pending || exchange.body.get() != BodyProgress::Receiving || exchange.is_done() {
                return;
            }
            if let Some(reader) = exchange.take_reader() {
                return reader.wake();
            }
            if exchange.consumer.get() != Consumer::Listeners {
                return;
            }
            let piece = stream.state().take_incoming();
            match piece {
                Some(piece) => {
                    self.consumed(stream, piece.len());
                    emit_to_request(exchange, Request::DATA, piece);
                }
                None => {
                    self.body_received(stream, exchange);
                    return emit_to_request(exchange, Request::END, ());
                }
            }
        }
    }

    /// Polls for the next piece of the body, after `taken` bytes were read.
    pub(super) fn poll_piece(
        &self,
        stream: &Http2Stream,
        exchange: &Exchange,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if exchange.is_received() {
            return Poll::Ready(None);
        }
        let room = (limit as u64).saturating_sub(taken);
        let (piece, ended) = {
            let mut of_stream = stream.state();
            let unread = match exchange.head.body() {
                BodyLength::Bytes(length) => length.saturating_sub(of_stream.read),
                _ => of_stream.incoming.len() as u64,
            };
            // Checked before `100 Continue` is sent to a waiting client.
            let fits = unread <= room;
            if fits && exchange.consumer.get() == Consumer::None {
                exchange.consumer.set(Consumer::Reader);
                of_stream.since = Timestamp::now();
                of_stream.counted = 0;
            }
            let piece = fits.then(|| of_stream.take_incoming());
            let ended = of_stream.flags.contains(StreamFlags::REMOTE_ENDED);
            (piece, ended)
        };
        match piece {
            None => Poll::Ready(Some(Err(BodyError::TooLong { limit }))),
            Some(Some(piece)) => {
                self.consumed(stream, piece.len());
                Poll::Ready(Some(Ok(piece)))
            }
            Some(None) if ended => {
                self.body_received(stream, exchange);
                self.list(stream);
                Poll::Ready(None)
            }
            Some(None) => {
                exchange.set_reader(context.waker().clone());
                self.send_continue(stream, exchange);
                self.await_body();
                Poll::Pending
            }
        }
    }

    /// Starts emitting the body to listeners.
    pub(super) fn push_body(&self, stream: &Http2Stream, exchange: &Exchange) {
        if !exchange.is_received() {
            exchange.consumer.set(Consumer::Listeners);
            stream.state().since = Timestamp::now();
            self.send_continue(stream, exchange);
            self.await_body();
        }
        self.list(stream);
    }

    fn send_continue(&self, stream: &Http2Stream, exchange: &Exchange) {
        if exchange.awaits_continue.take() && !exchange.is_started() {
            self.send_interim(stream, StatusCode::CONTINUE, &HeaderMap::new());
        }
    }

    /// Records that the whole body was read. The response timeout starts.
    fn body_received(&self, stream: &Http2Stream, exchange: &Exchange) {
        exchange.body.set(BodyProgress::Received);
        stream.state().since = Timestamp::now();
        self.await_response();
    }

    /// Fails the body of a request.
    pub(super) fn fail_body(
        &self,
        stream: &Http2Stream,
        exchange: &Rc<Exchange>,
        error: BodyError,
    ) {
        stream.state().since = Timestamp::now();
        body_failed(exchange, error);
    }

    /// Handles the end of the connection's input before the end of a stream.
    pub(super) fn body_ended_early(&self, stream: &Http2Stream) {
        let (exchange, channel) = {
            let of_stream = stream.state();
            (of_stream.exchange.clone(), of_stream.channel.clone())
        };
        if let Some(channel) = channel {
            channel.receive_reset();
        }
        let receives = exchange.filter(|exchange| {
            !exchange.is_done() && exchange.body.get() == BodyProgress::Receiving
        });
        if let Some(exchange) = receives {
            self.fail_body(stream, &exchange, BodyError::Closed);
        }
    }

    /// Opens the windows for bytes that were read or discarded.
    pub(super) fn consumed(&self, stream: &Http2Stream, count: usize) {
        if count == 0 {
            return;
        }
        let is_pending = {
            let mut state = self.state();
            state.codec.consumed(stream.key(), count);
            state.codec.control_len() > 0 && !state.flags.contains(ConnectionFlags::ADVANCING)
        };
        if is_pending {
            self.advance_later();
        }
    }
}
