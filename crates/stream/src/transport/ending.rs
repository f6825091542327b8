//! The orderly end of a stream, from either side.
//!
//! ```text
//! end():                 flush → end the writing side → discard input, up to the linger time → close
//! end_without_linger():  flush → close, if nothing is unread; otherwise the same as end()
//! close():               final bytes of the filters, if no bytes are discarded → close
//! ```

use std::task::{Context, Poll};

use rustix::net::Shutdown;
use uptick_event_loop::driver::Timestamp;

use super::filtering::FollowUp;
use super::flags::StreamFlags;
use super::stream::Visit;
use super::{Transport, closing, deadlines, filtering, session};
use crate::error::Error;

pub(super) fn end<T: Transport>(stream: &Visit<T>) {
    let state = stream.with(|entry, id| {
        if entry
            .flags
            .intersects(StreamFlags::ENDING | StreamFlags::CLOSING)
        {
            return None;
        }
        // The filters end only once.
        let ends_filters = entry.flags.contains(StreamFlags::FILTERED)
            && !entry.flags.contains(StreamFlags::SHUTDOWN_PENDING);
        entry
            .flags
            .insert(StreamFlags::ENDING | StreamFlags::SHUTDOWN_PENDING);
        entry.schedule_read(id);
        Some(ends_filters)
    });
    end_filters(stream, state.flatten());
}

/// Ends a stream whose peer has sent all its data.
pub(super) fn end_without_linger<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, _| entry.flags.insert(StreamFlags::PEER_DONE));
    end(stream);
}

pub(super) fn shutdown_write<T: Transport>(stream: &Visit<T>) {
    let filtered = stream.with(|entry, _| {
        let ended = StreamFlags::WRITE_ENDED | StreamFlags::ENDING | StreamFlags::CLOSING;
        if entry.flags.intersects(ended) {
            return None;
        }
        entry
            .flags
            .insert(StreamFlags::SHUTDOWN_PENDING | StreamFlags::WRITE_ENDED);
        Some(entry.flags.contains(StreamFlags::FILTERED))
    });
    end_filters(stream, filtered.flatten());
}

pub(super) fn poll_shutdown_write<T: Transport>(
    stream: &Visit<T>,
    context: &Context<'_>,
) -> Poll<()> {
    shutdown_write(stream);
    let pending = stream.with(|entry, _| {
        let ended = entry
            .flags
            .intersects(StreamFlags::SHUTDOWN_SENT | StreamFlags::CLOSING);
        // Only sockets have a peer that sees the end.
        let pending = !ended && (entry.is_socket() || !entry.is_flushed());
        if pending {
            entry.extended().shutdown_waker = Some(context.waker().clone());
        }
        pending
    });
    match pending {
        Some(true) => Poll::Pending,
        _ => Poll::Ready(()),
    }
}

/// Ends the filters, if there are any; the writing side ends after the bytes that they send.
fn end_filters<T: Transport>(stream: &Visit<T>, filtered: Option<bool>) {
    match filtered {
        Some(true) => {
            let ended = filtering::ending(stream);
            finish_pass(stream, ended);
            finish_when_flushed(stream);
        }
        Some(false) => finish_when_flushed(stream),
        None => {}
    }
}

fn finish_when_flushed<T: Transport>(stream: &Visit<T>) {
    let empty = stream.with(|entry, id| {
        // The final bytes of the filters may be postponed.
        let filtering = entry.flags.contains(StreamFlags::FILTERING) || entry.has_postponed();
        let empty = entry.is_flushed() && !filtering;
        if !empty && !entry.flags.contains(StreamFlags::BLOCKED) {
            entry.schedule_flush(id);
        }
        empty
    });
    if empty == Some(true) {
        finish_write_side(stream);
    }
}

/// Ends the writing side when everything is sent.
pub(super) fn finish_write_side<T: Transport>(stream: &Visit<T>) {
    let mut waker = None;
    let ended = stream.with(|entry, id| {
        let flags = entry.flags;
        // A failure is emitted at the end of the iteration.
        if flags.intersects(StreamFlags::CLOSING | StreamFlags::FAILED) {
            return false;
        }
        waker = entry
            .extended
            .as_mut()
            .and_then(|extended| extended.shutdown_waker.take());
        let ending = flags.intersects(StreamFlags::ENDING | StreamFlags::END_EMITTED);
        // Undelivered bytes must be emitted first, and the `end` after them.
        let read_over =
            flags.contains(StreamFlags::READ_ENDED) && (ending || !entry.has_undelivered());
        if read_over || !flags.contains(StreamFlags::SOCKET) {
            return ending || read_over;
        }
        // After a short read the kernel has no unread bytes, which would make it reset the connection.
        let unread = StreamFlags::READ_READY | StreamFlags::FILTERED;
        if flags.contains(StreamFlags::PEER_DONE) && !flags.intersects(unread) {
            return true;
        }
        if !flags.contains(StreamFlags::SHUTDOWN_SENT) {
            if rustix::net::shutdown(&entry.fd, Shutdown::Write).is_err() {
                return true;
            }
            entry.flags.insert(StreamFlags::SHUTDOWN_SENT);
        }
        if ending && !flags.contains(StreamFlags::LINGERING) {
            // Bytes after the end of a layer are discarded as well: closing a descriptor with unread bytes resets the
            // connection, and the peer loses the data that it has not read yet.
            entry
                .flags
                .insert(StreamFlags::ENDING | StreamFlags::LINGERING);
            entry.progress = Timestamp::now();
            entry.flags.remove(StreamFlags::BLOCKED);
            deadlines::arm(entry, id);
            entry.schedule_read(id);
        }
        false
    });
    if ended == Some(true) {
        close(stream);
    }
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Handles the end of the descriptor.
pub(super) fn end_of_stream<T: Transport>(stream: &Visit<T>) {
    let flags = stream.flags();
    if flags.contains(StreamFlags::ENDING) {
        if stream.with(|entry, _| entry.is_flushed()) == Some(true) {
            close(stream);
        }
    } else if flags.contains(StreamFlags::FILTERED) {
        let ended = filtering::peer_ended(stream);
        finish_pass(stream, ended);
    } else {
        peer_ended(stream);
    }
}

/// Emits `end`, and ends the writing side unless half-open is allowed.
pub(super) fn peer_ended<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, _| entry.flags.insert(StreamFlags::END_EMITTED));
    session::end(stream);
    let flags = stream.flags();
    if !flags.contains(StreamFlags::HALF_OPEN) || flags.contains(StreamFlags::WRITE_ENDED) {
        end(stream);
    }
}

/// Performs the action that remains after the filters have run.
pub(super) fn finish_pass<T: Transport>(stream: &Visit<T>, follow_up: FollowUp) {
    match follow_up {
        FollowUp::Nothing => {}
        FollowUp::Ended => peer_ended(stream),
        FollowUp::Failed(error) => fail_and_linger(stream, *error),
    }
}

/// Closes a stream. Its filters first send their final bytes, unless bytes are discarded before them: the peer must not
/// mistake a part for the whole.
pub(super) fn close<T: Transport>(stream: &Visit<T>) {
    let ends_filters = stream.with(|entry, _| {
        let excluded = StreamFlags::SHUTDOWN_PENDING
            | StreamFlags::CLOSING
            | StreamFlags::FAILED
            | StreamFlags::BLOCKED
            | StreamFlags::FILTERING;
        let ends_filters = entry.flags.contains(StreamFlags::FILTERED)
            && !entry.flags.intersects(excluded)
            && entry.is_flushed();
        if ends_filters {
            entry.flags.insert(StreamFlags::SHUTDOWN_PENDING);
        }
        ends_filters
    });
    if ends_filters == Some(true) {
        // The stream closes, whatever the filters return.
        let _ = filtering::ending(stream);
        if stream.with(|entry, _| entry.is_flushed()) == Some(false) {
            closing::send_remaining(stream);
            closing::discard_unread(stream);
        }
    }
    closing::close_now(stream);
}

/// Fails a stream whose peer has done nothing wrong: the filters send their final bytes.
pub(super) fn fail_orderly<T: Transport>(stream: &Visit<T>, error: Error) {
    let panic = closing::emit_error(stream, error);
    close(stream);
    closing::log_panic(panic);
}

/// Fails a stream whose filters have just sent an alert. Closing a descriptor with unread bytes resets the connection, which
/// overtakes the alert. The stream therefore ends and lingers as after [`end`], unless the alert is still queued.
fn fail_and_linger<T: Transport>(stream: &Visit<T>, error: Error) {
    closing::send_remaining(stream);
    let must_linger = stream.with(|entry, _| {
        let ended = entry
            .flags
            .intersects(StreamFlags::CLOSING | StreamFlags::FAILED);
        entry
            .flags
            .insert(StreamFlags::ENDING | StreamFlags::SHUTDOWN_PENDING);
        !ended && entry.is_flushed()
    });
    let panic = closing::emit_error(stream, error);
    match must_linger {
        Some(true) => finish_write_side(stream),
        _ => closing::close_now(stream),
    }
    closing::log_panic(panic);
}
