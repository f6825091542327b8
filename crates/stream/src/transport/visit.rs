//! The driver of the streams: one visit per event.
//!
//! An event looks up its stream once and holds it, whatever its state. An echoed chunk costs one read, one indirect call for
//! the data, and one send; no allocation and no clock call.

use std::marker::PhantomData;

use bytes::BytesMut;
use uptick_event_loop::driver::Driver;
use uptick_event_loop::{Readiness, Token};

use super::deadlines::{self, ExpiredLimit};
use super::flags::StreamFlags;
use super::reading::ReadStep;
use super::stream::Visit;
use super::{StreamEntry, Transport, closing, ending, flushing, reading, session};
use crate::error::Error;
use crate::{queue_pool, read_buffer};

/// The [`Driver`] of a kind of stream.
#[derive(Debug)]
pub struct TransportDriver<T>(PhantomData<fn(T)>);

impl<T> TransportDriver<T> {
    /// Creates the driver.
    pub const fn new() -> Self {
        TransportDriver(PhantomData)
    }
}

impl<T> Default for TransportDriver<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transport> Driver for TransportDriver<T> {
    #[inline]
    fn ready(&self, token: Token, readiness: Readiness) {
        if let Some(stream) = find::<T>(token) {
            ready(&stream, readiness);
        }
    }

    #[inline]
    fn flush(&self, token: Token) {
        if let Some(stream) = find::<T>(token) {
            flushing::flush(&stream);
        }
    }

    fn expired(&self, token: Token) {
        if let Some(stream) = find::<T>(token) {
            expired(&stream);
        }
    }

    fn reap(&self, token: Token) {
        T::streams(|all| all.free_slot(token));
    }

    fn panicked(&self, token: Token, message: &str) {
        match find::<T>(token) {
            Some(stream) => {
                let message = message.into();
                closing::fail(&stream, Error::Panic { message });
            }
            None => tracing::error!("a callback panicked after its stream had closed: {message}"),
        }
    }
}

#[inline]
fn find<T: Transport>(token: Token) -> Option<Visit<T>> {
    T::streams(|all| all.find(token)).flatten()
}

/// Handles an event of the poller, or a scheduled read.
#[inline(always)]
fn ready<T: Transport>(stream: &Visit<T>, readiness: Readiness) {
    let mut buffer = read_buffer::take();
    let step = stream.with(|entry, id| {
        if readiness.is_readable() {
            entry.flags.insert(StreamFlags::READ_READY);
            if readiness.splits_reads() {
                if readiness.is_read_closed() {
                    entry.flags.insert(StreamFlags::HANGUP);
                }
                if readiness.is_priority() {
                    entry.flags.insert(StreamFlags::URGENT);
                }
            }
        }
        entry.flags.remove(StreamFlags::READ_QUEUED);
        // Bytes written in the meantime go into the loop's buffer, unless bytes are queued already, and are sent at the end of the
        // visit.
        entry.flags.insert(StreamFlags::FLUSH_QUEUED);
        if entry.queue.is_none() {
            entry.queue = Some(queue_pool::take());
        }
        let ended = StreamFlags::READ_ENDED.union(StreamFlags::END_EMITTED);
        let slow = readiness.is_error() && entry.flags.intersects(ended)
            || readiness.is_writable() && entry.flags.contains(StreamFlags::BLOCKED);
        match slow {
            true => ReadStep::Stop,
            false => reading::next_step(entry, id, &mut buffer),
        }
    });
    match step {
        Some(ReadStep::Data {
            session,
            more: false,
        }) => session::deliver_buffer(stream, session, &mut buffer),
        Some(ReadStep::Stop) => handle_readiness(stream, readiness, &mut buffer),
        step => reading::continue_pass(stream, step, &mut buffer),
    }
    read_buffer::put_back(buffer);
    // Bytes written by callbacks are sent while they are still in the CPU caches.
    flushing::flush(stream);
}

/// Handles readiness outside the fast path: errors after the end, and room to write.
#[cold]
fn handle_readiness<T: Transport>(stream: &Visit<T>, readiness: Readiness, buffer: &mut BytesMut) {
    let ended = StreamFlags::READ_ENDED.union(StreamFlags::END_EMITTED);
    if readiness.is_error()
        && stream.flags().intersects(ended)
        && let Some(error) = stream.with(|entry, _| reset_after_end(entry)).flatten()
    {
        return closing::fail(stream, error);
    }
    let unblocked =
        stream.with(|entry, _| readiness.is_writable() && entry.flags.take(StreamFlags::BLOCKED));
    if unblocked == Some(true) {
        flushing::flush(stream);
        let first = stream.with(|entry, id| reading::next_step(entry, id, buffer));
        reading::continue_pass(stream, first, buffer);
    }
}

/// Returns the error of a stream whose peer has ended, for which reads no longer report errors.
#[cold]
fn reset_after_end<T: Transport>(entry: &StreamEntry<T>) -> Option<Error> {
    if !entry.is_socket() || entry.flags.contains(StreamFlags::CLOSING) {
        return None;
    }
    match rustix::net::sockopt::socket_error(&entry.fd) {
        Ok(Err(errno)) => Some(Error::write(errno)),
        _ => None,
    }
}

/// Handles the expiry of the stream's deadline.
fn expired<T: Transport>(stream: &Visit<T>) {
    match stream.with(deadlines::expired).flatten() {
        Some(ExpiredLimit::Idle(after)) => ending::fail_orderly(stream, Error::Idle { after }),
        Some(ExpiredLimit::Stalled(after)) => {
            // Otherwise the kernel would keep megabytes for a peer that reads nothing.
            closing::reset_on_close(stream);
            closing::fail(stream, Error::WriteStalled { after });
        }
        Some(ExpiredLimit::Lingered) => ending::close(stream),
        None => {}
    }
}
