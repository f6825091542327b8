//! The keys of session tickets as a function of time. It has no clock: seconds since 1970 are passed in.
//!
//! Time is divided into periods. The current period has a secret, from which the key of the period is derived and, by a one-way
//! function, the secret of the next period, which replaces it. So all holders of the same secret rotate to the same keys, and
//! the keys of past periods cannot be computed from it.

use super::crypto::{Crypto, Secret};

/// The length of a period in seconds: 6 h, as in rustls.
pub(super) const PERIOD: u64 = 6 * 60 * 60;

/// The lifetime of a ticket in seconds: 12 h, as in rustls. RFC 8446, section 4.6.1 allows 7 days.
pub(super) const LIFETIME: u32 = 12 * 60 * 60;

/// The number of past periods whose keys are kept, because their tickets may still be valid.
pub(super) const PREVIOUS: usize = 2;

/// The maximum difference of the clocks of two processes in seconds.
pub(super) const SKEW: u64 = 5 * 60;

/// The maximum number of periods to advance at once, about 90 years. A clock that is farther ahead is considered wrong.
const MAX_STEPS: u64 = 128 * 1024;

pub(super) struct Ratchet {
    crypto: Crypto,
    period: u64,
    secret: Secret,
    /// The key of the current period.
    key: Secret,
    /// The keys of the previous periods, the latest first.
    previous: [Option<Secret>; PREVIOUS],
}

/// Returns the number of the period at a time.
pub(super) fn period_at(now: u64) -> u64 {
    now / PERIOD
}

fn key_of(crypto: &Crypto, secret: &Secret) -> Option<Secret> {
    crypto.derive(secret, &[b"uptick ticket key"])
}

fn next_of(crypto: &Crypto, secret: &Secret) -> Option<Secret> {
    crypto.derive(secret, &[b"uptick ticket next"])
}

impl Ratchet {
    /// Creates a ratchet. Returns `None` if the provider cannot derive keys.
    pub(super) fn new(
        crypto: Crypto,
        period: u64,
        secret: Secret,
        previous: [Option<Secret>; PREVIOUS],
    ) -> Option<Self> {
        Some(Ratchet {
            crypto,
            period,
            key: key_of(&crypto, &secret)?,
            secret,
            previous,
        })
    }

    /// Advances to the period of `now`, and erases keys that are no longer needed. A clock that runs backwards changes nothing.
    ///
    /// Returns `false` if the clock is considered wrong.
    pub(super) fn advance(&mut self, now: u64) -> bool {
        let target = period_at(now);
        if target <= self.period {
            return true;
        }
        if target - self.period > MAX_STEPS {
            return false;
        }
        while self.period < target {
            let Some(next) = next_of(&self.crypto, &self.secret) else {
                return true;
            };
            // The keys of older periods are not needed.
            let is_needed = target - self.period <= PREVIOUS as u64;
            let key = match is_needed {
                true => key_of(&self.crypto, &self.secret),
                false => None,
            };
            self.previous.rotate_right(1);
            if let Some(latest) = self.previous.first_mut() {
                *latest = key;
            }
            self.secret = next;
            self.period += 1;
        }
        if let Some(key) = key_of(&self.crypto, &self.secret) {
            self.key = key;
        }
        true
    }

    pub(super) fn period(&self) -> u64 {
        self.period
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn previous(&self) -> &[Option<Secret>; PREVIOUS] {
        &self.previous
    }

    /// Returns the key for new tickets.
    pub(super) fn key(&self) -> &Secret {
        &self.key
    }

    /// Returns the key of the period whose number ends with `tag`, if tickets of that period can be valid at `now`. The
    /// next period is included within [`SKEW`] of its beginning.
    pub(super) fn key_for(&self, tag: u8, now: u64) -> Option<Secret> {
        let age = (self.period as u8).wrapping_sub(tag);
        if age == 0 {
            return Some(self.key.clone());
        }
        if age == u8::MAX {
            let is_near = period_at(now.saturating_add(SKEW)) > self.period;
            let next = is_near.then(|| next_of(&self.crypto, &self.secret))?;
            return key_of(&self.crypto, &next?);
        }
        self.previous.get(usize::from(age) - 1)?.clone()
    }
}

/// Returns `true` if a ticket issued at `issued` is valid at `now`.
pub(super) fn is_valid(issued: u64, now: u64) -> bool {
    issued <= now.saturating_add(SKEW) && now.saturating_sub(issued) < u64::from(LIFETIME)
}
