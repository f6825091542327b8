//! Clients that have ended their side while they wait for a response: they have gone, or they are half-closed.
//!
//! A FIN is the same for both. When nothing was sent for the grace, the server sends a byte ahead of what comes next: the first
//! bytes of every response are known, and the size of a chunk may begin with zeros. The system of a client that has closed its
//! socket answers with a reset, which closes the connection here. A client that takes three such bytes is half-closed: a proxy
//! on the way may take the first before its own client resets, close its side with the second, and reset at the third.
//!
//! Cost while no client has ended its side: a flag is looked at when the connection's deadline is armed.

use uptick_event_loop::driver::Timestamp;

use uptick_socket::engine::Engine;

use super::flags::Flags;
use super::state::{Departure, HttpConnection, State};
use crate::h1::RESPONSE_START;

/// The bytes that are sent ahead for each exchange, at most.
const PROBES: u8 = 3;

impl HttpConnection {
    /// Returns when the client is to be tested next, if it has ended its side and waits for a response.
    #[inline]
    pub(super) fn probe_due(&self, state: &mut State) -> Option<Timestamp> {
        if !state.flags.contains(Flags::HALF_OPEN) {
            return None;
        }
        self.next_probe(state)
    }

    /// Returns whether the client is to be tested now.
    pub(super) fn is_probe_due(&self, state: &mut State) -> bool {
        let due = self.probe_due(state);
        let departure = state.departure();
        due.zip(departure)
            .is_some_and(|(due, departure)| due.has_come(departure.quiet_since))
    }

    #[cold]
    fn next_probe(&self, state: &mut State) -> Option<Timestamp> {
        let timeouts = self.service.site().settings.timeouts;
        let waits = state.exchange.as_ref().is_some_and(|e| !e.is_done());
        if timeouts.half_open || !waits || state.flags.contains(Flags::CLOSING) {
            return None;
        }
        let departure = state.streaming().departure.get_or_insert(Departure {
            quiet_since: Timestamp::now(),
            probes: 0,
        });
        (departure.probes < PROBES).then(|| departure.quiet_since.after(timeouts.grace))
    }

    /// Tests whether the client is still there.
    pub(super) fn probe(&self) {
        match self.next_byte() {
            Some(Some(byte)) => {
                self.conn.write_with(|out| out.push(byte));
            }
            Some(None) => {
                tracing::debug!(
                    connection = self.conn.id(),
                    "a client ended its side and has gone"
                );
                return self.conn.close();
            }
            None => {}
        }
        self.arm(&mut self.state());
    }

    /// Returns the byte that is sent ahead next; the inner `None` when there is no such byte, the outer one when none is needed.
    fn next_byte(&self) -> Option<Option<u8>> {
        let sending = self.conn.is_sending();
        let mut state = self.state();
        let started = state.exchange.as_ref()?.is_started();
        let streaming = state.streaming();
        let departure = streaming.departure.as_mut()?;
        departure.quiet_since = Timestamp::now();
        if sending {
            // What waits to be sent is a test, and a client that takes nothing has its own limit.
            return None;
        }
        let byte = match started {
            true => streaming.encoder.and_then(|encoder| encoder.leading_byte()),
            false => RESPONSE_START.get(usize::from(departure.probes)).copied(),
        };
        departure.probes += 1;
        Some(byte)
    }
}

impl State {
    fn departure(&self) -> Option<Departure> {
        self.streaming.as_ref()?.departure
    }

    /// Notes that a part of the response was written, which tests the client as well.
    #[inline]
    pub(super) fn note_sent(&mut self) {
        if self.flags.contains(Flags::HALF_OPEN)
            && let Some(streaming) = &mut self.streaming
            && let Some(departure) = &mut streaming.departure
        {
            departure.quiet_since = Timestamp::now();
        }
    }

    /// Returns how many bytes of a response that has not begun were sent ahead.
    #[inline]
    pub(super) fn sent_ahead(&self) -> u8 {
        if !self.flags.contains(Flags::HALF_OPEN) {
            return 0;
        }
        self.departure().map_or(0, |departure| departure.probes)
    }
}
