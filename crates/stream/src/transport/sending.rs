//! Sending: from the write queue to the descriptor.

use std::io::{self, IoSlice};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use uptick_event_loop::driver::Timestamp;

use super::flags::StreamFlags;
use super::{StreamEntry, Transport};
use crate::queue_pool;

/// Maximum number of slices that one system call sends.
const MAX_SLICES: usize = 64;

/// Flag with which the kernel waits for more data before it sends a partial packet.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MORE: SendFlags = SendFlags::MORE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MORE: SendFlags = SendFlags::empty();

/// Flag that prevents `SIGPIPE`. On Apple systems a socket option serves this purpose, and Rust programs ignore the signal.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Sends a queue of short chunks to a socket with one send; returns whether nothing is left to do.
#[inline(always)]
pub(super) fn send_tail<T: Transport>(entry: &mut StreamEntry<T>) -> Result<bool, Errno> {
    let Some(queue) = entry.queue.as_mut() else {
        return Ok(true);
    };
    let Some(piece) = queue
        .as_tail()
        .filter(|_| entry.flags.contains(StreamFlags::SOCKET))
    else {
        return Ok(false);
    };
    if !piece.is_empty() {
        match send(&entry.fd, piece, NO_SIGNAL) {
            Ok(count) => {
                entry.bytes_written += count as u64;
                if entry.flags.contains(StreamFlags::TIMED) {
                    entry.active = Timestamp::now();
                }
                if count < piece.len() {
                    // The socket is full, and an event follows when it has room.
                    queue.consume(count);
                    entry.flags.insert(StreamFlags::BLOCKED);
                    return Ok(false);
                }
                queue.clear_tail();
            }
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
    queue_pool::put_back(entry.queue.take());
    Ok(true)
}

/// Sends the bytes before the first file, until they are sent or the descriptor accepts no more.
#[inline]
pub(super) fn send_bytes<T: Transport>(entry: &mut StreamEntry<T>) -> io::Result<()> {
    let Some(queue) = entry.queue.as_mut() else {
        return Ok(());
    };
    let is_socket = entry.flags.contains(StreamFlags::SOCKET);
    let mut flags = NO_SIGNAL;
    if entry.flags.contains(StreamFlags::FILES)
        && entry
            .extended
            .as_ref()
            .is_some_and(|extended| extended.file_is_next())
    {
        flags |= MORE;
    }
    while !queue.is_empty() {
        let (result, offered) = match queue.as_single() {
            Some(piece) if is_socket => (send(&entry.fd, piece, flags), piece.len()),
            Some(piece) => (rustix::io::write(&entry.fd, piece), piece.len()),
            None => {
                let mut pieces = [IoSlice::new(&[]); MAX_SLICES];
                let count = queue.slices(&mut pieces);
                let pieces = &pieces[..count];
                let offered = pieces.iter().map(|piece| piece.len()).sum();
                let result = if is_socket {
                    let mut control = SendAncillaryBuffer::default();
                    sendmsg(&entry.fd, pieces, &mut control, flags)
                } else {
                    rustix::io::writev(&entry.fd, pieces)
                };
                (result, offered)
            }
        };
        match result {
            Ok(count) => {
                entry.bytes_written += count as u64;
                queue.consume(count);
                // A socket that accepts a part is full, and an event follows when it has room.
                if count < offered && is_socket {
                    entry.flags.insert(StreamFlags::BLOCKED);
                    return Ok(());
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                entry.flags.insert(StreamFlags::BLOCKED);
                return Ok(());
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    queue_pool::put_back(entry.queue.take());
    Ok(())
}
