//! Limits of time: idle, write stall, linger. A stream has one deadline in the loop's wheel, for the earliest of them.
//!
//! A peer that acknowledges bytes is alive, also while the kernel takes no more for it. So the kernel is asked what the peer
//! has acknowledged before a stream is taken for idle, and a few times in each write timeout while its descriptor is full.

use std::time::Duration;

use uptick_event_loop::Id;
use uptick_event_loop::driver::Timestamp;

use super::flags::Flags;
use super::{Entry, Transport};

/// How often the kernel is asked in each write timeout. A peer has stalled at most a fourth of the limit too late.
const LOOKS: u32 = 4;

/// The number of acknowledged bytes that may all wait in the peer's receive buffer: 1 MiB. Of more, its program has read a part.
const UNREAD: u64 = 1 << 20;

/// The number of bytes in a second of a peer that is slow and alive.
const SLOW: u64 = 1024;

/// How many write timeouts a peer may pause at most that has read ahead.
const PAUSE: u32 = 20;

/// A time limit that is over.
pub(super) enum Over {
    Idle(Duration),
    Stalled(Duration),
    Lingered,
}

/// Arms the deadline for the limit that is over first, unless it expires before; does nothing where no limit applies.
pub(super) fn arm<T: Transport>(entry: &mut Entry<T>, id: Id) {
    entry.flags.set(Flags::TIMED, entry.idle_limit().is_some());
    let looked = entry.rare.as_ref().and_then(|rare| rare.looked);
    let interval = entry.stall_limit().unwrap_or(Duration::MAX) / LOOKS;
    let limits = entry.limits().into_iter().flatten();
    let ends = limits.map(|(since, limit, over)| {
        let end = since.after(limit);
        match (over, looked) {
            (Over::Stalled(_), Some(looked)) => end.earlier(looked.after(interval)),
            _ => end,
        }
    });
    if let Some(end) = ends.reduce(Timestamp::earlier) {
        let token = entry.token(id);
        entry.deadline.arm(|| Some(token), end);
    }
}

/// The descriptor takes no more: the peer's time begins.
#[inline]
pub(super) fn blocked<T: Transport>(entry: &mut Entry<T>, id: Id) {
    entry.progress = Timestamp::now();
    // What is acknowledged from now on is compared with a look that is not much older.
    let looked = entry.rare.as_ref().and_then(|rare| rare.looked);
    if let Some(limit) = entry.stall_limit()
        && looked.is_none_or(|looked| looked.age() >= limit / LOOKS)
    {
        entry.look_at_peer();
    }
    arm(entry, id);
}

/// Returns the limit that is over now that the deadline has expired; arms the deadline again when there is none.
pub(super) fn expired<T: Transport>(entry: &mut Entry<T>, id: Id) -> Option<Over> {
    entry.deadline.expired();
    entry.count_acknowledged();
    let limits = entry.limits().into_iter().flatten();
    let mut over = limits.filter(|(since, limit, _)| since.is_over(*limit));
    let over = over.next().map(|(_, _, over)| over);
    if over.is_none() {
        arm(entry, id);
    }
    over
}

impl<T: Transport> Entry<T> {
    /// The limits that apply now, each with the time from which it counts.
    fn limits(&self) -> [Option<(Timestamp, Duration, Over)>; 3] {
        let flags = self.flags;
        if flags.contains(Flags::CLOSING) {
            return [None, None, None];
        }
        let lingers = self.lingers();
        let linger = lingers.then(|| (self.progress, self.linger(), Over::Lingered));
        let stall = self
            .pause_limit()
            .filter(|_| flags.contains(Flags::BLOCKED))
            .map(|limit| (self.progress, limit, Over::Stalled(limit)));
        let idle = self
            .idle_limit()
            .filter(|_| !lingers)
            .map(|limit| (self.active, limit, Over::Idle(limit)));
        [linger, stall, idle]
    }

    /// Whether this side has ended, and waits for the peer's end.
    fn lingers(&self) -> bool {
        self.flags.contains(Flags::LINGERS)
    }

    /// For how long the peer may acknowledge nothing: the write timeout, and as long again as a slow peer would have taken for
    /// what this one has read already. A client that limits its rate reads a burst, and then nothing until its average is right.
    fn pause_limit(&self) -> Option<Duration> {
        let limit = self.stall_limit()?;
        let acknowledged = self.rare.as_ref().map_or(0, |rare| rare.acknowledged);
        let ahead = Duration::from_secs(acknowledged.saturating_sub(UNREAD) / SLOW);
        Some(limit.saturating_add(ahead).min(limit.saturating_mul(PAUSE)))
    }

    /// Counts what the peer has acknowledged since the last look as progress and activity, where a limit depends on it.
    fn count_acknowledged(&mut self) {
        let blocked = self.flags.contains(Flags::BLOCKED);
        let waits_idle = self.idle_limit().is_some() && !self.is_acknowledged();
        if self.lingers() || !(blocked || waits_idle) {
            return;
        }
        let progressed = self.look_at_peer();
        if blocked && progressed {
            self.progress = Timestamp::now();
        }
        if self.idle_limit().is_some() {
            // What is on its way is acknowledged soon, and tells nothing. A peer without room for the rest is reading.
            let waits = blocked || self.unsent() > 0;
            let waited = std::mem::replace(&mut self.rare().waited, waits);
            if progressed && (waits || waited) {
                self.touch();
            }
        }
    }
}
