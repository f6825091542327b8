//! The end of streams: exchanges whose response is accepted, and streams of which nothing is left.

use std::rc::Rc;

use uptick_event_loop::catch;
use uptick_event_loop::driver::Timestamp;

use super::flags::{ConnectionFlags, StreamFlags};
use super::state::{ConnectionState, Http2Connection};
use super::stream::Http2Stream;
use crate::exchange::{self, Exchange};
use crate::h2::StreamKey;

impl Http2Connection {
    /// Ends the exchange of a stream if its response is accepted or the stream is closed, and removes the stream if nothing of it is left.
    pub(super) fn settle(&self, stream: Rc<Http2Stream>) {
        let (finished, unread, closed) = {
            let mut of_stream = stream.state();
            let closed = of_stream.flags.contains(StreamFlags::CLOSED);
            let over = of_stream
                .exchange
                .take_if(|exchange| closed || exchange.is_done());
            let unread = match over {
                Some(_) => std::mem::take(&mut of_stream.incoming).len(),
                None => 0,
            };
            (over, unread, closed)
        };
        if finished.is_some() && !closed {
            self.discard_rest(&stream);
        }
        self.consumed(&stream, unread);
        if let Some(exchange) = finished {
            if closed && !exchange.is_done() {
                self.abandon(&stream, exchange);
            } else {
                exchange::release(exchange);
            }
        }
        self.remove_if_over(stream);
    }

    /// Discards the rest of a request body whose response is complete.
    #[inline]
    fn discard_rest(&self, stream: &Http2Stream) {
        let mut of_stream = stream.state();
        if of_stream.flags.contains(StreamFlags::REMOTE_ENDED) {
            return;
        }
        of_stream.flags.insert(StreamFlags::DRAINING);
        drop(of_stream);
        self.state().codec.discard(stream.key());
    }

    /// Ends the exchange of a stream that was closed before its response. While the program uses the request, the stream still counts.
    #[cold]
    fn abandon(&self, stream: &Rc<Http2Stream>, exchange: Rc<Exchange>) {
        exchange.abandon();
        let other = Rc::clone(&exchange);
        exchange::release(exchange);
        let mut state = self.state();
        let is_closing = state.flags.contains(ConnectionFlags::CLOSING);
        if Rc::strong_count(&other) > 1 && !is_closing {
            state.since = Timestamp::now();
            state.extra().lingering.push((stream.key(), other));
        } else {
            drop(state);
            exchange::discard(other);
        }
    }

    /// Removes a stream if nothing of it is left.
    #[inline]
    pub(super) fn remove_if_over(&self, stream: Rc<Http2Stream>) {
        {
            let mut state = self.state();
            let state = &mut *state;
            {
                let mut of_stream = stream.state();
                let is_over = of_stream.exchange.is_none()
                    && of_stream.channel.is_none()
                    && of_stream
                        .flags
                        .intersects(StreamFlags::ENDED | StreamFlags::CLOSED);
                if !is_over || state.lingers(stream.key()) {
                    return;
                }
                // The client may finish a short body. It learns from a reset that it need not (RFC 9113, section 8.1), but some clients
                // lose the response then.
                if of_stream.is_draining() {
                    if !of_stream.flags.contains(StreamFlags::LINGERING) {
                        of_stream.flags.insert(StreamFlags::LINGERING);
                        of_stream.since = Timestamp::now();
                        self.await_end(state);
                    }
                    return;
                }
            }
            drop(state.codec.remove(stream.key()));
            state.since = Timestamp::now();
            if let Some(extra) = &mut state.extra {
                extra.waiting.retain(|key| *key != stream.key());
            }
        }
        Http2Stream::release(stream);
    }

    /// Closes all streams.
    pub(super) fn close_streams(&self) {
        // Reset streams whose requests the program still uses are removed as well.
        let extra = self.state().extra.take();
        for stream in self.streams() {
            let channel = {
                let mut of_stream = stream.state();
                of_stream.flags.insert(StreamFlags::CLOSED);
                of_stream.channel.clone()
            };
            if let Some(channel) = channel {
                channel.receive_reset();
            }
            let this = Rc::clone(&stream);
            // Values captured by listeners may panic when they are dropped.
            if let Err(message) = catch(|| self.settle(this)) {
                tracing::error!(
                    "a callback of a request panicked as its connection closed: {message}"
                );
                self.remove_if_over(stream);
            }
        }
        drop(extra);
    }
}

impl ConnectionState {
    /// Frees the slots of reset streams whose requests the program no longer uses.
    #[cold]
    pub(super) fn sweep(&mut self) {
        let Some(extra) = &mut self.extra else { return };
        let codec = &mut self.codec;
        extra.lingering.retain(|(key, exchange)| {
            let is_used = Rc::strong_count(exchange) > 1;
            if !is_used {
                drop(codec.remove(*key));
            }
            is_used
        });
    }

    /// Returns `true` if the program still uses the request of a reset stream.
    #[inline]
    pub(super) fn lingers(&self, key: StreamKey) -> bool {
        self.extra
            .as_ref()
            .is_some_and(|extra| extra.lingering.iter().any(|(other, _)| *other == key))
    }
}
