//! The buffer into which all streams of a thread read.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSliceMut};
use std::os::fd::BorrowedFd;

use bytes::BytesMut;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recv, recvmsg};

/// The number of bytes that one read takes at most: 64 KiB.
pub const READ_SIZE: usize = 64 * 1024;

/// The same for sessions and filters, which find a WebSocket frame of 64 KiB with its header in one read, or four of the longest TLS
/// records.
pub(crate) const FRAME_SIZE: usize = READ_SIZE + 4 * 22;

/// The size of the buffer. Listeners take parts of it, and it is used from its beginning again when there is no room for a whole
/// read behind them.
const SIZE: usize = 2 * FRAME_SIZE;

/// A read is not made into less room than this: rather a new buffer, while listeners keep parts of the old one.
const LEAST: usize = 16 * 1024;

thread_local! {
    static BUFFER: Cell<Option<Box<BytesMut>>> = const { Cell::new(None) };
    /// Initialized memory for one read; empty before the first read from a Unix socket.
    static INITIALIZED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How a descriptor is read.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// By `recv`, which spares a socket the way through the file layer.
    Socket,
    /// By `recvmsg`, which reports passed descriptors.
    UnixSocket,
    /// By `read`.
    Other,
}

/// Why a read returned no bytes.
pub(crate) enum NoBytes {
    End,
    Failed(io::Error),
}

/// Takes the thread's buffer, which is empty; a callback that reads itself finds another one.
#[inline]
pub(crate) fn take() -> Box<BytesMut> {
    match BUFFER.try_with(Cell::take) {
        Ok(Some(buffer)) => buffer,
        _ => Box::default(),
    }
}

/// Returns the buffer to the thread.
#[inline]
pub(crate) fn give_back(mut buffer: Box<BytesMut>) {
    buffer.clear();
    // While the thread is torn down, it is dropped.
    let _ = BUFFER.try_with(|place| place.set(Some(buffer)));
}

/// Reads once, `most` bytes at most, into a buffer that is empty; returns whether there may be more: the read filled the room
/// it had, or stopped behind passed descriptors.
///
/// Cost: one system call, and a copy of what a Unix socket had; no allocation unless a listener has kept its bytes.
#[inline(always)]
pub(crate) fn read(
    fd: BorrowedFd<'_>,
    source: Source,
    most: usize,
    buffer: &mut BytesMut,
) -> Result<bool, NoBytes> {
    make_room(buffer);
    let room = buffer.spare_capacity_mut();
    let size = room.len().min(most);
    let room = &mut room[..size];
    let read = match source {
        Source::Socket => recv(fd, room, RecvFlags::empty()).map(|((read, _), _)| read.len()),
        Source::UnixSocket => return read_unix(fd, size, buffer),
        Source::Other => rustix::io::read(fd, room).map(|(read, _)| read.len()),
    };
    match read {
        Ok(0) => Err(NoBytes::End),
        Ok(length) => {
            #[allow(unsafe_code)]
            // SAFETY: the buffer is empty, and the read has initialized the first `length` bytes of its spare capacity.
            unsafe {
                buffer.set_len(length);
            }
            Ok(length == size)
        }
        Err(errno) => Err(failed(errno)),
    }
}

#[cold]
fn failed(errno: Errno) -> NoBytes {
    NoBytes::Failed(errno.into())
}

/// Reads from a Unix socket, as [`read`].
///
/// `recvmsg` takes initialized memory only. Copying what was read costs less than filling the room for each read.
fn read_unix(fd: BorrowedFd<'_>, most: usize, buffer: &mut BytesMut) -> Result<bool, NoBytes> {
    let read = INITIALIZED.try_with(|memory| {
        let memory = &mut *memory.borrow_mut();
        memory.resize(FRAME_SIZE, 0);
        receive(fd, &mut memory[..most], buffer)
    });
    // While the thread is torn down, the memory is gone.
    let read = read.unwrap_or_else(|_| receive(fd, &mut vec![0; most], buffer));
    match read {
        Ok((0, _)) => Err(NoBytes::End),
        Ok((length, cut_off)) => Ok(length == most || cut_off),
        Err(errno) => Err(failed(errno)),
    }
}

/// Receives into `memory`, and appends what was received to `buffer`; returns its length, and whether the read may have stopped
/// before the end of what there is.
///
/// Linux ends a read behind each message with passed descriptors, and between different senders where the socket asks for their
/// credentials. As the read has no room for either, it reports in both cases that control data was cut off.
fn receive(
    fd: BorrowedFd<'_>,
    memory: &mut [u8],
    buffer: &mut BytesMut,
) -> Result<(usize, bool), Errno> {
    let mut control = RecvAncillaryBuffer::default();
    let message = recvmsg(
        fd,
        &mut [IoSliceMut::new(memory)],
        &mut control,
        RecvFlags::empty(),
    )?;
    buffer.extend_from_slice(&memory[..message.bytes]);
    Ok((message.bytes, message.flags.contains(ReturnFlags::CTRUNC)))
}

/// Sees to it that an empty buffer has room for a read.
#[inline]
pub(crate) fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() < FRAME_SIZE {
        reclaim(buffer);
    }
}

#[cold]
fn reclaim(buffer: &mut BytesMut) {
    if !buffer.try_reclaim(SIZE) && buffer.capacity() < LEAST {
        *buffer = BytesMut::with_capacity(SIZE);
    }
}

/// Reads once and discards what comes; `Ok(0)` is the end of the stream.
pub(crate) fn discard(fd: BorrowedFd<'_>, source: Source) -> io::Result<usize> {
    let mut buffer = take();
    let read = read(fd, source, FRAME_SIZE, &mut buffer);
    let length = buffer.len();
    give_back(buffer);
    match read {
        Ok(_) => Ok(length),
        Err(NoBytes::End) => Ok(0),
        Err(NoBytes::Failed(error)) => Err(error),
    }
}
