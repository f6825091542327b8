//! Limits of time. A connection has one deadline in the loop's wheel, and activity does not move it: when it comes, it
//! is armed again for what is left.

use std::time::Duration;

use uptick_event_loop::Id;

use super::flags::Flags;
use super::{At, Entry, Timestamp, departure, incoming, outgoing, steps, token, with_entry};
use crate::{HttpError, StatusCode};

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// The first octet of a new connection.
    FirstOctet,
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// The body, which has come for a window of time.
    Body,
    /// The handler's answer.
    Answer,
}

impl Entry {
    /// What is waited for, and for how long at most from `since` on.
    #[inline]
    fn waits(&self) -> Option<(Waiting, Duration)> {
        let flags = self.flags;
        let timeouts = self.service.timeouts();
        let (waiting, limit) = if flags.contains(Flags::CLOSING) {
            return None;
        } else if !flags.contains(Flags::ACTIVE) {
            if flags.contains(Flags::FRESH | Flags::DRAINING) {
                (Waiting::FirstOctet, timeouts.draining)
            } else if flags.contains(Flags::FRESH) {
                (Waiting::FirstOctet, timeouts.first_octet)
            } else if flags.contains(Flags::IN_HEAD) {
                (Waiting::Head, timeouts.head)
            } else {
                (Waiting::Idle, timeouts.idle)
            }
        } else if !flags.contains(Flags::RECEIVED)
            && flags.intersects(Flags::WANTED | Flags::ANSWERED)
        {
            (Waiting::Body, timeouts.body)
        } else if !flags.contains(Flags::STARTED) {
            (Waiting::Answer, timeouts.answer)
        } else {
            // Who reads the answer too slowly is the engine's to deal with.
            return None;
        };
        (limit != Duration::MAX).then_some((waiting, limit))
    }

    /// Arms the deadline, unless one comes soon enough.
    #[inline]
    pub(super) fn arm(&mut self, key: Id) {
        let limit = self.waits().map(|(_, limit)| self.since.after(limit));
        let due = match (limit, self.probe_due()) {
            (Some(limit), Some(probe)) => limit.earlier(probe),
            (Some(due), None) | (None, Some(due)) => due,
            (None, None) => return,
        };
        self.deadline.arm(|| token(key), due);
    }
}

pub(super) fn arm(key: Id) {
    with_entry(key, |entry| entry.arm(key));
}

/// What is to be done about a limit that is over.
enum Over {
    /// Nothing was begun: the connection ends.
    End,
    /// The request does not come.
    Refuse(StatusCode, &'static str),
    /// The body does not come.
    Body(At),
    /// The handler does not answer.
    Answer(At),
    /// The client has ended its side, and was sent nothing for a while.
    Silence(At),
}

pub(super) fn expired(key: Id) {
    let over = with_entry(key, |entry| {
        entry.deadline.expired();
        if entry.is_probe_due() {
            return Some(Over::Silence(entry.at(key)));
        }
        let waits = entry.waits();
        let over = waits.filter(|(_, limit)| entry.since.is_over(*limit));
        let Some((waiting, limit)) = over else {
            entry.arm(key);
            return None;
        };
        if waiting == Waiting::Idle && entry.reads_response() {
            entry.since = Timestamp::now();
            entry.arm(key);
            return None;
        }
        let at = entry.at(key);
        Some(match waiting {
            Waiting::FirstOctet | Waiting::Idle => Over::End,
            Waiting::Head => Over::Refuse(
                StatusCode::REQUEST_TIMEOUT,
                "the request took too long to come",
            ),
            Waiting::Body => {
                if entry.body_goes_on(limit) {
                    entry.arm(key);
                    return None;
                }
                Over::Body(at)
            }
            Waiting::Answer => Over::Answer(at),
        })
    });
    match over.flatten() {
        Some(Over::End) => steps::end(key),
        Some(Over::Refuse(status, reason)) => outgoing::refuse(key, status, reason),
        Some(Over::Body(at)) => incoming::too_slow(at),
        Some(Over::Answer(at)) => {
            let task = with_entry(key, |entry| entry.exchange.as_mut()?.task.take());
            let error = HttpError::internal("the handler has not answered in time");
            outgoing::respond(at, error.into());
            if let Some(task) = task.flatten() {
                task.cancel();
            }
        }
        Some(Over::Silence(at)) => departure::probe(at),
        None => {}
    }
}

impl Entry {
    /// Whether the client is still reading the last response: a part of it waits in the write queue, or in the kernel because the
    /// client has no room, and the client has acknowledged something since the idle timeout was last over.
    fn reads_response(&mut self) -> bool {
        if self.conn.is_sending() {
            // The write timeout ends a connection whose client takes nothing.
            return true;
        }
        if self.conn.unsent() == 0 {
            return false;
        }
        // The low half is enough to tell whether it has changed.
        let acknowledged = self.conn.acknowledged() as u32;
        acknowledged != std::mem::replace(&mut self.acknowledged, acknowledged)
    }

    /// A window of time for the body is over: whether enough of it has come. Begins the next window.
    fn body_goes_on(&mut self, window: Duration) -> bool {
        if self.flags.contains(Flags::ANSWERED) {
            // Nobody wants it: it is only thrown away, and that has had its time.
            return false;
        }
        let held_up = self.flags.take(Flags::HELD_UP) || self.flags.contains(Flags::PAUSED);
        let least = u64::from(self.service.timeouts().body_rate) * window.as_secs().max(1);
        let enough = held_up || u64::from(self.counted) >= least;
        self.since = Timestamp::now();
        self.counted = 0;
        enough
    }
}
