//! The ways in which a stream is over.
//!
//! ```text
//! end():    flush → end this side → discard what comes, for the linger time at most → close
//! close():  last words of the filters, if nothing is discarded → `close` listeners → listeners dropped → descriptor closed
//!           → slot free
//! error:    `error` listeners → close, without last words
//! ```

use std::os::fd::AsFd;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::Shutdown;
use rustix::net::sockopt::set_socket_linger;
use uptick_emitter::emit;
use uptick_event_loop::{catch, driver};

use super::flags::Flags;
use super::{
    Timestamp, Transport, Transports, deadlines, filtering, gathering, protocol, reading,
    with_entry, writing,
};
use crate::error::Error;
use crate::filter::Filters;

pub(super) fn end<T: Transport>(stream: T) {
    let state = with_entry(stream, |entry, token| {
        if entry.flags.intersects(Flags::ENDING | Flags::CLOSING) {
            return None;
        }
        // The filters have their last words once.
        let last_words =
            entry.flags.contains(Flags::FILTERED) && !entry.flags.contains(Flags::SHUTTING);
        entry.flags.insert(Flags::ENDING | Flags::SHUTTING);
        reading::schedule(entry, token);
        Some(last_words)
    });
    say_last_words(stream, state.flatten());
}

pub(super) fn shutdown_write<T: Transport>(stream: T) {
    let filtered = with_entry(stream, |entry, _| {
        let over = Flags::WRITE_OVER | Flags::ENDING | Flags::CLOSING;
        if entry.flags.intersects(over) {
            return None;
        }
        entry.flags.insert(Flags::SHUTTING | Flags::WRITE_OVER);
        Some(entry.flags.contains(Flags::FILTERED))
    });
    say_last_words(stream, filtered.flatten());
}

pub(super) fn poll_shutdown_write<T: Transport>(stream: T, context: &Context<'_>) -> Poll<()> {
    shutdown_write(stream);
    let waits = with_entry(stream, |entry, _| {
        let over = entry.flags.intersects(Flags::SHUT | Flags::CLOSING);
        // Only sockets have a peer that is told.
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

/// Has the filters end, where there are some; this side ends behind what they say.
fn say_last_words<T: Transport>(stream: T, filtered: Option<bool>) {
    match filtered {
        Some(true) => filtering::ending(stream),
        Some(false) => finish_when_flushed(stream),
        None => {}
    }
}

pub(super) fn finish_when_flushed<T: Transport>(stream: T) {
    let empty = with_entry(stream, |entry, token| {
        let empty = entry.is_flushed();
        if !empty && !entry.flags.contains(Flags::BLOCKED) {
            writing::queue_flush(entry, token);
        }
        empty
    });
    if empty == Some(true) {
        queue_is_empty(stream);
    }
}

/// Everything is sent, and this side is to end.
pub(super) fn queue_is_empty<T: Transport>(stream: T) {
    let mut waker = None;
    let over = with_entry(stream, |entry, token| {
        let flags = entry.flags;
        // A failure is told when the iteration ends.
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
        if !flags.contains(Flags::SHUT) {
            if rustix::net::shutdown(&entry.fd, Shutdown::Write).is_err() {
                return true;
            }
            entry.flags.insert(Flags::SHUT);
        }
        if ending {
            // What comes behind the end of a layer is thrown away as well: a descriptor that is closed with bytes in it
            // resets the connection, and the peer loses what it has not read yet.
            entry.flags.insert(Flags::ENDING);
            entry.progress = Timestamp::now();
            entry.flags.remove(Flags::BLOCKED);
            deadlines::arm_entry(entry, token);
            reading::schedule(entry, token);
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

/// The peer's end has come after ours was begun.
pub(super) fn peer_ended_too<T: Transport>(stream: T) {
    let flushed = with_entry(stream, |entry, _| entry.is_flushed());
    if flushed == Some(true) {
        close(stream);
    }
}

pub(super) fn fail<T: Transport>(stream: T, error: Error) {
    let told = tell_error(stream, error);
    close_now(stream);
    log_panic(told);
}

/// Fails a stream whose peer has done nothing wrong: the filters have their last words.
pub(super) fn fail_in_order<T: Transport>(stream: T, error: Error) {
    let told = tell_error(stream, error);
    close(stream);
    log_panic(told);
}

/// Fails a stream whose filters have just sent an alert. A descriptor that is closed with unread bytes in it resets the
/// connection, which overtakes the alert: so the stream ends and lingers as after [`end`], unless the alert is still queued.
pub(super) fn fail_and_linger<T: Transport>(stream: T, error: Error) {
    let lingers = with_entry(stream, |entry, _| {
        let over = entry.flags.intersects(Flags::CLOSING | Flags::FAILED);
        entry.flags.insert(Flags::ENDING | Flags::SHUTTING);
        !over && entry.is_flushed()
    });
    let told = tell_error(stream, error);
    match lingers {
        Some(true) => queue_is_empty(stream),
        _ => close_now(stream),
    }
    log_panic(told);
}

/// Emits an error; returns what a listener has panicked with.
fn tell_error<T: Transport>(stream: T, error: Error) -> Option<String> {
    let error = with_entry(stream, |entry, _| {
        let gone = entry.flags.contains(Flags::CLOSING);
        (!gone).then(|| T::to_error(&entry.extra, error))
    });
    let error = error.flatten()?;
    catch(|| protocol::tell_error(stream, error)).err()
}

/// Has the kernel drop what it still has for the peer when the descriptor closes, and reset the connection.
pub(super) fn forget<T: Transport>(stream: T) {
    with_entry(stream, |entry, _| {
        if entry.is_socket() {
            // Where it fails, the peer is told of an orderly end, and the kernel goes on trying to send.
            let _ = set_socket_linger(&entry.fd, Some(Duration::ZERO));
        }
    });
}

/// Closes a stream; its filters have their last words before, unless bytes are discarded that they would have to follow:
/// the peer is not to take a part for the whole.
pub(super) fn close<T: Transport>(stream: T) {
    let last_words = with_entry(stream, |entry, _| {
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
        filtering::ending(stream);
        if with_entry(stream, |entry, _| !entry.is_flushed()) == Some(true) {
            writing::send_last(stream);
            with_entry(stream, |entry, _| reading::discard_unread(entry));
        }
    }
    close_now(stream);
}

/// Closes a stream; what is queued is lost, and so are the filters' last words.
pub(super) fn close_now<T: Transport>(stream: T) {
    let filters = T::with_transports(|all| {
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(stream.to_id())?;
        if entry.flags.contains(Flags::CLOSING) {
            return None;
        }
        entry.flags.insert(Flags::CLOSING);
        writing::recycle(entry.queue.take(), spare);
        entry.drop_files();
        writing::recycle(gathering::take(entry), spare);
        if let Some(deadline) = entry.deadline.take() {
            driver::disarm_deadline(deadline);
        }
        Some(
            entry
                .rare
                .as_mut()
                .map(|rare| std::mem::take(&mut rare.filters)),
        )
    });
    let Some(Some(mut filters)) = filters else {
        return;
    };
    // Whatever panics, the others are told, and the descriptor is closed.
    let panics = [
        catch(|| stream.closing()).err(),
        catch(|| filters.as_mut().map(Filters::closed)).err(),
        catch(|| keep(stream, filters)).err(),
        catch(|| protocol::tell_close(stream)).err(),
        catch(|| emit(&stream, T::CLOSE, ())).err(),
    ];
    let entry = T::with_transports(|all| all.table.remove(stream.to_id())).flatten();
    if let Some(entry) = entry {
        // What listeners captured may use the loop as it is dropped, and goes before the descriptor.
        let dropped = catch(|| {
            drop(entry.listeners);
            drop(entry.rare);
        });
        if entry.flags.contains(Flags::SHARED | Flags::WATCHED) {
            // It fails where nothing was watched: for a descriptor without readiness.
            let _ = driver::forget(entry.fd.as_fd());
        }
        drop(entry.fd);
        driver::release();
        T::gone(entry.extra);
        log_panic(dropped.err());
    }
    panics.into_iter().for_each(log_panic);
}

/// Puts filters that have been told of the close back, for listeners to look at.
fn keep<T: Transport>(stream: T, filters: Option<Filters>) {
    if let Some(filters) = filters {
        with_entry(stream, |entry, _| entry.rare().filters = filters);
    }
}

fn log_panic(message: Option<String>) {
    if let Some(message) = message {
        tracing::error!("a callback panicked as its stream closed: {message}");
    }
}
