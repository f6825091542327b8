//! Limits of time: idle, write stall, linger. A stream has one deadline in the loop's wheel, for the earliest of them.

use std::time::Duration;

use uptick_event_loop::{Token, driver};

use super::flags::Flags;
use super::{Entry, Timestamp, Transport, ending, with_entry};
use crate::error::Error;

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
    let next = entry.limits().into_iter().flatten();
    let left = next
        .map(|(since, limit, _)| since.after(limit).left())
        .min();
    if let Some(left) = left {
        let at = driver::elapsed().saturating_add(left);
        entry.deadline = driver::arm_deadline(token, at);
    }
}

pub(super) fn expired<T: Transport>(stream: T) {
    let over = with_entry(stream, |entry, token| {
        entry.deadline = None;
        let over = entry
            .limits()
            .into_iter()
            .flatten()
            .find(|(since, limit, _)| since.is_over(*limit))
            .map(|(_, _, over)| over);
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

impl<T: Transport> Entry<T> {
    /// The limits that apply now, each with the time from which it counts.
    fn limits(&self) -> [Option<(Timestamp, Duration, Over)>; 3] {
        let flags = self.flags;
        if flags.contains(Flags::CLOSING) {
            return [None, None, None];
        }
        let lingers = flags.contains(Flags::SHUT) && flags.contains(Flags::ENDING);
        let linger = lingers.then(|| (self.progress, self.linger(), Over::Lingered));
        let stall = self
            .stall_limit()
            .filter(|_| flags.contains(Flags::BLOCKED))
            .map(|limit| (self.progress, limit, Over::Stalled(limit)));
        let idle = self
            .idle_limit()
            .filter(|_| !lingers)
            .map(|limit| (self.active, limit, Over::Idle(limit)));
        [linger, stall, idle]
    }
}
