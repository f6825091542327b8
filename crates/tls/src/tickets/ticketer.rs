//! Tickets, which are encrypted sessions.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | the version of the format |
//! | 1 | the last byte of the number of the period in which the ticket was issued |
//! | 16 | random bytes |
//! | 8 | encrypted: the time of issue in seconds since 1970, big-endian |
//! | … | encrypted: the session |
//! | 17 | the overhead of the encryption |
//!
//! The key is the hash of the key of the period, the policy and the random bytes, so that each ticket has a different key: a ticket of another
//! policy cannot be decrypted, and a key would be used twice only if random bytes repeated within a period. The hash serves as a
//! pseudorandom function, because the lengths of its inputs are fixed; HKDF takes three times as long.

use std::fmt;

use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::TicketKeys;
use super::crypto::{Secret, secret};
use super::policy::TicketPolicy;
use super::ratchet::{LIFETIME, is_valid};
use super::session::client_is_current;

const VERSION: u8 = 1;

/// The number of random bytes.
const RANDOM: usize = 16;

/// The length of the unencrypted part.
const HEADER: usize = 2 + RANDOM;

/// The length of the time of issue.
const TIME: usize = 8;

/// The length of the content type and the tag of the encryption.
const OVERHEAD: usize = 1 + 16;

/// The maximum length of a session that gets a ticket: one TLS record.
const MAX_SESSION: usize = 16 * 1024 - TIME;

/// The ticket producer of a context with one policy.
pub(crate) struct Ticketer {
    keys: TicketKeys,
    policy: TicketPolicy,
}

impl Ticketer {
    pub(crate) fn new(keys: TicketKeys, policy: TicketPolicy) -> Self {
        Ticketer { keys, policy }
    }

    fn key(&self, period_key: &Secret, random: &[u8]) -> Option<Secret> {
        let parts = [
            b"uptick ticket",
            &period_key[..],
            self.policy.as_bytes(),
            random,
        ];
        let key = Zeroizing::new(self.keys.inner.crypto.hash(parts)?);
        Some(secret(&key))
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        if session.len() > MAX_SESSION {
            return None;
        }
        let crypto = &self.keys.inner.crypto;
        let (period_key, tag, now) = self.keys.sealing_key();
        let mut random = [0; RANDOM];
        crypto.fill_random(&mut random)?;
        let mut ticket = Vec::with_capacity(HEADER + TIME + session.len() + OVERHEAD);
        ticket.extend_from_slice(&[VERSION, tag]);
        ticket.extend_from_slice(&random);
        let key = self.key(&period_key, &random)?;
        crypto.seal(&key, &[&now.to_be_bytes(), session], &mut ticket)?;
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (header, sealed) = ticket.split_at_checked(HEADER)?;
        let [VERSION, tag, random @ ..] = header else {
            return None;
        };
        if sealed.len() > TIME + MAX_SESSION + OVERHEAD {
            return None;
        }
        let (period_key, now) = self.keys.opening_key(*tag)?;
        let key = self.key(&period_key, random)?;
        let mut session = sealed.to_vec();
        let length = self.keys.inner.crypto.open(&key, &mut session)?;
        session.truncate(length);
        let issued = u64::from_be_bytes(*session.first_chunk()?);
        if !is_valid(issued, now) {
            return None;
        }
        session.drain(..TIME);
        if self.policy.verifies_clients && !client_is_current(&session, now) {
            return None;
        }
        Some(session)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticketer").field(&self.keys).finish()
    }
}
