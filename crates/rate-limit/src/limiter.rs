//! The table of keys.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use indexmap::IndexMap;

use crate::client::Client;
use crate::decision::Decision;
use crate::limit::{Limit, State, nanos};

/// A [`Limit`] for each key: a client's address, a user's name, whatever requests are counted by.
///
/// It has no clock: each call is given the time since some fixed moment, as a monotonic clock tells it. A time before that
/// of an earlier call counts as the earlier one.
///
/// # Limits
/// It knows 65,536 keys at most ([`max_keys`](RateLimiter::max_keys)); of [`Client`]s these take at most 7 MB. Keys
/// that are within their limit as if they had never come make room for others. If there are too few of these, a
/// key that has used little gives way, and what it had used is remembered as the least that every unknown key has
/// used. So
/// * no key ever gets more than its limit, however many others come: a client that is refused cannot free itself with requests from
///   other addresses;
/// * keys that are known do not notice a flood of others while they stay known, and those that have used little are the first
///   to be forgotten;
/// * unknown keys are refused only while many thousands of others use, together, about half of what the whole table could, or
///   more.
///
/// A call takes the same time however many keys there are.
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
    /// What every unknown key has used at least.
    floor: State,
    /// The latest time given.
    now: u64,
    /// Where to look next for keys that can go.
    hand: usize,
    /// Which keys give way is not to be foreseen.
    random: RandomState,
    draws: u64,
}

const DEFAULT_MAX_KEYS: usize = 65_536;

/// How many keys are looked at for each new one, to drop those that are over.
const SWEPT: usize = 2;

/// Of how many keys the one that has used least gives way. If half of the table is at the limit, one choice in 65,536 hits such
/// a key.
const CANDIDATES: usize = 16;

impl<K: Hash + Eq> RateLimiter<K> {
    /// Makes a limiter that has seen no key yet.
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

    /// Sets how many keys are known at most; 0 counts as 1. Room for them is taken as they come. Default: 65,536.
    pub fn max_keys(mut self, max_keys: usize) -> RateLimiter<K> {
        self.max_keys = max_keys.max(1);
        while self.keys.len() > self.max_keys {
            self.forget_one(self.now);
        }
        self
    }

    /// The limit of each key.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Lets a request of this key through, or refuses it. A refused one counts for nothing.
    pub fn check<Q>(&mut self, key: &Q, now: Duration) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_cost(key, 1, now)
    }

    /// As [`check`](RateLimiter::check), for a request that counts as so many; one that counts as 0 asks without taking
    /// anything. One that counts as more than the limit is never let through, and has no
    /// [`retry_after`](Decision::retry_after).
    ///
    /// # Examples
    /// Keys are anything that can be hashed; a text is copied only when it is new.
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

    /// Takes back a request of a key that was let through by [`check`](RateLimiter::check), such as an attempt to log in that has succeeded
    /// where failures are limited. In a fixed window that began after the request, one of the requests of that window is taken back.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_rate_limit::{Limit, RateLimiter};
    ///
    /// let mut limiter: RateLimiter<String> =
    ///     RateLimiter::new(Limit::fixed_window(3, Duration::from_secs(60)));
    /// assert_eq!(limiter.check("alice", Duration::ZERO).remaining, 2);
    /// limiter.give_back("alice", Duration::ZERO);
    /// assert_eq!(limiter.check_cost("alice", 0, Duration::ZERO).remaining, 3);
    /// ```
    pub fn give_back<Q>(&mut self, key: &Q, now: Duration)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = nanos(now).max(self.now);
        self.now = now;
        if let Some(state) = self.keys.get_mut(key) {
            self.limit.give_back(state, 1, now);
        }
    }

    /// Forgets what a key has used, as after a login that succeeded. Gives whether it was known.
    pub fn forget<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.keys.swap_remove(key).is_some()
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Drops a few keys that are over, and if the table is full all the same, one that is not.
    fn make_room(&mut self, now: u64) {
        for _ in 0..SWEPT {
            if self.hand >= self.keys.len() {
                self.hand = 0;
            }
            match self.keys.get_index(self.hand) {
                // The last one takes its place, and is the next to be looked at.
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

    /// Forgets the key that has used least of some, and remembers how much that was.
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

    /// An index of the table; the hash of a counter is random enough, and its key is secret.
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
