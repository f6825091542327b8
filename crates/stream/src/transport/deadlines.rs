//! Limits of time: idle, write stall, linger. A stream has one deadline in the loop's wheel, for the earliest of them.
//!
//! A peer that acknowledges bytes is alive, also while the kernel takes no more for it. So before a limit is over, and a
//! few times in each write timeout while the descriptor is full, the kernel is asked what the peer has acknowledged.

use std::time::Duration;

use uptick_event_loop::{Token, driver};

use super::flags::Flags;
use super::{Entry, Timestamp, Transport, ending, with_entry};
use crate::error::Error;

/// How often the kernel is asked in each write timeout. A peer has stalled at most a fourth of the limit too late.
const LOOKS: u32 = 4;

/// What a time limit leads to.
enum Over {
    Idle(Duration),
    Stalled(Duration),
    Lingered,
}

pub(super) fn arm<T: Transport>(stream: T) {
    with_entry(stream, |entry, token| arm_entry(entry, token));
}

/// Arms the deadline for the limit that is over first; none where no limit applies.
pub(super) fn arm_entry<T: Transport>(entry: &mut Entry<T>, token: Token) {
    if let Some(deadline) = entry.deadline.take() {
        driver::disarm_deadline(deadline);
    }
    entry.flags.set(Flags::TIMED, entry.idle_limit().is_some());
    let looked = entry.rare.as_ref().and_then(|rare| rare.looked);
    let left = entry.limits().into_iter().flatten().map(|limit| {
        let left = limit.since.after(limit.time).left();
        match looked.filter(|_| limit.looks) {
            Some(looked) => left.min(looked.after(limit.time / LOOKS).left()),
            None => left,
        }
    });
    let left = left.min();
    if let Some(left) = left {
        let at = driver::elapsed().saturating_add(left);
        entry.deadline = driver::arm_deadline(token, at);
    }
}

/// The descriptor takes no more: the peer's time begins.
#[inline]
pub(super) fn blocked<T: Transport>(entry: &mut Entry<T>, token: Token) {
    entry.progress = Timestamp::now();
    // What is acknowledged from now on is compared with a look that is not much older.
    let looked = entry.rare.as_ref().and_then(|rare| rare.looked);
    if let Some(limit) = entry.stall_limit()
        && looked.is_none_or(|looked| looked.age() >= limit / LOOKS)
    {
        entry.look_at_peer();
    }
    arm_entry(entry, token);
}

pub(super) fn expired<T: Transport>(stream: T) {
    let over = with_entry(stream, |entry, token| {
        entry.deadline = None;
        if entry.over().is_some() || entry.limits().iter().flatten().any(|limit| limit.looks) {
            entry.count_acknowledged();
        }
        let over = entry.over();
        if over.is_none() {
            arm_entry(entry, token);
        }
        over
    });
    match over.flatten() {
        Some(Over::Idle(after)) => ending::fail_in_order(stream, Error::Idle { after }),
        Some(Over::Stalled(after)) => {
            // Otherwise the kernel would keep megabytes for a peer that takes nothing.
            ending::forget(stream);
            ending::fail(stream, Error::WriteStalled { after });
        }
        Some(Over::Lingered) => ending::close(stream),
        None => {}
    }
}

/// A limit that applies now.
struct Limit {
    /// When it began to count.
    since: Timestamp,
    time: Duration,
    /// Whether the kernel is asked for the peer's progress before the time is over.
    looks: bool,
    over: Over,
}

impl<T: Transport> Entry<T> {
    /// The limits that apply now.
    fn limits(&self) -> [Option<Limit>; 3] {
        let flags = self.flags;
        if flags.contains(Flags::CLOSING) {
            return [None, None, None];
        }
        let lingers = self.lingers();
        let linger = lingers.then(|| {
            let looks = flags.contains(Flags::UNACKNOWLEDGED) && !self.linger().is_zero();
            Limit {
                since: self.progress,
                // While the peer has not taken everything, it has the time of a peer that is sent to.
                time: match self.stall_limit().filter(|_| looks) {
                    Some(stall) => stall.max(self.linger()),
                    None => self.linger(),
                },
                looks,
                over: Over::Lingered,
            }
        });
        let stall = self
            .stall_limit()
            .filter(|_| flags.contains(Flags::BLOCKED));
        let stall = stall.map(|time| Limit {
            since: self.progress,
            time,
            looks: self.is_socket(),
            over: Over::Stalled(time),
        });
        let idle = self.idle_limit().filter(|_| !lingers);
        let idle = idle.map(|time| Limit {
            since: self.active,
            time,
            looks: false,
            over: Over::Idle(time),
        });
        [linger, stall, idle]
    }

    /// The limit that is over.
    fn over(&self) -> Option<Over> {
        let mut limits = self.limits().into_iter().flatten();
        let over = limits.find(|limit| limit.since.is_over(limit.time));
        over.map(|limit| limit.over)
    }

    /// Whether this side has ended, and waits for the peer's end.
    fn lingers(&self) -> bool {
        self.flags.contains(Flags::SHUT | Flags::ENDING)
    }

    /// Counts what the peer has acknowledged since the last look as progress and activity.
    fn count_acknowledged(&mut self) {
        let waited = self.flags.contains(Flags::UNACKNOWLEDGED);
        let look = self.look_at_peer();
        let now = Timestamp::now();
        if self.flags.contains(Flags::BLOCKED) {
            if look.progressed {
                self.progress = now;
            }
        } else if self.lingers() && waited && (look.progressed || !look.waits) {
            self.progress = now;
        }
        // Since the stream was active, has the peer acknowledged anything? Without a look from then on, it may have.
        let compared = look.last.is_some_and(|last| !last.is_before(self.active));
        if (compared && look.progressed) || (!compared && look.waits) {
            self.touch();
        }
    }
}
