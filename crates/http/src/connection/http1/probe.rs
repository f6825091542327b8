//! Clients that half-close the connection while they wait for a response.
//!
//! A FIN does not show whether the client has closed its socket or only half-closed the connection. If nothing was sent during the grace
//! period, the server sends one byte of the next output in advance: the first bytes of every response are known, and a chunk size may start
//! with zeros. The system of a client that has closed its socket answers with a reset, which closes the connection here. A client that
//! accepts three such bytes is half-closed. Three are needed because a proxy in between may accept the first byte before its own client
//! resets, close its connection on the second, and reset on the third.
//!
//! Cost while no client is half-closed: one flag check when the connection's deadline is armed.

use uptick_event_loop::driver::Timestamp;

use uptick_socket::engine::Engine;

use super::flags::ConnectionFlags;
use super::state::{ConnectionState, HttpConnection, ProbeState};
use crate::h1::RESPONSE_START;

/// Maximum number of bytes sent in advance for each exchange.
const PROBES: u8 = 3;

impl HttpConnection {
    /// Returns the time of the next probe, if the client is half-closed and waits for a response.
    #[inline]
    pub(super) fn probe_due(&self, state: &mut ConnectionState) -> Option<Timestamp> {
        if !state.flags.contains(ConnectionFlags::HALF_OPEN) {
            return None;
        }
        self.next_probe(state)
    }

    /// Returns `true` if a probe is due now.
    pub(super) fn is_probe_due(&self, state: &mut ConnectionState) -> bool {
        let due = self.probe_due(state);
        let probe = state.probe();
        due.zip(probe)
            .is_some_and(|(due, probe)| due.has_passed(probe.last_write))
    }

    #[cold]
    fn next_probe(&self, state: &mut ConnectionState) -> Option<Timestamp> {
        let timeouts = self.service.site().settings.timeouts;
        let waits = state.exchange.as_ref().is_some_and(|e| !e.is_done());
        if timeouts.half_open || !waits || state.flags.contains(ConnectionFlags::CLOSING) {
            return None;
        }
        let probe = state.streaming().probe.get_or_insert(ProbeState {
            last_write: Timestamp::now(),
            probes: 0,
        });
        (probe.probes < PROBES).then(|| probe.last_write.after(timeouts.grace))
    }

    /// Sends a byte that makes the system of a closed client answer with a reset.
    pub(super) fn probe(&self) {
        match self.next_byte() {
            Some(Some(byte)) => {
                self.conn.write_with(|out| out.push(byte));
            }
            Some(None) => {
                tracing::debug!(
                    connection = self.conn.id(),
                    "a half-closed client that cannot be probed is considered gone"
                );
                return self.conn.close();
            }
            None => {}
        }
        self.arm(&mut self.state());
    }

    /// Returns the byte to send in advance. The outer `None` means that no probe is needed, the inner one that no byte is left.
    fn next_byte(&self) -> Option<Option<u8>> {
        let sending = self.conn.is_sending();
        let mut state = self.state();
        let started = state.exchange.as_ref()?.is_started();
        let streaming = state.streaming();
        let probe = streaming.probe.as_mut()?;
        probe.last_write = Timestamp::now();
        if sending {
            // Pending output is a probe too, and the write timeout limits a client that reads nothing.
            return None;
        }
        let byte = match started {
            true => streaming.encoder.and_then(|encoder| encoder.leading_byte()),
            false => RESPONSE_START.get(usize::from(probe.probes)).copied(),
        };
        probe.probes += 1;
        Some(byte)
    }
}

impl ConnectionState {
    fn probe(&self) -> Option<ProbeState> {
        self.streaming.as_ref()?.probe
    }

    /// Records that a part of the response was written, which is a probe too.
    #[inline]
    pub(super) fn record_write(&mut self) {
        if self.flags.contains(ConnectionFlags::HALF_OPEN)
            && let Some(streaming) = &mut self.streaming
            && let Some(probe) = &mut streaming.probe
        {
            probe.last_write = Timestamp::now();
        }
    }

    /// Returns the number of bytes of the response sent before its head.
    #[inline]
    pub(super) fn bytes_sent_ahead(&self) -> u8 {
        if !self.flags.contains(ConnectionFlags::HALF_OPEN) {
            return 0;
        }
        self.probe().map_or(0, |probe| probe.probes)
    }
}
