//! The close of a stream, and failures, which lead to it.
//!
//! ```text
//! close:  `close` listeners → listeners dropped → descriptor closed → slot free after the iteration
//! error:  `error` listeners → close, without final bytes of the filters
//! ```

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use uptick_emitter::emit;
use uptick_event_loop::{catch, driver};

use super::flags::StreamFlags;
use super::stream::Visit;
use super::{Transport, gathering, output, session};
use crate::error::Error;
use crate::filter::Filters;
use crate::queue_pool;
use crate::read_buffer;

/// Maximum number of reads that discard input before a close.
const MAX_DISCARDS: usize = 16;

/// Emits `error`, then closes the stream.
pub(super) fn fail<T: Transport>(stream: &Visit<T>, error: Error) {
    let panic = emit_error(stream, error);
    close_now(stream);
    log_panic(panic);
}

/// Emits an error; returns the message if a listener panicked.
pub(super) fn emit_error<T: Transport>(stream: &Visit<T>, error: Error) -> Option<String> {
    let error = stream.with(|entry, _| {
        let closing = entry.flags.contains(StreamFlags::CLOSING);
        (!closing).then(|| T::to_error(&entry.extra, error))
    });
    let error = error.flatten()?;
    catch(|| session::error(stream, error)).err()
}

/// Makes the kernel drop unsent bytes and reset the connection when the descriptor closes.
pub(super) fn reset_on_close<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, _| {
        if entry.is_socket() {
            // If it fails, the peer receives an orderly end, and the kernel keeps trying to send.
            let _ = set_socket_linger(&entry.fd, Some(Duration::ZERO));
        }
    });
}

/// Tries once to send the queue before a stream is closed because of an error; the queue usually holds an alert.
pub(super) fn send_remaining<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, id| {
        if !entry.flags.contains(StreamFlags::BLOCKED) {
            // The error that closes the stream is already known.
            let _ = output::send_queue(entry, id);
        }
    });
}

/// Discards available input, with a limited number of reads: closing a socket with unread bytes resets the connection, which
/// may overtake the last bytes sent.
pub(super) fn discard_unread<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, _| {
        if entry
            .flags
            .intersects(StreamFlags::READ_ENDED | StreamFlags::JOBS)
        {
            return;
        }
        for _ in 0..MAX_DISCARDS {
            match read_buffer::discard(entry.fd.as_fd(), entry.read_method()) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    });
}

/// Closes the stream immediately. Queued bytes and the final bytes of the filters are discarded.
pub(super) fn close_now<T: Transport>(stream: &Visit<T>) {
    let filters = stream.with(|entry, _| {
        if entry.flags.contains(StreamFlags::CLOSING) {
            return None;
        }
        entry.flags.insert(StreamFlags::CLOSING);
        queue_pool::put_back(entry.queue.take());
        entry.drop_files();
        queue_pool::put_back(gathering::take(entry));
        entry.deadline.cancel();
        let extended = entry.extended.as_mut();
        Some(extended.map(|extended| std::mem::take(&mut extended.filters)))
    });
    let Some(Some(mut filters)) = filters else {
        return;
    };
    // After a panic, the remaining callbacks are called, and the descriptor is closed.
    let panics = [
        catch(|| stream.handle().closing()).err(),
        catch(|| filters.as_mut().map(Filters::closed)).err(),
        catch(|| restore_filters(stream, filters)).err(),
        catch(|| session::close(stream)).err(),
        catch(|| emit(stream, T::CLOSE, ())).err(),
    ];
    if let Some(entry) = stream.remove() {
        // The captures of listeners may use the loop while they are dropped, and are dropped before the descriptor.
        let dropped = catch(|| {
            drop(entry.listeners);
            drop(entry.session);
            drop(entry.extended);
        });
        if entry
            .flags
            .contains(StreamFlags::SHARED | StreamFlags::WATCHED)
        {
            // Fails for a descriptor without readiness, which was never registered.
            let _ = driver::forget(entry.fd.as_fd());
        }
        drop(entry.fd);
        driver::release();
        T::removed(entry.extra);
        log_panic(dropped.err());
    }
    panics.into_iter().for_each(log_panic);
}

/// Restores filters whose [`Filter::closed`](crate::filter::Filter::closed) was called, so that listeners can query them.
fn restore_filters<T: Transport>(stream: &Visit<T>, filters: Option<Filters>) {
    if let Some(filters) = filters {
        stream.with(|entry, _| entry.extended().filters = filters);
    }
}

pub(super) fn log_panic(message: Option<String>) {
    if let Some(message) = message {
        tracing::error!("a callback panicked as its stream closed: {message}");
    }
}
