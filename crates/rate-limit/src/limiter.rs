//! The table of keys.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use indexmap::IndexMap;

use crate::client::Client;
use crate::decision::Decision;
use crate::limit::{Limit, State, nanos};

/// A rate limiter that applies a [`Limit`] to each key, such as a client address or a user name.
///
/// It has no clock: each call takes the time since some fixed moment, from a monotonic clock. An earlier time than in a previous call counts as
/// the previous one.
///
/// # Limits
/// The table holds at most 65,536 keys ([`max_keys`](RateLimiter::max_keys)); for [`Client`]s that is at most 7 MB. Keys
/// whose whole limit is available again are removed to make room for new ones. If there are too few of these, a key with little usage is
/// evicted, and its usage becomes the minimum usage of every unknown key. Therefore:
/// * No key exceeds its limit, no matter how many other keys there are: a refused client cannot reset its limit with requests from
///   other addresses.
/// * A flood of other keys does not affect the keys in the table. Keys with little usage are evicted
///   first.
/// * Unknown keys are refused only while many thousands of other keys together use about half of the capacity of the table or
///   more.
///
/// The time for a call does not depend on the number of keys.
///
/// # Examples
/// ```
/// use std::net::IpAddr;
/// use std::time::Duration;
/// use uptick_rate_limit::{Client, Limit, RateLimiter};
///
/// let mut limiter = RateLimiter::new(Limit::fixed_window(2, Duration::from_secs(60)));
/// let client = Client::from(IpAddr::from([192, 0, 2, 1]));
///
/// assert_eq!(limiter.check(&client, Duration::from_secs(1)).remaining, 1);
/// assert!(limiter.check(&client, Duration::from_secs(2)).allowed);
/// let refused = limiter.check(&client, Duration::from_secs(3));
/// assert!(!refused.allowed);
/// assert_eq!(refused.retry_after, Some(Duration::from_secs(58)));
/// ```
pub struct RateLimiter<K = Client> {
    limit: Limit,
    max_keys: usize,
    keys: IndexMap<K, State>,
    /// The minimum usage of every unknown key.
    floor: State,
    /// The latest time passed by the caller.
    now: u64,
    /// Index of the next key to check for expiry.
    hand: usize,
    /// The secret for choosing eviction candidates, so that clients cannot predict them.
    random: RandomState,
    draws: u64,
}

const DEFAULT_MAX_KEYS: usize = 65_536;

/// Number of keys checked for expiry for each new key.
const SWEEP_COUNT: usize = 2;

/// Number of random candidates, of which the key with the lowest usage is evicted. If half of the keys in the table are at their limit, one
/// eviction in 65,536 removes such a key.
const CANDIDATES: usize = 16;

impl<K: Hash + Eq> RateLimiter<K> {
    /// Creates an empty limiter.
    pub fn new(limit: Limit) -> RateLimiter<K> {
        RateLimiter {
            limit,
            max_keys: DEFAULT_MAX_KEYS,
            keys: IndexMap::new(),
            floor: State::default(),
            now: 0,
            hand: 0,
            random: RandomState::new(),
            draws: 0,
        }
    }

    /// Sets the maximum number of keys; 0 counts as 1. Memory is allocated as keys are added. Default: 65,536.
    pub fn max_keys(mut self, max_keys: usize) -> RateLimiter<K> {
        self.max_keys = max_keys.max(1);
        while self.keys.len() > self.max_keys {
            self.forget_one(self.now);
        }
        self
    }

    /// Returns the limit of each key.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Allows or refuses a request with this key. A refused request is not counted.
    pub fn check<Q>(&mut self, key: &Q, now: Duration) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_cost(key, 1, now)
    }

    /// Allows or refuses a request with this cost. A cost of 0 only queries the state. A request that costs more than the limit is
    /// always refused, and its [`retry_after`](Decision::retry_after) is `None`.
    ///
    /// # Examples
    /// A key can be of any type that implements `Hash`; a string is copied only when it is new:
    /// ```
    /// use std::time::Duration;
    /// use uptick_rate_limit::{Limit, RateLimiter};
    ///
    /// let mut limiter: RateLimiter<String> =
    ///     RateLimiter::new(Limit::token_bucket(10, Duration::from_secs(1)));
    /// assert!(limiter.check_cost("alice", 8, Duration::ZERO).allowed);
    /// assert!(!limiter.check_cost("alice", 8, Duration::ZERO).allowed);
    /// assert_eq!(limiter.check_cost("alice", 0, Duration::ZERO).remaining, 2);
    /// ```
    pub fn check_cost<Q>(&mut self, key: &Q, cost: u32, now: Duration) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let now = nanos(now).max(self.now);
        self.now = now;
        if let Some(state) = self.keys.get_mut(key) {
            return self.limit.take(state, cost, now);
        }
        let mut state = self.floor;
        let decision = self.limit.take(&mut state, cost, now);
        if decision.allowed && cost > 0 {
            self.make_room(now);
            self.keys.insert(key.to_owned(), state);
        }
        decision
    }

    /// Reverts a request that [`check`](RateLimiter::check) has allowed, such as a successful login where only failures are limited.
    /// If a new fixed window has started since then, one of the requests of the new window is reverted.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_rate_limit::{Limit, RateLimiter};
    ///
    /// let mut limiter: RateLimiter<String> =
    ///     RateLimiter::new(Limit::fixed_window(3, Duration::from_secs(60)));
    /// assert_eq!(limiter.check("alice", Duration::ZERO).remaining, 2);
    /// limiter.revert("alice", Duration::ZERO);
    /// assert_eq!(limiter.check_cost("alice", 0, Duration::ZERO).remaining, 3);
    /// ```
    pub fn revert<Q>(&mut self, key: &Q, now: Duration)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = nanos(now).max(self.now);
        self.now = now;
        if let Some(state) = self.keys.get_mut(key) {
            self.limit.revert(state, 1, now);
        }
    }

    /// Removes a key with its usage, for example after a successful login. Returns `true` if the key was in the table.
    pub fn forget<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.keys.swap_remove(key).is_some()
    }

    /// Returns the number of keys in the table.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns `true` if the table is empty.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Removes expired keys among the next few, and evicts another key if the table is still full.
    fn make_room(&mut self, now: u64) {
        for _ in 0..SWEEP_COUNT {
            if self.hand >= self.keys.len() {
                self.hand = 0;
            }
            match self.keys.get_index(self.hand) {
                // The last key moves to this index and is checked next.
                Some((_, state)) if state.is_over(now) => {
                    self.keys.swap_remove_index(self.hand);
                }
                _ => self.hand += 1,
            }
        }
        if self.keys.len() >= self.max_keys {
            self.forget_one(now);
        }
    }

    /// Evicts the key with the lowest usage among some random ones, and raises the minimum usage of unknown keys to it.
    fn forget_one(&mut self, now: u64) {
        let mut lightest = None;
        for _ in 0..CANDIDATES {
            let index = self.random_index();
            let weight = self
                .keys
                .get_index(index)
                .map(|(_, state)| state.weight(now));
            if let Some(weight) = weight
                && lightest.is_none_or(|(least, _)| weight < least)
            {
                lightest = Some((weight, index));
            }
        }
        if let Some((_, index)) = lightest
            && let Some((_, state)) = self.keys.swap_remove_index(index)
        {
            self.floor = self.floor.stricter(state, now);
        }
    }

    /// Returns a random index into the table: the hash of a counter with a secret key.
    fn random_index(&mut self) -> usize {
        self.draws = self.draws.wrapping_add(1);
        let random = self.random.hash_one(self.draws);
        let index = (u128::from(random) * self.keys.len() as u128) >> 64;
        index as usize
    }
}

impl<K> fmt::Debug for RateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("limit", &self.limit)
            .field("keys", &self.keys.len())
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
