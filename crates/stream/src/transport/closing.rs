//! The close of a stream, and failures, which lead to it.
//!
//! ```text
//! close:  `close` listeners → listeners dropped → descriptor closed → slot free after the iteration
//! error:  `error` listeners → close, without last words of the filters
//! ```

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use uptick_emitter::emit;
use uptick_event_loop::{catch, driver};

use super::flags::Flags;
use super::stream::Visit;
use super::{Transport, gathering, output, session};
use crate::error::Error;
use crate::filter::Filters;
use crate::queue_pool;
use crate::read_buffer;

/// The number of reads that discard what has come before a close.
const DISCARDS: usize = 16;

/// Emits `error`, then closes.
pub(super) fn fail<T: Transport>(stream: &Visit<T>, error: Error) {
    let panic = emit_error(stream, error);
    close_now(stream);
    log_panic(panic);
}

/// Emits an error; returns the message of a listener's panic.
pub(super) fn emit_error<T: Transport>(stream: &Visit<T>, error: Error) -> Option<String> {
    let error = stream.with(|entry, _| {
        let closing = entry.flags.contains(Flags::CLOSING);
        (!closing).then(|| T::to_error(&entry.extra, error))
    });
    let error = error.flatten()?;
    catch(|| session::error(stream, error)).err()
}

/// Makes the kernel drop the bytes that it still has for the peer when the descriptor closes, and reset the connection.
pub(super) fn forget<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, _| {
        if entry.is_socket() {
            // Where it fails, the peer gets an orderly end, and the kernel goes on trying to send.
            let _ = set_socket_linger(&entry.fd, Some(Duration::ZERO));
        }
    });
}

/// Tries once to send what is queued before a stream is closed for an error of its own: an alert, as a rule.
pub(super) fn send_last<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, id| {
        if !entry.flags.contains(Flags::BLOCKED) {
            // The stream closes for a better reason than this one.
            let _ = output::send_queue(entry, id);
        }
    });
}

/// Discards what has come, a chunk for each read of a pass at most: a socket that is closed with unread bytes in it
/// resets the connection, which may overtake what was sent last.
pub(super) fn discard_unread<T: Transport>(stream: &Visit<T>) {
    stream.with(|entry, _| {
        if entry.flags.intersects(Flags::READ_OVER | Flags::JOBS) {
            return;
        }
        for _ in 0..DISCARDS {
            match read_buffer::discard(entry.fd.as_fd(), entry.read_method()) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    });
}

/// Closes; what is queued is lost, and so are the filters' last words.
pub(super) fn close_now<T: Transport>(stream: &Visit<T>) {
    let filters = stream.with(|entry, _| {
        if entry.flags.contains(Flags::CLOSING) {
            return None;
        }
        entry.flags.insert(Flags::CLOSING);
        queue_pool::put_back(entry.queue.take());
        entry.drop_files();
        queue_pool::put_back(gathering::take(entry));
        entry.deadline.cancel();
        let rare = entry.rare.as_mut();
        Some(rare.map(|rare| std::mem::take(&mut rare.filters)))
    });
    let Some(Some(mut filters)) = filters else {
        return;
    };
    // Whatever panics, the others are called, and the descriptor is closed.
    let panics = [
        catch(|| stream.handle().closing()).err(),
        catch(|| filters.as_mut().map(Filters::closed)).err(),
        catch(|| keep(stream, filters)).err(),
        catch(|| session::close(stream)).err(),
        catch(|| emit(stream, T::CLOSE, ())).err(),
    ];
    if let Some(entry) = stream.remove() {
        // What listeners captured may use the loop as it is dropped, and goes before the descriptor.
        let dropped = catch(|| {
            drop(entry.listeners);
            drop(entry.session);
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

/// Puts filters back whose [`Filter::closed`](crate::filter::Filter::closed) was called, for listeners to look at.
fn keep<T: Transport>(stream: &Visit<T>, filters: Option<Filters>) {
    if let Some(filters) = filters {
        stream.with(|entry, _| entry.rare().filters = filters);
    }
}

pub(super) fn log_panic(message: Option<String>) {
    if let Some(message) = message {
        tracing::error!("a callback panicked as its stream closed: {message}");
    }
}
