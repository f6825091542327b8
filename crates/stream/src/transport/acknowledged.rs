//! Bytes acknowledged by the peer, as opposed to bytes accepted by the kernel.
//!
//! A kernel buffers megabytes for a slow peer, and reports the socket as writable only when a good part of them is gone (a
//! third of the buffer on Linux). In between, only the length of the kernel's queue shows that a peer reads steadily.
//!
//! A check costs one system call. There are no checks while data flows.

use std::ffi::c_int;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};
use uptick_event_loop::driver::Timestamp;

use super::flags::StreamFlags;
use super::stream::with_entry;
use super::{StreamEntry, Transport};

/// Returns the number of bytes written to the descriptor that the peer has acknowledged: all except those still in the
/// kernel's send queue. 0 if the stream is gone.
///
/// Acknowledged bytes are in the peer's kernel; its program may not have read them yet. With filters such as TLS, these are
/// the bytes on the wire. On a Unix socket of Linux, bytes count when the peer has read the whole buffer that they are in
/// (about 36 KiB), and the overhead of the buffers counts as not acknowledged: the number may fall as more is written, and
/// is exact once the queue is empty. For descriptors that are not sockets, and on systems other than Linux, written bytes
/// count as acknowledged.
///
/// It costs one system call.
pub fn acknowledged<T: Transport>(stream: T) -> u64 {
    with_entry(stream, |entry, _| {
        entry.bytes_written.saturating_sub(entry.unacknowledged())
    })
    .unwrap_or(0)
}

/// Returns the number of bytes written to the descriptor that the kernel has not sent yet, because the peer has no room for
/// them or the network is slow. On a Unix socket of Linux these are the bytes that the peer has not acknowledged. 0 if the
/// stream is gone, for descriptors that are not sockets, and on systems other than Linux.
///
/// It costs one system call, two on a Unix socket.
pub fn unsent<T: Transport>(stream: T) -> u64 {
    with_entry(stream, |entry, _| entry.unsent()).unwrap_or(0)
}

impl<T: Transport> StreamEntry<T> {
    /// Returns the number of bytes in the kernel that the peer has not acknowledged.
    fn unacknowledged(&self) -> u64 {
        if !self.is_socket() {
            return 0;
        }
        // The FIN counts as one byte in the kernel's queue.
        let end = u64::from(self.flags.contains(StreamFlags::SHUTDOWN_SENT));
        send_queue_length(&self.fd).saturating_sub(end)
    }

    /// Returns whether the peer had acknowledged everything at the last check, and nothing was written since.
    pub(super) fn is_acknowledged(&self) -> bool {
        let acknowledged = self
            .extended
            .as_ref()
            .map_or(0, |extended| extended.acknowledged);
        acknowledged == self.bytes_written
    }

    /// Queries the acknowledged bytes from the kernel; returns whether their number has changed since the last check.
    pub(super) fn check_peer(&mut self) -> bool {
        if !self.is_socket() {
            return false;
        }
        let acknowledged = self.bytes_written.saturating_sub(self.unacknowledged());
        let extended = self.extended();
        extended.checked_at = Some(Timestamp::now());
        acknowledged != std::mem::replace(&mut extended.acknowledged, acknowledged)
    }

    /// Returns the number of bytes in the kernel for which the peer had no room.
    pub(super) fn unsent(&self) -> u64 {
        if !self.is_socket() {
            return 0;
        }
        // A Unix socket does not support this request: bytes that its peer has not read count instead.
        unsent_length(&self.fd).unwrap_or_else(|| self.unacknowledged())
    }
}

/// `true` if the kernel reports the length of a socket's send queue with [`SIOCOUTQ`]: on Linux, on architectures with the
/// generic request number.
///
/// kqueue reports a socket as writable for every few acknowledged KiB, so there the number of written bytes is a good
/// approximation.
const HAS_SIOCOUTQ: bool = cfg!(all(
    any(target_os = "linux", target_os = "android"),
    not(any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc",
        target_arch = "sparc64"
    ))
));

const SIOCOUTQ: Opcode = 0x5411;
const SIOCOUTQNSD: Opcode = 0x894b;

/// Returns the length of a socket's send queue in the kernel: bytes not sent or not acknowledged.
fn send_queue_length(socket: impl AsFd) -> u64 {
    queue_length::<SIOCOUTQ>(socket).unwrap_or(0)
}

/// Returns the length of the unsent part of a TCP socket's send queue.
fn unsent_length(socket: impl AsFd) -> Option<u64> {
    queue_length::<SIOCOUTQNSD>(socket)
}

fn queue_length<const QUESTION: Opcode>(socket: impl AsFd) -> Option<u64> {
    if !HAS_SIOCOUTQ {
        return None;
    }
    #[allow(unsafe_code)]
    // SAFETY: both requests return a `c_int`, and write nothing else.
    let queued = unsafe { ioctl(socket, Getter::<QUESTION, c_int>::new()) };
    queued.ok().and_then(|queued| u64::try_from(queued).ok())
}
