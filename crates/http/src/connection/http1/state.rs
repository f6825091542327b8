//! The state of an HTTP/1 connection.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Readiness, Token};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::ConnectionFlags;
use crate::connection::acknowledgements::Acknowledgements;
use crate::exchange::{Exchange, ExchangeTransport};
use crate::h1::{Decoder, Encoder};
use crate::site::Service;

/// Time after which an unread body piece counts as a delay of the program. The body timeout then does not apply to the client.
const PROGRAM_DELAY: Duration = Duration::from_secs(1);

/// An HTTP/1 connection: the session of its stream.
pub(super) struct HttpConnection {
    pub(super) conn: Connection,
    pub(super) service: Rc<Service>,
    this: Weak<HttpConnection>,
    state: RefCell<ConnectionState>,
}

/// The mutable state of a connection.
pub(super) struct ConnectionState {
    /// The current exchange.
    pub(super) exchange: Option<Rc<Exchange>>,
    /// The decoder for incomplete input; `None` between requests.
    pub(super) decoder: Option<Box<Decoder>>,
    /// The response in progress, unless it is written at once.
    pub(super) streaming: Option<Box<Streaming>>,
    pub(super) deadline: LazyDeadline,
    /// Start of the current wait.
    pub(super) since: Timestamp,
    /// Time at which reading was paused, if it is paused.
    paused: Timestamp,
    /// Bytes of the body received in the current window, or discarded after the response.
    pub(super) counted: u32,
    pub(super) acknowledged: Acknowledgements,
    pub(super) flags: ConnectionFlags,
}

/// The state of a response that is not written at once.
#[derive(Default)]
pub(super) struct Streaming {
    pub(super) encoder: Option<Encoder>,
    /// The probing of a half-closed client.
    pub(super) probe: Option<ProbeState>,
}

/// The state of probing a half-closed client.
#[derive(Clone, Copy)]
pub(super) struct ProbeState {
    /// Time of the last write, or of the half-close.
    pub(super) last_write: Timestamp,
    /// Number of bytes sent in advance.
    pub(super) probes: u8,
}

thread_local! {
    static DRIVER: Cell<Option<DriverId>> = const { Cell::new(None) };
    /// A decoder kept for reuse.
    static DECODER: Cell<Option<Box<Decoder>>> = const { Cell::new(None) };
}

impl HttpConnection {
    pub(super) fn new(
        conn: Connection,
        service: &Rc<Service>,
        driver: &'static dyn Driver,
    ) -> Rc<Self> {
        register(driver);
        let mut flags = ConnectionFlags::FRESH;
        // Accepted before the shutdown, but the handshake ended only now.
        flags.set(ConnectionFlags::DRAINING, service.draining().is_some());
        Rc::new_cyclic(|this| HttpConnection {
            conn,
            service: Rc::clone(service),
            this: Weak::clone(this),
            state: RefCell::new(ConnectionState {
                exchange: None,
                decoder: None,
                streaming: None,
                deadline: LazyDeadline::default(),
                since: Timestamp::now(),
                paused: Timestamp::default(),
                counted: 0,
                acknowledged: Acknowledgements::default(),
                flags,
            }),
        })
    }

    /// Borrows the state. Callbacks must not run while it is borrowed.
    #[inline]
    pub(super) fn state(&self) -> RefMut<'_, ConnectionState> {
        self.state.borrow_mut()
    }

    /// Returns the current exchange.
    pub(super) fn exchange(&self) -> Option<Rc<Exchange>> {
        self.state().exchange.clone()
    }

    /// Returns the connection as the transport of its exchanges.
    #[inline]
    pub(super) fn as_transport(&self) -> Option<Rc<dyn ExchangeTransport>> {
        let this: Rc<dyn ExchangeTransport> = self.this.upgrade()?;
        Some(this)
    }

    /// Returns the token of the connection in the driver.
    pub(super) fn token(&self) -> Option<Token> {
        let driver = DRIVER.try_with(Cell::get).ok()??;
        Some(self.conn.token(driver))
    }

    /// Continues in the next iteration.
    pub(super) fn advance_later(&self) {
        if let Some(token) = self.token() {
            driver::ready_later(token, Readiness::empty());
        }
    }

    /// Ends the connection: written data is sent, and further input is discarded.
    pub(super) fn end(&self) {
        let closing = {
            let mut state = self.state();
            let closing = state.flags.contains(ConnectionFlags::CLOSING);
            state.flags.insert(ConnectionFlags::CLOSING);
            closing
        };
        if !closing {
            self.conn.end();
        }
    }

    /// Pauses reading.
    pub(super) fn pause(&self, state: &mut ConnectionState) {
        if !state.flags.contains(ConnectionFlags::PAUSED) {
            state.flags.insert(ConnectionFlags::PAUSED);
            state.paused = Timestamp::now();
            self.conn.pause();
        }
    }

    /// Resumes reading.
    #[inline]
    pub(super) fn resume(&self, state: &mut ConnectionState) {
        if state.flags.contains(ConnectionFlags::PAUSED) {
            self.resume_paused(state);
        }
    }

    #[cold]
    fn resume_paused(&self, state: &mut ConnectionState) {
        state.flags.remove(ConnectionFlags::PAUSED);
        if state
            .paused
            .after(PROGRAM_DELAY)
            .is_before(Timestamp::now())
            && let Some(exchange) = &state.exchange
        {
            exchange.program_delayed.set(true);
        }
        self.conn.resume();
    }
}

impl ConnectionState {
    /// Returns the decoder, creating it if needed.
    pub(super) fn decoder(&mut self) -> &mut Decoder {
        self.decoder.get_or_insert_with(|| {
            let kept = DECODER.try_with(Cell::take);
            kept.ok().flatten().unwrap_or_default()
        })
    }

    /// Adds bytes to the decoder.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.decoder().push(bytes);
    }

    /// Returns the decoder to the thread if it is in its initial state.
    #[inline]
    pub(super) fn drop_fresh_decoder(&mut self) {
        if let Some(decoder) = self.decoder.take_if(|decoder| decoder.is_fresh()) {
            // During thread teardown, the decoder is dropped.
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

    /// Returns the number of body bytes that are known to follow.
    #[inline]
    pub(super) fn announced(&self) -> u64 {
        self.decoder
            .as_ref()
            .map_or(0, |decoder| decoder.announced())
    }

    /// Returns the state of a response in progress, creating it if needed.
    pub(super) fn streaming(&mut self) -> &mut Streaming {
        self.streaming.get_or_insert_default()
    }

    /// Returns the encoder of a response in progress.
    pub(super) fn encoder(&self, exchange: &Exchange) -> Option<Encoder> {
        let streaming = self.streaming.as_ref()?;
        streaming.encoder.filter(|_| !exchange.is_done())
    }

    /// Ends the exchange. The caller [releases](crate::exchange::release) it while no `RefCell` is borrowed.
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
    fn the_state_of_an_idle_connection_is_small() {
        assert!(
            size_of::<HttpConnection>() <= 88,
            "{} bytes",
            size_of::<HttpConnection>()
        );
    }
}
