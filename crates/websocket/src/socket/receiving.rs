//! Received bytes, on their way to the listeners.
//!
//! Cost of a message that came as a whole, in one frame: one look at its head, one pass that unmasks it in place, one indirect
//! call. Nothing is looked up, allocated or copied; the payload is a slice of the read buffer. All else goes through a
//! decoder, which the WebSocket has for as long.

use bytes::BytesMut;
use uptick_emitter::emit;
use uptick_event_loop::driver::Timestamp;
use uptick_event_loop::elapsed;

use super::handle::WebSocket;
use super::state::{Flags, Phase, Reading, WebSocketSession};
use crate::compression;
use crate::message::Message;
use crate::protocol::{CloseCode, Decoder, Event};
use crate::rate::RatePolicy;

impl WebSocketSession {
    #[inline]
    pub(super) fn received(&self, bytes: &mut BytesMut) {
        if self.phase.get() != Phase::Closing {
            self.seen.set(Timestamp::now());
            self.remove(Flags::PINGED);
        }
        while let Some(message) = self.whole_message(bytes) {
            if self.admits(message.len()) {
                self.emit_message(message);
            }
            if bytes.is_empty() {
                return;
            }
        }
        self.decode(bytes.split());
    }

    /// Takes the next message, if it came as a whole and nothing is in its way.
    #[inline]
    fn whole_message(&self, bytes: &mut BytesMut) -> Option<Message> {
        let direct =
            self.is_open() && self.reading.get() == Reading::Direct && !self.has(Flags::STOPPED);
        let limits = &self.route.options.limits;
        direct
            .then(|| Decoder::whole_message(self.role(), bytes, limits))
            .flatten()
    }

    /// Returns whether a message of so many bytes may be delivered, by the rate of the peer.
    #[inline]
    fn admits(&self, bytes: usize) -> bool {
        !self.route.options.rates.is_on() || self.charge(bytes)
    }

    /// Charges a message to the rate of the peer, and applies the policy. Returns whether the message may be delivered.
    #[inline(never)]
    fn charge(&self, bytes: usize) -> bool {
        // What follows a close is dropped, but for the answer to it.
        if !self.is_open() {
            return true;
        }
        let rates = &self.route.options.rates;
        let now = elapsed();
        let exhausted = self.with_rare(|rare| {
            let exhausted = rare.rate.exhausted(rates, now);
            rare.rate.charge(rates, bytes, now);
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

    /// Delivers what is not a whole message, by way of a decoder.
    #[inline(never)]
    fn decode(&self, bytes: BytesMut) {
        if self.is_over() {
            return;
        }
        let (role, compressed) = (self.role(), self.has(Flags::DEFLATE));
        self.with(|parts| {
            let decoder = parts
                .decoder
                .get_or_insert_with(|| Box::new(Decoder::new(role).compressed(compressed)));
            decoder.push(bytes);
        });
        // What came before goes first.
        if self.reading.get() != Reading::Delivering {
            self.deliver_decoded();
        }
    }

    /// Delivers what the decoder finds, until it has no more or reading is paused.
    pub(super) fn deliver_decoded(&self) {
        self.reading.set(Reading::Delivering);
        while let Some(event) = self.next_event() {
            match event {
                Event::Message(message) => {
                    if self.admits(message.len()) {
                        self.emit_message(message);
                    }
                }
                Event::Ping(payload) => {
                    if !self.admits(payload.len()) {
                        continue;
                    }
                    self.pong(&payload);
                    emit(self, WebSocket::PING, payload);
                }
                Event::Pong(payload) => {
                    if !self.admits(payload.len()) {
                        continue;
                    }
                    self.measure_pong(&payload);
                    emit(self, WebSocket::PONG, payload);
                }
                Event::Close(frame) => self.close_received(frame),
                Event::Error(invalid) => self.refuse(invalid),
            }
        }
    }

    /// Takes the next event out of the decoder, which is dropped when it is idle.
    fn next_event(&self) -> Option<Event> {
        self.with(|parts| {
            let limits = &self.route.options.limits;
            while !self.is_over()
                && !self.has(Flags::STOPPED)
                && let Some(decoder) = parts.decoder.as_mut().filter(|all| all.buffered() > 0)
            {
                let event = if self.has(Flags::DEFLATE) {
                    let rare = parts.rare.as_mut();
                    let deflation = rare.and_then(|rare| rare.deflation.as_mut());
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
                Some(_) => Reading::Partial,
                None => Reading::Direct,
            });
            None
        })
    }
}
