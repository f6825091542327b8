//! The state of a connection.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Readiness, Token};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::Flags;
use crate::exchange::{Exchange, Transport};
use crate::h1::{Decoder, Encoder};
use crate::site::Service;

/// How long the program may leave a piece of a body unread before the time for the body is no longer the client's.
const PATIENCE: Duration = Duration::from_secs(1);

/// An HTTP/1 connection; the session of its stream.
pub(super) struct HttpConnection {
    pub(super) conn: Connection,
    pub(super) service: Rc<Service>,
    this: Weak<HttpConnection>,
    state: RefCell<State>,
}

/// The part of a connection's state that changes.
pub(super) struct State {
    /// The exchange under way.
    pub(super) exchange: Option<Rc<Exchange>>,
    /// Decodes what does not come whole; `None` between requests.
    pub(super) decoder: Option<Box<Decoder>>,
    /// The response under way, unless it is written at once.
    pub(super) streaming: Option<Box<Streaming>>,
    pub(super) deadline: LazyDeadline,
    /// Start of the current wait.
    pub(super) since: Timestamp,
    /// When reading was paused, while it is.
    paused: Timestamp,
    /// Bytes of the body that came in this window of time, or were discarded behind the response.
    pub(super) counted: u32,
    /// The low half of what the client had acknowledged when the idle timeout was last over.
    pub(super) acknowledged: u32,
    pub(super) flags: Flags,
}

/// The state of a response that is not written at once.
#[derive(Default)]
pub(super) struct Streaming {
    pub(super) encoder: Option<Encoder>,
    /// The test of a client that has ended its side.
    pub(super) departure: Option<Departure>,
}

/// The state of the test of a client that has ended its side.
#[derive(Clone, Copy)]
pub(super) struct Departure {
    /// When something was sent last, or when the end of the client's side was seen.
    pub(super) quiet_since: Timestamp,
    /// Bytes sent ahead so far.
    pub(super) probes: u8,
}

thread_local! {
    static DRIVER: Cell<Option<DriverId>> = const { Cell::new(None) };
    /// A decoder that was used before.
    static DECODER: Cell<Option<Box<Decoder>>> = const { Cell::new(None) };
}

impl HttpConnection {
    pub(super) fn new(
        conn: Connection,
        service: &Rc<Service>,
        driver: &'static dyn Driver,
    ) -> Rc<Self> {
        register(driver);
        let mut flags = Flags::FRESH;
        // Accepted before the shutdown, and here only now: its handshake took until then.
        flags.set(Flags::DRAINING, service.draining().is_some());
        Rc::new_cyclic(|this| HttpConnection {
            conn,
            service: Rc::clone(service),
            this: Weak::clone(this),
            state: RefCell::new(State {
                exchange: None,
                decoder: None,
                streaming: None,
                deadline: LazyDeadline::default(),
                since: Timestamp::now(),
                paused: Timestamp::default(),
                counted: 0,
                acknowledged: 0,
                flags,
            }),
        })
    }

    /// Borrows the state, which no callback may see borrowed.
    #[inline]
    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// Returns the exchange under way.
    pub(super) fn exchange(&self) -> Option<Rc<Exchange>> {
        self.state().exchange.clone()
    }

    /// Returns the connection as the transport of its exchanges.
    #[inline]
    pub(super) fn as_transport(&self) -> Option<Rc<dyn Transport>> {
        let this: Rc<dyn Transport> = self.this.upgrade()?;
        Some(this)
    }

    /// Returns the token under which the driver knows the connection.
    pub(super) fn token(&self) -> Option<Token> {
        let driver = DRIVER.try_with(Cell::get).ok()??;
        Some(self.conn.token(driver))
    }

    /// Goes on in the next iteration.
    pub(super) fn advance_later(&self) {
        if let Some(token) = self.token() {
            driver::ready_later(token, Readiness::empty());
        }
    }

    /// Ends the connection: what is written is sent, and what still comes is discarded.
    pub(super) fn end(&self) {
        let closing = {
            let mut state = self.state();
            let closing = state.flags.contains(Flags::CLOSING);
            state.flags.insert(Flags::CLOSING);
            closing
        };
        if !closing {
            self.conn.end();
        }
    }

    /// Stops reading.
    pub(super) fn pause(&self, state: &mut State) {
        if !state.flags.contains(Flags::PAUSED) {
            state.flags.insert(Flags::PAUSED);
            state.paused = Timestamp::now();
            self.conn.pause();
        }
    }

    /// Goes on reading.
    #[inline]
    pub(super) fn resume(&self, state: &mut State) {
        if state.flags.contains(Flags::PAUSED) {
            self.resume_paused(state);
        }
    }

    #[cold]
    fn resume_paused(&self, state: &mut State) {
        state.flags.remove(Flags::PAUSED);
        if state.paused.after(PATIENCE).is_before(Timestamp::now())
            && let Some(exchange) = &state.exchange
        {
            exchange.held_up.set(true);
        }
        self.conn.resume();
    }
}

impl State {
    /// Returns the decoder, which is made now if need be.
    pub(super) fn decoder(&mut self) -> &mut Decoder {
        self.decoder.get_or_insert_with(|| {
            let kept = DECODER.try_with(Cell::take);
            kept.ok().flatten().unwrap_or_default()
        })
    }

    /// Puts bytes into the decoder.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.decoder().push(bytes);
    }

    /// Returns the decoder to the thread if it is as good as a new one.
    #[inline]
    pub(super) fn drop_fresh_decoder(&mut self) {
        if let Some(decoder) = self.decoder.take_if(|decoder| decoder.is_fresh()) {
            // While the thread is torn down, it is dropped.
            let _ = DECODER.try_with(|kept| kept.set(Some(decoder)));
        }
    }

    /// Returns the number of received bytes that were not decoded.
    #[inline]
    pub(super) fn buffered(&self) -> usize {
        self.decoder
            .as_ref()
            .map_or(0, |decoder| decoder.buffered())
    }

    /// Returns the number of bytes of the body that are known to follow.
    #[inline]
    pub(super) fn announced(&self) -> u64 {
        self.decoder
            .as_ref()
            .map_or(0, |decoder| decoder.announced())
    }

    /// Returns the state of a response that is not written at once, which is made now if need be.
    pub(super) fn streaming(&mut self) -> &mut Streaming {
        self.streaming.get_or_insert_default()
    }

    /// Returns the encoder of a response that has begun and is not over.
    pub(super) fn encoder(&self, exchange: &Exchange) -> Option<Encoder> {
        let streaming = self.streaming.as_ref()?;
        streaming.encoder.filter(|_| !exchange.is_done())
    }

    /// Ends the exchange; the caller [releases](crate::exchange::release) it when nothing is borrowed.
    #[inline]
    pub(super) fn finish(&mut self) -> Option<Rc<Exchange>> {
        self.counted = 0;
        self.streaming = None;
        self.exchange.take()
    }
}

fn register(driver: &'static dyn Driver) {
    let _ = DRIVER.try_with(|place| {
        if place.get().is_none() {
            place.set(Some(driver::register(driver)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_an_idle_connection_stays_small() {
        assert!(
            size_of::<HttpConnection>() <= 88,
            "{} bytes",
            size_of::<HttpConnection>()
        );
    }
}
