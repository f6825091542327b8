//! Write errors: data that the peer sent before it closed the connection is delivered before the error, if the session wants it.
//!
//! ```text
//! write fails → queue dropped → input read until its end → `error` (or `end`, if the peer had ended before it closed) → close
//! ```

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::flags::StreamFlags;
use super::stream::{Visit, with_entry};
use super::{StreamEntry, Transport, closing, gathering};
use crate::error::Error;
use crate::queue_pool;

/// The states in which a stream has ended.
const OVER: StreamFlags = StreamFlags::CLOSING
    .union(StreamFlags::END_EMITTED)
    .union(StreamFlags::ENDING)
    .union(StreamFlags::FAILED)
    .union(StreamFlags::READ_ENDED)
    .union(StreamFlags::WRITE_FAILED);

/// Sets whether data that the peer sent before it closed or reset the connection is delivered before a write error fails the stream, for
/// protocols whose peer may respond before it has read everything. Default: false.
pub fn set_read_before_write_error<T: Transport>(stream: T, enabled: bool) {
    with_entry(stream, |entry, _| {
        entry.flags.set(StreamFlags::READS_BEFORE_ERROR, enabled);
    });
}

/// Returns whether the descriptor has input: bytes, an end of stream or an error that were not read or not delivered. Also `true` if the
/// stream has ended, and if the handle is stale.
///
/// It costs one system call.
pub fn has_input<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| {
        if entry.flags.intersects(OVER) || entry.has_undelivered() {
            return true;
        }
        match entry.is_socket() {
            true => {
                let peeked = recv(&entry.fd, &mut [0_u8; 1][..], RecvFlags::PEEK);
                !matches!(peeked, Err(Errno::AGAIN))
            }
            false => rustix::io::ioctl_fionread(&entry.fd) != Ok(0),
        }
    })
    .unwrap_or(true)
}

/// Returns whether the poller has reported that the peer has ended or reset the connection, or the stream has ended otherwise. Also `true`
/// if the handle is stale.
pub fn is_hung_up<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| {
        let over = StreamFlags::HANGUP | OVER;
        entry.flags.intersects(over)
    })
    .unwrap_or(true)
}

/// Fails a stream after a write error, at once or after its input is read.
#[cold]
pub(super) fn fail<T: Transport>(stream: &Visit<T>, error: Error) {
    let mut error = Some(error);
    stream.with(|entry, id| {
        let over = StreamFlags::CLOSING
            | StreamFlags::END_EMITTED
            | StreamFlags::ENDING
            | StreamFlags::JOBS
            | StreamFlags::READ_ENDED;
        let is_closed = error.as_ref().and_then(closed_by_peer).is_some();
        if !is_closed
            || !entry.flags.contains(StreamFlags::READS_BEFORE_ERROR)
            || entry.flags.intersects(over)
        {
            return;
        }
        entry
            .flags
            .insert(StreamFlags::READ_READY | StreamFlags::WRITE_ENDED | StreamFlags::WRITE_FAILED);
        entry.flags.remove(
            StreamFlags::BLOCKED
                | StreamFlags::FAILED
                | StreamFlags::FULL
                | StreamFlags::SHUTDOWN_PENDING,
        );
        queue_pool::put_back(entry.queue.take());
        entry.drop_files();
        queue_pool::put_back(gathering::take(entry));
        // Filters may write later, which fails with another error.
        if let Some(error) = error.take() {
            entry.extended().failure.get_or_insert(error);
        }
        entry.schedule_read(id);
    });
    if let Some(error) = error {
        closing::fail(stream, error);
    }
}

impl<T: Transport> StreamEntry<T> {
    /// Returns the write error with which the stream fails at the end of its input, unless that end is the peer's own end of stream.
    #[cold]
    pub(super) fn error_at_end(&mut self) -> Option<Error> {
        if !self.flags.contains(StreamFlags::WRITE_FAILED) {
            return None;
        }
        let failure = self.extended().failure.take()?;
        // The kernel reports EPIPE if the peer had ended before the connection was reset.
        (closed_by_peer(&failure) != Some(Errno::PIPE)).then_some(failure)
    }
}

/// Returns the error number of a write to a connection that the peer has closed or reset.
fn closed_by_peer(error: &Error) -> Option<Errno> {
    let Error::Write { source } = error else {
        return None;
    };
    Errno::from_io_error(source).filter(|errno| matches!(*errno, Errno::PIPE | Errno::CONNRESET))
}
