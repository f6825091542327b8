//! Receiving: the responses, and the end of the connection.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use uptick_event_loop::driver;
use uptick_http::h1::client::{BodyLength, Event, ResponseHead};
use uptick_socket::engine::Engine;

use super::request::{RequestFlags, keep_alive_timeout};
use super::session::Http1Session;
use crate::error::{ErrorKind, Failure};
use crate::transport::{Exchange, Flow};

/// The reaction to a reader that wants no more data for now.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Pausing {
    Allowed,
    /// The connection has ended: the rest of the received data is delivered.
    Ignored,
}

impl Http1Session {
    /// Handles received bytes.
    pub(super) fn received(&self, bytes: &mut BytesMut) {
        let expected = match &mut self.state.borrow_mut().running {
            // Bytes on an idle connection end it.
            None => false,
            Some(running) => {
                // Bytes that arrive before the request was sent are not its response.
                let is_expected =
                    running.has(RequestFlags::BEGUN) || self.conn.bytes_written() != running.start;
                if is_expected {
                    running.received();
                    running.decoder.push(bytes.split().freeze());
                }
                is_expected
            }
        };
        match expected {
            true => self.advance(Pausing::Allowed),
            false => self.unsolicited(),
        }
    }

    #[cold]
    fn unsolicited(&self) {
        tracing::debug!(
            connection = self.conn.id(),
            "a server has sent bytes on an idle connection, which is closed"
        );
        // The failure depends on the number of sent bytes, which is known while the connection is open.
        let failure = {
            let state = self.state.borrow();
            let running = state.running.as_ref();
            running.map(|running| self.closed_failure(running))
        };
        let running = self.take_and_close();
        if let (Some(running), Some(failure)) = (running, failure) {
            running.exchange.fail(failure);
        }
    }

    /// Decodes the received bytes, and passes the events to the exchange.
    pub(super) fn advance(&self, pausing: Pausing) {
        let Some(exchange) = self.exchange() else {
            return;
        };
        while let Some(event) = self.next_event(&exchange, pausing) {
            let proceeds = match event {
                Event::Interim(head) => {
                    exchange.interim(head.status().as_u16());
                    true
                }
                Event::Head(head) => self.head(&exchange, head),
                Event::Body(piece) => match exchange.data(&piece) {
                    Flow::Continue => true,
                    Flow::Pause => pausing == Pausing::Ignored || self.pause(),
                    Flow::Stop => {
                        drop(self.take_and_close());
                        false
                    }
                },
                Event::Trailers(mut trailers) => {
                    trailers.detach();
                    if let Some(running) = &mut self.state.borrow_mut().running {
                        running.trailers = Some(trailers);
                    }
                    true
                }
                Event::Complete => {
                    self.complete();
                    false
                }
                Event::Error(invalid) => {
                    let kind = match invalid.exceeds_limit() {
                        true => ErrorKind::TooLarge,
                        false => ErrorKind::Malformed,
                    };
                    self.fail(Failure::new(kind, invalid.reason()));
                    false
                }
            };
            if !proceeds {
                return;
            }
        }
    }

    fn exchange(&self) -> Option<Rc<Exchange>> {
        let state = self.state.borrow();
        state
            .running
            .as_ref()
            .map(|running| Rc::clone(&running.exchange))
    }

    /// Returns the next event of the response, unless the exchange has ended or paused.
    fn next_event(&self, exchange: &Rc<Exchange>, pausing: Pausing) -> Option<Event> {
        let mut state = self.state.borrow_mut();
        let running = state.running.as_mut()?;
        let is_paused = running.has(RequestFlags::PAUSED) && pausing == Pausing::Allowed;
        if is_paused || !Rc::ptr_eq(&running.exchange, exchange) {
            return None;
        }
        let event = running.decoder.next(&running.limits);
        if event.is_none() && !running.has(RequestFlags::ANSWERED) {
            running.check_begun();
            self.arm(&mut state);
        }
        event
    }

    /// Handles the head of the final response. Returns `false` if the exchange has ended.
    fn head(&self, exchange: &Rc<Exchange>, mut head: ResponseHead) -> bool {
        let (closes, too_large) = {
            let mut state = self.state.borrow_mut();
            let Some(running) = &mut state.running else {
                return false;
            };
            running
                .flags
                .insert(RequestFlags::ANSWERED | RequestFlags::FINAL_BEGUN);
            if !head.keep_alive() {
                running.flags.insert(RequestFlags::CLOSES);
            }
            if !running.has(RequestFlags::WRITTEN) || self.conn.is_sending() {
                // The read timeout replaces the timeout of the write queue. A server that refuses the request does not need the rest of
                // its body. One that accepts it may wait for that.
                self.conn.set_write_timeout(None);
                if !head.status().is_success() {
                    running.encoder = None;
                    running.rest = Bytes::new();
                    running.flags.insert(RequestFlags::CLOSES);
                }
            }
            running.keep_alive = keep_alive_timeout(&head);
            let max = running.settings.max_body.unwrap_or(u64::MAX);
            let too_large = matches!(head.body(), BodyLength::Bytes(length) if length > max);
            let is_refused = head.is_upgrade() && !running.has(RequestFlags::UPGRADES);
            if is_refused {
                drop(state);
                let reason = "the server switched protocols without a request to do so";
                self.fail(Failure::new(ErrorKind::Malformed, reason));
                return false;
            }
            let closes = running.has(RequestFlags::CLOSES);
            self.arm(&mut state);
            (closes, too_large.then_some(max))
        };
        if closes {
            self.report_retired();
        }
        let is_upgrade = head.is_upgrade();
        // The program may keep the head for long, but the read buffer is reused.
        head.detach();
        exchange.head(head);
        if let Some(max) = too_large {
            let reason = format!("the body exceeds the limit of {max} bytes");
            self.fail(Failure::new(ErrorKind::TooLarge, reason));
            return false;
        }
        if is_upgrade {
            if let Some(exchange) = self.upgrade() {
                exchange.complete(None);
            }
            return false;
        }
        true
    }

    /// Pauses reading. Returns `false`: no more events are delivered.
    fn pause(&self) -> bool {
        if let Some(running) = &mut self.state.borrow_mut().running {
            running.flags.insert(RequestFlags::PAUSED);
        }
        self.conn.pause();
        false
    }

    /// Handles the end of a response.
    fn complete(&self) {
        let finished = {
            let mut state = self.state.borrow_mut();
            state.iteration = driver::iteration();
            state.running.take()
        };
        let Some(mut running) = finished else { return };
        let is_reusable = !running.has(RequestFlags::CLOSES)
            && running.has(RequestFlags::WRITTEN)
            && running.decoder.is_idle()
            && running.decoder.buffered() == 0
            && !self.conn.is_sending()
            && !self.conn.is_hung_up();
        match is_reusable {
            true => self.owner.available(running.keep_alive),
            false => self.conn.close(),
        }
        running.exchange.complete(running.trailers.take());
    }

    /// Handles the end of the server's stream.
    pub(super) fn ended(&self) {
        self.advance(Pausing::Ignored);
        let completes = {
            let mut state = self.state.borrow_mut();
            state.running.as_mut().is_some_and(|running| {
                running.flags.insert(RequestFlags::CLOSES);
                matches!(running.decoder.end(), Some(Event::Complete))
            })
        };
        match completes {
            true => self.complete(),
            // A request in progress fails as the connection closes.
            false => self.conn.close(),
        }
    }
}
