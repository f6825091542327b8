//! Receiving: from bytes to listeners.
//!
//! Cost of a message in one frame that was received as a whole: the head is parsed once, the payload is unmasked in place, and the listener is
//! called indirectly. There is no lookup, allocation or copy; the payload is a slice of the read buffer. Everything else is decoded by a
//! decoder, which exists only while it is needed.

use bytes::BytesMut;
use uptick_emitter::emit;
use uptick_event_loop::driver::Timestamp;
use uptick_event_loop::elapsed;

use super::handle::WebSocket;
use super::state::{ReadState, SocketFlags, SocketPhase, WebSocketSession};
use crate::compression;
use crate::message::Message;
use crate::protocol::{CloseCode, Decoder, Event};
use crate::rate::RatePolicy;

impl WebSocketSession {
    #[inline]
    pub(super) fn received(&self, bytes: &mut BytesMut) {
        if self.phase.get() != SocketPhase::Closing {
            self.last_activity.set(Timestamp::now());
            self.remove(SocketFlags::PINGED);
        }
        while let Some(message) = self.whole_message(bytes) {
            if self.is_within_rate(message.len()) {
                self.emit_message(message);
            }
            if bytes.is_empty() {
                return;
            }
        }
        self.decode(bytes.split());
    }

    /// Removes the next message from `bytes` if it is complete and can be delivered directly.
    #[inline]
    fn whole_message(&self, bytes: &mut BytesMut) -> Option<Message> {
        let direct = self.is_open()
            && self.reading.get() == ReadState::Direct
            && !self.has(SocketFlags::STOPPED);
        let limits = &self.route.options.limits;
        direct
            .then(|| Decoder::whole_message(self.role(), bytes, limits))
            .flatten()
    }

    /// Returns `true` if the rate limit allows a message of this length.
    #[inline]
    fn is_within_rate(&self, bytes: usize) -> bool {
        !self.route.options.rates.is_on() || self.charge(bytes)
    }

    /// Charges a message to the rate limit and applies the policy. Returns `true` if the message may be delivered.
    #[inline(never)]
    fn charge(&self, bytes: usize) -> bool {
        // Messages received after a close are discarded anyway.
        if !self.is_open() {
            return true;
        }
        let rates = &self.route.options.rates;
        let now = elapsed();
        let exhausted = self.with_cold(|cold| {
            let exhausted = cold.rate.exhausted(rates, now);
            cold.rate.charge(rates, bytes, now);
            exhausted
        });
        match (rates.policy, exhausted) {
            (RatePolicy::Close, None) => true,
            (RatePolicy::Close, Some(reason)) => {
                self.close(CloseCode::POLICY, reason);
                false
            }
            (RatePolicy::Pause, _) => {
                self.throttle(now);
                true
            }
        }
    }

    /// Decodes bytes that are not a whole message, and delivers the events.
    #[inline(never)]
    fn decode(&self, bytes: BytesMut) {
        if self.is_over() {
            return;
        }
        let (role, compressed) = (self.role(), self.has(SocketFlags::DEFLATE));
        self.with(|parts| {
            let decoder = parts
                .decoder
                .get_or_insert_with(|| Box::new(Decoder::new(role).compressed(compressed)));
            decoder.push(bytes);
        });
        // Earlier events are delivered first.
        if self.reading.get() != ReadState::Delivering {
            self.deliver_decoded();
        }
    }

    /// Delivers the events of the decoder until it has no more or reading is paused.
    pub(super) fn deliver_decoded(&self) {
        self.reading.set(ReadState::Delivering);
        while let Some(event) = self.next_event() {
            match event {
                Event::Message(message) => {
                    if self.is_within_rate(message.len()) {
                        self.emit_message(message);
                    }
                }
                Event::Ping(payload) => {
                    if !self.is_within_rate(payload.len()) {
                        continue;
                    }
                    self.pong(&payload);
                    emit(self, WebSocket::PING, payload);
                }
                Event::Pong(payload) => {
                    if !self.is_within_rate(payload.len()) {
                        continue;
                    }
                    self.measure_pong(&payload);
                    emit(self, WebSocket::PONG, payload);
                }
                Event::Close(frame) => self.close_received(frame),
                Event::Error(invalid) => self.protocol_error(invalid),
            }
        }
    }

    /// Returns the next event of the decoder, and drops the decoder when it is idle.
    fn next_event(&self) -> Option<Event> {
        self.with(|parts| {
            let limits = &self.route.options.limits;
            while !self.is_over()
                && !self.has(SocketFlags::STOPPED)
                && let Some(decoder) = parts.decoder.as_mut().filter(|all| all.buffered() > 0)
            {
                let event = if self.has(SocketFlags::DEFLATE) {
                    let cold = parts.cold.as_mut();
                    let deflation = cold.and_then(|cold| cold.deflation.as_mut());
                    compression::inflating(deflation, |inflater| decoder.next(limits, inflater))
                } else {
                    decoder.next(limits, None)
                };
                match event {
                    Some(Event::Message(_)) if !self.is_open() => {}
                    Some(event) => return Some(event),
                    None => break,
                }
            }
            parts.decoder.take_if(|decoder| decoder.is_idle());
            self.reading.set(match parts.decoder {
                Some(_) => ReadState::Partial,
                None => ReadState::Direct,
            });
            None
        })
    }
}
