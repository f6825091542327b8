//! From the loop to a stream: one visit for each event.
//!
//! Cost of a chunk that is answered: the stream is found once and held, whatever its state; one read, one indirect call for the
//! data, one send. No allocation, no clock.

use std::marker::PhantomData;

use bytes::BytesMut;
use uptick_event_loop::driver::Driver;
use uptick_event_loop::{Readiness, Token};

use super::deadlines::{self, Over};
use super::flags::Flags;
use super::reading::Step;
use super::stream::Visit;
use super::{Entry, Transport, closing, ending, flushing, reading, session};
use crate::error::Error;
use crate::{queue_pool, read_buffer};

/// The [`Driver`] of a kind of stream.
#[derive(Debug)]
pub struct TransportDriver<T>(PhantomData<fn(T)>);

impl<T> TransportDriver<T> {
    /// Makes the driver.
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
        T::streams(|all| all.reuse(token));
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

/// The poller has reported the stream, or it is its turn again.
#[inline(always)]
fn ready<T: Transport>(stream: &Visit<T>, readiness: Readiness) {
    let mut buffer = read_buffer::take();
    let step = stream.with(|entry, id| {
        if readiness.is_readable() {
            entry.flags.insert(Flags::READ_READY);
            if readiness.splits_reads() {
                if readiness.is_read_closed() {
                    entry.flags.insert(Flags::HANGUP);
                }
                if readiness.is_priority() {
                    entry.flags.insert(Flags::URGENT);
                }
            }
        }
        entry.flags.remove(Flags::READ_QUEUED);
        // What is written meanwhile goes into the loop's buffer, unless bytes wait already, and out at the end of the visit.
        entry.flags.insert(Flags::FLUSH_QUEUED);
        if entry.queue.is_none() {
            entry.queue = Some(queue_pool::take());
        }
        let over = Flags::READ_OVER.union(Flags::ENDED);
        let rare = readiness.is_error() && entry.flags.intersects(over)
            || readiness.is_writable() && entry.flags.contains(Flags::BLOCKED);
        match rare {
            true => Step::Stop,
            false => reading::next_step(entry, id, &mut buffer),
        }
    });
    match step {
        Some(Step::Data {
            session,
            more: false,
        }) => session::data(stream, session, &mut buffer),
        Some(Step::Stop) => read_rarely(stream, readiness, &mut buffer),
        step => reading::read_on(stream, step, &mut buffer),
    }
    read_buffer::put_back(buffer);
    // What callbacks have written goes out while all is still in the caches.
    flushing::flush(stream);
}

/// Nothing was read, as there is nothing to be read, or something else is to be done before.
#[cold]
fn read_rarely<T: Transport>(stream: &Visit<T>, readiness: Readiness, buffer: &mut BytesMut) {
    let over = Flags::READ_OVER.union(Flags::ENDED);
    if readiness.is_error()
        && stream.flags().intersects(over)
        && let Some(error) = stream.with(|entry, _| reset_after_end(entry)).flatten()
    {
        return closing::fail(stream, error);
    }
    let unblocked =
        stream.with(|entry, _| readiness.is_writable() && entry.flags.take(Flags::BLOCKED));
    if unblocked == Some(true) {
        flushing::flush(stream);
        let first = stream.with(|entry, id| reading::next_step(entry, id, buffer));
        reading::read_on(stream, first, buffer);
    }
}

/// The error of a stream whose peer has ended before, so that no read reports what has become of it since.
#[cold]
fn reset_after_end<T: Transport>(entry: &Entry<T>) -> Option<Error> {
    if !entry.is_socket() || entry.flags.contains(Flags::CLOSING) {
        return None;
    }
    match rustix::net::sockopt::socket_error(&entry.fd) {
        Ok(Err(errno)) => Some(Error::write(errno)),
        _ => None,
    }
}

/// The stream's deadline has come.
fn expired<T: Transport>(stream: &Visit<T>) {
    match stream.with(deadlines::expired).flatten() {
        Some(Over::Idle(after)) => ending::fail_in_order(stream, Error::Idle { after }),
        Some(Over::Stalled(after)) => {
            // Otherwise the kernel would keep megabytes for a peer that takes nothing.
            closing::forget(stream);
            closing::fail(stream, Error::WriteStalled { after });
        }
        Some(Over::Lingered) => ending::close(stream),
        None => {}
    }
}
