//! The orderly end of a stream, from either side.
//!
//! ```text
//! end():    flush → end this side → discard what comes, for the linger time at most → close
//! end_without_linger():  flush → close, if nothing is unread; otherwise as end()
//! close():  last words of the filters, if nothing is discarded → close
//! ```

use std::task::{Context, Poll};

use rustix::net::Shutdown;
use uptick_event_loop::driver::Timestamp;

use super::filtering::After;
use super::flags::Flags;
use super::stream::Visit;
use super::{Transport, closing, deadlines, filtering, session};
use crate::error::Error;

pub(super) fn end<T: Transport>(stream: &Visit<T>) {
    let state = stream.with(|entry, id| {
        if entry.flags.intersects(Flags::ENDING | Flags::CLOSING) {
            return None;
        }
        // The filters have their last words once.
        let last_words =
            entry.flags.contains(Flags::FILTERED) && !entry.flags.contains(Flags::SHUTTING);
        entry.flags.insert(Flags::ENDING | Flags::SHUTTING);
        entry.schedule_read(id);
        Some(last_words)
    });
    end_filters(stream, state.flatten());
}

/// Ends a stream whose peer has sent all that it will.
pub(super) fn end_without_linger<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, _| entry.flags.insert(Flags::PEER_DONE));
    end(stream);
}

pub(super) fn shutdown_write<T: Transport>(stream: &Visit<T>) {
    let filtered = stream.with(|entry, _| {
        let over = Flags::WRITE_OVER | Flags::ENDING | Flags::CLOSING;
        if entry.flags.intersects(over) {
            return None;
        }
        entry.flags.insert(Flags::SHUTTING | Flags::WRITE_OVER);
        Some(entry.flags.contains(Flags::FILTERED))
    });
    end_filters(stream, filtered.flatten());
}

pub(super) fn poll_shutdown_write<T: Transport>(
    stream: &Visit<T>,
    context: &Context<'_>,
) -> Poll<()> {
    shutdown_write(stream);
    let waits = stream.with(|entry, _| {
        let over = entry.flags.intersects(Flags::SHUT | Flags::CLOSING);
        // Only sockets have a peer that sees the end.
        let waits = !over && (entry.is_socket() || !entry.is_flushed());
        if waits {
            entry.rare().shut = Some(context.waker().clone());
        }
        waits
    });
    match waits {
        Some(true) => Poll::Pending,
        _ => Poll::Ready(()),
    }
}

/// Ends the filters, where there are some; this side ends behind what they send.
fn end_filters<T: Transport>(stream: &Visit<T>, filtered: Option<bool>) {
    match filtered {
        Some(true) => {
            let ended = filtering::ending(stream);
            after(stream, ended);
            finish_when_flushed(stream);
        }
        Some(false) => finish_when_flushed(stream),
        None => {}
    }
}

fn finish_when_flushed<T: Transport>(stream: &Visit<T>) {
    let empty = stream.with(|entry, id| {
        // What the filters end with may have to wait for its turn.
        let filtering = entry.flags.contains(Flags::FILTERING) || entry.is_postponing();
        let empty = entry.is_flushed() && !filtering;
        if !empty && !entry.flags.contains(Flags::BLOCKED) {
            entry.schedule_flush(id);
        }
        empty
    });
    if empty == Some(true) {
        queue_is_empty(stream);
    }
}

/// Everything is sent, and this side is to end.
pub(super) fn queue_is_empty<T: Transport>(stream: &Visit<T>) {
    let mut waker = None;
    let over = stream.with(|entry, id| {
        let flags = entry.flags;
        // A failure is emitted when the iteration ends.
        if flags.intersects(Flags::CLOSING | Flags::FAILED) {
            return false;
        }
        waker = entry.rare.as_mut().and_then(|rare| rare.shut.take());
        let ending = flags.intersects(Flags::ENDING | Flags::ENDED);
        // What filters hold back is still to be emitted, with the `end` behind it.
        let read_over = flags.contains(Flags::READ_OVER) && (ending || !entry.holds());
        if read_over || !flags.contains(Flags::SOCKET) {
            return ending || read_over;
        }
        // After a short read the kernel has nothing unread, for which it would reset the connection.
        let unread = Flags::READ_READY | Flags::FILTERED;
        if flags.contains(Flags::PEER_DONE) && !flags.intersects(unread) {
            return true;
        }
        if !flags.contains(Flags::SHUT) {
            if rustix::net::shutdown(&entry.fd, Shutdown::Write).is_err() {
                return true;
            }
            entry.flags.insert(Flags::SHUT);
        }
        if ending && !flags.contains(Flags::LINGERS) {
            // What comes behind the end of a layer is discarded as well: a descriptor that is closed with bytes in it
            // resets the connection, and the peer loses what it has not read yet.
            entry.flags.insert(Flags::ENDING | Flags::LINGERS);
            entry.progress = Timestamp::now();
            entry.flags.remove(Flags::BLOCKED);
            deadlines::arm(entry, id);
            entry.schedule_read(id);
        }
        false
    });
    if over == Some(true) {
        close(stream);
    }
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The descriptor has no more bytes.
pub(super) fn end_of_stream<T: Transport>(stream: &Visit<T>) {
    let flags = stream.flags();
    if flags.contains(Flags::ENDING) {
        if stream.with(|entry, _| entry.is_flushed()) == Some(true) {
            close(stream);
        }
    } else if flags.contains(Flags::FILTERED) {
        let ended = filtering::peer_ended(stream);
        after(stream, ended);
    } else {
        peer_ended(stream);
    }
}

/// Emits `end`, and ends this side too unless half-open streams are wanted.
pub(super) fn peer_ended<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, _| entry.flags.insert(Flags::ENDED));
    session::end(stream);
    let flags = stream.flags();
    if !flags.contains(Flags::HALF_OPEN) || flags.contains(Flags::WRITE_OVER) {
        end(stream);
    }
}

/// Does what is left to be done of a passage through the filters.
pub(super) fn after<T: Transport>(stream: &Visit<T>, after: After) {
    match after {
        After::Nothing => {}
        After::Ended => peer_ended(stream),
        After::Failed(error) => fail_and_linger(stream, *error),
    }
}

/// Closes a stream; its filters have their last words before, unless bytes are discarded that they would have to follow:
/// the peer is not to take a part for the whole.
pub(super) fn close<T: Transport>(stream: &Visit<T>) {
    let last_words = stream.with(|entry, _| {
        let never =
            Flags::SHUTTING | Flags::CLOSING | Flags::FAILED | Flags::BLOCKED | Flags::FILTERING;
        let has_last_words = entry.flags.contains(Flags::FILTERED)
            && !entry.flags.intersects(never)
            && entry.is_flushed();
        if has_last_words {
            entry.flags.insert(Flags::SHUTTING);
        }
        has_last_words
    });
    if last_words == Some(true) {
        // The stream closes, whatever comes out of the filters.
        let _ = filtering::ending(stream);
        if stream.with(|entry, _| entry.is_flushed()) == Some(false) {
            closing::send_last(stream);
            closing::discard_unread(stream);
        }
    }
    closing::close_now(stream);
}

/// Fails a stream whose peer has done nothing wrong: the filters have their last words.
pub(super) fn fail_in_order<T: Transport>(stream: &Visit<T>, error: Error) {
    let panic = closing::emit_error(stream, error);
    close(stream);
    closing::log_panic(panic);
}

/// Fails a stream whose filters have just sent an alert. A descriptor that is closed with unread bytes in it resets the
/// connection, which overtakes the alert: so the stream ends and lingers as after [`end`], unless the alert is still queued.
fn fail_and_linger<T: Transport>(stream: &Visit<T>, error: Error) {
    closing::send_last(stream);
    let lingers = stream.with(|entry, _| {
        let over = entry.flags.intersects(Flags::CLOSING | Flags::FAILED);
        entry.flags.insert(Flags::ENDING | Flags::SHUTTING);
        !over && entry.is_flushed()
    });
    let panic = closing::emit_error(stream, error);
    match lingers {
        Some(true) => queue_is_empty(stream),
        _ => closing::close_now(stream),
    }
    closing::log_panic(panic);
}
