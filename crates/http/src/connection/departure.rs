//! Clients that have ended their side while they wait for a response: they have gone, or they are half-closed.
//!
//! A FIN is the same for both. When nothing was sent for the grace, the server sends a byte ahead of what comes next: the first
//! bytes of every response are known, and the size of a chunk may begin with zeros. The system of a client that has closed its
//! socket answers with a reset, which closes the connection here. A client that takes three such bytes is half-closed: a proxy
//! on the way may take the first before its own client resets, close its side with the second, and reset at the third.
//!
//! Cost while no client has ended its side: a flag is looked at when the connection's deadline is armed.

use uptick_socket::engine::Engine;

use super::flags::Flags;
use super::{At, Entry, Timestamp, with_entry, with_exchange};
use crate::h1::RESPONSE_START;

/// The bytes that are sent ahead for each exchange, at most.
const PROBES: u8 = 3;

/// The state of the test of a client that has ended its side.
#[derive(Clone, Copy)]
pub(super) struct Departure {
    /// When something was sent last, or when the end of the client's side was seen.
    quiet_since: Timestamp,
    /// Bytes sent ahead so far.
    probes: u8,
}

impl Entry {
    /// When the client is to be tested next, if it has ended its side and waits for a response.
    #[inline]
    pub(super) fn probe_due(&mut self) -> Option<Timestamp> {
        if !self.flags.contains(Flags::HALF_OPEN) {
            return None;
        }
        self.next_probe()
    }

    /// Whether the client is to be tested now.
    pub(super) fn is_probe_due(&mut self) -> bool {
        let due = self.probe_due();
        let departure = self.exchange.as_ref().and_then(|e| e.departure);
        due.zip(departure)
            .is_some_and(|(due, departure)| due.has_come(departure.quiet_since))
    }

    #[cold]
    fn next_probe(&mut self) -> Option<Timestamp> {
        let answered = self.flags.intersects(Flags::ANSWERED | Flags::CLOSING);
        let (half_open, grace) = {
            let timeouts = self.service.timeouts();
            (timeouts.half_open, timeouts.grace)
        };
        if answered || half_open || !self.flags.contains(Flags::ACTIVE) {
            return None;
        }
        let departure = self.exchange().departure.get_or_insert(Departure {
            quiet_since: Timestamp::now(),
            probes: 0,
        });
        (departure.probes < PROBES).then(|| departure.quiet_since.after(grace))
    }

    /// Notes that a part of the response was written, which tests the client as well.
    #[inline]
    pub(super) fn note_sent(&mut self) {
        if self.flags.contains(Flags::HALF_OPEN)
            && let Some(exchange) = &mut self.exchange
            && let Some(departure) = &mut exchange.departure
        {
            departure.quiet_since = Timestamp::now();
        }
    }

    /// How many bytes of a response that has not begun were sent ahead.
    #[inline]
    pub(super) fn sent_ahead(&self) -> u8 {
        if !self.flags.contains(Flags::HALF_OPEN) {
            return 0;
        }
        let departure = self.exchange.as_ref().and_then(|e| e.departure);
        departure.map_or(0, |departure| departure.probes)
    }
}

/// Tests whether the client is still there.
pub(super) fn probe(at: At) {
    let probe = with_exchange(at, |entry| {
        let started = entry.flags.contains(Flags::STARTED);
        let conn = entry.conn;
        let exchange = entry.exchange.as_mut()?;
        let departure = exchange.departure.as_mut()?;
        departure.quiet_since = Timestamp::now();
        if conn.is_sending() {
            // What waits to be sent is a test, and a client that takes nothing has its own limit.
            return None;
        }
        let byte = match started {
            true => exchange.encoder.and_then(|encoder| encoder.leading_byte()),
            false => RESPONSE_START.get(usize::from(departure.probes)).copied(),
        };
        departure.probes += 1;
        Some((conn, byte))
    });
    match probe.flatten() {
        Some((conn, Some(byte))) => {
            conn.write_with(|out| out.push(byte));
        }
        Some((conn, None)) => {
            tracing::debug!(
                connection = conn.id(),
                "a client ended its side and has gone"
            );
            return conn.close();
        }
        None => {}
    }
    with_entry(at.key, |entry| entry.arm(at.key));
}
