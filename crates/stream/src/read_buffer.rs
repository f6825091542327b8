//! The read buffer shared by all streams of a thread.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSliceMut};
use std::os::fd::BorrowedFd;

use bytes::BytesMut;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recv, recvmsg};

/// Maximum number of bytes of one read: 64 KiB.
pub const READ_SIZE: usize = 64 * 1024;

/// Maximum number of bytes of one read for filters: room for four TLS records of maximum length.
pub(crate) const FILTER_SIZE: usize = READ_SIZE + 4 * 22;

/// Maximum number of bytes of one read for sessions: room for a WebSocket frame of 64 KiB with its header, or for an HTTP
/// message with a body of 64 KiB and its head.
pub(crate) const MESSAGE_SIZE: usize = READ_SIZE + 1024;

/// Size of the buffer. Listeners take parts of it; when there is no room for a full read after them, the buffer is reused
/// from its beginning.
const BUFFER_SIZE: usize = 2 * MESSAGE_SIZE;

/// Minimum room for a read. With less, and while listeners keep parts of the buffer, a new buffer is allocated.
const MIN_READ_ROOM: usize = 16 * 1024;

thread_local! {
    static BUFFER: Cell<Option<Box<BytesMut>>> = const { Cell::new(None) };
    /// Initialized memory for one read; empty before the first read from a Unix socket.
    static INITIALIZED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The system call for reading a descriptor.
#[derive(Clone, Copy)]
pub(crate) enum ReadMethod {
    /// `recv`, which costs less than `read`.
    Socket,
    /// `recvmsg`, which reports passed descriptors.
    UnixSocket,
    /// `read`.
    Other,
}

/// The reason why a read returned no bytes.
pub(crate) enum NoBytes {
    End,
    Failed(io::Error),
}

/// Takes the thread's buffer, which is empty; a nested read of a callback gets a new buffer.
#[inline]
pub(crate) fn take() -> Box<BytesMut> {
    match BUFFER.try_with(Cell::take) {
        Ok(Some(buffer)) => buffer,
        _ => Box::default(),
    }
}

/// Returns the buffer to the thread.
#[inline]
pub(crate) fn put_back(mut buffer: Box<BytesMut>) {
    buffer.clear();
    // While the thread is ending, the buffer is dropped.
    let _ = BUFFER.try_with(|slot| slot.set(Some(buffer)));
}

/// Reads once, at most `limit` bytes, into an empty buffer. Returns whether there may be more data: the read filled its
/// room, or stopped after passed descriptors.
///
/// Costs one system call, and a copy of the data of a Unix socket; it allocates only if a listener has kept its bytes.
#[inline(always)]
pub(crate) fn read(
    fd: BorrowedFd<'_>,
    method: ReadMethod,
    limit: usize,
    buffer: &mut BytesMut,
) -> Result<bool, NoBytes> {
    make_room(buffer);
    let room = buffer.spare_capacity_mut();
    let size = room.len().min(limit);
    let room = &mut room[..size];
    let read = match method {
        ReadMethod::Socket => recv(fd, room, RecvFlags::empty()).map(|((read, _), _)| read.len()),
        ReadMethod::UnixSocket => return read_unix(fd, size, buffer),
        ReadMethod::Other => rustix::io::read(fd, room).map(|(read, _)| read.len()),
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

/// Reads from a Unix socket, like [`read`].
///
/// `recvmsg` takes only initialized memory. Copying the received bytes costs less than initializing the buffer for each
/// read.
fn read_unix(fd: BorrowedFd<'_>, limit: usize, buffer: &mut BytesMut) -> Result<bool, NoBytes> {
    let read = INITIALIZED.try_with(|memory| {
        let memory = &mut *memory.borrow_mut();
        memory.resize(MESSAGE_SIZE, 0);
        receive(fd, &mut memory[..limit], buffer)
    });
    // While the thread is ending, the shared memory is gone.
    let read = read.unwrap_or_else(|_| receive(fd, &mut vec![0; limit], buffer));
    match read {
        Ok((0, _)) => Err(NoBytes::End),
        Ok((length, truncated)) => Ok(length == limit || truncated),
        Err(errno) => Err(failed(errno)),
    }
}

/// Receives into `memory`, and appends the received bytes to `buffer`. Returns their length, and whether the read may have
/// stopped before the end of the available data.
///
/// Linux ends a read after each message with passed descriptors, and between different senders if the socket requests their
/// credentials. As the read has no room for control data, both cases are reported as truncated control data.
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

/// Ensures that an empty buffer has room for a read.
#[inline]
pub(crate) fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() < MESSAGE_SIZE {
        reclaim(buffer);
    }
}

#[cold]
fn reclaim(buffer: &mut BytesMut) {
    if !buffer.try_reclaim(BUFFER_SIZE) && buffer.capacity() < MIN_READ_ROOM {
        *buffer = BytesMut::with_capacity(BUFFER_SIZE);
    }
}

/// Reads once and discards the data; `Ok(0)` is the end of the stream.
pub(crate) fn discard(fd: BorrowedFd<'_>, method: ReadMethod) -> io::Result<usize> {
    let mut buffer = take();
    let read = read(fd, method, MESSAGE_SIZE, &mut buffer);
    let length = buffer.len();
    put_back(buffer);
    match read {
        Ok(_) => Ok(length),
        Err(NoBytes::End) => Ok(0),
        Err(NoBytes::Failed(error)) => Err(error),
    }
}
