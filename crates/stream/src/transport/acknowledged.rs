//! What the peer has acknowledged, as opposed to what the kernel has accepted for it.
//!
//! A kernel buffers megabytes for a slow peer, and reports the socket as writable only once a good part of them is gone
//! (Linux: a third of the buffer). In between, a peer that reads steadily shows only in the length of the kernel's queue.
//!
//! Cost: one system call for each question. Nothing is asked while data flows.

use std::ffi::c_int;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};
use uptick_event_loop::driver::Timestamp;

use super::flags::Flags;
use super::stream::with_entry;
use super::{Entry, Transport};

/// Returns how many of the bytes written to the descriptor the peer has acknowledged: all but those that are still in the
/// kernel's send queue. 0 when the stream is gone.
///
/// Acknowledged bytes are in the peer's kernel; its program may not have read them yet. With filters such as TLS, these are
/// the bytes on the wire. On a Unix socket of Linux, bytes count when the peer has read the whole buffer that they are in
/// (about 36 KiB), and the buffers' own overhead counts as not acknowledged: the number may fall as more is written, and
/// is exact once the queue is empty. For what is no socket, and on systems other than Linux, written bytes count as
/// acknowledged.
///
/// Cost: a system call.
pub fn acknowledged<T: Transport>(stream: T) -> u64 {
    with_entry(stream, |entry, _| {
        entry.bytes_written.saturating_sub(entry.unacknowledged())
    })
    .unwrap_or(0)
}

/// Returns how many of the bytes written to the descriptor the kernel has not sent yet, because the peer has no room for them or
/// the network is slow. On a Unix socket of Linux these are the bytes that the peer has not acknowledged. 0 when the stream is gone,
/// for what is no socket, and on systems other than Linux.
///
/// Cost: a system call, two on a Unix socket.
pub fn unsent<T: Transport>(stream: T) -> u64 {
    with_entry(stream, |entry, _| entry.unsent()).unwrap_or(0)
}

impl<T: Transport> Entry<T> {
    /// Returns how many bytes the kernel has that the peer has not acknowledged.
    fn unacknowledged(&self) -> u64 {
        if !self.is_socket() {
            return 0;
        }
        // The end of this side counts as one in the kernel's queue.
        let end = u64::from(self.flags.contains(Flags::SHUT));
        send_queue_length(&self.fd).saturating_sub(end)
    }

    /// Whether the peer had acknowledged everything at the last look, and nothing was written since.
    pub(super) fn is_acknowledged(&self) -> bool {
        let acknowledged = self.rare.as_ref().map_or(0, |rare| rare.acknowledged);
        acknowledged == self.bytes_written
    }

    /// Asks the kernel what the peer has acknowledged; returns whether that has changed since the last look.
    pub(super) fn look_at_peer(&mut self) -> bool {
        if !self.is_socket() {
            return false;
        }
        let acknowledged = self.bytes_written.saturating_sub(self.unacknowledged());
        let rare = self.rare();
        rare.looked = Some(Timestamp::now());
        acknowledged != std::mem::replace(&mut rare.acknowledged, acknowledged)
    }

    /// Returns how many bytes the kernel has that the peer had no room for.
    pub(super) fn unsent(&self) -> u64 {
        if !self.is_socket() {
            return 0;
        }
        // A Unix socket does not know the question: what its peer has not read counts.
        unsent_length(&self.fd).unwrap_or_else(|| self.unacknowledged())
    }
}

/// Whether the kernel reports the length of a socket's send queue under [`SIOCOUTQ`]: Linux, on architectures with the
/// generic number.
///
/// kqueue reports a socket as writable for every few KiB that are acknowledged, so what was written is close enough there.
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

/// Returns the length of a socket's send queue in the kernel: what is not sent or not acknowledged.
fn send_queue_length(socket: impl AsFd) -> u64 {
    queue_length::<SIOCOUTQ>(socket).unwrap_or(0)
}

/// Returns the length of the part of a TCP socket's send queue that was not sent yet.
fn unsent_length(socket: impl AsFd) -> Option<u64> {
    queue_length::<SIOCOUTQNSD>(socket)
}

fn queue_length<const QUESTION: Opcode>(socket: impl AsFd) -> Option<u64> {
    if !HAS_SIOCOUTQ {
        return None;
    }
    #[allow(unsafe_code)]
    // SAFETY: both questions are answered with a `c_int`, and nothing else is written.
    let queued = unsafe { ioctl(socket, Getter::<QUESTION, c_int>::new()) };
    queued.ok().and_then(|queued| u64::try_from(queued).ok())
}
