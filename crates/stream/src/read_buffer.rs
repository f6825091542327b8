//! The buffer into which all streams of a thread read.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use bytes::BytesMut;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recv, recvmsg};

/// How much one read takes at most: 64 KiB.
pub const READ_SIZE: usize = 64 * 1024;

/// With less room than this the buffer is taken back from its beginning, which costs more than going on in it.
const ROOM: usize = 32 * 1024;

/// A read is not made into less room than this: rather a new buffer, while listeners keep parts of the old one.
const LEAST: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<ReadBuffer> = RefCell::default();
}

#[derive(Default)]
struct ReadBuffer {
    /// Empty. Reads go into its spare capacity.
    bytes: BytesMut,
    /// All of its memory is initialized: needed to read from Unix sockets only.
    initialized: bool,
}

/// How a descriptor is read.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// By `recv`, which spares a socket the way through the file layer.
    Socket,
    /// By `recvmsg`, which tells of passed descriptors.
    UnixSocket,
    /// By `read`.
    Other,
}

/// What one read gave.
pub(crate) struct Chunk {
    /// Never empty, and nobody else's: they may be changed in place.
    pub(crate) bytes: BytesMut,
    /// There may be more: the read filled the room it had, or stopped behind passed descriptors.
    pub(crate) more: bool,
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
pub(crate) fn read_some(fd: BorrowedFd<'_>, source: Source) -> Result<Chunk, NoBytes> {
    BUFFER.with_borrow_mut(
        |ReadBuffer {
             bytes: buffer,
             initialized,
         }| {
            if make_room(buffer) {
                *initialized = false;
            }
            let room = buffer.spare_capacity_mut();
            let size = room.len().min(READ_SIZE);
            let mut split = false;
            let read = match source {
                Source::Socket => {
                    recv(fd, &mut room[..size], RecvFlags::empty()).map(|((read, _), _)| read.len())
                }
                Source::UnixSocket => {
                    if !*initialized {
                        room.fill(MaybeUninit::new(0));
                        *initialized = true;
                    }
                    #[allow(unsafe_code)]
                    // SAFETY: the spare capacity was filled above since the memory was allocated; what was before it was initialized
                    // by reads, and stays so when it is taken back.
                    let room = unsafe { &mut *(&raw mut room[..size] as *mut [u8]) };
                    receive(fd, room).map(|(length, stopped)| {
                        split = stopped;
                        length
                    })
                }
                Source::Other => {
                    rustix::io::read(fd, &mut room[..size]).map(|(read, _)| read.len())
                }
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
                more: length == size || split,
            })
        },
    )
}

/// Reads from a Unix socket: how much, and whether the read may have stopped before the end of what there is.
///
/// Linux ends a read behind each message with passed descriptors, and between different senders where the socket asks for their
/// credentials. As nobody takes either, the read says in both cases that control data was cut off.
fn receive(fd: BorrowedFd<'_>, room: &mut [u8]) -> Result<(usize, bool), Errno> {
    let mut control = RecvAncillaryBuffer::default();
    let message = recvmsg(
        fd,
        &mut [IoSliceMut::new(room)],
        &mut control,
        RecvFlags::empty(),
    )?;
    Ok((message.bytes, message.flags.contains(ReturnFlags::CTRUNC)))
}

/// Sees to it that an empty buffer has room for a chunk; returns whether its memory is new.
#[inline]
pub(crate) fn make_room(buffer: &mut BytesMut) -> bool {
    buffer.capacity() < ROOM && take_back(buffer)
}

#[cold]
fn take_back(buffer: &mut BytesMut) -> bool {
    let new = !buffer.try_reclaim(READ_SIZE) && buffer.capacity() < LEAST;
    if new {
        *buffer = BytesMut::with_capacity(READ_SIZE);
    }
    new
}

/// Reads once and discards what comes; `Ok(0)` is the end of the stream.
pub(crate) fn discard(fd: BorrowedFd<'_>, source: Source) -> io::Result<usize> {
    match read_some(fd, source) {
        Ok(chunk) => Ok(chunk.bytes.len()),
        Err(NoBytes::End) => Ok(0),
        Err(NoBytes::Failed(error)) => Err(error),
    }
}
