//! The requests of a connection: from received bytes to handlers, one after the other.

use std::rc::Rc;
use std::task::Waker;

use bytes::{Buf, Bytes, BytesMut};
use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Visit};

use super::flags::ConnectionFlags;
use super::output::ResponseWriter;
use super::state::{ConnectionState, HttpConnection};
use crate::Request;
use crate::body::BodyError;
use crate::exchange::{
    self, BodyPiece, BodyProgress, Consumer, Exchange, Head, body_failed, emit_to_request,
};
use crate::h1::{BodyLength, Decoder, Event, InvalidMessage};
use crate::site::Site;

/// The next action of a connection. It runs while no `RefCell` is borrowed.
enum ConnectionAction {
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
    /// Release a finished exchange.
    Finished(Rc<Exchange>),
    /// Respond with an error to an invalid request.
    Refuse(InvalidMessage),
    /// Close the connection.
    End,
    /// Close the connection of a client that sends no more.
    EndWithoutLinger,
    /// Wait for an event.
    Stop,
}

/// Flags with which received bytes are buffered in the decoder, instead of being parsed in the read buffer.
const BUFFERED: ConnectionFlags = ConnectionFlags::ADVANCING
    .union(ConnectionFlags::CLOSING)
    .union(ConnectionFlags::DRAINING)
    .union(ConnectionFlags::FULL)
    .union(ConnectionFlags::PEER_ENDED);

impl HttpConnection {
    /// Handles received bytes. Bytes that are not a complete request go through the decoder.
    #[inline]
    pub(super) fn received(&self, stream: &Visit<Connection>, bytes: &mut BytesMut) {
        let nested = {
            let mut state = self.state();
            if state.flags.contains(ConnectionFlags::CLOSING) {
                return;
            }
            if state.flags.contains(ConnectionFlags::FRESH) {
                drop(state);
                if self.is_preface(stream, bytes) {
                    return;
                }
                state = self.state();
            }
            state.flags.remove(ConnectionFlags::FRESH);
            state.count_body(bytes.len());
            let between = state.exchange.is_none() && state.decoder.is_none();
            if between {
                state.since = Timestamp::now();
            }
            if !between || state.flags.intersects(BUFFERED) {
                state.push(bytes.split().freeze());
            }
            let nested = state.flags.contains(ConnectionFlags::ADVANCING);
            state.flags.insert(ConnectionFlags::ADVANCING);
            nested
        };
        if nested {
            return;
        }
        while !bytes.is_empty() {
            if !self.handle_complete(stream, bytes) {
                return self.run_actions();
            }
        }
        // Either all requests were complete and are finished, or earlier bytes are still pending.
        let mut state = self.state();
        if state.exchange.is_none() && state.decoder.is_none() {
            state.flags.remove(ConnectionFlags::ADVANCING);
            return self.arm(&mut state);
        }
        drop(state);
        self.run_actions();
    }

    /// Handles the request at the start of `bytes` if its head is complete. Returns `true` if the next one may be handled the same way.
    #[inline]
    fn handle_complete(&self, stream: &Visit<Connection>, bytes: &mut BytesMut) -> bool {
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
        // The bytes after an upgrade request belong to the next protocol, which may take over immediately.
        if (state.decoder.is_some() || exchange.head.is_upgrade()) && !bytes.is_empty() {
            state.push(bytes.split().freeze());
        }
        self.begin_request(&mut state, &exchange, &site);
        drop(state);
        self.handle(stream, &exchange, &site);
        drop(site);
        let mut state = self.state();
        if state.flags.intersects(BUFFERED_NEXT) || !exchange.is_done() || !exchange.is_received() {
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

    /// Runs the actions of the connection until it must wait. A nested call does nothing, as the outer one continues.
    pub(super) fn advance(&self) {
        let nested = {
            let mut state = self.state();
            let nested = state.flags.contains(ConnectionFlags::ADVANCING);
            state.flags.insert(ConnectionFlags::ADVANCING);
            nested
        };
        if !nested {
            self.run_actions();
        }
    }

    fn run_actions(&self) {
        loop {
            let action = self.next_action(&mut self.state());
            match action {
                ConnectionAction::Handle(exchange, site) => {
                    self.handle(&self.conn, &exchange, &site)
                }
                ConnectionAction::Piece(exchange, piece) => {
                    emit_to_request(&exchange, Request::DATA, piece)
                }
                ConnectionAction::PieceEnd(exchange) => {
                    emit_to_request(&exchange, Request::END, ())
                }
                ConnectionAction::Failed(exchange, error) => {
                    // The response timeout starts.
                    self.state().since = Timestamp::now();
                    body_failed(&exchange, error);
                }
                ConnectionAction::Wake(waker) => waker.wake(),
                ConnectionAction::Finished(exchange) => exchange::release(exchange),
                ConnectionAction::Refuse(invalid) => {
                    self.refuse(invalid.status(), invalid.reason())
                }
                ConnectionAction::End => self.conn.end(),
                ConnectionAction::EndWithoutLinger => self.conn.end_without_linger(),
                ConnectionAction::Stop => return,
            }
        }
    }

    fn next_action(&self, state: &mut ConnectionState) -> ConnectionAction {
        loop {
            if state.flags.contains(ConnectionFlags::CLOSING) {
                return state.stop();
            }
            let Some(exchange) = &state.exchange else {
                return self.next_request(state);
            };
            let exchange = Rc::clone(exchange);
            if !exchange.is_received() {
                match self.body_action(state, &exchange) {
                    Some(action) => return action,
                    None => continue,
                }
            }
            if !exchange.is_done() {
                if exchange.body.get() == BodyProgress::EndPending {
                    exchange.body.set(BodyProgress::Received);
                    return ConnectionAction::PieceEnd(exchange);
                }
                if state.buffered() > 0 {
                    // One read is buffered ahead. An end of stream after it is still detected.
                    self.pause(state);
                }
                self.arm(state);
                return state.stop();
            }
            if state
                .flags
                .intersects(ConnectionFlags::LAST | ConnectionFlags::DRAINING)
            {
                let client_sends_no_more = !exchange.head.keep_alive() && state.buffered() == 0;
                let action = state.end();
                return match client_sends_no_more {
                    true => ConnectionAction::EndWithoutLinger,
                    false => action,
                };
            }
            state.since = Timestamp::now();
            drop(exchange);
            if let Some(exchange) = state.finish() {
                return ConnectionAction::Finished(exchange);
            }
        }
    }

    fn next_request(&self, state: &mut ConnectionState) -> ConnectionAction {
        if state.flags.contains(ConnectionFlags::FULL) {
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
                    return ConnectionAction::Handle(exchange, site);
                }
                Some(Event::Error(invalid)) => return ConnectionAction::Refuse(invalid),
                Some(Event::Body(_) | Event::Trailers(_) | Event::Complete) => {}
                None => return self.idle(state),
            }
        }
    }

    /// Returns the action when there is no complete request.
    #[inline]
    fn idle(&self, state: &mut ConnectionState) -> ConnectionAction {
        state.drop_fresh_decoder();
        let in_head = state
            .decoder
            .as_ref()
            .is_some_and(|decoder| !decoder.is_idle());
        let over = state.flags.contains(ConnectionFlags::LAST) && !in_head;
        if over || state.flags.contains(ConnectionFlags::PEER_ENDED) {
            return state.end();
        }
        if in_head && !state.flags.contains(ConnectionFlags::IN_HEAD) {
            state.flags.insert(ConnectionFlags::IN_HEAD);
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

    /// Updates the state of the connection for a request whose head was received.
    #[inline]
    fn begin_request(&self, state: &mut ConnectionState, exchange: &Rc<Exchange>, site: &Site) {
        state.flags.remove(ConnectionFlags::IN_HEAD);
        let head = &exchange.head;
        if !head.keep_alive() || state.flags.contains(ConnectionFlags::DRAINING) {
            state.flags.insert(ConnectionFlags::LAST);
        }
        match head.body() {
            BodyLength::None | BodyLength::Bytes(0) => {
                if let Some(decoder) = &mut state.decoder {
                    decoder.take_end();
                }
                exchange.body.set(BodyProgress::Received);
            }
            BodyLength::Bytes(length) => {
                exchange.awaits_continue.set(head.expects_continue());
                exchange
                    .exceeds_drain_limit
                    .set(length > u64::from(site.settings.drain_limit));
            }
            BodyLength::Chunked => exchange.awaits_continue.set(head.expects_continue()),
        }
        state.counted = 0;
        state.exchange = Some(Rc::clone(exchange));
    }

    /// Returns the action for a body that was not received completely; `None` to check again. Each piece is a separate action instead of
    /// a nested call, as one read may contain thousands.
    fn body_action(
        &self,
        state: &mut ConnectionState,
        exchange: &Rc<Exchange>,
    ) -> Option<ConnectionAction> {
        let drains = exchange.is_done();
        if exchange.body.get() == BodyProgress::Failed {
            if drains {
                return Some(state.end());
            }
            self.arm(state);
            return Some(state.stop());
        }
        if drains && state.flags.contains(ConnectionFlags::LAST) {
            return Some(state.end());
        }
        if !drains && let Some(reader) = exchange.take_reader() {
            if state.buffered() > 0 {
                // The reader takes the buffered piece first.
                self.pause(state);
                return Some(ConnectionAction::Wake(reader));
            }
            if state.flags.contains(ConnectionFlags::PEER_ENDED) {
                return Some(ConnectionAction::Wake(reader));
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
            Some(Event::Body(piece)) if !drains => Some(ConnectionAction::Piece(exchange, piece)),
            Some(Event::Body(piece)) => {
                let count = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                state.counted = state.counted.saturating_add(count);
                if state.counted > site.settings.drain_limit {
                    state.flags.insert(ConnectionFlags::LAST);
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
                (!drains).then_some(ConnectionAction::PieceEnd(exchange))
            }
            Some(Event::Error(invalid)) => Some(ConnectionAction::Failed(
                exchange,
                BodyError::InvalidMessage(invalid),
            )),
            Some(Event::Head(_)) => Some(ConnectionAction::Failed(exchange, BodyError::Closed)),
            None if state.flags.contains(ConnectionFlags::PEER_ENDED) => {
                Some(ConnectionAction::Failed(exchange, BodyError::Closed))
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
    fn handle(&self, writer: &impl ResponseWriter, exchange: &Rc<Exchange>, site: &Rc<Site>) {
        let send =
            |head: &Head<'_>, body: BodyPiece<'_>| self.send_whole(writer, exchange, head, body);
        if self.service.handle(exchange, site, send) {
            // The response timeout starts.
            self.state().since = Timestamp::now();
        }
    }
}

/// Flags with which the bytes of the next request are buffered in the decoder, instead of being parsed in the read buffer.
const BUFFERED_NEXT: ConnectionFlags = ConnectionFlags::CLOSING
    .union(ConnectionFlags::DRAINING)
    .union(ConnectionFlags::FULL)
    .union(ConnectionFlags::LAST)
    .union(ConnectionFlags::PAUSED)
    .union(ConnectionFlags::PEER_ENDED);

impl ConnectionState {
    #[inline]
    fn stop(&mut self) -> ConnectionAction {
        self.flags.remove(ConnectionFlags::ADVANCING);
        ConnectionAction::Stop
    }

    fn end(&mut self) -> ConnectionAction {
        self.flags.insert(ConnectionFlags::CLOSING);
        self.flags.remove(ConnectionFlags::ADVANCING);
        ConnectionAction::End
    }
}
