//! The requests of a connection: from received bytes to handlers, one after the other.

use std::rc::Rc;
use std::task::Waker;

use bytes::{Buf, Bytes, BytesMut};
use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Visit};

use super::flags::Flags;
use super::output::Outlet;
use super::state::{HttpConnection, State};
use crate::Request;
use crate::body::BodyError;
use crate::exchange::{
    self, BodyProgress, Consumer, Exchange, Head, Piece, body_failed, emit_to_request,
};
use crate::h1::{BodyLength, Decoder, Event, Invalid};
use crate::site::Site;

/// An action of a connection, to be taken while nothing is borrowed.
enum Step {
    /// Handle a new request, which is the exchange of the connection.
    Handle(Rc<Exchange>, Rc<Site>),
    /// Emit a piece of the body.
    Piece(Rc<Exchange>, Bytes),
    /// Emit the end of the body.
    PieceEnd(Rc<Exchange>),
    /// Report an error of the body.
    Failed(Rc<Exchange>, BodyError),
    /// Wake the reader of the body.
    Wake(Waker),
    /// Release an exchange that is over.
    Finished(Rc<Exchange>),
    /// Send an error: the received bytes are not a valid request.
    Refuse(Invalid),
    /// End the connection.
    End,
    /// End the connection of a client that sends no more.
    EndWithoutLinger,
    /// Wait.
    Stop,
}

/// States in which a request is not taken straight from the read buffer.
const SPECIAL: Flags = Flags::ADVANCING
    .union(Flags::CLOSING)
    .union(Flags::DRAINING)
    .union(Flags::FULL)
    .union(Flags::PEER_ENDED);

impl HttpConnection {
    /// Handles received bytes; those that are not a whole request go through the decoder.
    #[inline]
    pub(super) fn received(&self, stream: &Visit<Connection>, bytes: &mut BytesMut) {
        let nested = {
            let mut state = self.state();
            if state.flags.contains(Flags::CLOSING) {
                return;
            }
            state.flags.remove(Flags::FRESH);
            state.count_body(bytes.len());
            let between = state.exchange.is_none() && state.decoder.is_none();
            if between {
                state.since = Timestamp::now();
            }
            if !between || state.flags.intersects(SPECIAL) {
                state.push(bytes.split().freeze());
            }
            let nested = state.flags.contains(Flags::ADVANCING);
            state.flags.insert(Flags::ADVANCING);
            nested
        };
        if nested {
            return;
        }
        while !bytes.is_empty() {
            if !self.take_whole(stream, bytes) {
                return self.go_on();
            }
        }
        // All of it was whole requests that are over, or there was something else before.
        let mut state = self.state();
        if state.exchange.is_none() && state.decoder.is_none() {
            state.flags.remove(Flags::ADVANCING);
            return self.arm(&mut state);
        }
        drop(state);
        self.go_on();
    }

    /// Handles the request at the beginning of `bytes`, whose head is whole; returns whether the next one may be taken the same way.
    #[inline]
    fn take_whole(&self, stream: &Visit<Connection>, bytes: &mut BytesMut) -> bool {
        let site = self.service.site();
        let mut exchange = exchange::take();
        let length = Rc::get_mut(&mut exchange).and_then(|new| {
            let length = new.head.read(bytes, &site.settings.limits)?;
            self.connect(new, &site);
            Some(length)
        });
        let Some(length) = length else {
            exchange::discard(exchange);
            self.state().push(bytes.split().freeze());
            return false;
        };
        bytes.advance(length);
        let mut state = self.state();
        if let Some(decoder) = Decoder::at_body(&exchange.head) {
            *state.decoder() = decoder;
        }
        // What follows an upgrade belongs to the next protocol, which may take over at once.
        if (state.decoder.is_some() || exchange.head.is_upgrade()) && !bytes.is_empty() {
            state.push(bytes.split().freeze());
        }
        self.begin_request(&mut state, &exchange, &site);
        drop(state);
        self.handle(stream, &exchange, &site);
        drop(site);
        let mut state = self.state();
        if state.flags.intersects(SPECIAL_NEXT) || !exchange.is_done() || !exchange.is_received() {
            if !bytes.is_empty() {
                state.push(bytes.split().freeze());
            }
            return false;
        }
        let finished = state.finish();
        drop(state);
        drop(finished);
        exchange::release(exchange);
        true
    }

    /// Continues until something has to be waited for. A nested call does nothing, as the outer one continues.
    pub(super) fn advance(&self) {
        let nested = {
            let mut state = self.state();
            let nested = state.flags.contains(Flags::ADVANCING);
            state.flags.insert(Flags::ADVANCING);
            nested
        };
        if !nested {
            self.go_on();
        }
    }

    fn go_on(&self) {
        loop {
            let step = self.step(&mut self.state());
            match step {
                Step::Handle(exchange, site) => self.handle(&self.conn, &exchange, &site),
                Step::Piece(exchange, piece) => emit_to_request(&exchange, Request::DATA, piece),
                Step::PieceEnd(exchange) => emit_to_request(&exchange, Request::END, ()),
                Step::Failed(exchange, error) => {
                    // The time for the response starts.
                    self.state().since = Timestamp::now();
                    body_failed(&exchange, error);
                }
                Step::Wake(waker) => waker.wake(),
                Step::Finished(exchange) => exchange::release(exchange),
                Step::Refuse(invalid) => self.refuse(invalid.status(), invalid.reason()),
                Step::End => self.conn.end(),
                Step::EndWithoutLinger => self.conn.end_without_linger(),
                Step::Stop => return,
            }
        }
    }

    fn step(&self, state: &mut State) -> Step {
        loop {
            if state.flags.contains(Flags::CLOSING) {
                return state.stop();
            }
            let Some(exchange) = &state.exchange else {
                return self.next_request(state);
            };
            let exchange = Rc::clone(exchange);
            if !exchange.is_received() {
                match self.body_step(state, &exchange) {
                    Some(step) => return step,
                    None => continue,
                }
            }
            if !exchange.is_done() {
                if exchange.body.get() == BodyProgress::EndDue {
                    exchange.body.set(BodyProgress::Received);
                    return Step::PieceEnd(exchange);
                }
                if state.buffered() > 0 {
                    // One read is taken ahead; an end of stream behind it is noticed all the same.
                    self.pause(state);
                }
                self.arm(state);
                return state.stop();
            }
            if state.flags.intersects(Flags::LAST | Flags::DRAINING) {
                let client_is_done = !exchange.head.keep_alive() && state.buffered() == 0;
                let step = state.end();
                return match client_is_done {
                    true => Step::EndWithoutLinger,
                    false => step,
                };
            }
            state.since = Timestamp::now();
            drop(exchange);
            if let Some(exchange) = state.finish() {
                return Step::Finished(exchange);
            }
        }
    }

    fn next_request(&self, state: &mut State) -> Step {
        if state.flags.contains(Flags::FULL) {
            // Stop producing responses while the write queue is full.
            self.pause(state);
            return state.stop();
        }
        let site = self.service.site();
        loop {
            let Some(decoder) = &mut state.decoder else {
                return self.idle(state);
            };
            let event = decoder.next(&site.settings.limits);
            match event {
                Some(Event::Head(head)) => {
                    let mut exchange = exchange::take();
                    if let Some(new) = Rc::get_mut(&mut exchange) {
                        new.head = head;
                        self.connect(new, &site);
                    }
                    self.begin_request(state, &exchange, &site);
                    return Step::Handle(exchange, site);
                }
                Some(Event::Error(invalid)) => return Step::Refuse(invalid),
                Some(Event::Body(_) | Event::Trailers(_) | Event::Complete) => {}
                None => return self.idle(state),
            }
        }
    }

    /// Returns the action when there is no complete request.
    #[inline]
    fn idle(&self, state: &mut State) -> Step {
        state.drop_fresh_decoder();
        let in_head = state
            .decoder
            .as_ref()
            .is_some_and(|decoder| !decoder.is_idle());
        let over = state.flags.contains(Flags::LAST) && !in_head;
        if over || state.flags.contains(Flags::PEER_ENDED) {
            return state.end();
        }
        if in_head && !state.flags.contains(Flags::IN_HEAD) {
            state.flags.insert(Flags::IN_HEAD);
            state.since = Timestamp::now();
        }
        self.resume(state);
        self.arm(state);
        state.stop()
    }

    /// Connects a new exchange with the connection and the site.
    #[inline(always)]
    fn connect(&self, exchange: &mut Exchange, site: &Rc<Site>) {
        exchange.conn = Some(self.conn);
        exchange.proxies = site.proxies_of(|| self.conn.remote_ip());
        if let Some(this) = self.as_transport() {
            exchange.connect(this, Rc::<Site>::clone(site));
        }
    }

    /// Sets the state of the connection for a request whose head was received.
    #[inline]
    fn begin_request(&self, state: &mut State, exchange: &Rc<Exchange>, site: &Site) {
        state.flags.remove(Flags::IN_HEAD);
        let head = &exchange.head;
        if !head.keep_alive() || state.flags.contains(Flags::DRAINING) {
            state.flags.insert(Flags::LAST);
        }
        match head.body() {
            BodyLength::None | BodyLength::Bytes(0) => {
                if let Some(decoder) = &mut state.decoder {
                    decoder.take_end();
                }
                exchange.body.set(BodyProgress::Received);
            }
            BodyLength::Bytes(length) => {
                exchange.expects.set(head.expects_continue());
                exchange
                    .long
                    .set(length > u64::from(site.settings.drain_limit));
            }
            BodyLength::Chunked => exchange.expects.set(head.expects_continue()),
        }
        state.counted = 0;
        state.exchange = Some(Rc::clone(exchange));
    }

    /// Returns the action for a body that was not received whole; `None` to look again. Each piece is a turn of the loop, not a nested call:
    /// there may be thousands in one read.
    fn body_step(&self, state: &mut State, exchange: &Rc<Exchange>) -> Option<Step> {
        let drains = exchange.is_done();
        if exchange.body.get() == BodyProgress::Failed {
            if drains {
                return Some(state.end());
            }
            self.arm(state);
            return Some(state.stop());
        }
        if drains && state.flags.contains(Flags::LAST) {
            return Some(state.end());
        }
        if !drains && let Some(reader) = exchange.take_reader() {
            if state.buffered() > 0 {
                // The reader has this piece first.
                self.pause(state);
                return Some(Step::Wake(reader));
            }
            if state.flags.contains(Flags::PEER_ENDED) {
                return Some(Step::Wake(reader));
            }
            exchange.set_reader(reader);
        }
        if !drains && exchange.consumer.get() != Consumer::Listeners {
            if state.buffered() > 0 {
                self.pause(state);
            }
            self.arm(state);
            return Some(state.stop());
        }
        let site = self.service.site();
        let event = state.decoder().next(&site.settings.limits);
        let exchange = Rc::clone(exchange);
        match event {
            Some(Event::Body(piece)) if !drains => Some(Step::Piece(exchange, piece)),
            Some(Event::Body(piece)) => {
                let count = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                state.counted = state.counted.saturating_add(count);
                if state.counted > site.settings.drain_limit {
                    state.flags.insert(Flags::LAST);
                }
                None
            }
            Some(Event::Trailers(trailers)) => {
                if !drains {
                    exchange.set_trailers(trailers);
                }
                None
            }
            Some(Event::Complete) => {
                exchange.body.set(BodyProgress::Received);
                state.since = Timestamp::now();
                (!drains).then_some(Step::PieceEnd(exchange))
            }
            Some(Event::Error(invalid)) => {
                Some(Step::Failed(exchange, BodyError::Invalid(invalid)))
            }
            Some(Event::Head(_)) => Some(Step::Failed(exchange, BodyError::Closed)),
            None if state.flags.contains(Flags::PEER_ENDED) => {
                Some(Step::Failed(exchange, BodyError::Closed))
            }
            None => {
                self.resume(state);
                self.arm(state);
                Some(state.stop())
            }
        }
    }

    /// Passes a request to the server's routes, and sends the response.
    #[inline]
    fn handle(&self, outlet: &impl Outlet, exchange: &Rc<Exchange>, site: &Rc<Site>) {
        let send = |head: &Head<'_>, body: Piece<'_>| self.send_whole(outlet, exchange, head, body);
        if self.service.handle(exchange, site, send) {
            // The time for a response that comes later starts.
            self.state().since = Timestamp::now();
        }
    }
}

/// States in which the next request is not taken straight from the read buffer.
const SPECIAL_NEXT: Flags = Flags::CLOSING
    .union(Flags::DRAINING)
    .union(Flags::FULL)
    .union(Flags::LAST)
    .union(Flags::PAUSED)
    .union(Flags::PEER_ENDED);

impl State {
    #[inline]
    fn stop(&mut self) -> Step {
        self.flags.remove(Flags::ADVANCING);
        Step::Stop
    }

    fn end(&mut self) -> Step {
        self.flags.insert(Flags::CLOSING);
        self.flags.remove(Flags::ADVANCING);
        Step::End
    }
}
