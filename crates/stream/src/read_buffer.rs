//! The buffer into which all streams of a thread read.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;

use bytes::BytesMut;
use rustix::net::{RecvFlags, recv};

/// How much one read takes at most: 64 KiB.
pub const READ_SIZE: usize = 64 * 1024;

/// With less room than this the buffer is taken back from its beginning, which costs more than going on in it.
const ROOM: usize = 32 * 1024;

/// A read is not made into less room than this: rather a new buffer, while listeners keep parts of the old one.
const LEAST: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// What one read gave.
pub(crate) struct Chunk {
    /// Never empty, and nobody else's: they may be changed in place.
    pub(crate) bytes: BytesMut,
    /// The read filled the room it had: there may be more.
    pub(crate) filled: bool,
}

/// Why a read gave no bytes.
pub(crate) enum NoBytes {
    End,
    Failed(io::Error),
}

/// Reads once. The bytes are a part of the thread's buffer, which is used again when nobody keeps them.
///
/// Cost: one system call; no allocation unless a listener has kept what it got.
#[inline]
pub(crate) fn read_some(fd: BorrowedFd<'_>, is_socket: bool) -> Result<Chunk, NoBytes> {
    BUFFER.with_borrow_mut(|buffer| {
        make_room(buffer);
        let room = buffer.spare_capacity_mut();
        let size = room.len().min(READ_SIZE);
        let room = &mut room[..size];
        // `recv` spares a socket the way through the file layer.
        let read = if is_socket {
            recv(fd, room, RecvFlags::empty()).map(|((read, _), _)| read.len())
        } else {
            rustix::io::read(fd, room).map(|(read, _)| read.len())
        };
        let length = match read {
            Ok(length) => length,
            Err(errno) => return Err(NoBytes::Failed(errno.into())),
        };
        if length == 0 {
            return Err(NoBytes::End);
        }
        #[allow(unsafe_code)]
        // SAFETY: the buffer is empty, and the read has initialized the first `length` bytes of its spare capacity.
        unsafe {
            buffer.set_len(length);
        }
        Ok(Chunk {
            bytes: buffer.split(),
            filled: length == size,
        })
    })
}

/// Sees to it that an empty buffer has room for a chunk.
#[inline]
pub(crate) fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() < ROOM {
        take_back(buffer);
    }
}

#[cold]
fn take_back(buffer: &mut BytesMut) {
    if !buffer.try_reclaim(READ_SIZE) && buffer.capacity() < LEAST {
        *buffer = BytesMut::with_capacity(READ_SIZE);
    }
}

/// Reads once and discards what comes; `Ok(0)` is the end of the stream.
pub(crate) fn discard(fd: BorrowedFd<'_>, is_socket: bool) -> io::Result<usize> {
    match read_some(fd, is_socket) {
        Ok(chunk) => Ok(chunk.bytes.len()),
        Err(NoBytes::End) => Ok(0),
        Err(NoBytes::Failed(error)) => Err(error),
    }
}
