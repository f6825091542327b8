//! The keys that encrypt session tickets (RFC 8446, section 4.6.1; RFC 5077).

mod crypto;
mod policy;
mod ratchet;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod ticketer;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::error::Error;
use crypto::{Crypto, KEY_LENGTH, Secret};
use ratchet::{Ratchet, period_at};

pub(crate) use policy::ClientPolicy;
pub(crate) use ticketer::Ticketer;

/// The keys of all contexts without explicit keys.
static OF_PROCESS: OnceLock<TicketKeys> = OnceLock::new();

/// The keys that encrypt session tickets, rotated over time. It is a handle: clones share the keys, and any thread may use them.
///
/// A server stores nothing about a session for which it issued a ticket: the client returns the ticket, and any holder of the keys can
/// resume the session. By default all contexts of a process have the same keys ([`of_process`](TicketKeys::of_process)), so that
/// a client can resume its session on any thread and after a reload. For several processes, [`export`](TicketKeys::export) the
/// keys of one, send them over a private channel, and [`import`](TicketKeys::import) and [`install`](TicketKeys::install) them in
/// the others.
///
/// A new secret replaces the current one every 6 hours of the wall clock. It is computed from the current one by a one-way function,
/// so that all holders rotate to the same keys without messages, and a stolen secret does not decrypt earlier sessions. A
/// ticket is accepted for 12 hours; the keys required for that are kept, and older ones are erased from memory. There is
/// no timer: the rotation happens when keys are next used.
///
/// A context only accepts tickets that were issued under the same conditions: the same
/// [`verify_peer`](crate::TlsContext::verify_peer), the same CA certificates for clients
/// ([`cafile`](crate::TlsContext::cafile)), and a server certificate for the same names. Otherwise the handshake is a full one,
/// as it is for tickets that have expired or were modified, and for clients whose certificate has expired in the meantime.
///
/// # Limits
/// The clocks of processes may differ by 5 minutes: tickets of a period that begins within that time are accepted. If a clock
/// is set back, the keys do not rotate until it has caught up. A session with more than 16 KiB of state, such as a long chain of
/// client certificates, gets no ticket.
///
/// # Examples
/// ```no_run
/// use uptick_tls::TicketKeys;
///
/// // In the parent process:
/// let state = TicketKeys::of_process()?.export()?;
/// // In a worker process, before it loads a context:
/// TicketKeys::import(&state)?.install()?;
/// # Ok::<(), uptick_tls::Error>(())
/// ```
#[derive(Clone)]
pub struct TicketKeys {
    inner: Arc<TicketKeysState>,
}

/// The state that clones share.
struct TicketKeysState {
    crypto: Crypto,
    clock: Clock,
    ratchet: Mutex<Ratchet>,
}

/// A clock in seconds since 1970.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

fn system_clock() -> Clock {
    // A time before 1970 counts as 1970.
    Box::new(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    })
}

impl TicketKeys {
    /// Creates new random keys.
    ///
    /// # Errors
    /// [`Error::TicketKeys`] if the system has no random bytes.
    pub fn new() -> Result<Self, Error> {
        TicketKeys::with_clock(system_clock())
    }

    fn with_clock(clock: Clock) -> Result<Self, Error> {
        let failed = |reason: &str| Error::ticket_keys("creating", reason);
        let crypto = Crypto::new().ok_or_else(|| failed(NO_CIPHER))?;
        let mut secret: Secret = Box::new(Zeroizing::new([0; KEY_LENGTH]));
        crypto
            .fill_random(&mut secret[..])
            .ok_or_else(|| failed("the system has no random bytes"))?;
        let ratchet = Ratchet::new(crypto, period_at(clock()), secret, Default::default())
            .ok_or_else(|| failed(NO_CIPHER))?;
        Ok(TicketKeys::of(crypto, clock, ratchet))
    }

    fn of(crypto: Crypto, clock: Clock, ratchet: Ratchet) -> Self {
        let inner = TicketKeysState {
            crypto,
            clock,
            ratchet: Mutex::new(ratchet),
        };
        TicketKeys {
            inner: Arc::new(inner),
        }
    }

    /// Returns the keys of all contexts of this process without explicit keys
    /// ([`ticket_keys`](crate::TlsContext::ticket_keys)). They are created on first use, unless other keys were
    /// [installed](TicketKeys::install) before.
    ///
    /// # Errors
    /// The same as [`new`](TicketKeys::new).
    pub fn of_process() -> Result<Self, Error> {
        if let Some(keys) = OF_PROCESS.get() {
            return Ok(keys.clone());
        }
        let new = TicketKeys::new()?;
        Ok(OF_PROCESS.get_or_init(|| new).clone())
    }

    /// Installs these keys as the keys of the process. Call it before a context is loaded or [`of_process`](TicketKeys::of_process) is called.
    ///
    /// # Errors
    /// [`Error::TicketKeys`] if the process already has keys.
    pub fn install(self) -> Result<(), Error> {
        OF_PROCESS.set(self).map_err(|_| {
            let reason = "this process already has keys: install them before a context is loaded";
            Error::ticket_keys("installing", reason)
        })
    }

    /// Returns the current keys as bytes, for [`import`](TicketKeys::import) in another process. The bytes are erased from memory
    /// when they are dropped.
    ///
    /// The bytes are secret: with them, an attacker can decrypt and forge all valid and future tickets, and decrypt recorded
    /// TLS 1.2 connections whose tickets were recorded too. Send them over a private channel, and do not store them.
    ///
    /// # Errors
    /// [`Error::TicketKeys`] if the cryptography provider fails.
    pub fn export(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (ratchet, _) = self.now();
        state::encode(&self.inner.crypto, &ratchet)
            .ok_or_else(|| Error::ticket_keys("exporting", NO_CIPHER))
    }

    /// Parses exported keys, and advances them to the current time.
    ///
    /// # Errors
    /// [`Error::TicketKeys`] if the bytes are not a complete export, if they were modified, if their format version is not
    /// supported, or if they are older than about 90 years, which means that one of the two clocks is wrong.
    pub fn import(bytes: &[u8]) -> Result<Self, Error> {
        TicketKeys::import_with_clock(bytes, system_clock())
    }

    fn import_with_clock(bytes: &[u8], clock: Clock) -> Result<Self, Error> {
        let failed = |reason: &str| Error::ticket_keys("importing", reason);
        let crypto = Crypto::new().ok_or_else(|| failed(NO_CIPHER))?;
        let mut ratchet = state::decode(crypto, bytes).map_err(|reason| failed(&reason))?;
        if !ratchet.advance(clock()) {
            let reason = "they are many years old: check the clock of this machine";
            return Err(failed(reason));
        }
        Ok(TicketKeys::of(crypto, clock, ratchet))
    }

    /// Advances the keys to the current time, and returns them with that time in seconds since 1970.
    fn now(&self) -> (MutexGuard<'_, Ratchet>, u64) {
        let now = (self.inner.clock)();
        let ratchet = self.inner.ratchet.lock();
        let mut ratchet = ratchet.unwrap_or_else(PoisonError::into_inner);
        ratchet.advance(now);
        (ratchet, now)
    }

    /// Returns the key for a new ticket, the last byte of its period's number, and the time.
    fn sealing_key(&self) -> (Secret, u8, u64) {
        let (ratchet, now) = self.now();
        (ratchet.key().clone(), ratchet.period() as u8, now)
    }

    /// Returns the key for a ticket of the period whose number ends with `tag`, and the time.
    fn opening_key(&self, tag: u8) -> Option<(Secret, u64)> {
        let (ratchet, now) = self.now();
        Some((ratchet.key_for(tag, now)?, now))
    }
}

const NO_CIPHER: &str = "the cryptography provider does not support them";

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys")
            .field("period", &self.now().0.period())
            .finish_non_exhaustive()
    }
}
