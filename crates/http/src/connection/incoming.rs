//! The body of a request: pulled by a reader, or pushed to listeners.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::flags::Flags;
use super::{At, Timestamp, advance_later, steps, with_current, with_exchange};
use crate::body::BodyError;
use crate::h1::{CONTINUE, Event, Trailers};

/// What a look for the next piece has found.
enum Found {
    Piece(Bytes),
    Over,
    Failed(BodyError),
    /// Nothing yet; whether the client has to be told to send.
    Nothing {
        expects: bool,
    },
}

/// Polls for the next piece of the body, of which `taken` bytes were read before. Fails with [`BodyError::TooLong`] as
/// soon as more than `limit` bytes are announced.
pub(crate) fn poll_body(
    at: At,
    taken: u64,
    limit: usize,
    context: &Context<'_>,
) -> Poll<Option<Result<Bytes, BodyError>>> {
    let room = (limit as u64).saturating_sub(taken);
    let too_long = || Found::Failed(BodyError::TooLong { limit });
    let found = with_current(at, |entry| {
        if let Some(failure) = entry.exchange.as_ref().and_then(|e| e.failure.clone()) {
            return Found::Failed(failure);
        }
        if entry.flags.contains(Flags::RECEIVED) {
            return Found::Over;
        }
        if entry.decoder.announced() > room {
            // Before `100 Continue` is sent to a client that waits for it.
            return too_long();
        }
        entry.flags.insert(Flags::WANTED);
        loop {
            let event = entry.decoder.next(&entry.service.limits());
            return match event {
                Some(Event::Body(piece)) => {
                    let announced = entry.decoder.announced();
                    if announced.saturating_add(piece.len() as u64) > room {
                        too_long()
                    } else {
                        Found::Piece(piece)
                    }
                }
                Some(Event::Trailers(trailers)) => {
                    entry.exchange().trailers = Some(trailers);
                    continue;
                }
                Some(Event::Complete) => {
                    entry.flags.insert(Flags::RECEIVED);
                    entry.since = Timestamp::now();
                    Found::Over
                }
                Some(Event::Error(invalid)) => {
                    entry.flags.insert(Flags::BODY_FAILED | Flags::LAST);
                    let failure = BodyError::Invalid(invalid);
                    entry.exchange().failure = Some(failure.clone());
                    Found::Failed(failure)
                }
                Some(Event::Head(_)) => Found::Failed(BodyError::Closed),
                None if entry.flags.contains(Flags::PEER_ENDED) => {
                    entry.flags.insert(Flags::BODY_FAILED | Flags::LAST);
                    entry.exchange().failure = Some(BodyError::Closed);
                    Found::Failed(BodyError::Closed)
                }
                None if entry.decoder.announced() > room => too_long(),
                None => {
                    entry.exchange().reader = Some(context.waker().clone());
                    begin_window(entry);
                    entry.resume();
                    Found::Nothing {
                        expects: entry.flags.take(Flags::EXPECTS),
                    }
                }
            };
        }
    });
    match found {
        Some(Found::Piece(piece)) => Poll::Ready(Some(Ok(piece))),
        Some(Found::Over) => {
            advance_later(at.key);
            Poll::Ready(None)
        }
        Some(Found::Failed(failure)) => Poll::Ready(Some(Err(failure))),
        Some(Found::Nothing { expects }) => {
            if expects {
                send_continue(at);
            }
            advance_later(at.key);
            Poll::Pending
        }
        None => Poll::Ready(Some(Err(BodyError::Closed))),
    }
}

/// The body is waited for: the client's time begins.
fn begin_window(entry: &mut super::Entry) {
    if !entry.flags.contains(Flags::PUSHED) && entry.counted == 0 {
        entry.since = Timestamp::now();
    }
}

/// Has the body go to listeners.
pub(crate) fn resume_body(at: At) {
    let expects = with_exchange(at, |entry| {
        if entry.flags.contains(Flags::RECEIVED) {
            if !entry.flags.contains(Flags::PUSHED) {
                entry.flags.insert(Flags::PUSHED | Flags::END_DUE);
            }
            return false;
        }
        begin_window(entry);
        entry.flags.insert(Flags::WANTED | Flags::PUSHED);
        entry.flags.take(Flags::EXPECTS)
    });
    if expects == Some(true) {
        send_continue(at);
    }
    if expects.is_some() {
        advance_later(at.key);
    }
}

/// Has the body wait, and the client, in time, with it.
pub(crate) fn pause_body(at: At) {
    with_exchange(at, |entry| {
        if !entry.flags.contains(Flags::RECEIVED) {
            entry.flags.remove(Flags::WANTED | Flags::PUSHED);
            entry.flags.insert(Flags::HELD_UP);
        } else if entry.flags.take(Flags::END_DUE) {
            entry.flags.remove(Flags::PUSHED);
        }
    });
}

/// Whether more of the body may come.
pub(crate) fn body_left(at: At) -> bool {
    with_exchange(at, |entry| {
        !entry.flags.intersects(Flags::RECEIVED | Flags::BODY_FAILED)
    })
    .unwrap_or(false)
}

/// The fields behind the body, once it has ended.
pub(crate) fn trailers(at: At) -> Option<Trailers> {
    with_current(at, |entry| entry.exchange.as_ref()?.trailers.clone()).flatten()
}

/// How much of a body is read whole.
pub(crate) fn body_limit(at: At) -> usize {
    with_current(at, |entry| entry.service.body_limit()).unwrap_or(0)
}

/// Sends `100 Continue`, unless the response has begun.
fn send_continue(at: At) {
    let conn = with_exchange(at, |entry| {
        // A client that has ended its side waits for nothing, and may have got the first bytes of its response.
        let over = Flags::STARTED | Flags::HALF_OPEN;
        (!entry.flags.intersects(over)).then_some(entry.conn)
    });
    if let Some(Some(conn)) = conn {
        conn.write(CONTINUE);
    }
}

/// The body comes too slowly.
pub(super) fn too_slow(at: At) {
    let answered = with_exchange(at, |entry| {
        entry.flags.intersects(Flags::STARTED | Flags::ANSWERED)
    });
    steps::failed(at, BodyError::TooSlow);
    if answered == Some(true) {
        steps::end(at.key);
    }
}
