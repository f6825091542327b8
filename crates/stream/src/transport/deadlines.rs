//! Time limits: idle, write stall, linger. A stream has one deadline in the loop's wheel, for the limit that expires first.
//!
//! A peer that acknowledges bytes is alive, even if the kernel accepts no more for it. The acknowledged bytes are therefore
//! checked before a stream counts as idle, and a few times per write timeout while its descriptor is full.

use std::time::Duration;

use uptick_event_loop::Id;
use uptick_event_loop::driver::Timestamp;

use super::flags::StreamFlags;
use super::{StreamEntry, Transport};

/// Number of checks per write timeout. A stall is detected at most a fourth of the timeout late.
const CHECKS_PER_TIMEOUT: u32 = 4;

/// Number of acknowledged bytes that may be unread in the peer's receive buffer: 1 MiB. If more are acknowledged, its
/// program has read a part.
const RECEIVE_BUFFER: u64 = 1 << 20;

/// Rate of a slow peer that is still alive, in bytes per second.
const MIN_RATE: u64 = 1024;

/// Maximum length of a pause of a peer that has read ahead, in write timeouts.
const MAX_PAUSE: u32 = 20;

/// An expired time limit.
pub(super) enum ExpiredLimit {
    Idle(Duration),
    Stalled(Duration),
    Lingered,
}

/// Arms the deadline for the limit that expires first, unless the deadline expires earlier anyway; does nothing if no limit
/// applies.
pub(super) fn arm<T: Transport>(entry: &mut StreamEntry<T>, id: Id) {
    entry
        .flags
        .set(StreamFlags::TIMED, entry.idle_limit().is_some());
    let checked_at = entry
        .extended
        .as_ref()
        .and_then(|extended| extended.checked_at);
    let interval = entry.stall_limit().unwrap_or(Duration::MAX) / CHECKS_PER_TIMEOUT;
    let limits = entry.limits().into_iter().flatten();
    let expiries = limits.map(|(since, limit, expired)| {
        let end = since.after(limit);
        match (expired, checked_at) {
            (ExpiredLimit::Stalled(_), Some(checked_at)) => end.earlier(checked_at.after(interval)),
            _ => end,
        }
    });
    if let Some(end) = expiries.reduce(Timestamp::earlier) {
        let token = entry.token(id);
        entry.deadline.arm(|| Some(token), end);
    }
}

/// Starts the write timeout, as the descriptor accepts no more.
#[inline]
pub(super) fn blocked<T: Transport>(entry: &mut StreamEntry<T>, id: Id) {
    entry.progress = Timestamp::now();
    // Later acknowledgements are compared with a recent check.
    let checked_at = entry
        .extended
        .as_ref()
        .and_then(|extended| extended.checked_at);
    if let Some(limit) = entry.stall_limit()
        && checked_at.is_none_or(|checked_at| checked_at.age() >= limit / CHECKS_PER_TIMEOUT)
    {
        entry.check_peer();
    }
    arm(entry, id);
}

/// Returns the expired limit after the deadline has expired; arms the deadline again if there is none.
pub(super) fn expired<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> Option<ExpiredLimit> {
    entry.deadline.expired();
    entry.count_acknowledged();
    let limits = entry.limits().into_iter().flatten();
    let mut expired = limits.filter(|(since, limit, _)| since.is_over(*limit));
    let expired = expired.next().map(|(_, _, expired)| expired);
    if expired.is_none() {
        arm(entry, id);
    }
    expired
}

impl<T: Transport> StreamEntry<T> {
    /// Returns the limits that apply now, each with its starting time.
    fn limits(&self) -> [Option<(Timestamp, Duration, ExpiredLimit)>; 3] {
        let flags = self.flags;
        if flags.contains(StreamFlags::CLOSING) {
            return [None, None, None];
        }
        let is_lingering = self.is_lingering();
        let linger = is_lingering.then(|| (self.progress, self.linger(), ExpiredLimit::Lingered));
        let stall = self
            .pause_limit()
            .filter(|_| flags.contains(StreamFlags::BLOCKED))
            .map(|limit| (self.progress, limit, ExpiredLimit::Stalled(limit)));
        let idle = self
            .idle_limit()
            .filter(|_| !is_lingering)
            .map(|limit| (self.active, limit, ExpiredLimit::Idle(limit)));
        [linger, stall, idle]
    }

    /// Returns whether the stream waits for the peer's end of stream after its own.
    fn is_lingering(&self) -> bool {
        self.flags.contains(StreamFlags::LINGERING)
    }

    /// Returns the maximum time without an acknowledgement: the write timeout, plus the time that a slow peer would have
    /// needed for the bytes that this peer has read. A client that limits its rate reads a burst, and then nothing until its
    /// average is right.
    fn pause_limit(&self) -> Option<Duration> {
        let limit = self.stall_limit()?;
        let acknowledged = self
            .extended
            .as_ref()
            .map_or(0, |extended| extended.acknowledged);
        let ahead = Duration::from_secs(acknowledged.saturating_sub(RECEIVE_BUFFER) / MIN_RATE);
        Some(
            limit
                .saturating_add(ahead)
                .min(limit.saturating_mul(MAX_PAUSE)),
        )
    }

    /// Counts bytes acknowledged since the last check as progress and activity, if a limit depends on it.
    fn count_acknowledged(&mut self) {
        let blocked = self.flags.contains(StreamFlags::BLOCKED);
        let idle_pending = self.idle_limit().is_some() && !self.is_acknowledged();
        if self.is_lingering() || !(blocked || idle_pending) {
            return;
        }
        let progressed = self.check_peer();
        if blocked && progressed {
            self.progress = Timestamp::now();
        }
        if self.idle_limit().is_some() {
            // Bytes in flight are acknowledged soon and prove nothing. A peer without room for the rest is reading.
            let has_unsent = blocked || self.unsent() > 0;
            let had_unsent = std::mem::replace(&mut self.extended().had_unsent, has_unsent);
            if progressed && (has_unsent || had_unsent) {
                self.touch();
            }
        }
    }
}
